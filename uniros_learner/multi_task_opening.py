"""Opening several environments side by side, and putting the same wrappers around each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import gymnasium

from uniros_learner.api import make

Wrapper = str | type[gymnasium.Wrapper]


def open_all(env_list: Sequence[str | gymnasium.Env], arguments: Sequence[Mapping[str, Any] | None],
              failing: ExitStack) -> list[gymnasium.Env]:
    """All of them open, those that are not yet side by side; `failing` closes these. Raises what `make` raises."""
    for env, given in zip(env_list, arguments):
        if given and not isinstance(env, str):
            raise ValueError(f"arguments are for environments that are made here; {env} is open already")
    opened = [env for env in env_list if not isinstance(env, str)]
    if len({id(env.unwrapped) for env in opened}) < len(opened):
        raise ValueError("the same environment is in the list twice: connect or make one for each place")
    with ThreadPoolExecutor(len(env_list)) as pool:
        jobs = [pool.submit(make, env, **(given or {})) if isinstance(env, str) else None
                for env, given in zip(env_list, arguments)]
    for job in jobs:
        if job and not job.exception():
            failing.callback(job.result().close)
    return [job.result() if job else env for job, env in zip(jobs, env_list)]  # type: ignore[misc]


def wrap(env: gymnasium.Env, wrappers: Sequence[Wrapper], arguments: Mapping[str, Mapping[str, Any]]) -> gymnasium.Env:
    """`env` in all wrappers, the first innermost. Raises ValueError for a name that is none."""
    known = {wrapper if isinstance(wrapper, str) else wrapper.__name__: wrapper for wrapper in wrappers}
    if unknown := arguments.keys() - known.keys():
        raise ValueError(f"wrapper_args_dict is for {sorted(unknown)}, but the wrappers are {list(known)}")
    for name, wrapper in known.items():
        kind = getattr(gymnasium.wrappers, name, None) if isinstance(wrapper, str) else wrapper
        if kind is None:
            raise ValueError(f"gymnasium.wrappers has no {name!r}: give one of its names, or the class itself")
        env = kind(env, **arguments.get(name, {}))
    return env
