"""Launch files by name, and the arguments that they take."""

from __future__ import annotations

import difflib
import time
from pathlib import Path

import rospkg
from roslaunch.arg_dump import get_args


class Refused(Exception):
    """What the user asked for cannot be done; the message says what can."""


def find_launch_file(name: str) -> Path:
    """`name` as the path of a launch file, or as one of the package's, with or without its ending."""
    if Path(name).is_file():
        return Path(name).resolve()
    folder = Path(rospkg.RosPack().get_path("uniros")) / "launch"
    known = {path.stem: path for path in sorted(folder.glob("*.launch"))}
    stem = name.removesuffix(".launch")
    if stem not in known:
        raise Refused(f"there is no launch file {name!r}{_hint(stem, list(known))}")
    return known[stem]


def _hint(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known) or 'none'}"


def check_arguments(file: Path, arguments: list[str]) -> list[str]:
    """The arguments, if the launch file declares all of them; with a run folder, if it wants one and none is given."""
    declared = get_args([str(file)])
    given = {}
    for argument in arguments:
        name, assign, value = argument.partition(":=")
        if not assign:
            raise Refused(f"{argument!r} is not of the form name:=value")
        if name not in declared:
            raise Refused(f"{file.name} has no argument {name!r}{_hint(name, list(declared))}")
        given[name] = value
    if "run_dir" in declared:
        run_dir = Path(given.get("run_dir") or Path("runs") / f"{file.stem}-{time.strftime('%Y%m%d-%H%M%S')}")
        given["run_dir"] = str(run_dir.absolute())
    missing = [name for name, (_doc, default) in declared.items() if default is None and name not in given]
    if missing:
        raise Refused(f"{file.name} needs {', '.join(f'{name}:=...' for name in missing)}")
    return [f"{name}:={value}" for name, value in given.items()]
