"""Stable-Baselines3 as it is, on an environment behind ROS: nothing of uniros' training is needed.

    python plain_sb3.py [steps]
"""

from __future__ import annotations

import sys

import torch
from stable_baselines3 import SAC, HerReplayBuffer
from stable_baselines3.common.evaluation import evaluate_policy

import uniros_learner as uniros


def main(steps: str = "10_000") -> None:
    torch.set_num_threads(1)  # more only slow networks of this size down
    with uniros.make("RX200ReachGoalSim-v0") as env:  # Dict observations with goals, reward 0 or -1
        model = SAC(
            "MultiInputPolicy",
            env,
            learning_rate=1e-3,
            gamma=0.95,
            batch_size=128,
            learning_starts=min(1000, int(steps) // 2),  # an episode must have ended by then
            tau=0.01,
            replay_buffer_class=HerReplayBuffer,
            replay_buffer_kwargs={"n_sampled_goal": 4},
            policy_kwargs={"net_arch": [64, 64]},
            device="cpu",
            seed=0,
            verbose=1,
        )
        model.learn(int(steps))
        mean, spread = evaluate_policy(model, model.get_env(), n_eval_episodes=10)
        print(f"return of 10 episodes without exploration: {mean:.1f} +- {spread:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
