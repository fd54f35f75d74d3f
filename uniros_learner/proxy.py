"""A `Link` whose rospy runs in a process of its own.

It is the reason one learner can hold environments on several masters at once.
"""

from __future__ import annotations

import getpass
import itertools
import os
import shutil
import socket
import struct
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from uniros_bringup.process import Process, spawn
from uniros_learner.direct import DirectLine
from uniros_learner.env import RosEnv
from uniros_learner.frames import Frames
from uniros_learner.link import Link, Op, raise_error
from uniros_learner.mailbox import TICK, Mailbox
from uniros_learner.vector import RosVectorEnv
from uniros_learner.worker import Task
from uniros_msgs.errors import Closed, ConnectionFailed, Timeout, WorkerDied
from uniros_msgs.msg import Error
from uniros_msgs.srv import AcquireResponse

BORROWING = 1.0  # s that a worker may take to lend its connection
NEVER = -(2**62)  # steps ago: for counting up to the next attempt
GRACE = 4.0  # s the worker may take to end its master and server; then it is killed, and they with it


def holder() -> str:
    """Who we are, for a learner that finds the environment taken."""
    return f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()} ({Path(sys.argv[0]).name or 'python'})"


class WorkerLink(Link):
    """Starts a worker for `task` and waits until it is connected. Raises what kept it from connecting."""

    def __init__(self, task: Task):
        self._pid = os.getpid()
        self._task = task
        self.address = f"{task.ns} on {task.master_uri or 'a private master'}"
        self._numbers = itertools.count()
        self._begun: dict[int, str] = {}  # requests that nobody has finished, and what they ask for
        self._closed = False
        self._line: DirectLine | None = None
        self._on_line = -1  # the step that is under way there
        self._relayed = 0  # steps
        ours, theirs = socket.socketpair()
        self._loans, lender = socket.socketpair()
        for end in (ours, theirs, self._loans, lender):
            end.setblocking(True)  # rospy.init_node sets a default timeout for sockets, which makes them non-blocking
        _set_timeout(ours, TICK)
        self._frames = Frames(ours)
        self._answers = Mailbox(self._frames)
        self._log = Path(tempfile.mkdtemp(prefix="uniros-worker-")) / "worker.log"
        sockets = theirs.fileno(), lender.fileno()
        command = [sys.executable, "-m", "uniros_learner.worker", str(self._pid), *map(str, sockets)]
        self._worker = spawn(command, log=self._log, name="worker", pass_fds=sockets, dies_with_us=False)
        theirs.close()  # else we would never notice that the worker is gone
        lender.close()
        self._finalizer = weakref.finalize(self, _end, ours, self._worker, self._log.parent, self._pid)
        try:
            number = self._expect("start-up")
            self._frames.send(Op.READY, number, task.pack())
            ready = AcquireResponse().deserialize(self.finish(number, task.timeout + GRACE))
        except BaseException:
            self.close()
            raise
        self.token, self.address, self.episode = ready.token, ready.holder, ready.episode

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._worker.pid

    def begin(self, op: Op, payload: bytes) -> int:
        """As `Link.begin`. Raises WorkerDied when the worker has ended."""
        if os.getpid() != self._pid:
            raise ConnectionFailed(
                "this environment belongs to the process that made it: make or connect one in this process"
            )
        if self._closed:
            raise Closed("this environment is closed: make or connect a new one")
        if op is Op.STEP and (line := self._direct_line()):
            self._on_line = next(self._numbers) & 0xFFFFFFFF
            self._begun[self._on_line] = "step"
            line.begin(payload)
            return self._on_line
        number = self._expect(op.name.lower())
        self._send(op, number, payload)
        return number

    def _send(self, op: Op, number: int, payload: bytes) -> None:
        try:
            self._frames.send(op, number, payload)
        except OSError:
            raise self._died() from None

    def _expect(self, what: str) -> int:
        """A number for a request, whose answers are kept from now on."""
        number = next(self._numbers) & 0xFFFFFFFF
        self._begun[number] = what
        self._answers.expect(number)
        return number

    def answered(self, number: int, patience: float = 0.0) -> bool:
        """As `Link.answered`."""
        if self._line and number == self._on_line:
            return self._line.wait(patience)
        return not self._answers.expects(number) or self._answers.wait(number, patience)

    def receive(self, number: int, timeout: float) -> tuple[Op, bytes]:
        """As `Link.receive`. Raises WorkerDied when the worker ends meanwhile."""
        what = self._begun.get(number, "")
        if not what:
            raise ValueError(f"request {number} was never begun, or has been finished")
        if self._line and number == self._on_line:
            return Op.STEP, self._direct_answer(self._line, timeout)
        frame = self._answers.take(number, timeout)
        if frame is None and self._answers.ended:
            raise self._died()
        if frame is None:
            raise Timeout(f"no answer to {what} from {self.address} within {timeout:g} s")
        if frame.op is Op.FAILED:
            raise_error(Error().deserialize(frame.payload))
        return frame.op, frame.payload

    def forget(self, number: int) -> None:
        """As `Link.forget`."""
        self._begun.pop(number, None)
        self._answers.forget(number)

    def cancel_rollout(self) -> None:
        """As `Link.cancel_rollout`."""
        with suppress(OSError):  # whoever waits for its end hears why
            self._frames.send(Op.CANCEL, 0, b"")

    # --- steps without a detour ---------------------------------------------------------------------------------------

    def _direct_line(self) -> DirectLine | None:
        """What a step may take instead of the way by the worker: asked for after 1, 3, 7, ... steps."""
        if self._line and self._line.over:
            self._line.close()
            self.forget(self._line.number)
            self._line = None
            self._send(Op.DIRECT, 0, b"back")
        if self._line is None:
            self._relayed += 1
            if self._relayed > 1 and not self._relayed & (self._relayed - 1):
                self._line = self._borrow()
        return self._line

    def _borrow(self) -> DirectLine | None:
        number = self._expect("the direct line")
        self._send(Op.DIRECT, number, b"")
        answer = self._answers.take(number, BORROWING)
        if answer and answer.payload and answer.op is Op.DIRECT:
            _, sockets, _, _ = socket.recv_fds(self._loans, 1, 2, socket.MSG_CMSG_CLOEXEC)
            goals, results = (socket.socket(fileno=fd) for fd in sockets)
            return DirectLine(goals, results, self._answers, number)
        self.forget(number)
        if answer is None:  # a worker that was stopped: it may lend it yet, and is told not to
            self._send(Op.DIRECT, 0, b"back")
            self._relayed = NEVER
        return None

    def _direct_answer(self, line: DirectLine, timeout: float) -> bytes:
        """Raises as `receive`."""
        answer = line.take(timeout)
        if answer is not None:
            return answer
        if line.failure:
            raise_error(Error().deserialize(line.failure))
        if self._answers.ended:
            raise self._died()
        raise Timeout(f"no answer to step from {self.address} within {timeout:g} s")

    def _died(self) -> ConnectionFailed:
        if self._closed:
            return Closed("this environment was closed meanwhile")
        code = self._worker.wait(0.2)
        tail = self._worker.tail(12)
        return WorkerDied(
            f"the worker that connects to {self.address} ended with exit code {code}: make or connect a new "
            "environment" + (f"; its last lines:\n{tail}" if tail else "")
        )

    def close(self) -> None:
        """Release the lease, end the worker and all it started.

        Idempotent; takes at most 7 s, usually well under one.
        """
        self._closed = True
        if self._line:
            self._line.close()
        if os.getpid() == self._pid:
            self._finalizer()


