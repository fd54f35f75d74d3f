"""What became of each of several environments, as numbers and as a table for people."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = ("id", "task", "where", "state", "episodes", "steps", "failures", "dropped", "last error")
NUMBERS = {0, 4, 5, 6, 7}  # columns
LONGEST_ERROR = 60  # characters


@dataclass(frozen=True)
class TaskStatus:
    """One environment so far."""

    task_id: int  # its number
    task: str  # its gymnasium id
    where: str  # namespace and master
    state: str  # up | down | closed
    episodes: int  # whole ones
    steps: int  # in whole episodes, in those left early and in the one that runs
    failures: int  # times it failed while it was up
    dropped: int  # steps of episodes that broke
    attempts: int  # to come back, since the last failure
    error: str  # the last one, "" when there was none

    def cells(self) -> tuple[str, ...]:
        """The row of the table; of a long error its beginning."""
        state = f"{self.state}, attempt {self.attempts}" if self.state == "down" else self.state
        error = next(iter(self.error.splitlines()), "")
        error = error if len(error) <= LONGEST_ERROR else error[: LONGEST_ERROR - 1] + "…"
        numbers = (f"{number:,}" for number in (self.episodes, self.steps, self.failures, self.dropped))
        return (str(self.task_id), self.task, self.where, state, *numbers, error)


class Statuses(tuple[TaskStatus, ...]):
    """In the order of the environments."""

    def __str__(self) -> str:
        rows = [HEAD, *(status.cells() for status in self)]
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join("  ".join(cell.rjust(width) if number in NUMBERS else cell.ljust(width)
                                   for number, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)
