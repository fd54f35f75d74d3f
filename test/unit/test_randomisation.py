"""Physics that each episode draws anew: from ranges that are checked, from the seed, and for each row of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from exact import assert_same
from gymnasium.vector import AutoresetMode

from uniros_env_server import registration
from uniros_env_server.environments.randomisation import Randomisation
from uniros_env_server.environments.robot_vector_env import RobotTaskVectorEnv

registration.register()
ENV = "RX200ReachSim-v0"
RANGES = {"mass": [0.8, 1.2], "friction": [0.5, 2.0], "gravity": -9.0, "position_noise": [0.0, 0.01]}


def test_ranges_come_from_a_mapping_a_file_or_the_robots_own_folder(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mass: [0.8, 1.2]\nfriction: [0.5, 2]\ngravity: -9\nposition_noise: [0.0, 0.01]\n")
    assert Randomisation.read(str(file), "rx200") == Randomisation.read(RANGES, "rx200")
    assert Randomisation.read("randomisation", "rx200").ranges["friction"] == (0.5, 2.5)
    assert Randomisation.read(None, "rx200").ranges == {}


@pytest.mark.parametrize(("source", "num", "message"), [
    ({"mas": [1, 2]}, 1, "'mas' cannot be randomised; what can is gravity, damping, friction"),
    ({"real_time_factor": [1, 2]}, 1, "'real_time_factor' cannot be randomised"),
    ({"latency": [0, 0.1]}, 4, "'latency' cannot be randomised separately for the arms of one batch"),
    ({"mass": [1.2, 0.8]}, 1, r"mass must be randomised between two numbers from 0\.2 to 5, given as \[low, high\]"),
    ({"mass": [1, float("nan")]}, 1, "mass must be randomised between two numbers"),
    ({"mass": [0.0, 1.0]}, 1, "mass must be randomised between two numbers"),
    ({"mass": "heavy"}, 1, "mass must be randomised between two numbers"),
    ([1, 2], 1, "must be a mapping of knobs to"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(source: Any, num: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Randomisation.read(source, "rx200", num)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"robots/rx200/wild\.yaml"):
        Randomisation.read("wild", "rx200")


def draws(seed: int, count: int, **kwargs: Any) -> list[tuple[dict[str, float], np.ndarray, np.ndarray]]:
    """Physics, goal and last observation of episodes."""
    env, found = gymnasium.make(ENV, **kwargs), []
    for number in range(count):
        info = env.reset(seed=seed if number == 0 else None)[1]
        observation = env.step(np.full(5, 0.5, np.float32))[0]
        found.append((info.get("randomisation", {}), env.unwrapped.snapshot().goal, observation))
        assert {name: env.unwrapped.knobs["physics"][name] for name in found[-1][0]} == found[-1][0]
    return found


def test_episodes_differ_and_a_seed_repeats_them_all() -> None:
    first, second, other = draws(4, 3, randomisation=RANGES), draws(4, 3, randomisation=RANGES), draws(
        5, 1, randomisation=RANGES)
    assert_same(first, second)
    masses = [each[0]["mass"] for each in (*first, *other)]
    assert len(set(masses)) == 4 and all(0.8 <= mass <= 1.2 for mass in masses)
    assert all(each[0]["gravity"] == -9.0 for each in first)


def test_goals_are_those_of_the_seed_whatever_is_randomised() -> None:
    assert_same([each[1] for each in draws(4, 3)], [each[1] for each in draws(4, 3, randomisation=RANGES)])


def test_an_episode_feels_what_was_drawn_for_it() -> None:
    drawn = draws(4, 1, randomisation=RANGES)[0]
    assert_same(drawn[2], draws(4, 1, randomisation=drawn[0])[0][2])
    assert not np.array_equal(drawn[2], draws(4, 1)[0][2])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_each_row_of_a_batch_draws_what_a_single_arm_draws(mode: AutoresetMode) -> None:
    kwargs = {"randomisation": RANGES, "tolerance": 0.08}
    ours = gymnasium.make_vec(ENV, 4, autoreset_mode=mode, **kwargs)
    theirs = gymnasium.make_vec(ENV, 4, "sync", {"autoreset_mode": mode}, disable_env_checker=True, **kwargs)
    assert isinstance(ours, RobotTaskVectorEnv)
    for env in (ours.tuning, *(each.unwrapped.tuning for each in theirs.envs)):
        env.turn("physics", {"latency": 0.04, "velocity_noise": 0.05})
        env.turn("cycle", {"smoothing": 0.3})
    said = ours.reset(seed=5)
    assert_same(said, theirs.reset(seed=5))
    assert len(set(said[1]["randomisation"]["mass"])) == 4
    rng, begun = np.random.default_rng(1), 0
    for number in range(105):
        actions = rng.uniform(-1, 1, (4, 5)).astype(np.float32)
        said = ours.step(actions)
        assert_same(said, theirs.step(actions), f"step {number}")
        begun += int(said[4].get("_randomisation", np.zeros(1)).sum())
    assert begun >= 4
    ours.close()
    theirs.close()


def test_a_batch_refuses_cycles_and_physics_steps_that_do_not_fit() -> None:
    env = gymnasium.make_vec(ENV, 2)
    before = env.unwrapped.knobs
    for group, changes in (("physics", {"time_step": 0.003, "mass": 2.0}), ("cycle", {"cycle_time": 0.0501})):
        with pytest.raises(ValueError, match="must be a whole number of physics steps"):
            env.unwrapped.tuning.turn(group, changes)
    assert env.unwrapped.knobs == before
    env.close()
