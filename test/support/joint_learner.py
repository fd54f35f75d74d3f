"""A learner that plays in environments by turns, and says what it saw: python -m joint_learner SEED EPISODES URI..."""

from __future__ import annotations

import hashlib
import sys

import numpy as np

import uniros_learner as uniros


def play(env: uniros.MultiTaskEnv, seed: int, episodes: int) -> str:
    """A digest of all observations and rewards; actions and choice come from the seed."""
    rng, seen = np.random.default_rng(seed), hashlib.sha256()
    for number in range(episodes):
        observation, _ = env.reset(seed=seed if number == 0 else None)
        ended = False
        while not ended:
            action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
            observation, reward, terminated, truncated, info = env.step(action)
            assert not info.get("broken"), info
            seen.update(np.asarray(observation).tobytes() + np.float64(reward).tobytes())
            ended = terminated or truncated
    return seen.hexdigest()


def main() -> None:
    seed, episodes, *masters = sys.argv[1:]
    with uniros.MultiTaskEnv([uniros.connect(uri, "/arm") for uri in masters], choice="round_robin") as env:
        print("ready", flush=True)
        sys.stdin.readline()
        digest = play(env, int(seed), int(episodes))
        print(digest, *(status.steps for status in env.status()), flush=True)


if __name__ == "__main__":
    main()
