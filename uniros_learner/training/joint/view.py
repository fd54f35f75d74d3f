"""What a person sees of joint training: a line for each domain, and one for the updates."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from uniros_learner.multi_task_member import State
from uniros_learner.training.joint.domain import Doing, Domain
from uniros_learner.training.terminal import LINE_PERIOD, Terminal

TABLE_PERIOD = 0.4  # s between two pictures: each takes some ms from training
RATE_PERIOD = 5.0  # s over which the speed of updates is averaged
NUMBERS = {"steps": 7, "steps/s": 7, "episodes": 8, "success": 10, "error mm": 8, "policy, s old": 13, "late": 4}
COLUMNS = {"domain": 6, "": max(len(doing.value) for doing in Doing), **NUMBERS}  # least widths

Note = Callable[[], str]


class View:
    """Draws from the thread that reports, as seldom as will do."""

    def __init__(self, terminal: Terminal, domains: Sequence[Domain], updates: Callable[[], int], note: Note,
                 before: float = 0.0):
        """note: what else there is to say about the learner, e.g. where batches come from. before: s of training, of a
        run that goes on."""
        self._terminal, self._domains, self._updates, self._note = terminal, domains, updates, note
        now = time.monotonic()
        self._start = now - before
        self._marks: deque[tuple[float, int]] = deque([(now, updates())])
        console = terminal.console
        live = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="visible") if live else None
        self._due = now + (0.0 if live else LINE_PERIOD)
        self._failures = [0] * len(domains)
        self._down = [False] * len(domains)
        if self._live:
            self._live.start()

    def update(self) -> None:
        """May be called as often as one likes."""
        for domain in self._domains:
            self._tell_failures(domain)
        if time.monotonic() >= self._due:
            self._draw()

    def close(self) -> None:
        """Leave the last state there."""
        self._draw()
        if self._live:
            self._live.stop()

    def _tell_failures(self, domain: Domain) -> None:
        """Say once that it has failed, and once that it is back."""
        number, status = domain.number, domain.member.status()
        down = status.state == State.DOWN.value
        if status.failures > self._failures[number]:
            error = next(iter(status.error.splitlines()), "")
            self._terminal.say(f"{domain.name} has failed, and rejoins when it can: {error}")
        elif self._down[number] and not down:
            self._terminal.say(f"{domain.name} is back")
        self._failures[number], self._down[number] = status.failures, down

    def _draw(self) -> None:
        if self._live:
            self._live.update(self.table(), refresh=True)
            self._due = time.monotonic() + TABLE_PERIOD
        else:
            self._terminal.say(self.lines())
            self._due = time.monotonic() + LINE_PERIOD

    def table(self) -> RenderableType:
        """For a terminal."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name, width in COLUMNS.items():
            table.add_column(name, justify="right" if name in NUMBERS else "left", style="bold" * (name == "domain"),
                             header_style="dim", no_wrap=True, min_width=width)
        for domain in self._domains:
            table.add_row(domain.name, domain.doing.value, *cells(domain))
        return Group(table, Text(self._learner(), style="dim", overflow="ellipsis", no_wrap=True))

    def lines(self) -> str:
        """For a file."""
        rows = [f"  {domain.name:<6}" + ", ".join(_words(domain)) for domain in self._domains]
        return "\n".join([self._learner(), *rows])

    def _learner(self) -> str:
        now, updates = time.monotonic(), self._updates()
        self._marks.append((now, updates))
        while len(self._marks) > 2 and self._marks[1][0] < now - RATE_PERIOD:
            self._marks.popleft()
        (t0, before), (t1, after) = self._marks[0], self._marks[-1]
        rate = (after - before) / max(1e-3, t1 - t0)
        return f"training {now - self._start:5.1f} s  {updates:,} updates, {rate:.0f}/s  {self._note()}"


@contextmanager
def shown(view: View) -> Iterator[View]:
    """Closes it, however the block is left."""
    try:
        yield view
    finally:
        view.close()


def cells(domain: Domain) -> tuple[str, ...]:
    """The numbers of a domain, as `NUMBERS` names them."""
    found = domain.running()
    success = "" if found.success_rate is None else f"{found.success_rate:.0%} of {found.episodes}"
    error = "" if found.mean_error is None else f"{1e3 * found.mean_error:.1f}"
    late = "" if domain.lock_step else f"{domain.late}"
    return (f"{domain.made:,}", f"{domain.rate():.0f}", f"{len(domain.episodes):,}", success, error,
            f"v{domain.policy} {time.monotonic() - domain.policy_since:4.1f}", late)


def _words(domain: Domain) -> list[str]:
    steps, rate, episodes, success, error, policy, late = cells(domain)
    words = [domain.doing.value, f"{steps} steps ({rate}/s)", f"{episodes} episodes"]
    words += [f"success {success}"] if success else []
    words += [f"error {error} mm"] if error else []
    return [*words, f"policy {' '.join(policy.split())} s old", *([f"{late} late"] if late else [])]
