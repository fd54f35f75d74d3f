"""Training and evaluating as a user does: commands and a node, through a real ROS master and env server."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from live import serve, wait_until

from uniros_bringup.eavesdrop import Eavesdropper
from uniros_bringup.graph import Graph
from uniros_bringup.xmlrpc import call
from uniros_learner.training.run_folder import CONTENTS
from uniros_msgs.msg import TrainingProgress

pytestmark = pytest.mark.patient

FIGURES = ("success", "final error", "episode length", "return")
NODES = Path(__file__).resolve().parents[2] / "uniros_learner" / "nodes"
TINY = [word for change in ("hyperparameters.net_arch=[8]", "hyperparameters.learning_starts=20",
                            "hyperparameters.batch_size=8", "early_stop.window=0", "evaluation.episodes=2")
        for word in ("--set", change)]  # fmt: skip


def command(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    """A node of ours with its output in pipes."""
    name, *rest = map(str, arguments)
    return subprocess.Popen(
        [sys.executable, NODES / name, *rest], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **variables},
    )  # fmt: skip


def finish(process: subprocess.Popen[str], timeout: float = 30.0) -> str:
    """Its output. Raises AssertionError unless it ends well in time."""
    try:
        out, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()
    assert process.returncode == 0, f"{out}\n{errors}"
    return out


def figure(text: str, name: str) -> str:
    """The row of a table."""
    found = re.search(rf"^  {name} +(.*)$", text, re.MULTILINE)
    assert found, text
    return found[1]


def episodes(metrics: Path) -> int:
    """Those logged so far."""
    return max(0, len(metrics.read_text().splitlines()) - 1) if metrics.exists() else 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run of `train` and what it printed."""
    folder = tmp_path_factory.mktemp("training") / "run"
    return folder, finish(command("train", "--env", "Pendulum-v1", "--steps", 100, "--run-dir", folder, *TINY))


def test_train_leaves_a_whole_run_folder_and_says_so(trained: tuple[Path, str]) -> None:
    folder, out = trained
    assert {path.name for path in folder.iterdir()} == {*CONTENTS, "summary.txt"}
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "tensorboard").glob("events.*"))
    assert out.startswith("TD3 learns in Pendulum-v1 on a private ROS master: up to 100 steps, seed 0\n")
    assert out.rstrip().endswith((folder / "summary.txt").read_text().rstrip())
    assert figure(out, "training").startswith("100 steps in ")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["env_id"], config["steps"], config["hyperparameters"]["net_arch"]) == ("Pendulum-v1", 100, [8])


def test_evaluate_finds_what_training_found(trained: tuple[Path, str]) -> None:
    folder, out = trained
    again = finish(command("evaluate", folder))
    assert figure(again, "return") == figure(out, "return")
    assert figure(again, "episode length") == "200.0 steps on average"


def test_evaluate_refuses_a_zip_without_trust(trained: tuple[Path, str]) -> None:
    process = command("evaluate", trained[0] / "model.zip")
    out, errors = process.communicate(timeout=20.0)
    assert process.returncode == 1, out
    assert errors.startswith("evaluate: PolicyRefused: ")
    assert "--trust" in errors


