"""Batches behind env servers as a Stable-Baselines3 `VecEnv`. Importing this loads PyTorch, too.

    from uniros_learner.sb3 import make_vec_env
    PPO("MlpPolicy", make_vec_env("RX200ReachSim-v0", 64)).learn(100_000)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import accumulate
from typing import Any, TypeVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from uniros_learner.api import make_vec
from uniros_learner.vector import RosVectorEnv

T = TypeVar("T")


def make_vec_env(env_id: str, n_envs: int, servers: int = 1, **kwargs: Any) -> RosVecEnv:
    """Start env servers that share `n_envs` environments evenly; `kwargs` as `uniros_learner.make_vec` has."""
    if not 1 <= servers <= n_envs:
        raise ValueError(f"{n_envs} environments can be served by 1 to {n_envs} servers, not by {servers}")
    shares = [n_envs // servers + (number < n_envs % servers) for number in range(servers)]
    with ExitStack() as failing:
        batches = [failing.enter_context(make_vec(env_id, share, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs))
                   for share in shares]
        venv = RosVecEnv(batches)
        failing.pop_all()
    return venv


class RosVecEnv(VecEnv):
    """One batch, or several of equal spaces one below the other. Steps of different servers overlap.

    As with Stable-Baselines3's own, a row that ends is begun anew at once, `infos[row]` is that of its last step with
    "terminal_observation" and "TimeLimit.truncated", and what the reset told is in `reset_infos[row]`. What a server
    raises is raised after all of them have answered, so that the next reset finds none of them busy.
    """

    def __init__(self, batches: RosVectorEnv | Sequence[RosVectorEnv]):
        """Takes over the batches: `close()` closes them. Raises ValueError when they do not fit together or for SB3."""
        self._batches = [batches] if isinstance(batches, RosVectorEnv) else list(batches)
        first = self._batches[0]
        self.description = first.description
        for batch in self._batches:
            if batch.metadata["autoreset_mode"] is not AutoresetMode.SAME_STEP:
                raise ValueError(f"{batch} resets its rows in mode {batch.metadata['autoreset_mode'].value!r}; "
                                 'Stable-Baselines3 needs autoreset_mode="SameStep"')
            if (batch.single_observation_space, batch.single_action_space) != (
                    first.single_observation_space, first.single_action_space):
                raise ValueError(f"{batch} has other spaces than {first}")
        ends = list(accumulate(batch.num_envs for batch in self._batches))
        self._parts = [slice(end - batch.num_envs, end) for end, batch in zip(ends, self._batches, strict=True)]
        self._pending = False
        super().__init__(ends[-1], first.single_observation_space, first.single_action_space)

    # --- VecEnv -------------------------------------------------------------------------------------------------------

    def reset(self) -> VecEnvObs:
        """As `VecEnv.reset`, with the seeds and options set before. Options must be the same for all rows of a server.

        A step under way is waited for, and what it says is dropped.
        """
        if self._pending:
            self._collect(RosVectorEnv.step_wait)
        said = self._collect(lambda batch: batch.reset(**self._plan(self._part_of(batch))))
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [row for batch, (_, infos) in zip(self._batches, said, strict=True)
                            for row in rows_of(infos, batch.num_envs)]
        return _joined([observations for observations, _ in said])

    def step_async(self, actions: np.ndarray) -> None:
        """Send each server its share of the actions."""
        self._pending = True
        try:
            for batch, part in zip(self._batches, self._parts, strict=True):
                batch.step_async(actions[part])
        except BaseException:
            self._pending = False
            for batch in self._batches:
                if batch.stepping:
                    batch.step_wait()
            raise

    def step_wait(self) -> VecEnvStepReturn:
        """Observations, (n,) float32 rewards, (n,) dones, and an info per row."""
        said = self._collect(RosVectorEnv.step_wait)
        infos: list[dict[str, Any]] = []
        for part, (_, _, terminated, truncated, batch_infos) in zip(self._parts, said, strict=True):
            infos += self._told(part, terminated, truncated, batch_infos)
        rewards = np.concatenate([each[1] for each in said]).astype(np.float32)
        dones = np.concatenate([each[2] | each[3] for each in said])
        return _joined([each[0] for each in said]), rewards, dones, infos

    def close(self) -> None:
        """Close all batches."""
        for batch in self._batches:
            batch.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A picture of each row."""
        return [picture for batch in self._batches for picture in batch.render() or [None] * batch.num_envs]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each row. Raises NotReachable, an AttributeError, for one that is not offered."""
        if attr_name == "render_mode":
            return [self._batches[0].render_mode for _ in self._get_indices(indices)]
        return self._of_rows(indices, lambda batch, rows: batch.get_attr(attr_name, rows))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Give an attribute of each row the same value."""
        def give(batch: RosVectorEnv, rows: list[int]) -> list[int]:
            batch.set_attr(attr_name, [value] * len(rows), rows)
            return rows

        self._of_rows(indices, give)

    def env_method(self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
                   ) -> list[Any]:
        """Call a method of each row."""
        return self._of_rows(
            indices, lambda batch, rows: batch.call(method_name, *method_args, rows=rows, **method_kwargs))

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """False for each: wrappers of this process cannot be around environments of another."""
        return [False for _ in self._get_indices(indices)]

    # --- the parts ----------------------------------------------------------------------------------------------------

    def _collect(self, ask: Callable[[RosVectorEnv], T]) -> list[T]:
        """What every batch answers; the first error is raised when all have."""
        self._pending = False
        answers: list[T] = []
        errors: list[Exception] = []
        for batch in self._batches:
            try:
                answers.append(ask(batch))
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)
        if errors:
            raise errors[0]
        return answers

    def _part_of(self, batch: RosVectorEnv) -> slice:
        return self._parts[self._batches.index(batch)]

    def _plan(self, part: slice) -> dict[str, Any]:
        """Arguments of a batch's reset."""
        seeds, options = self._seeds[part], self._options[part]
        if any(each != options[0] for each in options):
            raise ValueError("the rows of one server are reset with the same options: set_options({...}), not a list")
        return {"seed": None if all(seed is None for seed in seeds) else seeds, "options": options[0] or None}

    def _told(self, part: slice, terminated: Any, truncated: Any, infos: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The rows' infos as Stable-Baselines3 has them."""
        count = len(terminated)
        last = infos.pop("final_info", {})
        final = infos.pop("final_obs", [None] * count)
        infos.pop("_final_info", None), infos.pop("_final_obs", None)
        rows = rows_of(infos, count)
        ended = rows_of(last, count) if last else rows
        for row, (end, late) in enumerate(zip(terminated.tolist(), truncated.tolist(), strict=True)):
            info = rows[row]
            if end or late:
                self.reset_infos[part.start + row] = info
                info = {**ended[row], "terminal_observation": final[row]}
            yield info | {"TimeLimit.truncated": late and not end}

    def _of_rows(self, indices: VecEnvIndices, ask: Callable[[RosVectorEnv, list[int]], Iterable[Any]]) -> list[Any]:
        """What the batches answer for the rows asked for, in that order."""
        wanted = list(self._get_indices(indices))
        found: dict[int, Any] = {}
        for batch, part in zip(self._batches, self._parts, strict=True):
            mine = [row for row in wanted if part.start <= row < part.stop]
            if mine:
                found |= zip(mine, ask(batch, [row - part.start for row in mine]), strict=True)
        return [found[row] for row in wanted]


def rows_of(infos: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """A batch's infos as one dict per row; each has the keys that gymnasium's masks say it has."""
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    for key, value in infos.items():
        mask = infos.get(f"_{key}")
        if mask is None:  # a mask itself, or what is not told by row
            continue
        values = rows_of(value, count) if isinstance(value, dict) else value.tolist() if value.ndim == 1 else value
        if mask.all():
            for row, each in zip(rows, values, strict=True):
                row[key] = each
        else:
            for number in np.flatnonzero(mask):
                rows[number][key] = values[number]
    return rows


def _joined(parts: list[Any]) -> Any:
    """Observations of several batches one below the other."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], dict):
        return {key: _joined([part[key] for part in parts]) for key in parts[0]}
    if isinstance(parts[0], tuple):
        return tuple(_joined(list(each)) for each in zip(*parts, strict=True))
    return np.concatenate(parts)
