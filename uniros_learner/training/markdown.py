"""report.md: a run on one page, with its pictures, for those who were not there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from uniros_learner.training import config as configs
from uniros_learner.training.run_folder import RunFolder

PICTURES = ("learning_curve.png", "evaluation.png")
TOLD = ("mode", "cycle_time", "num_envs", "spec_hash")  # of an environment
UNTOLD = ("hyperparameters", "env_args", "joint", "early_stop", "checkpoints", "evaluation")


def report(where: str, outcome: str, head: Sequence[str], results: Sequence[Sequence[str]],
           config: configs.TrainingConfig, about: Mapping[str, Any], folder: RunFolder) -> str:
    """The whole page.

    where: the policy learnt. outcome: half a sentence. head, results: of a table. about: what `provenance.collect`
    found, and `bags`; a joint run has an `environment` for each domain in it, by name.
    """
    parts = [
        f"# {config.algorithm.upper()} on {where}, seed {config.seed}",
        f"{outcome[:1].upper()}{outcome[1:]}. Settings: `config.yaml`.",
        _table(head, results),
        *(f"![{name}]({name})" for name in PICTURES if (folder.path / name).exists()),
        "## Settings", _table(("setting", "value"), _settings(config)),
        "## Made with", _table(("", ""), _made_with(about)),
        "## Recorded", _bags(about.get("bags", [])),
        "## Files", _table(("file", "what it is"), [(f"`{name}`", text) for name, text in folder.contents()]),
        "## Again", _again(folder),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _settings(config: configs.TrainingConfig) -> list[tuple[str, str]]:
    """Those that decide most, and the hyperparameters that are not Stable-Baselines3's own defaults."""
    rows = [(name, str(value)) for name, value in vars(config).items() if name not in UNTOLD]
    own = configs.TrainingConfig(algorithm=config.algorithm, seed=config.seed, steps=2**31).hyperparameters
    told = {name: value for name, value in config.hyperparameters.items() if value != own.get(name)}
    return rows + [(f"hyperparameters.{name}", json.dumps(value)) for name, value in told.items()]


def _made_with(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    git, machine = about["git"], about["machine"]
    rows = [("began", about["began"]), ("command", "`" + " ".join(about["command"]) + "`")]
    if git:
        changed = f", and {len(git['changed'])} files that differ" if git["changed"] else ""
        rows.append(("commit", f"`{git['commit']}`{changed}"))
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in about["versions"].items())))
    rows.append(("machine", f"{machine['host']}: {machine['cores']} x {machine['cpu']}, {machine['system']}"))
    found = about["environment"]
    environments = {"environment": found} if "action_space" in found else found
    rows += [(name, _told(each)) for name, each in environments.items()]
    rows.append(("seeds", ", ".join(f"{name} {value}" for name, value in about["seeds"].items())))
    return rows


def _told(environment: Mapping[str, Any]) -> str:
    told = [f"{name} {environment[name]}" for name in TOLD if name in environment]
    return ", ".join(told) or "in this process"


def _bags(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "No recorder was on the environment's ROS master."
    lines = [f"- `{bag}`" for each in found for bag in each["bags"]]
    others = [f"- {each['recorder']} on {each['master']}, in `{each['folder']}`" for each in found if not each["bags"]]
    return "\n".join(lines + others)


def _again(folder: RunFolder) -> str:
    name = folder.shown
    return (f"```bash\nrosrun uniros train {name}/config.yaml      # the same run\nrosrun uniros evaluate {name}\n"
            f"rosrun uniros render {name}\nrosrun uniros export {name}\n```")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