def test_a_node_learns_in_the_environment_of_its_master(graph: Graph, tmp_path: Path) -> None:
    serve(graph, "RX200ReachSim-v0", "/rx200")
    parameters = {"run_dir": str(tmp_path / "run"), "steps": 60, "seed": 3, "env_id": "", "config": "td3_reach",
                  "changes": TINY[1::2]}  # fmt: skip
    for name, value in parameters.items():
        call(graph.master.uri, "setParam", f"/learner/{name}", value)
    told: list[TrainingProgress] = []
    ears = Eavesdropper(graph.master.uri, "/learner/progress", TrainingProgress, lambda _, each: told.append(each))
    with contextlib.closing(ears):
        learner = command("train", "__name:=learner", "__log:=/dev/null", **graph.master.env())
        wait_until(lambda: ears.look(["/learner"]) or told or learner.poll() is not None, 30.0)
        out = finish(learner)
    assert told[-1].state == "all steps done" and told[-1].domains == ["sim"]
    assert (told[-1].steps, told[-1].domain_steps, told[-1].buffer_size, told[-1].updates > 0) == (60, (60,), 60, True)
    nodes = {node for kind in call(graph.master.uri, "getSystemState") for _name, nodes in kind for node in nodes}
    assert not [node for node in nodes if "learner" in node], "who has ended is on the graph no more"
    assert f"/rx200 on {graph.master.uri}: up to 60 steps, seed 3" in out
    assert "all steps done after 60 steps" in out
    summary = (tmp_path / "run" / "summary.txt").read_text()
    assert summary.startswith("TD3 on RX200ReachSim-v0, seed 3: all steps done")
    assert re.fullmatch(r"\d+% of 2 fresh goals, 95% interval \d+% to \d+%", figure(summary, "success"))
    assert re.fullmatch(r"[\d.]+ mm on average, p95 [\d.]+ mm", figure(summary, "final error"))
    again = finish(command("evaluate", tmp_path / "run", "--master", graph.master.uri, "--ns", "rx200"))
    assert [figure(again, name) for name in FIGURES] == [figure(summary, name) for name in FIGURES]


def test_a_node_refuses_a_parameter_it_does_not_know(graph: Graph) -> None:
    process = command("train", "__name:=learner", "_stepz:=3", **graph.master.env())
    errors = process.communicate(timeout=20.0)[1]
    assert process.returncode == 2
    assert "'/learner.stepz': did you mean 'steps'?" in errors


def test_a_node_without_a_master_says_so_at_once() -> None:
    process = command("train", "__name:=learner", ROS_MASTER_URI="http://127.0.0.1:9")
    errors = process.communicate(timeout=10.0)[1]
    assert process.returncode == 1
    assert "no ROS master answers at http://127.0.0.1:9" in errors


def test_ctrl_c_saves_what_there_is_and_ends_soon(tmp_path: Path) -> None:
    process = command("train", "--env", "Pendulum-v1", "--run-dir", tmp_path / "run", *TINY)
    metrics = tmp_path / "run" / "metrics.csv"
    wait_until(lambda: process.poll() is not None or episodes(metrics) > 0, timeout=30.0)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=10.0)
    assert (process.returncode, errors) == (130, "")
    assert time.monotonic() - start < 5.0
    assert "TD3 on Pendulum-v1, seed 0: interrupted" in out
    assert {"policy.safetensors", "summary.txt", "learning_curve.png"} <= {p.name for p in (tmp_path / "run").iterdir()}


def test_the_first_message_comes_before_anything_slow(tmp_path: Path) -> None:
    start = time.monotonic()
    process = command("train", "--env", "Pendulum-v1", "--run-dir", tmp_path / "run", *TINY)
    assert process.stdout and select.select([process.stdout], [], [], 3.0)[0], "nothing was said for 3 s"
    print(f"first message after {time.monotonic() - start:.2f} s")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10.0)
    assert process.returncode == 130
    assert not (tmp_path / "run").exists()  # nothing had happened yet


@pytest.mark.parametrize("arguments", [["demo.launch", "run_dir:=/tmp/x", "seed:=4"], ["learner.launch", "seed:=4"]])
def test_launch_files_hand_their_arguments_to_the_learner(arguments: list[str]) -> None:
    files = Path(__file__).resolve().parents[2] / "launch"
    dump = subprocess.run(
        ["roslaunch", "--dump-params", files / arguments[0], *arguments[1:]], capture_output=True, text=True, check=True
    )
    parameters = yaml.safe_load(dump.stdout)
    assert parameters["/learner/seed"] == 4
    assert parameters["/learner/ns"] == "rx200"
    assert parameters["/learner/run_dir"] == ("/tmp/x" if len(arguments) > 2 else "")
