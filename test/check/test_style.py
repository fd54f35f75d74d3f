"""Style, types and package files, each by the tool of its trade."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BESIDE_PYTHON = Path(sys.executable).parent

IGNORED = {
    "package_path_name": "a clone may lie in a folder of any name",
    "subproject": "uniros_msgs is nested on purpose: a robot computer can build it alone",
    "uninstalled_script": "nodes are installed by a glob, which the linter does not follow; test_build.py sees to them",
    "literal_project_name": "uniros_msgs is not a misspelt uniros",
    "unknown_package": "without rosdep's database, which needs the internet, none is known",
}
CATKIN_LINT = ["catkin_lint", "--offline", "--quiet", "--strict", "-W2", *(f"--ignore={name}" for name in IGNORED)]


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "--quiet"], ["mypy", "--no-incremental"], [*CATKIN_LINT, "."], [*CATKIN_LINT, "uniros_msgs"]],
    ids=["ruff", "mypy", "catkin_lint uniros", "catkin_lint uniros_msgs"],
)
def test_clean(command: list[str]) -> None:
    result = subprocess.run(
        [BESIDE_PYTHON / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        pytest.fail(f"{' '.join(command)}:\n{result.stdout}{result.stderr}", pytrace=False)
