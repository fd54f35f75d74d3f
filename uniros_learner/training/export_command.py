"""`rosrun uniros export RUN`: the policy of a run as ONNX and as safetensors, for those without learning libraries."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gymnasium import spaces as gs

from uniros_learner.training import config as configs
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.run_folder import RunFolder, replace
from uniros_learner.training.terminal import Terminal
from uniros_msgs import spaces
from uniros_msgs.policy import Policy


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="export",
        description="Write RUN/export/policy.onnx and policy.safetensors. Both hold weights, observation and action "
                    "spaces, and act as the policy does without exploration.",
    )
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--best", action="store_true", help="the best policy of the run instead of the last one")
    return parser


def run(argv: list[str], terminal: Terminal) -> int:
    """The whole command; returns the exit code."""
    options = parser().parse_args(argv[1:])
    folder = RunFolder(options.run)
    source = folder.best_actor if options.best else folder.actor
    if not source.is_file():
        raise InvalidConfig(f"there is no {source}: expected the folder of a run whose policy can be sent to an env "
                            "server (report.md says so where it cannot)")
    for path in export(source, folder):
        terminal.say(f"{path}  {path.stat().st_size:,} bytes")
    return 0


def export(source: Path, folder: RunFolder) -> list[Path]:
    """Write both files; where they are. Raises InvalidPolicy."""
    from uniros_learner.training.nudging import nudges
    from uniros_learner.training.onnx_file import to_onnx

    config = configs.load(folder.config)
    raw = source.read_bytes()
    policy = Policy.load(raw)
    about = {"algorithm": config.algorithm, "env_id": config.env_id}
    table = None
    acted_in = json.loads(folder.about.read_text())["environment"]["action_space"]
    offered = spaces.build(acted_in)
    if isinstance(policy.action_space, gs.Discrete) and isinstance(offered, gs.Box):  # what a choice does
        table, about["action_space"] = nudges(offered, config.nudge), acted_in
    target = folder.path / "export"
    target.mkdir(exist_ok=True)
    replace(target / "policy.onnx", to_onnx(policy, about, table))
    replace(target / "policy.safetensors", raw)
    return [target / "policy.onnx", target / "policy.safetensors"]
