"""`rosrun uniros train` and the node of learner.launch: from a YAML file to a run folder."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from uniros_learner.training import config as configs
from uniros_learner.training import node, recordings, run_folder, target
from uniros_learner.training.catalogue import ALGORITHMS
from uniros_learner.training.command import INTERRUPTED
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.interrupt import Interrupt
from uniros_learner.training.joint import command as joint
from uniros_learner.training.run_folder import RunFolder
from uniros_learner.training.target import Target
from uniros_learner.training.terminal import Terminal

if TYPE_CHECKING:
    from uniros_learner.training.loops import Loop
    from uniros_learner.training.target import Environment

DEFAULT_CONFIG = "reach"
LAUNCH_PATIENCE = 60.0  # s: a launch file starts the env server at the same time
TRAINER = "uniros_learner.training.trainer"  # loads PyTorch: imported only when the user has been told what happens


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train", description="Train a policy. Ctrl-C saves what there is; a second Ctrl-C ends at once."
    )
    parser.add_argument("config", nargs="?",
                        help=f"YAML file, or the name of one in config/algorithms; default: {DEFAULT_CONFIG}")
    parser.add_argument("--algo", choices=ALGORITHMS, help="learn by this algorithm instead of the file's")
    target.add_several(parser)
    parser.add_argument("--loop", choices=("actors", "plain"), help="how several environments are gone through")
    parser.add_argument("--steps", type=int, help="steps at most; default: as in the file")
    parser.add_argument("--seed", type=int, help="of networks, exploration and goals; default: as in the file")
    parser.add_argument("--from-bag", metavar="BAG", action="append", default=[],
                        help="learn from this bag, or folder of bags, before the first step; may be repeated")
    parser.add_argument("--bag-updates", type=int, metavar="N",
                        help="gradient updates on the bags before the first step; default: one for each transition")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--run-dir", metavar="DIR", help="where everything is left; default: runs/NAME-TIME")
    where.add_argument("--resume", metavar="RUN", help="go on with the run in this folder, from its last checkpoint")
    parser.add_argument("--set", dest="changes", metavar="KEY=VALUE", action="append", default=[],
                        help="change a setting, for example hyperparameters.gamma=0.9; may be repeated")
    return parser


def read_config(options: argparse.Namespace) -> TrainingConfig:
    """The settings of file and options together. Raises InvalidConfig."""
    given = configs.changes({"steps": options.steps, "seed": options.seed, "joint.loop": options.loop})
    if options.resume:
        if options.config or options.algo:
            raise InvalidConfig("a run that is resumed has its settings: leave out the file's name and --algo")
        return configs.load(run_folder.existing(Path(options.resume)).config, [*options.changes, *given])
    path, algorithm = configs.find(options.config or DEFAULT_CONFIG)
    return configs.load(path, [*options.changes, *given], options.algo or algorithm)


def make_folder(options: argparse.Namespace, as_node: bool) -> RunFolder:
    """The run folder asked for, or runs/NAME-TIME in the directory of the shell: roslaunch changes a node's."""
    if options.resume:
        return run_folder.existing(Path(options.resume))
    if options.run_dir:
        return run_folder.create(Path(options.run_dir))
    here = Path(os.environ.get("PWD", ".")) if as_node else Path()
    return run_folder.create(run_folder.fresh(Path(options.config or DEFAULT_CONFIG).stem, here / "runs"))


def run(argv: list[str], terminal: Terminal) -> int:
    """The whole command; returns the exit code."""
    options = parser().parse_args(node.without_remappings(argv))
    if not node.is_node(argv):
        return learn(options, terminal, as_node=False)
    node.join(options)
    try:
        return learn(options, terminal, as_node=True)
    finally:
        node.leave()


