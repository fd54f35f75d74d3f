"""Failures during joint training.

A simulated and an emulated arm learn together (`td3_joint`, actors) while a process is killed or a cable pulled. What
counts: the other domain goes on, the domain comes back by itself (after the cable is back, somebody acknowledges the
driver's stop), nothing of the episode that broke is learnt from, and the counters agree with each other: steps made are
those learnt from and those dropped, and the replay buffer holds the log's episodes and no more. At last SIGKILL of the
learner: nothing of it is left, and the arm holds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from joint_training import Training, consistent, grows
from live import wait_until
from real_rig import RealRig
from run import Row

import uniros_learner as uniros
from uniros_bringup.xmlrpc import call
from uniros_learner.multi_task_member import State
from uniros_learner.training import config as configs
from uniros_learner.training.joint.domain import Domain
from uniros_learner.training.joint.run import JointRun

SIM, REAL = 0, 1
NOTICED, BACK = 5.0, 30.0  # s, asked
TRAIN = Path(__file__).resolve().parents[2] / "uniros_learner" / "nodes" / "train"


def measure() -> Iterator[Row]:
    yield from killed("SIGKILL of the simulator's env server", SIM, lambda domain: domain.env.description.pid)
    yield from killed("SIGKILL of the arm's ROS master", REAL, master_of)
    yield from cable()
    yield from learner()


def config() -> configs.TrainingConfig:
    """As `train td3_joint`, but without an early end."""
    path, algorithm = configs.find("td3_joint")
    return configs.load(path, ["early_stop.window=0", "joint.seconds=300", "joint.head_start=0"], algorithm)


def master_of(domain: Domain) -> int:
    """The process of a domain's ROS master."""
    return int(call(domain.member.status().where.rpartition(" on ")[2], "getPid"))


def going(run: JointRun) -> None:
    """Until both bring episodes and there are updates. Raises RuntimeError when one cannot."""
    try:
        wait_until(lambda: all(len(domain.episodes) > 1 for domain in run.domains) and run.updates > 300, 90.0)
    except AssertionError as error:
        states = [f"{domain.name}: {domain.doing.value}, {domain.member.status()}" for domain in run.domains]
        raise RuntimeError(f"training does not get going: {run.updates} updates; {'; '.join(states)}") from error


def in_an_episode(domain: Domain) -> None:
    """Until some steps of an episode have come; where they take time."""
    if not domain.lock_step:
        wait_until(lambda: domain.made - domain.learnt - domain.dropped >= 2, 60.0)


def killed(what: str, number: int, process: Callable[[Domain], int]) -> Iterator[Row]:
    """Kill a process of one domain, and wait until it is back."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        envs = [stack.enter_context(uniros.make(env_id)) for env_id in ("RX200ReachSim-v0", "RX200ReachReal-v0")]
        training = stack.enter_context(Training(config(), envs, Path(folder) / "run"))
        run = training.run
        going(run)
        broken, other = run.domains[number], run.domains[1 - number]
        in_an_episode(broken)
        os.kill(process(broken), signal.SIGKILL)
        noticed = wait_until(lambda: broken.member.state is State.DOWN, 15.0)
        updates, steps, since = run.updates, other.made, time.monotonic()
        back = noticed + wait_until(lambda: broken.member.state is State.UP, 60.0)
        rates = (run.updates - updates) / (time.monotonic() - since), (other.made - steps) / (time.monotonic() - since)
        wait_until(grows(run, number, 2), 60.0)
        training.stop()
        yield from rows(what, run, broken, other, noticed, back, rates)


def cable() -> Iterator[Row]:
    """Pull the cable out of the arm, put it back after a while."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        rig = stack.enter_context(RealRig(start="ready"))
        simulated = stack.enter_context(uniros.make("RX200ReachSim-v0"))
        training = stack.enter_context(Training(config(), [simulated, rig.env], Path(folder) / "run"))
        run = training.run
        going(run)
        other, broken = run.domains
        in_an_episode(broken)
        rig.operator.fault("unplug")
        noticed = wait_until(lambda: broken.member.state is State.DOWN, 15.0)
        updates, steps, since = run.updates, other.made, time.monotonic()
        time.sleep(5.0)
        rates = (run.updates - updates) / (time.monotonic() - since), (other.made - steps) / (time.monotonic() - since)
        rig.operator.fault("clear")
        rig.acknowledge()
        back = wait_until(lambda: broken.member.state is State.UP, 60.0)
        wait_until(grows(run, REAL, 2), 60.0)
        training.stop()
        yield from rows("the arm's cable pulled out for 5 s", run, broken, other, noticed, back, rates)


def rows(what: str, run: JointRun, broken: Domain, other: Domain, noticed: float, back: float,
         rates: tuple[float, float]) -> Iterator[Row]:
    """What one failure came to."""
    yield Row(f"{what}: noticed", f"within {NOTICED:g} s", f"{noticed:.2f} s", noticed <= NOTICED)
    yield Row(f"{what}: meanwhile in {other.name}", "training goes on",
              f"{rates[0]:.0f} updates/s, {rates[1]:.0f} steps/s", rates[0] > 0 and rates[1] > 0)
    yield Row(f"{what}: {broken.name} learns again", f"within {BACK:g} s", f"{back:.1f} s", back <= BACK)
    try:
        consistent(run)
        agree, said = True, f"{broken.dropped} steps dropped, the rest agrees"
    except AssertionError as error:
        agree, said = False, str(error).splitlines()[0]
    yield Row(f"{what}: books", "nothing of the broken episode learnt, counters agree", said, agree)


def learner() -> Iterator[Row]:
    """SIGKILL of the learner while the arm moves."""
    with RealRig(start="ready") as rig, tempfile.TemporaryDirectory() as folder:
        master = rig.graph.master.uri
        rig.env.close()
        process = subprocess.Popen(
            [sys.executable, TRAIN, "td3_joint", "--env", "RX200ReachSim-v0", "--master", master, "--run-dir",
             Path(folder) / "run", "--set", "joint.head_start=0"],
            env={**os.environ, "UNIROS_VICTIM": "yes"}, stdout=subprocess.DEVNULL)
        wait_until(lambda: rig.speed() > 0.2, 60.0)
        process.kill()
        process.wait()
        holds = wait_until(rig.rests, 10.0)
        gone = holds + wait_until(lambda: not victims(), 10.0)
    yield Row("SIGKILL of the learner while the arm moves: the arm holds", "within 6 s", f"{holds:.1f} s", holds <= 6.0)
    yield Row("SIGKILL of the learner: all that it had started is gone", "within 10 s", f"{gone:.1f} s", gone <= 10.0)


def victims() -> list[str]:
    """Processes that the learner had started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"UNIROS_VICTIM=yes" in (folder / "environ").read_bytes():
                found.append(folder.name)
        except OSError:  # it has just ended, or is not ours
            continue
    return found
