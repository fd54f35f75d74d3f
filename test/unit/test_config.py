"""Settings of a training run: what is impossible is refused by name, before anything starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from uniros_learner.training import config, train_command
from uniros_learner.training.catalogue import TORCH
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.terminal import Terminal

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "config" / "algorithms").glob("*.yaml"))
REACH = config.find("reach")[0]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_load_and_survive_being_written(file: Path, tmp_path: Path) -> None:
    read = config.load(file)
    resolved = tmp_path / "config.yaml"
    resolved.write_text(config.dump(read))
    assert config.load(resolved) == read


def test_the_resolved_file_names_every_setting() -> None:
    resolved = yaml.safe_load(config.dump(config.TrainingConfig()))
    assert resolved["hyperparameters"]["policy_delay"] == 2
    assert set(resolved) == set(config.TrainingConfig.__dataclass_fields__)


@pytest.mark.parametrize(
    ("change", "near"),
    [
        ("hyperparameters.gama=0.9", "gamma"),
        ("hyperparameters.learningrate=0.1", "learning_rate"),
        ("early_stop.windows=3", "window"),
        ("algoritm=td3", "algorithm"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(change: str, near: str) -> None:
    with pytest.raises(InvalidConfig, match=rf"'{change.partition('=')[0]}': did you mean '{near}'"):
        config.load(REACH, [change])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("hyperparameters.gamma=1.5", r"gamma: 1.5 .* a number at least 0 and at most 1 \(discount"),
        ("hyperparameters.gamma=.nan", "gamma: nan"),
        ("hyperparameters.learning_rate=0", "above 0"),
        ("hyperparameters.learning_rate=fast", "a number"),
        ("hyperparameters.batch_size=0", "a whole number at least 1"),
        ("hyperparameters.batch_size=1.5", "a whole number"),
        ("hyperparameters.batch_size=true", "a whole number"),
        ("hyperparameters.batch_size=200_000", "at most buffer_size"),
        ("hyperparameters.net_arch=[64, 0]", "a list of whole numbers.* at least 1"),
        ("hyperparameters.clip_range=0.1", "td3 has none, only ppo"),
        ("hyperparameters.seed=1", "one level up, as seed"),
        ("hyperparameters.train_freq=[2, day]", "step|episode"),
        ("hyperparameters.learning_rate=slow: 0.1", "linear|cosine"),
        ("hyperparameters.action_noise=-1", "from 0 on"),
        ("hyperparameters.replay_buffer_class=him", "one of plain, her"),
        ("hyperparameters.replay_buffer_kwargs={n_sample_goal: 4}", "did you mean 'n_sampled_goal'"),
        ("hyperparameters.policy_kwargs=3", "under each section"),
        ("hyperparameters.net_arch=64", "a list of whole numbers"),
        ("hyperparameters.activation_fn=rely", "one of relu, tanh"),
        ("hyperparameters=3", "'key: value' lines"),
        ("algorithm=td4", "one of ppo, a2c, ddpg, td3"),
        ("steps=.inf", "a whole number"),
        ("hyperparameters.net_arch=[64", "the value is not YAML"),
        ("steps.x=1", "a whole number"),
        ("steps=200", "before learning starts"),
        ("seed=-1", "at least 0"),
        ("evaluation.seed=0", "another"),
        ("evaluation.episodes=none", "a whole number"),
        ("env_id=3", "text"),
        ("seed", "KEY=VALUE"),
    ],
)
def test_an_impossible_value_is_refused_with_what_was_expected(change: str, expected: str) -> None:
    with pytest.raises(InvalidConfig, match=expected):
        config.load(REACH, [change])


def test_numbers_without_a_dot_in_front_of_the_exponent_are_taken() -> None:
    assert config.load(REACH, ["hyperparameters.learning_rate=1e-4"]).hyperparameters["learning_rate"] == 1e-4
    assert config.load(REACH, ["steps=1e4"]).steps == 10_000


@pytest.mark.parametrize("algorithm", TORCH)
def test_one_word_exchanges_the_algorithm(algorithm: str) -> None:
    by_option = config.load(REACH, algorithm=algorithm)
    file, named = config.find(f"{algorithm}_reach")
    by_name = config.load(file, algorithm=named)
    in_the_file = config.load(REACH, [f"algorithm={algorithm}"])
    assert by_option == by_name == in_the_file
    assert by_option.hyperparameters["gamma"] < 0.99  # config/algorithms has its settings, too
    assert by_option.env_id == "RX200ReachSim-v0"


def test_what_stands_under_an_algorithm_is_for_it_alone() -> None:
    given = {"hyperparameters": {"gamma": 0.8, "sac": {"gamma": 0.7, "ent_coef": 0.1},
                                 "policy_kwargs": {"net_arch": {"pi": [8], "qf": [16]}}}}
    td3, sac = config.of({"algorithm": "td3", **given}), config.of({"algorithm": "sac", **given})
    assert [each.hyperparameters["gamma"] for each in (td3, sac)] == [0.8, 0.7]
    assert sac.hyperparameters["ent_coef"] == 0.1
    assert td3.hyperparameters["net_arch"] == {"pi": [8], "qf": [16]}


def test_a_change_goes_before_what_the_file_has_for_the_algorithm(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("algorithm: sac\nhyperparameters: {sac: {gamma: 0.7}}")
    assert config.load(file, ["hyperparameters.gamma=0.6"]).hyperparameters["gamma"] == 0.6


def test_a_missing_file_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidConfig, match="did you mean 'td3_reach'"):
        config.find("td3_reech")


def test_what_is_not_yaml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("steps: [1, 2")
    with pytest.raises(InvalidConfig, match=r"broken\.yaml: it is not YAML"):
        config.load(file)


@pytest.mark.parametrize(
    "arguments",
    [["--set", "hyperparameters.gama=1"], ["--steps", "0"], ["nosuch"], ["--ns", "rx200"]],
    ids=["unknown key", "impossible value", "no such file", "namespace without a master"],
)
def test_a_refused_command_leaves_no_run_folder(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig):
        train_command.run(["train", *arguments, "--run-dir", str(tmp_path / "run")], Terminal())
    assert not (tmp_path / "run").exists()


def test_a_run_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.safetensors").write_text("precious")
    with pytest.raises(InvalidConfig, match="nothing is overwritten"):
        train_command.run(["train", "--run-dir", str(tmp_path)], Terminal())
    assert (tmp_path / "policy.safetensors").read_text() == "precious"


def test_the_first_message_does_not_wait_for_pytorch(tmp_path: Path) -> None:
    code = """
import sys
from uniros_learner.training import evaluate_command, train_command
from uniros_learner.training.terminal import Terminal

class AtFirst(Terminal):
    def say(self, text):
        sys.exit(", ".join({"torch", "matplotlib", "rospy"} & set(sys.modules)) or 0)

train_command.run(["train", "--run-dir", sys.argv[1]], AtFirst())
"""
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
