"""`rosrun uniros bringup joint` as a person uses it: both sides up, a learner of both, kill -9, a joined master."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import marked_processes, serve, wait_until

from uniros_bringup.graph import Graph
from uniros_bringup.master import answering_pid
from uniros_bringup.xmlrpc import call

ROOT = Path(__file__).resolve().parents[2]
LEARNER = """
import sys, time, uniros_learner as uniros
uris = [word for word in sys.argv if word.startswith("http")]
with uniros.MultiTaskEnv([uniros.connect(uri, "/rx200") for uri in uris], choice="round_robin") as env:
    env.reset(), env.step(env.action_space.sample() * 0), env.reset(), env.step(env.action_space.sample() * 0)
    print("stepped in", *(each.steps for each in env.status()), flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("saved", flush=True)
        sys.exit(7)
"""


class Run:
    """The command, and what it has written so far."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._output = folder / "output"
        command = f'source {ROOT}/env.sh && exec rosrun uniros bringup joint record:=false "$@"'
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(["bash", "-c", command, "bash", *words], cwd=folder, stdout=file,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    @property
    def output(self) -> str:
        return self._output.read_text()

    def until(self, text: str, seconds: float) -> None:
        wait_until(lambda: text in self.output or self.process.poll() is not None, seconds)
        assert text in self.output, self.output

    @property
    def masters(self) -> list[str]:
        return re.findall(r"ROS master .*export ROS_MASTER_URI=(\S+)", self.output)


@pytest.fixture(scope="module")
def robot() -> Iterator[Graph]:
    """A robot's master on which everything runs already; the robot is a simulated one in real time."""
    with Graph() as graph:
        serve(graph, "RX200ReachSim-v0", "/rx200", real_time=True)
        yield graph


def test_both_sides_a_learner_and_an_end_by_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "learner.py").write_text(LEARNER)
    run = Run(tmp_path, "--", sys.executable, "learner.py")
    try:
        run.until("stepped in", 40.0)
        sim, real = run.masters
        assert "stepped in 1 1" in run.output
        assert f'uniros.connect("{sim}", "/rx200")' in run.output
        assert call(sim, "getParam", "/joint") == {"sim_master": sim, "real_master": real}
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(20.0) == 130
    finally:
        run.process.kill()
    assert run.output.splitlines()[-1] == "saved"  # the learner comes first, and has the last word
    assert not marked_processes() and not answering_pid(sim) and not answering_pid(real)


def test_a_joined_master_is_watched_and_left_alone_even_after_kill_9(tmp_path: Path, robot: Graph) -> None:
    before = set(marked_processes())
    run = Run(tmp_path, f"robot_master:={robot.master.uri}")
    try:
        run.until("both are up", 30.0)
        assert f"real ROS master joined, never stopped: export ROS_MASTER_URI={robot.master.uri}" in run.output
        names = [name for name, _ in call(robot.master.uri, "getSystemState")[2]]
        assert "/rx200/driver/estop" not in names  # nothing was started there
        run.until("\nreal  RX200ReachReal-v0     0.0 steps/s", 15.0)  # the first line that has numbers
    finally:
        run.process.kill()
        run.process.wait()
    wait_until(lambda: set(marked_processes()) <= before, 5.0)
    assert robot.master.alive and robot.nodes[0].alive


def test_a_port_that_is_taken_is_no_traceback(tmp_path: Path, robot: Graph) -> None:
    run = Run(tmp_path, "--sim-port", str(robot.master.port))
    assert run.process.wait(20.0) == 1
    assert run.output.startswith("bringup: no ROS master came up") and "join it, or take another port" in run.output
    assert robot.master.alive
