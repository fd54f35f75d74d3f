"""`python -m uniros_learner.worker PID FD FD`: holds one connection for a learner, so that a learner can hold several.

The worker passes serialised requests from the learner's socket to a `RosLink` and answers back; it decodes nothing.
When it is told to serve an environment itself, it also owns the private master and the env server. It ends, and ends
both of them, as soon as the learner closes the socket or is gone. Nothing of the user's script is imported here.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
import signal
import socket
import sys
import threading
import traceback
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from uniros_bringup.graph import Graph
from uniros_bringup.master import Master
from uniros_bringup.xmlrpc import CallFailed, call
from uniros_learner.farewell import leave_graph
from uniros_learner.frames import Frame, Frames
from uniros_learner.link import Op, pack_failure, serialise
from uniros_msgs.errors import StartFailed, UnirosError
from uniros_msgs.msg import Error
from uniros_msgs.srv import AcquireResponse

if TYPE_CHECKING:
    from uniros_learner.roslink import RosLink

log = logging.getLogger(__name__)
LAST_RESORT = 3.0  # s a tidy end may take; then the kernel ends what we started


@dataclass(frozen=True)
class Task:
    """What a worker shall connect to.

    With `env_id` it starts an env server first, the nodes that this needs, and unless `master_uri` names one, a master.
    """

    ns: str
    holder: str
    env_id: str = ""
    env_args: str = ""  # constructor arguments: a serialised Data message in base64
    num_envs: int = 0  # of a batch; 0 stands for a single environment
    autoreset_mode: str = ""  # of a batch
    path: str = ""  # where the learner's script lives: its own modules may be served
    nodes: list[dict[str, Any]] = field(default_factory=list)  # of uniros_bringup.companions
    master_uri: str = ""
    local_address: str = ""  # what the robot's machine reaches us at; "" finds it from the route there
    timeout: float = 30.0  # s until connected

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, raw: bytes) -> Task:
        return cls(**json.loads(raw))


class Worker:
    """Connects as its first frame says, then relays until the learner is gone."""

    def __init__(self, connection: socket.socket, loans: socket.socket):
        """connection: the learner's. loans: where sockets lent to it are passed on."""
        self._frames, self._loans = Frames(connection), loans
        self._cleanup = ExitStack()
        self._graph: Graph | None = None

    def run(self) -> None:
        try:
            with suppress(ConnectionError):  # a learner that was killed resets the connection
                first = self._frames.receive()
                if first is not None:
                    self._relay(Task.unpack(first.payload))
        finally:
            threading.Timer(LAST_RESORT, lambda: os._exit(1)).start()  # our children die with us, come what may
            self._cleanup.close()

    def _relay(self, task: Task) -> None:
        try:
            link = self._connect(task)
        except UnirosError as error:
            self._frames.send(Op.FAILED, 0, pack_failure(error))
            return
        except Exception as error:  # noqa: BLE001 - a bug of ours must reach the user, too
            self._frames.send(Op.FAILED, 0, pack_failure(StartFailed(f"{error!r}\n{traceback.format_exc()}")))
            return
        self._cleanup.callback(link.close)
        ready = AcquireResponse(Error(), link.token, link.address, link.episode)
        self._frames.send(Op.READY, 0, serialise(ready))
        for frame in iter(self._frames.receive, None):
            self._submit(link, frame)

    def _submit(self, link: RosLink, frame: Frame) -> None:
        if frame.op is Op.CANCEL:
            link.cancel_rollout()
            return
        if frame.op is Op.DIRECT:
            self._lend(link, frame)
            return
        link.submit(frame.op, frame.payload, lambda op, payload: self._answer(op, frame.number, payload))

    def _lend(self, link: RosLink, frame: Frame) -> None:
        """Let the learner take steps without us, or again with us."""
        if frame.payload:
            link.take_back()
            return
        sockets = link.lend(lambda op, payload: self._answer(op, frame.number, payload))
        with suppress(OSError):  # the learner is gone; the main thread notices that, too
            if sockets:
                socket.send_fds(self._loans, [b"."], sockets)
            self._frames.send(Op.DIRECT, frame.number, b"lent" if sockets else b"")

    def _answer(self, op: Op, number: int, payload: bytes) -> None:
        with suppress(OSError):  # the learner is gone; the main thread notices that, too
            self._frames.send(op, number, payload)

    def _connect(self, task: Task) -> RosLink:
        """A RosLink. rospy takes its master from the environment, so it is imported only when that is known."""
        joined = Master.at(task.master_uri, address=task.local_address or None) if task.master_uri else None
        if joined:
            self._cleanup.callback(leave_graph)  # the master goes on without us
        master = self._start(task, joined) if task.env_id else joined
        assert master is not None
        os.environ.update(master.env())
        from uniros_learner.roslink import RosLink

        return RosLink(task.ns, task.holder, task.timeout, self._explain, lends=True)

    def _start(self, task: Task, joined: Master | None) -> Master:
        """An env server, on a private master unless one is joined; it may load while rospy is imported here."""
        self._graph = self._cleanup.enter_context(Graph(joined))
        master = self._graph.master
        for companion in task.nodes:
            for name, value in companion["parameters"].items():
                call(master.uri, "setParam", f"{task.ns}/{companion['name']}/{name}", value)
            place = [f"__name:={companion['name']}", f"__ns:={task.ns}"]
            self._graph.node([*companion["command"], *place], companion["name"])
        node = f"{task.ns}/env_server"
        asked = {"env_id": task.env_id, "env_args_encoded": task.env_args, "num_envs": task.num_envs,
                 "autoreset_mode": task.autoreset_mode}
        for name, value in asked.items():
            call(master.uri, "setParam", f"{node}/{name}", value)
        command = [sys.executable, "-m", "uniros_env_server", "__name:=env_server", f"__ns:={task.ns}"]
        import_rospy = threading.Thread(target=lambda: __import__("rospy"), daemon=True)
        os.environ.update(master.env())
        import_rospy.start()
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), task.path]))
        self._graph.node(
            command, "env_server", lambda: self._ready(master.uri, task.ns), task.timeout, env={"PYTHONPATH": path}
        )
        import_rospy.join()
        return master

    def _ready(self, uri: str, ns: str) -> bool:
        """Whether the env server answers. Raises StartFailed when a node it needs has ended meanwhile."""
        assert self._graph is not None
        if any(process.name != "env_server" for process in self._graph.dead):
            raise StartFailed(f"a node that the environment needs has ended:{self._explain(0.0)}")
        return _served(uri, ns)

    def _explain(self, patience: float) -> str:
        """What the processes we started left behind, for the error that reports their end.

        A process loses its sockets a moment before it counts as ended: `patience` (s) is for that moment.
        """
        if self._graph and patience:
            self._graph.wait(patience)
        dead = self._graph.dead if self._graph else []
        return "".join(
            f"\n{process.name} ended with exit code {process.poll()}; its last lines:\n{process.tail(12)}"
            for process in dead
        )


