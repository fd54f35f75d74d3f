"""Runs side by side: groups by settings, the step at which each had learnt it, ranges over seeds."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from uniros_learner.training import compare_command, comparison, run_folder
from uniros_learner.training import config as configs
from uniros_learner.training.episodes import Episode, EpisodeLog, Judged
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.joint.experience import DomainEpisode
from uniros_learner.training.terminal import Terminal


def left(path: Path, algorithm: str, seed: int, learnt_after: int) -> Path:
    """A run of 200 episodes of 10 steps, of which those from `learnt_after` on succeed."""
    folder = run_folder.create(path / f"{algorithm}-{seed}")
    config = configs.of({"algorithm": algorithm, "seed": seed, "env_id": "Line", "steps": 5000, "num_envs": 1})
    folder.config.write_text(configs.dump(config))
    with EpisodeLog(folder.metrics) as log:
        for number in range(200):
            step = 10 * (number + 1)
            log.add(Episode(step, step / 100, -1.0, 10, number >= learnt_after, 0.01))
    with EpisodeLog(folder.evaluation, Judged) as log:
        for number in range(10):
            log.add(Judged(number, 0.1, -0.5, 5, number > 0, 0.01 + 0.001 * seed, 0.5, 1.0, 0))
    return folder.path


def test_runs_that_differ_by_their_seed_are_one_group_with_a_range(tmp_path: Path) -> None:
    for algorithm, seed, learnt in (("td3", 0, 20), ("td3", 1, 40), ("td3", 2, 80), ("sac", 0, 300)):
        left(tmp_path, algorithm, seed, learnt)
    groups = comparison.grouped(comparison.load(sorted(tmp_path.iterdir())))
    assert {group.name: len(group.runs) for group in groups} == {"TD3": 3, "SAC": 1}
    _, *rows = comparison.rows(groups, target=1.0)
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["TD3"][:3] == ["3", "800 [600, 1,200]", "8.0 [6.0, 12.0]"]
    assert by_name["TD3"][3:5] == ["90%", "11.0 [10.0, 12.0]"]
    assert by_name["SAC"][:3] == ["1", "- (1 never)", "-"]


def test_the_command_prints_a_table_and_draws(tmp_path: Path) -> None:
    left(tmp_path / "runs", "td3", 0, 10)
    terminal = Terminal()
    terminal.console = Console(file=io.StringIO(), width=100)
    picture = tmp_path / "comparison.png"
    assert compare_command.run(["compare", str(tmp_path / "runs"), "--out", str(picture)], terminal) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "TD3" in terminal.console.file.getvalue()  # type: ignore[attr-defined]


def test_groups_of_one_algorithm_are_named_by_what_sets_them_apart(tmp_path: Path) -> None:
    for name, gamma in (("a", 0.9), ("b", 0.8)):
        path = left(tmp_path / name, "td3", 0, 10)
        settings = yaml.safe_load((path / "config.yaml").read_text())
        settings["hyperparameters"]["gamma"] = gamma
        (path / "config.yaml").write_text(yaml.safe_dump(settings))
    groups = comparison.grouped(comparison.load(tmp_path / name / "td3-0" for name in "ab"))
    assert [group.name for group in groups] == ["TD3, gamma 0.9", "TD3, gamma 0.8"]


def test_a_joint_run_has_a_curve_for_each_domain(tmp_path: Path) -> None:
    folder = run_folder.create(tmp_path / "joint")
    joint = {"envs": ["RX200ReachSim-v0", "RX200ReachReal-v0"]}
    folder.config.write_text(configs.dump(configs.of({"algorithm": "sac", "joint": joint})))
    for path, count in ((folder.metrics, 100), (folder.evaluation, 4)):
        with EpisodeLog(path, DomainEpisode) as log:
            for n in range(count):
                name, step = ("real", n + 1) if n % 2 else ("sim", 10 * (n + 1))
                log.add(DomainEpisode(step, n / 10, -1.0, 10, name == "sim" or n > 20, 0.01, name, "1", 0))
    groups = comparison.grouped(comparison.load([folder.path]))
    assert [group.name for group in groups] == ["SAC, sim", "SAC, real"]
    _, sim, real = comparison.rows(groups, target=1.0)
    assert sim[2:5] == ["790", "7.8", "100%"]
    assert real[2:5] == ["100", "9.9", "0%"]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="no run folder"):
        compare_command.found([tmp_path])
