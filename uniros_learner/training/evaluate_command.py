"""`rosrun uniros evaluate RUN`: how good is a saved policy?"""

from __future__ import annotations

import argparse
import contextlib
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from uniros_learner.training import config as configs
from uniros_learner.training import target
from uniros_learner.training.episodes import EpisodeLog, Judged
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.run_folder import RunFolder
from uniros_learner.training.terminal import Terminal

if TYPE_CHECKING:
    from uniros_learner.training.agent import Agent
    from uniros_learner.training.config import EvaluationPlan
    from uniros_learner.training.precision import Precision
    from uniros_learner.training.target import Environment


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate", description="Run a saved policy, without exploration, on fresh goals."
    )
    parser.add_argument("run", type=Path, help="a run folder, or a policy file in one")
    target.add_options(parser)
    parser.add_argument("--episodes", type=int, help="default: as in the run's config")
    parser.add_argument("--seed", type=int, help="of the goals; default: those that the run ended with")
    parser.add_argument("--precision", action="store_true",
                        help="also pose accuracy and repeatability (ISO 9283): 10 approaches to each of 5 goals")
    parser.add_argument("--out", type=Path, metavar="CSV", help="also write each episode there, as training does")
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
    from uniros_learner.training.agent import Agent
    from uniros_learner.training.environments import for_policy
    from uniros_learner.training.evaluation import evaluate_shown
    from uniros_learner.training.policy_file import check_fits, load_policy, put_normalisation

    policy = load_policy(path, options.trust, config.algorithm)
    with contextlib.closing(place.open()) as env:
        venv = for_policy(policy, env, config)
        check_fits(policy, venv)
        put_normalisation(venv, path)
        episodes = evaluate_shown(policy, venv, plan, terminal)
        found = _precision(Agent(policy, venv), env, plan, terminal) if options.precision else []
        title = f"{config.algorithm.upper()} policy on {env.description.env_id}"
    if options.out:
        with EpisodeLog(options.out, Judged) as log:
            for episode in episodes:
                log.add(episode)
    terminal.say("\n" + report.evaluation_table(title, episodes, found))
    return 0


def _precision(agent: Agent, env: Environment, plan: EvaluationPlan, terminal: Terminal) -> list[Precision]:
    """Measured and shown, or said why not."""
    from uniros_learner.training import precision

    reason = precision.why_not(env)
    if reason:
        terminal.say(f"accuracy and repeatability: {reason}")
        return []
    total, done = precision.POSES * precision.REPEATS, count(1)
    with terminal.progress("repeating", f"{total} approaches", total) as display:
        return precision.measure(agent, env, plan.seed, on_episode=lambda: display.update(next(done), str))
