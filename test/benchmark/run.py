"""`make benchmark`: everything that is measured beside something else, in one table and one picture.

    .venv/bin/python test/benchmark/run.py [section ...]     only these, and without docs/benchmarks.md

A section is a file beside this one with `rows()`. Each runs in a process of its own; all take some minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from compare import Comparison, show

HERE = Path(__file__).resolve().parent
SECTIONS = {
    "step_round_trip": "One step",
    "lock_step": "Lock-step",
    "batches": "Batches",
    "rollouts": "Rollouts",
    "while_moving": "Training while the arm moves",
    "jitter": "Real time beside training",
    "recording": "Recording",
    "start_up": "Start-up and memory",
    "bench_codec": "Values as messages",
}


def measure_here(name: str) -> None:
    """In the section's own process: measure, and print the rows as JSON on the last line."""
    print("\n" + json.dumps([asdict(row) for row in import_module(name).rows()]), flush=True)


def measure(name: str) -> list[Comparison]:
    """Raises CalledProcessError when the section fails."""
    command = [sys.executable, __file__, "--here", name]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Comparison(**row) for row in json.loads(output.splitlines()[-1])]


def main(names: list[str]) -> int:
    """How many sections failed; docs/benchmarks.md is written when none did and all were run."""
    start, found, failed = time.monotonic(), dict[str, list[Comparison]](), 0
    for name in names or SECTIONS:
        print(f"\n{SECTIONS[name]} (test/benchmark/{name}.py), {time.monotonic() - start:.0f} s", flush=True)
        try:
            found[name] = measure(name)
        except subprocess.CalledProcessError:
            failed += 1
        else:
            show(found[name])
    if not failed and not names:
        import report  # draws: not in the processes that measure

        report.write(found, time.monotonic() - start)
    return failed


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        measure_here(sys.argv[2])
        os._exit(0)  # rospy's threads
    sys.exit(main(sys.argv[1:]))
