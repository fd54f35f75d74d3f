"""One domain of a run on several ROS masters: a master and the graph on it, kept up until the end.

A master that was started here is started again on the same port when it dies, and the graph with it, so that who
connects by its address finds it again. One that was joined is never started or stopped; when it comes back as another
process, the graph is brought up on it anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from uniros_bringup.life import Life
from uniros_bringup.master import LOOPBACK, Master, answering_pid
from uniros_msgs.errors import ConnectionFailed, StartFailed

TICK = 0.2  # s between two looks at everything
START_LIMIT = 90.0  # s that a graph may take to come up: an arm's driver checks its servos first
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # s before a graph is brought up anew; doubled each time it soon ends again
LONG_LIFE = 60.0  # s after which a graph's end is news
JOINED_ANSWERS = 0.5  # s that a joined master may take to answer


class Stage(Enum):
    """Where a domain stands; the value is for people."""

    STARTING = "starting"
    UP = "up"
    DOWN = "down"
    ENDED = "ended"


@dataclass(frozen=True)
class Plan:
    """What a domain consists of."""

    name: str  # sim or real
    namespace: str  # of the env server, as in /rx200
    env_id: str  # of what it serves
    file: Path | None = None  # launch file; None: the graph is somebody else's, and is waited for
    arguments: tuple[str, ...] = ()  # of the launch file
    join: str = ""  # address of a master that runs; "": one is started here
    port: int | None = None  # of our own master; None: a free one
    address: str | None = None  # of this machine, as the other machines of the graph reach it


class Domain:
    """Brings the plan's graph up in a thread of its own, and up again whenever it ends.

    say: takes what is to be told of it. log: takes each line that its nodes write.
    Raises StartFailed when no master can be started, ConnectionFailed when none runs where one shall be joined.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None], log: Callable[[str], None]) -> None:
        self.plan, self.stage = plan, Stage.STARTING
        self.failure = ""  # why it never came up
        self.restarts = 0
        self._say, self._log = say, log
        self._was_up = False
        self._life: Life | None = None
        self.master = self._open_master(plan.port)
        self._pid = answering_pid(self.master.uri)
        self._leaving, self._at_once = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=plan.name)

    @property
    def news(self) -> dict[str, Any]:
        """How its env server is; see `uniros_bringup.probe`."""
        return self._life.news if self._life else {}

    def start(self) -> None:
        self._thread.start()

    def leave(self) -> None:
        """Ask the graph to end, which takes some seconds."""
        self._leaving.set()

    @property
    def alive(self) -> bool:
        """Whether any of it is left, but for the master."""
        return self._thread.is_alive()

    def kill(self) -> None:
        """End what is left at once, and a master of our own."""
        self._at_once.set()
        self._leaving.set()
        if self.alive:
            self._thread.join()
        self.master.stop()

    # --- from its start to its end ----------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = FIRST_PAUSE / 2
        while not self._leaving.is_set():
            begun = time.monotonic()
            reason = self._live()
            if self._leaving.is_set():
                break
            if not self._was_up:
                self.failure = reason
                break
            self.stage, self.restarts = Stage.DOWN, self.restarts + 1
            pause = FIRST_PAUSE if time.monotonic() - begun > LONG_LIFE else min(2 * pause, LONGEST_PAUSE)
            self._say(f"{reason}; it is brought up anew in {pause:g} s")
            self._leaving.wait(pause)
        self.stage = Stage.ENDED

    def _live(self) -> str:
        """Bring the graph up and watch it until it ends or shall end; the reason."""
        try:
            self._renew_master()
            plan = self.plan
            with Life(self.master, plan.namespace, plan.file, plan.arguments, self._log) as self._life:
                reason = self._watch(self._life)
                self._life.leave(self._at_once.is_set)
                return reason
        except (StartFailed, ConnectionFailed) as error:
            return str(error)
        finally:
            self._life = None

    def _watch(self, life: Life) -> str:
        """Blocks; why it ends."""
        self.stage = Stage.STARTING
        deadline = time.monotonic() + START_LIMIT
        while not self._leaving.is_set():
            life.look(TICK)
            if reason := life.ended or self._lost_master():
                return reason
            if self.stage is Stage.STARTING and life.served():
                self.stage, self._was_up = Stage.UP, True
            if self.stage is Stage.STARTING and time.monotonic() > deadline:
                return f"no env server came up in {self.plan.namespace} within {START_LIMIT:g} s"
        return "it was asked to end"

    # --- the master -------------------------------------------------------------------------------------------------

    def _open_master(self, port: int | None) -> Master:
        if self.plan.join:
            return Master.at(self.plan.join, address=self.plan.address)
        return Master(port=port, address=self.plan.address or LOOPBACK)

    def _renew_master(self) -> None:
        """See that there is one, at the same address as before. Raises StartFailed, ConnectionFailed."""
        if self.master.is_ours:
            if not self.master.alive:
                self.master = self._open_master(self.master.port)
        else:
            self.master = self._open_master(None)
        self._pid = answering_pid(self.master.uri)

    def _lost_master(self) -> str:
        """How the master ended, "" while it is the same. A joined one that is silent may come back as it was."""
        if self.master.is_ours:
            return "" if self.master.alive else "its ROS master has ended"
        pid = answering_pid(self.master.uri, timeout=JOINED_ANSWERS)
        return "the joined ROS master is another one now" if pid not in (None, self._pid) else ""