def _served(uri: str, ns: str) -> bool:
    try:
        return bool(call(uri, "lookupService", f"{ns}/env/describe"))
    except CallFailed:
        return False


def namespace(env_id: str) -> str:
    """Where `make` serves an id: /rx200 for the arm's, else the id's own name."""
    name = re.sub(r"-v\d+$", "", env_id.rpartition(":")[2].rpartition("/")[2])
    if name.startswith("RX200"):
        return "/rx200"
    slug = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()
    return f"/{slug}" if slug[:1].isalpha() else f"/env_{slug}"


def _end_with(pid: int, connection: socket.socket) -> None:
    """Close the socket when the learner ends, even if a forked child of it keeps the other end open."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        connection.shutdown(socket.SHUT_RDWR)
        return

    def wait() -> None:
        select.select([pidfd], [], [])
        connection.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=wait, name="learner watch", daemon=True).start()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the learner's business
    signal.signal(signal.SIGTERM, lambda *_: connection.shutdown(socket.SHUT_RDWR))
    connection, loans = (socket.socket(fileno=int(fd)) for fd in sys.argv[2:])
    _end_with(int(sys.argv[1]), connection)
    try:
        Worker(connection, loans).run()
    except Exception:  # noqa: BLE001 - for the log that WorkerDied quotes
        traceback.print_exc()
    os._exit(0)  # rospy leaves threads that would hold the process


if __name__ == "__main__":
    main()
