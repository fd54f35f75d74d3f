"""Learning from bags before, or instead of, any step of an environment. Importing this loads PyTorch."""

from __future__ import annotations

from collections.abc import Callable

from stable_baselines3.common.logger import configure
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from uniros_learner.replay.buffers import Source, fill
from uniros_msgs.errors import MalformedData

SLICE = 50  # updates between two looks at whether to stop


def warm_start(model: OffPolicyAlgorithm, source: Source, updates: int, actions: str = "requested",
               progress: Callable[[int], None] = lambda done: None, stop: Callable[[], bool] = lambda: False) -> int:
    """Fill the model's replay buffer from bags and train on it; returns how many transitions there were.

    updates: gradient updates, each on one batch, before the first step of an environment. Afterwards the model acts by
    its policy at once, whatever its learning_starts was; `model.learn` goes on from there, with the bags' transitions
    in its buffer. progress: told the updates done so far. source and actions: as `fill` has them.
    Raises MalformedData when there is nothing to learn from, and what `fill` raises.
    """
    buffer = model.replay_buffer
    assert buffer is not None
    count = fill(buffer, source, actions)
    if count == 0:
        raise MalformedData("there are no transitions in the bags to learn from")
    if not hasattr(model, "_logger"):  # model.learn makes one, training by itself does not
        model.set_logger(configure(None, []))
    model.learning_starts = 0
    done = 0
    while done < updates and not stop():
        some = min(SLICE, updates - done)
        model.train(gradient_steps=some, batch_size=model.batch_size)
        done += some
        progress(done)
    return count