def learn(options: argparse.Namespace, terminal: Terminal, as_node: bool) -> int:
    """Check everything, say what will happen, and do it; returns the exit code."""
    config = read_config(options)
    places = target.choose_all(options, config)
    if as_node:
        places = [dataclasses.replace(place, patience=LAUNCH_PATIENCE) for place in places]
    bags = bags_of(options, len(places) + len(config.joint.envs))
    folder = make_folder(options, as_node)
    if len(places) > 1 or config.joint.envs:
        return joint.learn(config, places, folder, terminal, as_node)
    (place,) = places
    start = time.monotonic()
    try:
        terminal.say(
            f"{config.algorithm.upper()} learns in {place}: up to {config.steps:,} steps, seed {config.seed}\n"
            f"run folder {folder.shown}"
        )
        loading = threading.Thread(target=importlib.import_module, args=(TRAINER,), daemon=True)
        loading.start()
        if place.num_envs > 1:
            loading.join()  # a batch is opened with PyTorch's help: two imports of it at once lock up
        with contextlib.closing(place.open()) as env, Interrupt() as interrupt:
            terminal.say(f"{env.description.env_id} is there after {time.monotonic() - start:.1f} s")
            if as_node:
                node.on_shutdown(interrupt.request)
            loading.join()
            loop = begin_with(bags, options.bag_updates, interrupt, terminal)
            return train(served(config, place, env), env, folder, interrupt, terminal, as_node, loop, place)
    finally:
        folder.drop_if_empty()


def served(config: TrainingConfig, place: Target, env: Environment) -> TrainingConfig:
    """The settings with the environment that is really there: the file may have named another."""
    if place.env_id == config.env_id:
        return config
    return dataclasses.replace(config, env_id=env.description.env_id, env_args={})


def bags_of(options: argparse.Namespace, places: int) -> list[Path]:
    """The bags to begin with. Raises InvalidConfig for those that are not there."""
    given = options.from_bag.split() if isinstance(options.from_bag, str) else options.from_bag  # text, of a node
    bags = [Path(bag) for bag in given]
    for bag in bags:
        if not bag.exists():
            raise InvalidConfig(f"--from-bag: there is no bag or folder {bag}")
    if bags and options.resume:
        raise InvalidConfig("a run that is resumed has begun already: leave out --from-bag")
    if bags and places > 1:
        raise InvalidConfig("--from-bag begins the training in one environment: name one, or leave it out")
    return bags


def begin_with(bags: list[Path], updates: int | None, interrupt: Interrupt, terminal: Terminal) -> Loop | None:
    """A way to learn that begins with bags; None without them."""
    if not bags:
        return None
    from uniros_learner.replay.offline import BagsFirst

    return BagsFirst(bags, updates, terminal, interrupt.requested)


def train(
    config: TrainingConfig, env: Environment, folder: RunFolder, interrupt: Interrupt, terminal: Terminal,
    as_node: bool, loop: Loop | None, place: Target,
) -> int:
    """Train, evaluate, and say how it went, however it ends; returns the exit code.

    A node says it in few words: whoever launched it shows the table, last of all.
    """
    from uniros_learner.training import report
    from uniros_learner.training.checkpoint import Checkpoint
    from uniros_learner.training.progress import of_trainer
    from uniros_learner.training.trainer import End, Trainer

    checkpoint = Checkpoint(folder.checkpoint) if folder.checkpoint.exists() else None
    began = time.time()
    trainer = Trainer(config, env, folder, terminal, interrupt.requested, loop, checkpoint,
                      callbacks=node.callbacks() if as_node else ())
    if checkpoint:
        terminal.say(f"goes on after step {trainer.steps:,}")
    try:
        with node.told(lambda: of_trainer(trainer), lambda: trainer.end) if as_node else contextlib.nullcontext():
            trainer.run()
    finally:
        if trainer.steps:
            table = trainer.describe(recordings.references(place.master_uri, place.ns, began))
            terminal.say(report.verdict(trainer) if as_node else "\n" + table)
    return INTERRUPTED if trainer.end is End.STOPPED else 0
