"""What `make benchmark` leaves: docs/benchmarks.md and its picture."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from compare import HEADINGS, Comparison, cells
from run import SECTIONS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURE = DOCS / "images" / "benchmarks.png"
PACKAGES = ("numpy", "gymnasium", "mujoco", "stable_baselines3", "torch")
BETTER, WORSE = "#1b7f4d", "#b3541e"


def write(found: dict[str, list[Comparison]], seconds: float) -> None:
    """The page and the picture, anew."""
    draw(found)
    parts = [HEAD.format(machine=machine(), seconds=seconds / 60), *(section(name, found[name]) for name in found)]
    (DOCS / "benchmarks.md").write_text("\n".join(parts))
    print(f"\nwritten: {DOCS / 'benchmarks.md'}, {PICTURE}")


HEAD = """# How fast is it, beside what I would otherwise use?

Written by `make benchmark`, which measures all of this anew in {seconds:.0f} minutes. {machine}

In each line both sides took turns in short rounds of one run, so that a machine that slows down slows both. Figures are
medians over the rounds; the ratio is ours over theirs, taken round by round, with the middle half of the rounds beside
it. Absolute figures drift with the machine, ratios much less.

![how many times better or worse](images/benchmarks.png)
"""


def section(name: str, rows: list[Comparison]) -> str:
    lines = [f"## {SECTIONS[name]}", "", explained(name), "", "| " + " | ".join(HEADINGS) + " |",
             "|---|---|--:|---|--:|--:|--:|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join([*lines, "", f"`python test/benchmark/{name}.py`", ""])


def explained(name: str) -> str:
    """The section's own words, without how to run it."""
    text = (import_module(name).__doc__ or "").strip()
    return re.sub(r"\n\n +\.venv.*\n|\n\n\.venv.*", "\n", text).strip()


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    debian = Path("/etc/debian_version").read_text().strip()
    packages = ", ".join(f"{name.replace('_', '-')} {version(name)}" for name in PACKAGES)
    return (f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
            f"{memory:.0f} GiB, Debian {debian}, Linux {platform.release()}, Python {platform.python_version()}, "
            f"{packages}; load average at the end {os.getloadavg()[2]:.1f}.")


def draw(found: dict[str, list[Comparison]]) -> None:
    """One dot a line: how many times better ours is, on a logarithmic scale."""
    rows = [(name, row) for name, group in found.items() for row in group]
    figure, axes = plt.subplots(figsize=(11, 1.2 + 0.26 * (len(rows) + len(found))))
    place, labels = 0.0, []
    for name, group in found.items():
        axes.text(0.0, place, f"{SECTIONS[name]}  ", transform=axes.get_yaxis_transform(), ha="right", va="center",
                  weight="bold", fontsize=9)
        place += 1
        for row in group:
            gain, low, high = row.gain
            color = BETTER if gain >= 1 else WORSE
            axes.plot([low, high], [place, place], color=color, lw=2, alpha=0.5, solid_capstyle="butt")
            axes.plot(gain, place, "o", color=color, ms=5)
            labels.append((place, f"{row.what}, beside {row.than}  "))
            axes.annotate(f"{gain:.2g} x" if gain < 10 else f"{gain:.0f} x", (max(gain, high), place), xytext=(6, 0),
                          textcoords="offset points", va="center", fontsize=7, color=color)
            place += 1
    axes.set_yticks([at for at, _ in labels], [text for _, text in labels], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1.0, color="0.3", lw=1)
    axes.grid(axis="x", which="both", color="0.9")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} x")
    axes.set_xlabel("times as good as what it is beside (bars: middle half of the rounds)")
    axes.margins(x=0.08, y=0.01)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
