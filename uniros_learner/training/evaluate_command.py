"""`rosrun uniros evaluate RUN`: how good is a saved policy?"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from uniros_learner.training import config as configs
from uniros_learner.training import target
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.run_folder import RunFolder
from uniros_learner.training.terminal import Terminal


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate", description="Run a saved policy, without exploration, on fresh goals."
    )
    parser.add_argument("run", type=Path, help="a run folder, or a policy file in one")
    target.add_options(parser)
    parser.add_argument("--episodes", type=int, help="default: as in the run's config")
    parser.add_argument("--seed", type=int, help="of the goals; default: those that the run ended with")
    parser.add_argument("--trust", action="store_true",
                        help="open a Stable-Baselines3 zip, too: that runs whatever code somebody put into it")
    return parser


def find_policy(path: Path) -> tuple[Path, RunFolder]:
    """The policy file that is meant, and the run it belongs to. Raises InvalidConfig."""
    folder = RunFolder(path if path.is_dir() else path.parent)
    policy = folder.policy if path.is_dir() else path
    if not policy.is_file():
        raise InvalidConfig(f"there is no {policy}: give a run folder as train leaves it, or a policy file in one")
    return policy, folder


def run(argv: list[str], terminal: Terminal) -> int:
    """The whole command; returns the exit code."""
    options = parser().parse_args(argv[1:])
    path, folder = find_policy(options.run)
    given = {"evaluation.episodes": options.episodes, "evaluation.seed": options.seed}
    config = configs.load(folder.config, configs.changes(given))
    plan = config.evaluation
    place = target.choose(options, config.env_id, config.env_args, config.num_envs)
    terminal.say(f"{path} in {place}: {plan.episodes} fresh goals, seed {plan.seed}")

    # They load PyTorch: only now that the user has been told what happens.
    from uniros_learner.training import report
    from uniros_learner.training.environments import vectorise
    from uniros_learner.training.evaluation import evaluate_shown
    from uniros_learner.training.policy_file import check_fits, load_policy

    policy = load_policy(path, options.trust, config.algorithm)
    with contextlib.closing(place.open()) as env:
        venv = vectorise(env, config)
        check_fits(policy, venv)
        episodes = evaluate_shown(policy, venv, plan, terminal)
        title = f"{config.algorithm.upper()} policy on {env.description.env_id}"
    terminal.say("\n" + report.evaluation_table(title, episodes))
    return 0
