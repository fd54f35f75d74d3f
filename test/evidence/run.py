"""`make evidence`: measure every figure this project claims, anew, and write docs/results.md.

    .venv/bin/python test/evidence/run.py [section ...]     only these sections; the others stay as they are

A section is a file beside this one with a docstring (its title, then what it shows) and `measure()`, which yields
`Row`s. Each runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent.parent / "docs" / "results.md"
MARK = "<!-- section {} -->"
PATHS = [str(HERE), str(HERE.parent), str(HERE.parent / "benchmark"), str(HERE.parent / "support")]
sys.path[:0] = PATHS
os.environ["PYTHONPATH"] = os.pathsep.join([*PATHS, os.environ.get("PYTHONPATH", "")])  # for the servers, too


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    figure: str
    asked: str  # "" where nothing was
    measured: str
    met: bool | None = None  # None where there is nothing to meet


def sections() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run")


def measure_here(name: str) -> None:
    """In the section's own process: measure, and print the rows as JSON on the last line."""
    rows = [asdict(row) for row in import_module(name).measure()]
    print("\n" + json.dumps(rows), flush=True)
    os._exit(0)  # rospy's threads


def measure(name: str) -> str:
    """The section as Markdown."""
    print(f"== {name}", flush=True)
    start = time.monotonic()
    child = subprocess.Popen([sys.executable, __file__, "--here", name], stdout=subprocess.PIPE, text=True)
    last = ""
    for line in child.stdout or ():
        print(line, end="", flush=True)
        last = line.strip() or last
    if child.wait() != 0:
        raise SystemExit(f"{name} ended with exit code {child.returncode}; docs/results.md keeps its old figures")
    return table(name, [Row(**row) for row in json.loads(last)], time.monotonic() - start)


def table(name: str, rows: list[Row], seconds: float) -> str:
    title, _, text = (import_module(name).__doc__ or name).strip().partition("\n")
    lines = [f"## {title.rstrip('.')}", "", text.strip(), "", "| figure | asked | measured | |", "|---|---|---|---|"]
    sign = {True: "met", False: "**not met**", None: ""}
    lines += [f"| {row.figure} | {row.asked} | {row.measured} | {sign[row.met]} |" for row in rows]
    when = time.strftime("%Y-%m-%d")
    return "\n".join([*lines, "", f"`python test/evidence/run.py {name}`, {when}, {seconds:.0f} s.", ""])


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    debian = Path("/etc/debian_version").read_text().strip()
    return (
        f"Measured on {os.cpu_count()} cores ({model.group(1) if model else platform.machine()}), {memory:.0f} GiB, "
        f"Debian {debian}, Python {platform.python_version()}, no GPU. Absolute times drift on shared machines; "
        "ratios are taken side by side in one run."
    )


def write(written: dict[str, str]) -> None:
    """Put the new sections into docs/results.md and keep the old ones."""
    old = RESULTS.read_text() if RESULTS.exists() else ""
    parts = dict(re.findall(r"<!-- section (\w+) -->\n(.*?)(?=\n<!-- section|\Z)", old, re.DOTALL)) | written
    head = f"# Results\n\nEvery figure below was written by `make evidence`. {machine()}\n"
    known = [name for name in sections() if name in parts]
    RESULTS.write_text(head + "".join(f"\n{MARK.format(name)}\n{parts[name].strip()}\n" for name in known))


def main(names: list[str]) -> None:
    for name in names or sections():
        write({name: measure(name)})  # at once: a later section may fail
    print(f"written: {RESULTS}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        measure_here(sys.argv[2])
    else:
        main(sys.argv[1:])
