"""A learner that trains without end, in its own environment: the load beside which a real arm must keep its times.

`python -m busy_learner`; says "training" once the gradient steps have begun.
"""

from __future__ import annotations

import torch
from stable_baselines3 import TD3
from stable_baselines3.common.callbacks import BaseCallback

import uniros_learner as uniros

BEGUN = 400  # steps


class Report(BaseCallback):
    """Says once that training is under way."""

    def _on_step(self) -> bool:
        if self.num_timesteps == BEGUN:
            print("training", flush=True)
        return True


if __name__ == "__main__":
    torch.set_num_threads(1)  # as config/algorithms/td3_reach.yaml
    with uniros.make("RX200ReachSim-v0") as env:
        model = TD3("MlpPolicy", env, learning_starts=300, batch_size=128, policy_kwargs={"net_arch": [64, 64]})
        model.learn(10**9, callback=Report())
