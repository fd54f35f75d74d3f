"""How an env server is, on /diagnostics: its progress and times, what was refused, who holds it, and what is wrong."""

from __future__ import annotations

from typing import Any

import rospy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from uniros_env_server.serving.periodic import every
from uniros_env_server.serving.server import EnvServer

PERIOD = 0.5  # s
RATE_SHARE = 0.95  # of the rate that the loop should have, for it to be in order


class Health:
    """Publishes what `env.timing_report()` says, until the node ends."""

    def __init__(self, env: Any, server: EnvServer) -> None:
        self._env, self._server = env, server
        self._publisher = rospy.Publisher("/diagnostics", DiagnosticArray, queue_size=10)
        self._late = 0  # ticks and cycles that were missed when last looked

    def start(self) -> None:
        """From now on, in a thread of its own."""
        every(PERIOD, self._publish, "health")

    def _publish(self) -> None:
        report = self._env.timing_report()
        level, text = self._judge(report)
        refusals = report.pop("refusals")
        session = self._server.session
        values = report | {f"refused: {name}": count for name, count in refusals.items()} | {
            "lease": self._server.lease.holder or "free", "mode": self._env.mode,
            "cycle time (s)": self._env.cycle_time, "episode": session.episode, "step": session.step_count,
            "steps": self._server.journal.sequence}
        pairs = [KeyValue(key, str(value)) for key, value in values.items()]
        name = f"{rospy.get_name().lstrip('/')}: environment"
        message = DiagnosticArray(status=[DiagnosticStatus(level, name, text, self._env.gate.model.name, pairs)])
        message.header.stamp = rospy.Time.now()
        self._publisher.publish(message)

    def _judge(self, report: dict[str, Any]) -> tuple[int, str]:
        """Level and one sentence."""
        late = report["missed_ticks"] + report["overruns"]
        news, self._late = late - self._late, late
        if report["fault"]:
            return DiagnosticStatus.ERROR, report["fault"]
        if self._env.gate.stopped:
            return DiagnosticStatus.ERROR, "emergency stop: call env/clear_estop when it is safe"
        if self._env.mode == "real_time" and report["rate"] < RATE_SHARE * self._env.clock.record.rate:
            return DiagnosticStatus.WARN, f"the loop runs at {report['rate']:.1f} Hz only"
        if news > 0:
            return DiagnosticStatus.WARN, f"{news} deadlines of the loop or of action cycles were missed"
        return DiagnosticStatus.OK, "in order"
