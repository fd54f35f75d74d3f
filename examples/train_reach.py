"""Training as a library: settings, a callback of one's own, and what comes out.

    python train_reach.py [algorithm] [steps]
"""

from __future__ import annotations

import sys

from stable_baselines3.common.callbacks import BaseCallback

import uniros_learner as uniros


class Refusals(BaseCallback):
    """Counts the steps that the safety gate did not carry out while the policy learnt."""

    count = 0

    def _on_step(self) -> bool:
        self.count += sum(bool(info["refusal"]) for info in self.locals["infos"])
        return True


def main(algorithm: str = "td3", steps: str = "10_000") -> None:
    refusals = Refusals()
    settings = {"algorithm": algorithm, "steps": int(steps), "evaluation": {"episodes": 20}}
    result = uniros.Trainer("reach", callbacks=[refusals], **settings).train()
    print(result.summary)
    print(f"{refusals.count} of {result.steps:,} steps were refused; the policy: {result.folder.policy}")


if __name__ == "__main__":
    main(*sys.argv[1:])
