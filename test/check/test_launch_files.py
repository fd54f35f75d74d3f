"""Launch files: every argument documented, every node and include there."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"


def declared(element: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """The <arg> elements a user can set: not those handed on to an <include>, nor constants, which have a value."""
    for child in element:
        if child.tag == "arg" and "value" not in child.attrib:
            yield child
        elif child.tag != "include":
            yield from declared(child)


def undocumented(file: Path) -> list[str]:
    root = ElementTree.parse(file).getroot()
    return [f"{file.name}: {arg.get('name')}" for arg in declared(root) if not arg.get("doc", "").strip()]


def test_an_argument_without_doc_is_found(tmp_path: Path) -> None:
    file = tmp_path / "x.launch"
    file.write_text(
        '<launch><arg name="a" default="1"/><arg name="b" doc="seconds"/><arg name="c" value="1"/>'
        '<group><arg name="d" doc=" "/></group><include file="y"><arg name="e" value="2"/></include></launch>'
    )
    assert undocumented(file) == ["x.launch: a", "x.launch: d"]


def test_every_argument_has_a_doc() -> None:
    assert [line for file in sorted(LAUNCH.glob("*.launch")) for line in undocumented(file)] == []


def test_what_no_argument_means_is_said() -> None:
    """`roslaunch --ros-args` lists arguments with an empty default as required: their doc says what that does."""
    files = [ElementTree.parse(file).getroot() for file in sorted(LAUNCH.glob("*.launch"))]
    empty = [arg for root in files for arg in declared(root) if arg.get("default") == ""]
    assert empty
    assert [arg.get("name") for arg in empty if "empty" not in arg.get("doc", "").lower()] == []


def test_roslaunch_check(tmp_path: Path) -> None:
    command = f"source {ROOT}/env.sh && exec rosrun roslaunch roslaunch-check -i -o {tmp_path}/result.xml {LAUNCH}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
