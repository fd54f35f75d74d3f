"""What a person sees while a policy trains: a live bar in a terminal, a line now and then in a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

BAR_PERIOD = 0.15  # s between two pictures of the bar
LINE_PERIOD = 5.0  # s between two lines in a file


class Display(Protocol):
    """Where progress goes. `detail` is asked for only when something is shown."""

    def update(self, done: int, detail: Callable[[], str]) -> None:
        """Report the steps or episodes done so far; may be called for every one of them."""


class Terminal:
    """Standard output, or any other text file."""

    def __init__(self, file: IO[str] | None = None):
        self.console = Console(file=file, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    @contextmanager
    def progress(self, title: str, whole: str, total: int) -> Iterator[Display]:
        """A display that shows its last state when it is done. `whole` is `total` in words."""
        live = self.console.is_terminal and not self.console.is_dumb_terminal
        shown: _Bar | _Lines = _Bar(self.console, title, whole, total) if live else _Lines(self, title, whole)
        try:
            yield shown
        finally:
            shown.close()


class _BarWithDetail(Progress):
    """A bar, and under it a line of details."""

    detail = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(f"  {self.detail}", overflow="ellipsis", no_wrap=True)


class _Bar:
    """Drawn by the thread that reports: a thread that draws would take time from training."""

    def __init__(self, console: Console, title: str, whole: str, total: int):
        count = TextColumn("{task.fields[count]}")
        columns = (TextColumn(f"{title:<10}"), BarColumn(bar_width=30), count, TimeElapsedColumn())
        self._bar = _BarWithDetail(*columns, console=console, auto_refresh=False)
        self._whole = whole
        self._task = self._bar.add_task(title, total=total, count="")
        self._state: tuple[int, Callable[[], str]] = (0, str)
        self._due = 0.0
        self._bar.start()

    def update(self, done: int, detail: Callable[[], str]) -> None:
        self._state = (done, detail)
        if time.monotonic() >= self._due:
            self._draw()

    def _draw(self) -> None:
        done, detail = self._state
        self._bar.detail = detail()
        count = f"{done:,} of {self._whole}"
        self._bar.update(self._task, completed=done, count=count, refresh=True)
        self._due = time.monotonic() + BAR_PERIOD

    def close(self) -> None:
        self._draw()
        self._bar.stop()


class _Lines:
    """The same for a file: one line, without colours or control characters, every few seconds."""

    def __init__(self, terminal: Terminal, title: str, whole: str):
        self._terminal, self._title, self._whole = terminal, title, whole
        self._start = time.monotonic()
        self._due = self._start + LINE_PERIOD
        self._state: tuple[int, Callable[[], str]] = (0, str)

    def update(self, done: int, detail: Callable[[], str]) -> None:
        self._state = (done, detail)
        if time.monotonic() >= self._due:
            self._write()

    def _write(self) -> None:
        done, detail = self._state
        now = time.monotonic()
        self._terminal.say(f"{self._title} {now - self._start:6.1f} s  {done:,} of {self._whole}  {detail()}")
        self._due = now + LINE_PERIOD

    def close(self) -> None:
        self._write()
