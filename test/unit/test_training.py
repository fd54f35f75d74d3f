"""The trainer, in process and in seconds: it stops when the policy is good, and leaves everything behind."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import unwrap_vec_wrapper

from uniros_env_server.registration import register
from uniros_learner.training import run_folder
from uniros_learner.training.config import EarlyStop, EvaluationPlan, TrainingConfig
from uniros_learner.training.environments import vectorise
from uniros_learner.training.episodes import Episode, summarise, wilson
from uniros_learner.training.evaluation import evaluate
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.normalise import Normalise
from uniros_learner.training.nudging import nudges
from uniros_learner.training.plots import running_mean
from uniros_learner.training.policy_file import load_policy, put_normalisation
from uniros_learner.training.precision import precision
from uniros_learner.training.run_folder import CONTENTS, RunFolder
from uniros_learner.training.seeding import derive
from uniros_learner.training.terminal import Terminal
from uniros_learner.training.trainer import End, Trainer
from uniros_msgs.errors import ServerDied

EVALUATION_SEED = 500


class Line(gymnasium.Env):
    """Walk along a line until within 0.1 of the goal; 20 steps at most. Notes every seed it is reset with."""

    observation_space = spaces.Box(-4.0, 4.0, (1,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, broken_after: int = 10**9, never_reached_by: Sequence[int] = ()):
        self.seeds: list[int | None] = []
        self.left = broken_after
        self.hopeless = never_reached_by

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.seeds.append(seed)
        if seed is not None:
            self.impossible = seed in self.hopeless
        self.way = self.np_random.uniform(-1.0, 1.0, 1).astype(np.float32)
        self.steps = 0
        return self.way.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        if self.left < 0:
            raise ServerDied("the env server has ended")
        self.way = self.way - 0.25 * action
        self.steps += 1
        distance = float(abs(self.way[0]))
        reached = distance < 0.1 and not self.impossible
        info = {"is_success": reached, "distance": distance}
        return self.way.copy(), -distance, reached, self.steps == 20, info


TD3 = {"net_arch": [16], "learning_starts": 50, "batch_size": 32, "learning_rate": 3e-3, "gamma": 0.95,
       "buffer_size": 10_000, "action_noise": 0.1}
CONFIG = TrainingConfig(
    env_id="Line",
    steps=3000,
    hyperparameters=TD3,
    early_stop=EarlyStop(window=20, check_episodes=10),
    evaluation=EvaluationPlan(episodes=20, seed=EVALUATION_SEED),
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_folder.create(tmp_path / "run")


def trainer(folder: RunFolder, env: Line, stop: Callable[[], bool] = lambda: False, **changes: Any) -> Trainer:
    return Trainer(dataclasses.replace(CONFIG, **changes), env, folder, Terminal(io.StringIO()), stop)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_training_ends_when_the_policy_is_good_and_leaves_everything(folder: RunFolder) -> None:
    run = trainer(folder, Line())
    run.run()
    summary = run.describe()
    assert run.end is End.SOLVED
    assert 50 < run.steps < 3000
    assert summarise(run.evaluation).success_rate == 1.0
    assert {path.name for path in folder.path.iterdir()} == {*CONTENTS, "summary.txt"}
    assert folder.summary.read_text() == summary
    assert "100% of 20 fresh goals" in summary
    assert "95% success: reached" in summary
    episodes = rows(folder.metrics)
    assert sum(int(row["length"]) for row in episodes) == int(episodes[-1]["step"]) == run.steps
    assert all(row["success"] == "1" and float(row["final_error"]) < 0.1 for row in rows(folder.evaluation))


def test_the_saved_policy_repeats_the_evaluation_exactly(folder: RunFolder) -> None:
    run = trainer(folder, Line())
    run.run()
    again = evaluate(load_policy(folder.policy), vectorise(Line()), 20, EVALUATION_SEED)
    assert [(e.total_reward, e.final_error) for e in again] == [(e.total_reward, e.final_error) for e in run.evaluation]


def test_two_runs_with_one_seed_are_the_same(tmp_path: Path) -> None:
    weights = []
    for name in "ab":
        run = trainer(run_folder.create(tmp_path / name), Line(), steps=400)
        run.train()
        weights.append(run.model.policy.state_dict())
    first, second = weights
    assert all(bool((first[name] == second[name]).all()) for name in first)


def test_a_failed_check_sends_it_back_to_training_on_goals_of_its_own(folder: RunFolder) -> None:
    first_check = EVALUATION_SEED + 1
    env = Line(never_reached_by=[first_check, *(derive(first_check, number) for number in range(1, 10))])
    run = trainer(folder, env)
    run.run()
    assert run.end is End.SOLVED
    assert [mark.success_rate for mark in run.marks] == [0.0, 1.0, 1.0]
    assert None not in env.seeds
    assert len(set(env.seeds)) == len(env.seeds)  # nothing is judged on goals that it was trained or judged on


def test_steps_are_a_limit(folder: RunFolder) -> None:
    run = trainer(folder, Line(), steps=60)
    run.run()
    assert (run.end, run.steps) == (End.STEPS, 60)


def test_a_stop_saves_what_there_is_and_evaluates_nothing(folder: RunFolder) -> None:
    asked = iter([False] * 80)
    run = trainer(folder, Line(), stop=lambda: next(asked, True))
    run.run()
    assert run.end is End.STOPPED
    assert run.steps == 81
    assert "interrupted" in run.describe()
    assert load_policy(folder.policy).predict(np.zeros(1, np.float32))[0].shape == (1,)
    assert not folder.evaluation.exists()


def test_a_server_that_dies_leaves_a_policy_and_its_error(folder: RunFolder) -> None:
    run = trainer(folder, Line(broken_after=80))
    with pytest.raises(ServerDied):
        run.run()
    assert run.end is End.BROKEN
    assert "broken off" in run.describe()
    assert folder.policy.exists()


def test_a_server_that_dies_because_everything_is_stopped_is_no_error(folder: RunFolder) -> None:
    env = Line(broken_after=80)
    run = trainer(folder, env, stop=lambda: env.left < 0)
    run.run()
    assert run.end is End.STOPPED


def test_an_impatient_ctrl_c_leaves_a_policy_too(folder: RunFolder) -> None:
    def stop() -> bool:
        if run.steps == 80:
            raise KeyboardInterrupt
        return False

    run = trainer(folder, Line(), stop)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.end is End.STOPPED
    assert folder.policy.exists()


def test_discrete_actions_are_refused(folder: RunFolder) -> None:
    with pytest.raises(InvalidConfig, match=r"td3 needs continuous actions.*Discrete\(2\)"):
        Trainer(CONFIG, gymnasium.make("CartPole-v1"), folder, Terminal(io.StringIO()))


def test_an_environment_without_successes_is_trained_and_drawn(folder: RunFolder) -> None:
    config = dataclasses.replace(CONFIG, steps=250, evaluation=EvaluationPlan(episodes=1, seed=7))
    run = Trainer(config, gymnasium.make("Pendulum-v1"), folder, Terminal(io.StringIO()))
    run.run()
    summary = run.describe()
    assert "success" not in summary.partition("files in")[0]
    assert run.marks == []
    assert rows(folder.metrics)[0]["success"] == ""


def test_statistics_of_episodes() -> None:
    errors = np.linspace(0.0, 0.019, 20)
    found = summarise([Episode(i, 0.0, -2.0 * i, i, i % 4 != 0, error) for i, error in enumerate(errors)])
    assert (found.episodes, found.success_rate, found.mean_return, found.mean_length) == (20, 0.75, -19.0, 9.5)
    assert found.mean_error == pytest.approx(0.0095)
    assert found.p95_error == pytest.approx(0.01805)


def test_the_interval_of_a_success_rate_is_wilsons() -> None:
    assert wilson(95, 100) == pytest.approx((0.8882, 0.9785), abs=1e-4)
    assert wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)


def test_precision_is_that_of_iso_9283() -> None:
    attained = np.array([[0.01, 0.0, 0.0], [-0.01, 0.0, 0.0], [0.0, 0.02, 0.0], [0.0, -0.02, 0.0]])
    found = precision(attained, np.array([0.0, 0.0, 0.005]))
    assert found.accuracy == pytest.approx(0.005)
    assert found.repeatability == pytest.approx(0.015 + 3 * np.sqrt(4 * 0.005**2 / 3))


def test_normalised_goals_have_one_scale_and_come_back_with_the_policy(folder: RunFolder) -> None:
    class Goals(Line):
        observation_space = spaces.Dict(dict.fromkeys(("achieved_goal", "desired_goal"), Line.observation_space))

        def reset(self, **arguments: Any) -> Any:
            observation, info = super().reset(**arguments)
            return {"achieved_goal": observation, "desired_goal": np.zeros(1, np.float32)}, info

        def step(self, action: np.ndarray) -> Any:
            observation, *rest = super().step(action)
            return {"achieved_goal": observation, "desired_goal": np.zeros(1, np.float32)}, *rest

        def compute_reward(self, achieved: np.ndarray, desired: np.ndarray, infos: Any) -> np.ndarray:
            return -np.abs(achieved - desired)[..., 0].astype(np.float64)

    config = dataclasses.replace(CONFIG, steps=200, normalise="observations")
    run = Trainer(config, Goals(), folder, Terminal(io.StringIO()))
    run.run()
    venv = vectorise(Goals(), config)
    put_normalisation(venv, folder.policy)
    seen = unwrap_vec_wrapper(venv, Normalise).observed({name: np.ones((1, 1)) for name in Goals.observation_space})
    assert seen["achieved_goal"] == seen["desired_goal"] != 1.0
    again = evaluate(load_policy(folder.policy), venv, 20, EVALUATION_SEED)
    assert [e.total_reward for e in again] == [e.total_reward for e in run.evaluation]


def test_hindsight_before_the_end_of_an_episode_is_refused(folder: RunFolder) -> None:
    register()
    with pytest.raises(InvalidConfig, match="at least 100 steps for each of 1"):
        Trainer(CONFIG, gymnasium.make("RX200ReachGoalSim-v0"), folder, Terminal(io.StringIO()))


def test_discrete_actions_are_nudges_of_one_joint_each() -> None:
    table = nudges(spaces.Box(-2.0, 2.0, (2,)), size=0.5)
    assert table.tolist() == [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]


def test_running_mean_uses_what_there_is() -> None:
    assert running_mean(np.array([1.0, 2.0, 3.0, 4.0]), window=2).tolist() == [1.0, 1.5, 2.5, 3.5]
