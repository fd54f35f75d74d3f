"""What an arm's driver says of itself beside its topics, and the little it is asked for. Not every driver does."""

from __future__ import annotations

import threading
import time
from typing import Any

import rospy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import String
from std_srvs.srv import SetBool

from uniros_msgs.errors import RobotFault

LIMP, READY = "limp", ("holding", "following")
ADVICE = {"fault": "see /diagnostics, mend it, then call driver/clear_estop",
          "estop": "call driver/clear_estop when it is safe",
          "limp": "its torque is off: call driver/torque with data: true",
          "lowering": "somebody lowers the arm"}
TORQUE_TIME = 10.0  # s


class DriverLink:
    """Listens to `driver/state` and to the driver's part of /diagnostics; turns torque on."""

    def __init__(self, topic: str) -> None:
        self.state = ""  # empty while none was told
        self._reason = ""
        self._subscribers = [
            rospy.Subscriber(topic, String, self._on_state, queue_size=10, tcp_nodelay=True),
            rospy.Subscriber("/diagnostics", DiagnosticArray, self._on_diagnostics, queue_size=10)] if topic else []

    def trouble(self) -> str:
        """Why the driver does not move the arm; empty when it does, or does not tell."""
        state = self.state
        if not state or state in READY:
            return ""
        reason = f" ({self._reason})" if self._reason and state in ("fault", "estop") else ""
        return f"the driver says {state!r}{reason}: {ADVICE.get(state, 'see its own page')}"

    def torque_on(self) -> None:
        """Have a limp arm hold where it is. Raises RobotFault when the driver does not."""
        if self.state != LIMP:
            return
        end = time.monotonic() + TORQUE_TIME
        answer = ask("driver/torque", SetBool, TORQUE_TIME, data=True)
        if not answer.success:
            raise RobotFault(f"the driver does not turn torque on: {answer.message}")
        while self.state == LIMP:
            if time.monotonic() > end:
                raise RobotFault(f"the driver's torque is not on within {TORQUE_TIME:g} s: see /diagnostics")
            time.sleep(0.005)

    def close(self) -> None:
        """Listen no more."""
        for subscriber in self._subscribers:
            subscriber.unregister()

    def _on_state(self, message: String) -> None:
        self.state = message.data

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(": driver"):
                self._reason = status.message if status.level == DiagnosticStatus.ERROR else ""


def ask(service: str, kind: Any, deadline: float, **request: Any) -> Any:
    """What a service answers. Raises RobotFault after `deadline` seconds; rospy would wait for ever."""
    answers: list[Any] = []
    done = threading.Event()

    def run() -> None:
        try:
            rospy.wait_for_service(service, deadline)
            answers.append(rospy.ServiceProxy(service, kind)(**request))
        except (rospy.ROSException, rospy.ServiceException, OSError) as error:
            answers.append(error)
        done.set()

    threading.Thread(target=run, name=service, daemon=True).start()
    done.wait(deadline)
    if not answers or isinstance(answers[0], Exception):
        why = str(answers[0]) if answers else "no answer"
        raise RobotFault(f"{rospy.resolve_name(service)} within {deadline:g} s: {why}. Does the driver run?")
    return answers[0]
