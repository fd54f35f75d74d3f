"""`rosrun uniros render RUN`: a film of what a saved policy does, drawn without a screen."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from uniros_learner.api import make
from uniros_learner.training import config as configs
from uniros_learner.training.evaluate_command import find_policy
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.terminal import Terminal

if TYPE_CHECKING:
    from uniros_learner.env import RosEnv
    from uniros_learner.training.agent import Agent

KINDS = (".mp4", ".gif")
PAUSE = 0.5  # s that the last picture of an episode stays


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="render", description="Film a saved policy, without exploration.")
    parser.add_argument("run", type=Path, help="a run folder, or a policy file in one")
    parser.add_argument("--env", metavar="ID", help="in this environment; default: the one it was trained in")
    parser.add_argument("--episodes", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seed", type=int, help="of the goals; default: those that the run ended with")
    parser.add_argument("--out", type=Path, metavar="FILE", help="an .mp4 or .gif; default: RUN/rollout.mp4")
    parser.add_argument("--trust", action="store_true",
                        help="open a Stable-Baselines3 zip, too: that runs whatever code somebody put into it")
    return parser


def run(argv: list[str], terminal: Terminal) -> int:
    """The whole command; returns the exit code."""
    options = parser().parse_args(argv[1:])
    path, folder = find_policy(options.run)
    target = options.out or folder.path / "rollout.mp4"
    if target.suffix not in KINDS:
        raise InvalidConfig(f"--out {target}: expected a name that ends in {' or '.join(KINDS)}")
    if options.episodes < 1:
        raise InvalidConfig(f"--episodes {options.episodes}: expected 1 or more")
    config = configs.load(folder.config)
    env_id = options.env or config.env_id
    env_args = config.env_args if env_id == config.env_id else {}
    seed = config.evaluation.seed if options.seed is None else options.seed
    terminal.say(f"{path} in {env_id} on a private ROS master: {options.episodes} episodes, seed {seed}")
    os.environ.setdefault("MUJOCO_GL", "egl")  # for the env server: without a screen, on the CPU

    from uniros_learner.training.agent import Agent
    from uniros_learner.training.environments import for_policy, limited
    from uniros_learner.training.policy_file import check_fits, load_policy, put_normalisation

    policy = load_policy(path, options.trust, config.algorithm)
    with contextlib.closing(make(env_id, render_mode="rgb_array", **env_args)) as env:
        venv = for_policy(policy, env, config)
        check_fits(policy, venv)
        put_normalisation(venv, path)
        rate = frame_rate(env)
        with terminal.progress("filming", f"{options.episodes} episodes", options.episodes) as display:
            frames = film(Agent(policy, venv), limited(env, config), options.episodes, seed, rate,
                          lambda done: display.update(done, str))
            write(target, frames, rate)
    terminal.say(f"{target}  {target.stat().st_size / 1e6:.1f} MB")
    return 0


def frame_rate(env: RosEnv) -> float:
    """Hz at which the film shows the arm as fast as it moves; one picture is drawn for each step."""
    cycle_time = env.description.cycle_time
    return 1.0 / cycle_time if cycle_time else float(env.metadata.get("render_fps", 30))


def film(agent: Agent, env: gymnasium.Env, episodes: int, seed: int, rate: float, on_episode: Callable[[int], None]
         ) -> Iterator[np.ndarray]:
    """(height, width, 3) uint8 pictures of one episode after the other."""
    for number in range(episodes):
        observation, _ = env.reset(seed=seed + number)
        picture: Any = env.render()
        yield picture
        over = False
        while not over:
            observation, _, terminated, truncated, _ = env.step(agent.act(observation))
            picture = env.render()
            yield picture
            over = bool(terminated or truncated)
        for _ in range(round(PAUSE * rate)):
            yield picture
        on_episode(number + 1)


def write(path: Path, frames: Iterator[np.ndarray], rate: float) -> None:
    """A film of them, which is not there by half."""
    import imageio.v2 as images

    partial = path.with_name(f".part.{path.name}")
    mp4: dict[str, Any] = {"fps": rate, "codec": "libx264", "macro_block_size": 2}
    settings: dict[str, Any] = mp4 if path.suffix == ".mp4" else {"duration": 1000.0 / rate, "loop": 0}
    writer: Any = images.get_writer(partial, **settings)
    with writer as written:
        for frame in frames:
            written.append_data(frame)
    os.replace(partial, path)
