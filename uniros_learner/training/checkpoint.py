"""A checkpoint: all that decides how training goes on, in one safetensors file that is never there by half.

Networks, optimisers, replay buffer, normalisation, counters, random states, and where in its row of episodes the
environment is. Loading one runs no code of the file's.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import recursive_getattr
from stable_baselines3.common.vec_env import unwrap_vec_wrapper
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from uniros_learner.training import jax_models, tree
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.normalise import Normalise
from uniros_msgs import codec

FORMAT = "uniros checkpoint 2"
COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls", "_current_progress_remaining",
            "exploration_rate")  # of a model, as far as it has them


def write(path: Path, model: BaseAlgorithm, about: dict[str, Any]) -> None:
    """Put everything about `model` into the file, and `about`, which JSON must be able to hold.

    The old file is there until the new one is, on the disk and whole. Raises OSError.
    """
    layout, arrays = tree.flatten({"model": _model_state(model), "moment": _moment(model)})
    partial = path.with_name(f".{path.name}.part")
    save_file(arrays, partial, {"format": FORMAT, "layout": layout, "about": json.dumps(about)})
    partial.chmod(0o644)  # as the other files of a run
    _to_disk(partial)
    os.replace(partial, path)
    _to_disk(path.parent)


class Checkpoint:
    """One that was written. Raises InvalidConfig when there is none, or it is damaged."""

    def __init__(self, path: Path):
        try:
            with safe_open(path, framework="np") as file:
                said = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            if said.get("format") != FORMAT:
                raise ValueError(f"its format is {said.get('format')!r}, expected {FORMAT!r}")
            state = tree.build(said["layout"], arrays)
            self.about: dict[str, Any] = json.loads(said["about"])
            self._model, self._moment = state["model"], state["moment"]
        except FileNotFoundError as error:
            raise InvalidConfig(f"there is no {path}: that run had not come to its first checkpoint") from error
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidConfig(f"{path} is no checkpoint that can be gone on from: {error}") from error

    def put_into(self, model: BaseAlgorithm) -> None:
        """Networks, optimisers, counters and replay buffer. Raises InvalidConfig when the model is another one."""
        try:
            model.set_parameters(self._model["parameters"])
            for name, value in self._model["variables"].items():
                recursive_getattr(model, name).data.copy_(value)
            for name, value in self._model["counters"].items():
                setattr(model, name, value)
            if self._model["jax"]:
                jax_models.put(model, self._model["jax"])
            for buffer, saved in zip(_buffers_of(model), self._model["buffers"], strict=True):
                _put_buffer(buffer, saved)
        except (ValueError, KeyError, RuntimeError, AttributeError) as error:
            raise InvalidConfig(f"the checkpoint does not fit these settings: {error}") from error

    def put_moment(self, model: BaseAlgorithm) -> None:
        """What every draw and every step changes, at the very place in the loop where it was taken."""
        random.setstate(self._moment["python"])
        np.random.set_state(self._moment["numpy"])
        torch.set_rng_state(self._moment["torch"])
        model.action_space.np_random.bit_generator.state = self._moment["actions"]
        for name, value in self._moment["exploration"].items():
            setattr(_distribution(model), name, value)
        normalise = _normalisation(model)
        if normalise:
            normalise.put(self._moment["normalise"])
            seen: Any = normalise.normalize_obs(normalise.get_original_obs())
            model._last_obs = seen


def cut_episodes(model: BaseAlgorithm) -> None:
    """Mark in the replay buffer that what follows belongs to other episodes; the last state keeps its worth."""
    buffer = getattr(model, "replay_buffer", None)
    if not isinstance(buffer, ReplayBuffer) or not (buffer.pos or buffer.full):
        return
    last = buffer.pos - 1
    buffer.timeouts[last, buffer.dones[last] == 0] = 1
    if isinstance(buffer, HerReplayBuffer):
        for row in np.flatnonzero(buffer._current_ep_start != buffer.pos):
            buffer.dones[last, row] = 1
            buffer._compute_episode_length(int(row))


# --- the parts --------------------------------------------------------------------------------------------------------


def _model_state(model: BaseAlgorithm) -> dict[str, Any]:
    _, variables = model._get_torch_save_params()
    return {
        "parameters": model.get_parameters(),
        "variables": {name: recursive_getattr(model, name) for name in variables},
        "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        "jax": jax_models.state(model) if jax_models.is_jax(model) else {},
        "buffers": [_buffer_state(buffer) for buffer in _buffers_of(model)],
    }


def _moment(model: BaseAlgorithm) -> dict[str, Any]:
    found = _distribution(model)
    names = [name for name in ("exploration_mat", "exploration_matrices") if hasattr(found, name)]
    normalise = _normalisation(model)
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "actions": model.action_space.np_random.bit_generator.state,
        "exploration": {name: getattr(found, name) for name in names},
        "normalise": normalise.statistics() if normalise else {},
    }


def _normalisation(model: BaseAlgorithm) -> Normalise | None:
    venv = model.get_env()
    return unwrap_vec_wrapper(venv, Normalise) if venv else None


def _distribution(model: BaseAlgorithm) -> Any:
    """What draws the actions of a policy that explores by state-dependent noise, or None."""
    acting = getattr(model.policy, "actor", None) or model.policy
    return getattr(acting, "action_dist", None) if getattr(model, "use_sde", False) else None


def _buffers_of(model: BaseAlgorithm) -> Sequence[BaseBuffer]:
    """What it learns from: one buffer, one for each domain in a joint run, or none that outlasts an update."""
    if not isinstance(model, OffPolicyAlgorithm):
        return []
    return getattr(model.replay_buffer, "parts", [model.replay_buffer])


def _buffer_state(buffer: BaseBuffer) -> dict[str, Any]:
    """Its arrays as far as they are filled, and the two numbers that say how far that is."""
    filled = buffer.buffer_size if buffer.full else min(buffer.pos + 1, buffer.buffer_size)
    state: dict[str, Any] = {"pos": buffer.pos, "full": buffer.full, "filled": filled, "arrays": {}}
    for name, array in _arrays_of(buffer).items():
        state["arrays"][name] = array[:filled] if len(array) == buffer.buffer_size else array
    if isinstance(buffer, HerReplayBuffer) and buffer.copy_info_dict:
        state["infos"] = np.frombuffer(codec.dumps(buffer.infos[:filled].tolist()), np.uint8)
    return state


def _put_buffer(buffer: BaseBuffer, state: dict[str, Any]) -> None:
    arrays = _arrays_of(buffer)
    if arrays.keys() != state["arrays"].keys():
        raise ValueError(f"its buffer holds {', '.join(state['arrays'])}, this one {', '.join(arrays)}")
    for name, saved in state["arrays"].items():
        if len(saved) > len(arrays[name]) or saved.shape[1:] != arrays[name].shape[1:]:
            raise ValueError(f"{name} of its buffer is {saved.shape}, of this one {arrays[name].shape}")
        arrays[name][: len(saved)] = saved
    if isinstance(buffer, HerReplayBuffer) and "infos" in state:
        rows, _ = codec.loads(state["infos"].tobytes())
        for number, row in enumerate(rows):
            buffer.infos[number] = row
    buffer.pos, buffer.full = state["pos"], state["full"]


def _arrays_of(buffer: BaseBuffer) -> dict[str, np.ndarray]:
    """Every array of numbers by name, those of Dict observations by name and key."""
    found: dict[str, np.ndarray] = {}
    for name, value in vars(buffer).items():
        parts = {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        found |= {key: part for key, part in parts.items() if isinstance(part, np.ndarray) and part.dtype != object}
    return found


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
