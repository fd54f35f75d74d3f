"""From a name to an environment: a registered gymnasium id, or `module:Class`."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import gymnasium

from uniros_env_server import registration
from uniros_msgs.errors import StartFailed


def load(env_id: str, kwargs: dict[str, Any]) -> gymnasium.Env:
    """The environment `env_id` names, built with `kwargs`.

    Raises StartFailed, with the nearest known id, for a wrong name.
    """
    registration.register()
    module_name, colon, name = env_id.rpartition(":")
    try:
        if colon and not _is_id(name):
            env = getattr(importlib.import_module(module_name), name)(**kwargs)
        else:
            env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.NamespaceNotFound) as error:
        near = difflib.get_close_matches(env_id, gymnasium.registry, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "give a registered gymnasium id or module:Class"
        raise StartFailed(f"no environment is called {env_id!r}: {hint}") from error
    except (ImportError, AttributeError) as error:
        raise StartFailed(
            f"cannot load {env_id!r}: {error}. Is the package installed on the server's machine?"
        ) from error
    if not isinstance(env, gymnasium.Env):
        raise StartFailed(f"{env_id!r} gave a {type(env).__name__}, not a gymnasium.Env")
    return env


def _is_id(name: str) -> bool:
    return name in gymnasium.registry or "-v" in name
