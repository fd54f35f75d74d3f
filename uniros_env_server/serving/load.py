"""From a name to an environment, or to a batch of them: a registered gymnasium id, or `module:Class`."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from uniros_env_server import registration
from uniros_msgs.errors import StartFailed


def load(env_id: str, kwargs: dict[str, Any]) -> gymnasium.Env:
    """The environment `env_id` names, built with `kwargs`.

    Raises StartFailed, with the nearest known id, for a wrong name.
    """
    env = _found(env_id, lambda: _one(env_id, kwargs))
    if not isinstance(env, gymnasium.Env):
        raise StartFailed(f"{env_id!r} gave a {type(env).__name__}, not a gymnasium.Env")
    return env


def load_batch(env_id: str, num_envs: int, autoreset_mode: str, kwargs: dict[str, Any]) -> VectorEnv:
    """A batch of `num_envs` such environments, which resets its rows as a `gymnasium.vector.AutoresetMode` has it.

    It is the id's own `vector_entry_point`, where it has one that knows that mode, else a SyncVectorEnv. A class may be
    a `VectorEnv` itself; then it gets `num_envs`, and `autoreset_mode` if it takes that. Raises StartFailed.
    """
    try:
        mode = AutoresetMode(autoreset_mode)
    except ValueError:
        modes = ", ".join(each.value for each in AutoresetMode)
        raise StartFailed(f"autoreset_mode must be one of {modes}, not {autoreset_mode!r}") from None
    if num_envs < 1:
        raise StartFailed(f"num_envs must be at least 1, not {num_envs}")
    env = _found(env_id, lambda: _batch(env_id, num_envs, mode, kwargs))
    if env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP) is not mode:
        env.close()
        raise StartFailed(f"{env_id!r} is a batch of its own kind, which knows no autoreset mode {mode.value!r}")
    return env


def _one(env_id: str, kwargs: dict[str, Any]) -> gymnasium.Env:
    if kind := _class(env_id):
        return kind(**kwargs)
    return gymnasium.make(env_id, disable_env_checker=True, **kwargs)


def _batch(env_id: str, num_envs: int, mode: AutoresetMode, kwargs: dict[str, Any]) -> VectorEnv:
    kind = _class(env_id)
    if kind is not None and issubclass(kind, VectorEnv):
        return kind(num_envs=num_envs, **_mode_for(kind, mode), **kwargs)
    if kind is not None:
        return SyncVectorEnv([lambda: kind(**kwargs)] * num_envs, autoreset_mode=mode)
    entry = _vector_entry(env_id)
    if entry is not None and ((chosen := _mode_for(entry, mode)) or mode is AutoresetMode.NEXT_STEP):
        return gymnasium.make_vec(env_id, num_envs, **chosen, **kwargs)
    return gymnasium.make_vec(env_id, num_envs, "sync", {"autoreset_mode": mode}, disable_env_checker=True, **kwargs)


def _class(env_id: str) -> Any:
    """The class that `module:Class` names; None for an id."""
    module_name, colon, name = env_id.rpartition(":")
    if not colon or name in gymnasium.registry or "-v" in name:
        return None
    return getattr(importlib.import_module(module_name), name)


def _vector_entry(env_id: str) -> Callable[..., Any] | None:
    module_name, _, name = env_id.rpartition(":")
    if module_name:
        importlib.import_module(module_name)
    entry = gymnasium.spec(name).vector_entry_point
    return load_env_creator(entry) if isinstance(entry, str) else entry


def _mode_for(kind: Callable[..., Any], mode: AutoresetMode) -> dict[str, Any]:
    """The argument that tells a batch of its own kind how to reset its rows; some know gymnasium's default only."""
    return {"autoreset_mode": mode} if "autoreset_mode" in inspect.signature(kind).parameters else {}


def _found(env_id: str, build: Callable[[], Any]) -> Any:
    registration.register()
    try:
        return build()
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.NamespaceNotFound) as error:
        near = difflib.get_close_matches(env_id, gymnasium.registry, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "give a registered gymnasium id or module:Class"
        raise StartFailed(f"no environment is called {env_id!r}: {hint}") from error
    except (ImportError, AttributeError) as error:
        raise StartFailed(
            f"cannot load {env_id!r}: {error}. Is the package installed on the server's machine?"
        ) from error
