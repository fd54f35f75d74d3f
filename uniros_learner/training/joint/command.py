"""`rosrun uniros train` with several environments: from settings and places to a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from uniros_learner.env import RosEnv
from uniros_learner.training import node, recordings
from uniros_learner.training.command import INTERRUPTED
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.interrupt import Interrupt
from uniros_learner.training.run_folder import RunFolder
from uniros_learner.training.target import Target
from uniros_learner.training.terminal import Terminal

if TYPE_CHECKING:
    from uniros_learner.training.joint.run import JointRun

RUN = "uniros_learner.training.joint.run"  # loads PyTorch: imported only when the user has been told what happens


def learn(config: TrainingConfig, places: Sequence[Target], folder: RunFolder, terminal: Terminal, as_node: bool
          ) -> int:
    """Say what will happen, and do it; returns the exit code. Raises InvalidConfig, and what `make`, `connect` do."""
    config.joint.check(len(places))
    start = time.monotonic()
    try:
        terminal.say(
            f"{config.algorithm.upper()} learns in {' and '.join(map(str, places))}: up to {config.joint.seconds:g} s, "
            f"{config.steps:,} steps, seed {config.seed}\nrun folder {folder.shown}"
        )
        loading = threading.Thread(target=importlib.import_module, args=(RUN,), daemon=True)
        loading.start()
        envs = open_all(places)
        with Interrupt() as interrupt:
            there = "".join(f"\n  {env.description.env_id} at {env._link.address}" for env in envs)
            terminal.say(f"all there after {time.monotonic() - start:.1f} s{there}")
            if as_node:
                node.on_shutdown(interrupt.request)
            loading.join()  # two imports of PyTorch at once leave half of it
            from uniros_learner.training.checkpoint import Checkpoint
            from uniros_learner.training.joint.run import JointRun
            from uniros_learner.training.progress import of_joint

            checkpoint = Checkpoint(folder.checkpoint) if folder.checkpoint.exists() else None
            run = JointRun(served(config, places, envs), envs, folder, terminal, interrupt.requested, checkpoint)
            if checkpoint:
                terminal.say(f"goes on after step {run.steps:,}")
            with node.told(lambda: of_joint(run), lambda: run.end) if as_node else contextlib.nullcontext():
                return carry_out(run, terminal, places)
    finally:
        folder.drop_if_empty()


def open_all(places: Sequence[Target]) -> list[RosEnv]:
    """The environments, opened side by side. Raises what the first of them raises that fails; then none stays open."""
    with ThreadPoolExecutor(len(places)) as pool:
        jobs = [pool.submit(place.open) for place in places]
    failed = [error for job in jobs if (error := job.exception())]
    envs = [job.result() for job in jobs if not job.exception()]
    if failed:
        for env in envs:
            env.close()
        raise failed[0]
    assert all(isinstance(env, RosEnv) for env in envs)
    return envs  # type: ignore[return-value]


def served(config: TrainingConfig, places: Sequence[Target], envs: Sequence[RosEnv]) -> TrainingConfig:
    """The settings with the environments that are really there: the file may have named others."""
    ids = tuple(env.description.env_id for env in envs)
    asked = ids == config.joint.envs and all(place.env_id for place in places)
    return dataclasses.replace(config, env_id=ids[0], env_args=config.env_args if asked else {},
                               joint=dataclasses.replace(config.joint, envs=ids))


def carry_out(run: JointRun, terminal: Terminal, places: Sequence[Target]) -> int:
    """Train, evaluate, and say how it went, however it ends; returns the exit code."""
    from uniros_learner.training.joint.loop import End

    began = time.time()
    try:
        run.run()
    finally:
        if run.steps:
            bags = [bag for place in places for bag in recordings.references(place.master_uri, place.ns, began)]
            terminal.say("\n" + run.describe(bags))
        run.close()
    return INTERRUPTED if run.end is End.STOPPED else 0
