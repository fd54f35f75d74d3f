"""One policy learns in two domains, each on a ROS master of its own: for some seconds, with tiny networks."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import numpy as np
import pytest
from joint_training import Training, consistent, grows
from live import wait_until
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

import uniros_learner as uniros
from uniros_learner.multi_task_member import State
from uniros_learner.training import config as configs
from uniros_learner.training.checkpoint import Checkpoint
from uniros_learner.training.episodes import read, read_as
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.joint.command import open_all
from uniros_learner.training.joint.experience import DomainEpisode
from uniros_learner.training.joint.loop import End
from uniros_learner.training.joint.run import JointRun
from uniros_learner.training.run_folder import RunFolder, create
from uniros_learner.training.target import Target
from uniros_learner.training.terminal import Terminal
from uniros_learner.whole_episodes import AwaitFirstEpisode

TRAIN = Path(__file__).resolve().parents[2] / "uniros_learner" / "nodes" / "train"
LEFT = {"policy.safetensors", "model.zip", "config.yaml", "learning_curve.png", "metrics.csv", "evaluation.csv",
        "checkpoint.safetensors", "tensorboard", "summary.txt", "report.md"}
TINY = {"hyperparameters": {"net_arch": [8], "learning_starts": 100, "batch_size": 16, "buffer_size": 20_000},
        "early_stop": {"window": 0}, "evaluation": {"episodes": 2}}


def config_of(**joint: Any) -> configs.TrainingConfig:
    return configs.of({"algorithm": "td3", "steps": 50_000, **TINY, "joint": {"enough": 20, **joint}})


def test_a_domain_that_is_killed_comes_back_and_each_transition_has_its_env_servers_reward(tmp_path: Path) -> None:
    kinds: list[dict[str, Any]] = [{"tolerance": 0.1}, {"tolerance": 0.05, "reward_type": "shaped"}]
    places = [Target("RX200ReachGoalSim-v0", kind) for kind in kinds]
    with Training(config_of(shares=[0.5, 0.5], publish=0.05), open_all(places), tmp_path / "run") as training:
        run = training.run
        first, second = run.domains
        wait_until(lambda: first.episodes and second.episodes and run.updates > 100, 20.0)
        os.kill(second.env.description.pid, signal.SIGKILL)
        wait_until(lambda: second.member.state is State.DOWN, 5.0)
        updates, goes_on = run.updates, grows(run, 0, 3)
        wait_until(lambda: goes_on() and run.updates > updates + 100, 10.0)
        wait_until(lambda: second.member.state is State.UP, 15.0)
        wait_until(grows(run, 1, 3), 10.0)
        assert second.policy > 1  # it acts with what was learnt meanwhile
        training.stop()
        check_rewards(run)
    assert run.end is End.STOPPED
    assert [domain.member.status().failures for domain in run.domains] == [0, 1]
    assert "sim2 has failed, and rejoins when it can: ServerDied" in training.said
    assert "sim2 is back" in training.said
    consistent(run)


def check_rewards(run: JointRun) -> None:
    """Drawn with hindsight, every transition has the reward that its own env server says, over ROS."""
    replay: Any = run.model.replay_buffer
    assert replay.weights().tolist() == [0.5, 0.5]
    for domain, part in zip(run.domains, replay.parts, strict=True):
        assert type(part) is HerReplayBuffer
        drawn = part.sample(200)
        achieved = drawn.next_observations["achieved_goal"].numpy()
        desired = drawn.observations["desired_goal"].numpy()
        infos = [{"refusal": refused(part, row)} for row in drawn.observations["observation"].numpy()]
        said = domain.env._call("compute_reward", achieved, desired, infos)
        assert np.array_equal(drawn.rewards.numpy().ravel(), np.asarray(said, np.float32))
        assert len(set(said.tolist())) > 1


def refused(part: HerReplayBuffer, observation: np.ndarray) -> str:
    """What was refused in the step that began with this observation."""
    (row, *_) = np.flatnonzero((part.observations["observation"][:, 0] == observation).all(axis=1))
    return part.infos[row, 0]["refusal"]


def test_real_time_does_not_slow_the_simulation_down_and_gets_each_policy_at_once(tmp_path: Path) -> None:
    places = [Target("RX200ReachSim-v0"), Target("RX200ReachSim-v0", {"real_time": True})]
    with Training(config_of(publish=0.1), open_all(places), tmp_path / "run") as training:
        run = training.run
        simulated, timed = run.domains
        wait_until(lambda: timed.made >= 20, 20.0)
        assert (simulated.lock_step, timed.lock_step) == (True, False)
        assert simulated.made > 10 * timed.made
        assert run._setup.loop.board.newest.number - timed.policy < 8  # type: ignore[attr-defined]
        assert training.stop() < 5.0  # in the midst of an episode
    consistent(run)


def test_the_command_takes_turns_in_the_plain_loop_and_leaves_a_whole_run_folder(tmp_path: Path) -> None:
    changes = ["hyperparameters.net_arch=[8]", "hyperparameters.learning_starts=50", "evaluation.episodes=2",
               "joint.seconds=1.5", "early_stop.window=0"]
    run = subprocess.run(
        [sys.executable, TRAIN, "sac_joint", "--loop", "plain", "--env", "RX200ReachSim-v0", "--env",
         "RX200ReachSim-v0", "--run-dir", tmp_path / "run", *settings(changes)],
        capture_output=True, text=True, timeout=40, check=False)
    assert run.returncode == 0, run.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} >= LEFT
    assert "SAC on RX200ReachSim-v0 and RX200ReachSim-v0, seed 0: out of time" in run.stdout
    page = (tmp_path / "run" / "report.md").read_text()
    assert page.startswith("# SAC on RX200ReachSim-v0 and RX200ReachSim-v0, seed 0\n\nOut of time; training 1.")
    assert "|  | sim1 | sim2 |" in page
    assert "| sim2 | mode lock_step" in page
    learnt = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert learnt
    assert {row["domain"] for row in learnt} <= {"sim1", "sim2"}
    judged = Counter(row["domain"] for row in csv.DictReader((tmp_path / "run" / "evaluation.csv").open()))
    assert judged == {"sim1": 2, "sim2": 2}


@pytest.mark.parametrize("loop", ["actors", "plain"])
def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path, loop: str) -> None:
    places = [Target("RX200ReachGoalSim-v0"), Target("RX200ReachGoalSim-v0", {"tolerance": 0.05})]
    config = config_of(loop=loop)
    with Training(config, open_all(places), tmp_path / "run") as training:
        wait_until(lambda: all(domain.episodes for domain in training.run.domains) and training.run.updates > 50, 20.0)
    first = training.run
    before = [(domain.made, domain.learnt, domain.dropped, len(domain.episodes)) for domain in first.domains]
    with Training(config, open_all(places), tmp_path / "run") as training:
        run = training.run
        assert (run.steps, run.updates) >= (first.steps, first.updates)
        assert [(domain.made, domain.learnt, domain.dropped) <= known[:3]
                for domain, known in zip(run.domains, before, strict=True)]
        wait_until(lambda: run.updates > first.updates + 50 and all(
            len(domain.episodes) > known[3] for domain, known in zip(run.domains, before, strict=True)), 20.0)
    assert run.seconds > first.seconds
    for domain, (made, learnt, dropped, _) in zip(run.domains, before, strict=True):
        assert domain.made > made
        assert domain.learnt > learnt
        assert domain.dropped >= dropped
        steps, seconds = zip(*((each.step, each.seconds) for each in domain.episodes), strict=True)
        assert list(steps) == sorted(steps)
        assert list(seconds) == sorted(seconds)
    if loop == "actors":
        consistent(run)


def test_a_run_that_was_killed_goes_on_and_a_run_of_other_domains_does_not(tmp_path: Path) -> None:
    tiny = ["hyperparameters.net_arch=[8]", "hyperparameters.learning_starts=50", "evaluation.episodes=1",
            "checkpoints.seconds=0.3", "early_stop.window=0", "joint.seconds=1000"]
    folder = RunFolder(tmp_path / "run")
    with Popen([sys.executable, TRAIN, "td3_joint", "--env", "RX200ReachSim-v0", "--env", "RX200ReachSim-v0",
                "--run-dir", folder.path, *settings(tiny)], stdout=DEVNULL) as process:
        wait_until(lambda: folder.checkpoint.exists() and len(read(folder.metrics)) > 5, 40.0)
        process.kill()
    kept = Checkpoint(folder.checkpoint).about
    ended = subprocess.run([sys.executable, TRAIN, "--resume", folder.path,
                            *settings([f"joint.seconds={kept['seconds'] + 2.0}"])],
                           capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"goes on after step {sum(each['learnt'] for each in kept['domains'].values()):,}" in ended.stdout
    result = json.loads((folder.path / "result.json").read_text())
    for name, before in kept["domains"].items():
        steps = [each.step for each in read_as(DomainEpisode, folder.metrics) if each.domain == name]
        assert steps == sorted(set(steps))
        assert steps[-1] == result["domains"][name]["learnt"] > before["learnt"]
    refused = subprocess.run([sys.executable, TRAIN, "--resume", folder.path, "--env", "Pendulum-v1", "--env",
                              "Pendulum-v1"], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "that run learnt in sim1 and sim2" in refused.stderr


def test_in_a_script_a_joint_run_is_a_trainer_like_others(tmp_path: Path) -> None:
    joint = {"envs": ["RX200ReachSim-v0"] * 2, "enough": 20, "seconds": 2.0}
    given = {"algorithm": "sac", "steps": 50_000, **TINY, "joint": joint}
    result = uniros.Trainer(given, run_dir=tmp_path / "run", quiet=True).train()
    assert result.end == "out of time"
    assert {name: found.episodes for name, found in result.domains.items()} == {"sim1": 2, "sim2": 2}
    assert result.evaluation and result.evaluation.episodes == 4
    again = uniros.Trainer.resume(tmp_path / "run", ["joint.seconds=3.0"], quiet=True).train()
    assert again.steps > result.steps
    with pytest.raises(InvalidConfig, match="expected neither env nor callbacks"):
        uniros.Trainer(given, callbacks=[AwaitFirstEpisode()])


def settings(changes: Sequence[str]) -> list[str]:
    return [word for each in changes for word in ("--set", each)]


def test_what_cannot_be_learnt_together_is_refused_before_anything_moves(tmp_path: Path) -> None:
    envs = open_all([Target("Pendulum-v1"), Target("MountainCarContinuous-v0")])
    with pytest.raises(InvalidConfig, match="MountainCarContinuous-v0 has other spaces than Pendulum-v1"):
        JointRun(config_of(), envs, create(tmp_path / "run"), Terminal(StringIO()))
    for env in envs:
        with pytest.raises(uniros.errors.Closed):
            env.reset()