def _end(connection: socket.socket, worker: Process, log_dir: Path, pid: int) -> None:
    """Runs at close(), when the link is collected, and when the interpreter ends."""
    if os.getpid() != pid:  # a forked child collects its copy: the worker is not its own
        return
    with suppress(OSError):  # the worker was faster
        connection.shutdown(socket.SHUT_RDWR)
    if worker.wait(GRACE) is None:
        worker.kill()
    connection.close()
    shutil.rmtree(log_dir, ignore_errors=True)


def _set_timeout(connection: socket.socket, seconds: float) -> None:
    """A time-out kept by the kernel: one system call per receive instead of two."""
    connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
    )


class GymProxy(RosEnv):
    """An environment on a master of its own or another, as a `gymnasium.Env`; a worker process holds its connection."""

    def __init__(self, task: Task, **timeouts: float):
        self._origin = task, timeouts
        super().__init__(WorkerLink(task), **timeouts)

    def again(self) -> GymProxy:
        """Close this one, and return a new one made or connected in the same way. Raises as `make` and `connect` do."""
        self.close()
        task, timeouts = self._origin
        return type(self)(task, **timeouts)


class VectorProxy(RosVectorEnv):
    """The same for a batch, as a `gymnasium.vector.VectorEnv`."""

    def __init__(self, task: Task, **timeouts: float):
        super().__init__(WorkerLink(task), **timeouts)
