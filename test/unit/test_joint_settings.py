"""Settings of joint training: found by name, refused by name; and how exploration is told to the actors."""

from __future__ import annotations

import argparse
from typing import Any

import gymnasium
import pytest
from stable_baselines3 import SAC, TD3

from uniros_learner.training import config as configs
from uniros_learner.training import target
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.joint.actors_loop import updates_per_step
from uniros_learner.training.joint.domain import names
from uniros_learner.training.joint.explore import noise_of
from uniros_learner.training.joint.plan import JointPlan
from uniros_learner.training.joint.setup import set_up
from uniros_learner.training.parts import noise

REAL = ("RX200ReachSim-v0", "RX200ReachReal-v0")
GOALS = ("RX200ReachGoalSim-v0", "RX200ReachGoalReal-v0")


@pytest.mark.parametrize(("name", "algorithm", "envs"), [
    ("td3_joint", "td3", REAL), ("sac_joint", "sac", REAL), ("td3_her_joint", "td3", GOALS),
    ("tqc_her_joint", "tqc", GOALS)])
def test_an_algorithm_learns_jointly_by_its_name(name: str, algorithm: str, envs: tuple[str, ...]) -> None:
    config = configs.load(*_found(name))
    assert (config.algorithm, config.joint.envs) == (algorithm, envs)
    assert configs.of(_yaml(configs.dump(config))) == config


def _found(name: str) -> tuple[Any, Any, Any]:
    path, algorithm = configs.find(name)
    return path, (), algorithm


def _yaml(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


@pytest.mark.parametrize(("given", "message"), [
    ({"loop": "actor"}, "joint.loop"), ({"shares": [0.0, 0.0]}, "leaves nothing to learn from"),
    ({"shares": [0.5, 1.5]}, "joint.shares"), ({"envs": "RX200ReachSim-v0"}, "joint.envs"),
    ({"publsh": 1.0}, "did you mean 'publish'"), ({"niceness": 40}, "joint.niceness")])
def test_what_cannot_be_is_refused_by_its_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        configs.of({"joint": given})


def test_lists_are_for_as_many_domains_as_there_are() -> None:
    JointPlan(shares=(0.5, 0.5)).check(2)
    with pytest.raises(InvalidConfig, match=r"joint.shares: \[0.5, 0.5\] has 2 entries; expected 3"):
        JointPlan(shares=(0.5, 0.5)).check(3)


def test_algorithms_that_learn_from_their_own_rollouts_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="expected one of ddpg, td3, sac"):
        set_up(configs.of({"algorithm": "ppo", "num_envs": 1}), [])


@pytest.mark.parametrize(("argv", "expected"), [
    ([], ["RX200ReachSim-v0 on a private ROS master", "RX200ReachReal-v0 on a private ROS master"]),
    (["--env", "A", "--env", "B"], ["A on a private ROS master", "B on a private ROS master"]),
    (["--master", "http://a:1", "--env", "A", "--ns", "arm"], ["A on a private ROS master", "/arm on http://a:1"]),
    (["--master", "http://a:1", "--master", "http://b:2"], ["/rx200 on http://a:1", "/rx200 on http://b:2"])])
def test_places_are_named_by_options_or_by_the_settings(argv: list[str], expected: list[str]) -> None:
    parser = argparse.ArgumentParser()
    target.add_several(parser)
    places = target.choose_all(parser.parse_args(argv), configs.load(*_found("td3_joint")))
    assert [str(place) for place in places] == expected


def test_domains_have_short_names_that_differ() -> None:
    assert names([*REAL]) == ["sim", "real"]
    assert names([REAL[0], "Pendulum-v1", "my.module:MyArm-v0", REAL[0]]) == ["sim1", "Pendulum-v1", "MyArm-v0", "sim2"]


@pytest.mark.parametrize(("given", "expected"), [
    (0.2, {"noise": "normal", "sigma": (0.2,)}),
    ({"kind": "ornstein_uhlenbeck", "sigma": 0.3, "theta": 0.5},
     {"noise": "ornstein_uhlenbeck", "sigma": (0.3,), "theta": 0.5, "dt": 0.01}),
    (0.0, {"noise": "none"})])
def test_noise_is_told_to_the_actors_as_it_is_set(given: Any, expected: dict[str, Any]) -> None:
    model = TD3("MlpPolicy", gymnasium.make("Pendulum-v1"), action_noise=noise(given, (1,)),
                policy_kwargs={"net_arch": [4]}, buffer_size=100)
    assert noise_of(model) == expected


def test_a_policy_that_is_a_distribution_explores_by_itself() -> None:
    model = SAC("MlpPolicy", gymnasium.make("Pendulum-v1"), policy_kwargs={"net_arch": [4]}, buffer_size=100)
    assert noise_of(model) == {"noise": "policy"}


@pytest.mark.parametrize(("steps", "freq", "ratio"), [(1, 1, 1.0), (4, 2, 2.0), (-1, 1, 1.0), (3, (1, "episode"), 1.0)])
def test_simulations_wait_for_the_updates_that_the_algorithm_asks_for(steps: int, freq: Any, ratio: float) -> None:
    model = TD3("MlpPolicy", gymnasium.make("Pendulum-v1"), gradient_steps=steps, train_freq=freq,
                policy_kwargs={"net_arch": [4]}, buffer_size=100)
    assert updates_per_step(model) == ratio
