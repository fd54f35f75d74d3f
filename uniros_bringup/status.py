"""`rosrun uniros status`: one table over several ROS masters: who holds which environment, rates, health.

It looks only: it is no node anywhere, and asks nothing of an env server but what is on /diagnostics anyway.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

from uniros_bringup.clean import running_masters
from uniros_bringup.joint import PARAMETERS
from uniros_bringup.master import answering_pid
from uniros_bringup.screen import Screen
from uniros_bringup.status_table import table
from uniros_bringup.watch import View, Watch

PATIENCE = 2.5  # s that everybody who publishes diagnostics has to say something
PERIOD = 1.0  # s between two pictures with --watch
POLL = 0.1  # s
DEFAULT = "http://localhost:11311"

USAGE = """
rosrun uniros status                   the master of ROS_MASTER_URI, and the one that bringup joint runs beside it;
                                       without a master there, all that run on this machine
rosrun uniros status URI URI           these masters; 11411 stands for http://localhost:11411
rosrun uniros status --host            all masters that run on this machine
rosrun uniros status --watch           the same again and again, until Ctrl-C

The exit code is 1 when a master does not answer, a node says that it has an error, or one says nothing at all.
"""


class Watches:
    """Watches of several masters, that look at once."""

    def __init__(self, uris: Sequence[str]) -> None:
        self._watches = [Watch(uri) for uri in uris]

    def look(self) -> list[View]:
        """All at once: one that does not answer takes a second."""
        with ThreadPoolExecutor(len(self._watches)) as pool:
            return list(pool.map(Watch.look, self._watches))

    def settled(self, patience: float) -> list[View]:
        """The first look at which everybody has said something, or the last within `patience` (s)."""
        deadline = time.monotonic() + patience
        views = self.look()
        while any(view.silent for view in views) and time.monotonic() < deadline:
            time.sleep(POLL)
            views = self.look()
        return views

    def close(self) -> None:
        for watch in self._watches:
            watch.close()


def masters_of(given: Sequence[str], host: bool = False) -> list[str]:
    """The masters to look at."""
    if host:
        return running_masters()
    if given:
        return list(dict.fromkeys(map(address, given)))
    uri = address(os.environ.get("ROS_MASTER_URI", DEFAULT))
    if answering_pid(uri) is None:
        return running_masters() or [uri]
    with closing(Watch(uri)) as watch:
        pair = [watch.parameter(f"{PARAMETERS}/{name}_master") for name in ("sim", "real")]
    return [uri, *(other for other in pair if other and answering_pid(other) != answering_pid(uri))]


def address(text: str) -> str:
    """A master's address from what people write: a port, a host with a port, or all of it."""
    if text.isdigit():
        return f"http://localhost:{text}"
    return (text if "://" in text else f"http://{text}").rstrip("/")


def healthy(views: Sequence[View]) -> bool:
    """Whether all answer, and nothing says that it has an error."""
    return not any(view.failure or view.silent or any(part.level > 1 for part in view.parts) for view in views)


def show(watches: Watches, screen: Screen, again: Callable[[], bool]) -> int:
    """Show one table, and another each second for as long as `again()`; the exit code."""
    views = watches.settled(PATIENCE)
    screen.status(table(views))
    while again():
        time.sleep(PERIOD)
        views = watches.look()
        screen.status(table(views))
    return 0 if healthy(views) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="status", usage=USAGE, description="Who holds which environment, how fast it "
                                     "is, and how all of it is: on several ROS masters at once.")
    parser.add_argument("masters", nargs="*", metavar="URI", help="masters; default: that of ROS_MASTER_URI")
    parser.add_argument("--host", action="store_true", help="all masters that run on this machine")
    parser.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    options = parser.parse_args(argv)
    uris = masters_of(options.masters, options.host)
    if not uris:
        print("status: no ROS master runs on this machine", file=sys.stderr)
        return 1
    with closing(Watches(uris)) as watches, suppress(KeyboardInterrupt):
        screen = Screen(period=0.0, live=options.watch and sys.stdout.isatty())
        return show(watches, screen, again=lambda: options.watch)
    return 0
