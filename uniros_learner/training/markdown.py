"""report.md: a run on one page, with its pictures, for those who were not there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from uniros_learner.training import config as configs
from uniros_learner.training.report import result_rows

if TYPE_CHECKING:
    from uniros_learner.training.trainer import Trainer

PICTURES = ("learning_curve.png", "evaluation.png")
UNTOLD = ("hyperparameters", "env_args", "joint", "early_stop", "checkpoints", "evaluation")


def report(run: Trainer, about: Mapping[str, Any]) -> str:
    """The whole page. about: what `provenance.collect` found, and `bags`."""
    config = run.config
    parts = [
        f"# {config.algorithm.upper()} on {config.env_id}, seed {config.seed}",
        f"{run.end.value.capitalize()} after {run.steps:,} steps. Settings: `config.yaml`.",
        _table(("", "result"), result_rows(run)),
        *(f"![{name}]({name})" for name in PICTURES if (run.folder.path / name).exists()),
        "## Settings", _table(("setting", "value"), _settings(config)),
        "## Made with", _table(("", ""), _made_with(about)),
        "## Recorded", _bags(about.get("bags", [])),
        "## Files", _table(("file", "what it is"), [(f"`{name}`", text) for name, text in run.folder.contents()]),
        "## Again", _again(run),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _settings(config: configs.TrainingConfig) -> list[tuple[str, str]]:
    """Those that decide most, and the hyperparameters that are not Stable-Baselines3's own defaults."""
    rows = [(name, str(value)) for name, value in vars(config).items() if name not in UNTOLD]
    own = configs.TrainingConfig(algorithm=config.algorithm, seed=config.seed, steps=2**31).hyperparameters
    told = {name: value for name, value in config.hyperparameters.items() if value != own.get(name)}
    return rows + [(f"hyperparameters.{name}", json.dumps(value)) for name, value in told.items()]


def _made_with(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    git, machine, environment = about["git"], about["machine"], about["environment"]
    rows = [("began", about["began"]), ("command", "`" + " ".join(about["command"]) + "`")]
    if git:
        changed = f", and {len(git['changed'])} files that differ" if git["changed"] else ""
        rows.append(("commit", f"`{git['commit']}`{changed}"))
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in about["versions"].items())))
    rows.append(("machine", f"{machine['host']}: {machine['cores']} x {machine['cpu']}, {machine['system']}"))
    told = {name: environment[name] for name in ("mode", "cycle_time", "num_envs", "spec_hash") if name in environment}
    rows.append(("environment", ", ".join(f"{name} {value}" for name, value in told.items()) or "in this process"))
    rows.append(("seeds", ", ".join(f"{name} {value}" for name, value in about["seeds"].items())))
    return rows


def _bags(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "No recorder was on the environment's ROS master."
    lines = [f"- `{bag}`" for each in found for bag in each["bags"]]
    others = [f"- {each['recorder']} on {each['master']}, in `{each['folder']}`" for each in found if not each["bags"]]
    return "\n".join(lines + others)


def _again(run: Trainer) -> str:
    folder = run.folder.shown
    return (f"```bash\nrosrun uniros train {folder}/config.yaml      # the same run\nrosrun uniros evaluate {folder}\n"
            f"rosrun uniros render {folder}\nrosrun uniros export {folder}\n```")


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    escaped = [(name, str(text).replace("|", "\\|")) for name, text in rows]
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {text} |" for name, text in escaped)])
