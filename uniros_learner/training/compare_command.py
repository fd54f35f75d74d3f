"""`rosrun uniros compare RUN...`: which settings learn faster, and how much of it is luck."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.table import Table

from uniros_learner.training.fields import Bounds, InvalidConfig
from uniros_learner.training.terminal import Terminal

CONFIG = "config.yaml"
SHARE = Bounds(above=0.0, at_most=1.0)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compare",
        description="Runs that differ by their seed only are one group. A table, and curves with their spread.",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders, or folders of run folders")
    parser.add_argument("--target", type=float, default=0.95, help="success rate of the last 40 training episodes")
    parser.add_argument("--out", type=Path, default=Path("comparison.png"), metavar="PNG", help="default: %(default)s")
    return parser


def run(argv: list[str], terminal: Terminal) -> int:
    """The whole command; returns the exit code."""
    options = parser().parse_args(argv[1:])
    if not SHARE.allow(options.target):
        raise InvalidConfig(f"--target {options.target}: expected a number {SHARE}")

    from uniros_learner.training import comparison

    groups = comparison.grouped(comparison.load(found(options.runs)))
    head, *rows = comparison.rows(groups, options.target)
    table = Table(*head, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    terminal.console.print(table)
    comparison.draw(options.out, groups)
    terminal.say(f"\nmedian [lowest, highest] over seeds; curves in {options.out}")
    return 0


def found(paths: list[Path]) -> list[Path]:
    """The run folders meant. Raises InvalidConfig for a folder without any."""
    runs = []
    for path in paths:
        inside = [path] if (path / CONFIG).is_file() else sorted(each.parent for each in path.glob(f"*/{CONFIG}"))
        if not inside:
            raise InvalidConfig(f"{path} is no run folder, and there is none in it: give folders as train leaves them")
        runs += inside
    return runs
