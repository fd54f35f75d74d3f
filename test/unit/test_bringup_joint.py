"""What `bringup joint` understands, and what it shows."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from roslaunch.arg_dump import get_args

from uniros_bringup.domain import Stage
from uniros_bringup.joint_options import REAL, SIM, parse, plans
from uniros_bringup.joint_status import status_lines
from uniros_bringup.launch_files import Refused, find_launch_file
from uniros_bringup.screen import Screen
from uniros_msgs.errors import ConnectionFailed


def declared(name: str) -> set[str]:
    return set(get_args([str(find_launch_file(name))]))


def test_each_argument_of_the_joint_launch_file_goes_where_it_is_understood() -> None:
    others = {"robot_master", "learner"}
    assert declared("joint") - others == (SIM.keys() | REAL.keys()) - {"respawn"}
    assert set(SIM.values()) <= declared("sim") and set(REAL.values()) <= declared("real")


def test_arguments_are_shared_out() -> None:
    options = parse(["robot:=rx200", "--sim-port", "11411", "real_env:=RX200ReachGoalReal-v0", "driver:=port", "--",
                     "rosrun", "uniros", "train", "--steps", "5", "__name:=learner", "__name:=joint", "__log:=x"])
    assert options.learner == ("rosrun", "uniros", "train", "--steps", "5", "__name:=learner") and options.as_node
    sim, real = plans(options)
    assert set(sim.arguments) == {"robot:=rx200", "respawn:=true"} and sim.port == 11411
    assert sim.file and sim.file.name == "sim.launch" and sim.env_id == "RX200ReachSim-v0"
    assert set(real.arguments) == {"robot:=rx200", "respawn:=true", "env_id:=RX200ReachGoalReal-v0", "driver:=port"}
    assert real.env_id == "RX200ReachGoalReal-v0" and real.namespace == "/rx200" and not real.join


def test_what_is_not_understood_is_refused() -> None:
    with pytest.raises(Refused, match="did you mean 'driver'"):
        parse(["drivr:=port"])
    with pytest.raises(ConnectionFailed, match=r"robot_master:=http://127\.0\.0\.1:1"):
        plans(parse(["robot_master:=http://127.0.0.1:1"]))


def test_status_in_place_and_lines_above_it() -> None:
    file = io.StringIO()
    screen = Screen(file, live=True)
    screen.status(["sim 1", "real 1"])
    screen.say("a line")
    screen.status(["sim 2", "real 2"])
    up = "\x1b[2A\r\x1b[J"
    assert file.getvalue() == f"sim 1\nreal 1\n{up}a line\nsim 1\nreal 1\n{up}sim 2\nreal 2\n"


def test_status_in_a_file_now_and_then() -> None:
    file = io.StringIO()
    screen = Screen(file, period=100.0)
    for number in range(5):
        screen.status([f"sim {number}"])
    screen.say("a line")
    assert file.getvalue() == "sim 0\na line\n"


def domain(name: str, env_id: str, stage: Stage = Stage.UP, restarts: int = 0, **news: Any) -> Any:
    return SimpleNamespace(plan=SimpleNamespace(name=name, env_id=env_id), stage=stage, restarts=restarts, news=news)


def test_a_line_for_each_domain() -> None:
    news = {"rate": 1812.3, "episode": 87, "step": 12, "steps": 9120, "level": "ok", "text": "in order",
            "holder": "root@host, process 4711 (train)"}
    real = news | {"rate": 9.97, "level": "warn", "text": "rx200_driver: 2 overruns", "holder": "free"}
    assert status_lines([domain("sim", "A-v0", **news), domain("real", "Long-v0", restarts=2, **real)]) == [
        "sim   A-v0      1,812 steps/s  episode 87  step 12 (9,120 in all)  train (4711)  in order",
        "real  Long-v0    10.0 steps/s  episode 87  step 12 (9,120 in all)  free  WARN rx200_driver: 2 overruns  "
        "brought up anew 2×"]
    others = [domain("sim", "A-v0", Stage.DOWN), domain("real", "B-v0", text="nothing on /diagnostics")]
    assert status_lines(others) == ["sim   A-v0  down", "real  B-v0  nothing on /diagnostics"]
