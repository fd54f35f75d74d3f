"""The two packages built as others will build them: installed, and the messages alone on a robot computer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.patient

ROOT = Path(__file__).resolve().parents[2]
# Without the generators for other languages, for speed: the workspace of this tree is built with all of them.
CATKIN = "env PATH=/usr/bin:/bin ROS_LANG_DISABLE=gencpp:genlisp catkin_make -DPYTHON_EXECUTABLE=/usr/bin/python3"
NO_WORKSPACE = ("PYTHONPATH", "ROS_PACKAGE_PATH", "CMAKE_PREFIX_PATH")


def bash(script: str, cwd: Path) -> str:
    """The output of a script in a shell that has no workspace sourced. Fails with all it said when it fails."""
    env = {name: value for name, value in os.environ.items() if name not in NO_WORKSPACE}
    result = subprocess.run(
        ["bash", "-ec", script],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    if result.returncode != 0:
        pytest.fail(result.stdout[-4000:], pytrace=False)
    return result.stdout


def test_the_install_space_works_without_the_source(tmp_path: Path) -> None:
    """A copy of the tree is built and installed, then removed; nodes and Python packages run from the installation."""
    nodes = [path.name for path in ROOT.glob("uniros_*/nodes/*")]
    assert "bringup" in nodes
    output = bash(
        f"""
        mkdir -p ws/src/tree
        cd {ROOT} && cp -r CMakeLists.txt package.xml setup.py cmake config launch uniros_* {tmp_path}/ws/src/tree
        cd {tmp_path} && {CATKIN} -C ws install >build.log 2>&1 || (cat build.log; false)
        mv ws/install installed && rm -r ws
        source installed/setup.bash && export PATH={ROOT}/.venv/bin:$PATH
        rosmsg show uniros_msgs/StepAction | sed -n 1p
        rosrun uniros bringup no_such || echo exit code $?
        python3 -P -c 'import uniros_msgs.codec as m, uniros_env_server as s; print(m.__file__, s.__file__)'
        ls $(rospack find uniros)
        """,
        tmp_path,
    )
    lines = output.splitlines()
    assert lines[0] == "uniros_msgs/StepActionGoal action_goal"
    assert lines[1].startswith("bringup: there is no launch file 'no_such'") and lines[2] == "exit code 1"
    packages = f"{tmp_path}/installed/lib/python3/dist-packages"
    assert lines[3] == f"{packages}/uniros_msgs/codec.py {packages}/uniros_env_server/__init__.py"
    assert {"config", "launch"} <= set(lines[4:])
    assert sorted(path.name for path in (tmp_path / "installed/lib/uniros").iterdir()) == sorted(nodes)
    assert all(os.access(path, os.X_OK) for path in (tmp_path / "installed/lib/uniros").iterdir())


def test_the_messages_build_alone(tmp_path: Path) -> None:
    output = bash(
        f"""
        mkdir -p ws/src && cp -r {ROOT}/uniros_msgs ws/src/
        {CATKIN} -C ws >build.log 2>&1 || (cat build.log; false)
        source ws/devel/setup.bash
        rosmsg show uniros_msgs/Data | sed -n 1p
        {ROOT}/.venv/bin/python -P -c 'import uniros_msgs.codec, uniros_msgs.srv; print(uniros_msgs.codec.__file__)'
        """,
        tmp_path,
    )
    assert output.splitlines() == ["string layout", f"{tmp_path}/ws/src/uniros_msgs/src/uniros_msgs/codec.py"]
