"""Learning from bags before, or instead of, any step of an environment. Importing this loads PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from uniros_learner.replay.buffers import Source, fill
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.loops import Loop, StepLoop
from uniros_learner.training.terminal import Terminal
from uniros_msgs.errors import MalformedData

SLICE = 50  # updates between two looks at whether to stop


def warm_start(model: OffPolicyAlgorithm, source: Source, updates: int | None = None, actions: str = "requested",
               progress: Callable[[int], None] = lambda done: None, stop: Callable[[], bool] = lambda: False) -> int:
    """Fill the model's replay buffer from bags and train on it; returns how many transitions there were.

    updates: gradient updates, each on one batch, before the first step of an environment; None: one per transition.
    Afterwards the model acts by its policy at once, whatever its learning_starts was; `model.learn` goes on from there,
    with the bags' transitions in its buffer. progress: told the updates done so far. source and actions: as `fill`.
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
    done, wanted = 0, count if updates is None else updates
    while done < wanted and not stop():
        some = min(SLICE, wanted - done)
        model.train(gradient_steps=some, batch_size=model.batch_size)
        done += some
        progress(done)
    return count


class BagsFirst:
    """A way to learn that begins with bags, and then goes on as another does; see `uniros_learner.training.loops`."""

    def __init__(self, bags: list[Path], updates: int | None, terminal: Terminal,
                 stop: Callable[[], bool] = lambda: False, then: Loop | None = None) -> None:
        """updates: as `warm_start` has them. stop: asked now and then whether the user wants an end."""
        self._bags, self._updates = bags, updates
        self._terminal, self._stop, self._then = terminal, stop, then or StepLoop()

    def learn(self, model: BaseAlgorithm, steps: int, callbacks: list[BaseCallback], first: bool) -> None:
        """See `Loop.learn`. Raises InvalidConfig for an algorithm without a replay buffer, or bags that do not fit."""
        if first:
            self._begin(model)
        if not self._stop():
            self._then.learn(model, steps, callbacks, first)

    def _begin(self, model: BaseAlgorithm) -> None:
        if not isinstance(model, OffPolicyAlgorithm):
            raise InvalidConfig(f"{type(model).__name__} learns from its own steps only: bags are for algorithms with "
                                "a replay buffer, such as TD3 or SAC")
        try:
            count = warm_start(model, self._bags, self._updates, stop=self._stop)
        except (MalformedData, OSError) as error:
            raise InvalidConfig(f"these bags cannot be learnt from: {error}") from error
        self._terminal.say(f"{count:,} transitions from bags, {model._n_updates:,} updates before the first step")
