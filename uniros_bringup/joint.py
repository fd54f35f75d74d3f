"""`rosrun uniros bringup joint`: simulated and real side by side, each on a ROS master of its own, and a learner.

What it does is what one would do in three terminals, and then it keeps both sides up: a master or a graph that dies is
brought up again under the same address while the learner goes on with the other side.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

from uniros_bringup.domain import Domain, Stage
from uniros_bringup.joint_options import JointOptions, parse, plans
from uniros_bringup.joint_status import status_lines
from uniros_bringup.launch_files import Refused
from uniros_bringup.master import new_log_dir
from uniros_bringup.process import Process, become_subreaper, kill_descendants, spawn
from uniros_bringup.screen import Screen
from uniros_bringup.supervisor import INTERRUPTED, STOPPING_SIGNALS
from uniros_bringup.xmlrpc import CallFailed, call

TICK = 0.1  # s between two looks at everything
STATUS_PERIOD = 0.5  # s between two status lines of a domain
BESIDE_A_LEARNER = 30.0  # s; the learner's own lines are what one looks for
LEARNER_GRACE = 30.0  # s that a learner may take to save what it has
DOMAIN_GRACE = 15.0  # s that graphs may take to end; then they are killed
PARAMETERS = "/joint"  # on the simulator's master: sim_master and real_master, addresses


class Interrupted(Exception):
    """Raised when the user wants an end."""


class Joint:
    """The whole run. For the main thread of a command."""

    def __init__(self, options: JointOptions) -> None:
        self._options = options
        self._domains: list[Domain] = []
        self._learner: Process | None = None
        self._interrupts = 0
        self._parent = os.getppid()
        self._stages: dict[str, Stage] = {}
        self._due = 0.0  # monotonic s; of the next status
        self._screen = Screen(live=False) if options.as_node else Screen()
        self._log = None
        if options.learner:  # on a terminal it has a display of its own, which we would write into
            self._screen = Screen(live=False, period=math.inf if sys.stdout.isatty() else BESIDE_A_LEARNER)
            self._log = (new_log_dir() / "nodes.log").open("a", buffering=1)

    def run(self) -> int:
        """Block until the learner has ended or the user wants an end. The exit code: the learner's, if there is one."""
        become_subreaper()
        before = {number: signal.signal(number, self._on_signal) for number in STOPPING_SIGNALS}
        try:
            self._bring_up()
            return self._work()
        except Interrupted:
            return INTERRUPTED if self._options.learner else 0
        finally:
            self._take_down()
            for number, handler in before.items():
                signal.signal(number, handler)

    # --- up ---------------------------------------------------------------------------------------------------------

    def _bring_up(self) -> None:
        """Until both are up. Raises Interrupted, and Refused, StartFailed or ConnectionFailed when one cannot be."""
        for plan in plans(self._options):
            domain = Domain(plan, *self._voices(plan.name))
            self._domains.append(domain)
            kind = "started here" if domain.master.is_ours else "joined, never stopped"
            address = f"export ROS_MASTER_URI={domain.master.uri} ROS_IP={domain.master.address}"
            self._screen.say(f"{plan.name:<4} ROS master {kind}: {address}")
        if self._log:
            self._screen.say(f"what the nodes say: {self._log.name}")
        for domain in self._domains:
            domain.start()
        self._until(lambda: all(domain.stage is Stage.UP for domain in self._domains))
        self._screen.say(self._how_to())

    def _voices(self, name: str) -> tuple[Callable[[str], None], Callable[[str], None]]:
        """Where a domain tells what happens, and where its nodes' lines go."""
        def say(text: str) -> None:
            self._screen.say(f"{name}: {text}")

        def log(text: str) -> None:
            if self._log:
                print(f"{name}: {text}", file=self._log)
            else:
                say(text)

        return say, log

    def _how_to(self) -> str:
        """For the person at the terminal: how to use what is up now."""
        lines = ["both are up:"]
        for domain in self._domains:
            lines.append(f'  {domain.plan.name:<4} = uniros.connect("{domain.master.uri}", "{domain.plan.namespace}")')
        if not self._options.learner:
            lines.append("  " + " ".join(["rosrun uniros train joint", *self._masters()]))
        return "\n".join(lines)

    def _masters(self) -> list[str]:
        """The addresses as a learner takes them."""
        return [word for domain in self._domains for word in ("--master", domain.master.uri)]

    # --- at work ----------------------------------------------------------------------------------------------------

    def _work(self) -> int:
        """Run the learner, or wait for the user. Raises Interrupted."""
        if not self._options.learner:
            self._until(lambda: False)
        command = [*self._options.learner, *self._masters()]
        self._learner = learner = spawn(command, env=self._domains[0].master.env(), name="learner")
        self._until(lambda: not learner.alive)
        code = learner.poll() or 0
        return code if code >= 0 else 128 - code

    def _until(self, done: Callable[[], bool]) -> None:
        """Look after everything until `done()`. Raises Interrupted, and Refused when a domain cannot come up."""
        while not done():
            if self._interrupts or (self._options.as_node and os.getppid() != self._parent):
                raise Interrupted
            for domain in self._domains:
                if domain.failure:
                    raise Refused(f"{domain.plan.name} does not come up: {domain.failure}")
            self._show()
            time.sleep(TICK)

    def _show(self) -> None:
        stages = {domain.plan.name: domain.stage for domain in self._domains}
        if stages != self._stages:
            self._stages = stages
            self._set_parameters()
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + STATUS_PERIOD
            self._screen.status(status_lines(self._domains))

    def _set_parameters(self) -> None:
        """Tell nodes on the simulator's master where the other one is."""
        with suppress(CallFailed):  # a master that is just away is told when it is back
            for domain in self._domains:
                call(self._domains[0].master.uri, "setParam", f"{PARAMETERS}/{domain.plan.name}_master",
                     domain.master.uri)

    # --- down -------------------------------------------------------------------------------------------------------

    def _take_down(self) -> None:
        """The learner first, as it saves what it has; a second signal ends everything at once."""
        self._screen.close()
        if self._learner:
            if self._learner.alive:
                self._learner.send_signal(signal.SIGINT)
            self._wait(lambda: not self._learner.alive, LEARNER_GRACE)  # type: ignore[union-attr]
            self._learner.kill()
        for domain in self._domains:
            if not domain.master.is_ours:
                with suppress(CallFailed):
                    call(domain.master.uri, "deleteParam", PARAMETERS)
            domain.leave()
        self._wait(lambda: not any(domain.alive for domain in self._domains), DOMAIN_GRACE)
        for domain in self._domains:
            domain.kill()
        kill_descendants(os.getpid())

    def _wait(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done() and self._interrupts < 2 and time.monotonic() < deadline:
            time.sleep(TICK)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit code. Raises Refused, StartFailed and ConnectionFailed for what cannot be done."""
    return Joint(parse(argv)).run()
