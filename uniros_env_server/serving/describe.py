"""What a served environment is: the answer to `env/describe`, worked out once, without moving anything."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import re
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from uniros_msgs import spaces
from uniros_msgs.errors import UnsupportedSpace
from uniros_msgs.msg import Description
from uniros_msgs.srv import DescribeResponse

_OWN_PROTOCOL = frozenset(("reset", "step", "close", "action_space", "observation_space", "unwrapped", "np_random"))


def describe(env: gymnasium.Env | VectorEnv, env_id: str) -> DescribeResponse:
    """The description of `env`; a batch has the spaces of one of its rows, and metadata["autoreset_mode"].

    Raises UnsupportedSpace when a space is of a class nobody can describe, or a batch has rows of different spaces.
    """
    inner = env.unwrapped
    observation_space, action_space = _single_spaces(env)
    attributes, methods = reachable(env)
    answer = DescribeResponse(
        env_id=env_id,
        num_envs=int(getattr(inner, "num_envs", 1)),
        observation_space=spaces.describe(observation_space),
        action_space=spaces.describe(action_space),
        spec=_json(_spec(env)),
        metadata=_json(_metadata(env)),
        render_mode=env.render_mode or "",
        mode=str(getattr(inner, "mode", "plain")),
        cycle_time=float(getattr(inner, "cycle_time", 0.0)),
        limits=_json(getattr(inner, "limits", {})),
        task=_json(inner.describe_task() if hasattr(inner, "describe_task") else {}),
        attributes=attributes,
        methods=methods,
        versions=_json(_versions()),
        pid=os.getpid(),
    )
    answer.spec_hash = spec_hash(answer)
    return answer


def to_message(description: DescribeResponse, domain: str) -> Description:
    """The same as a message, for a topic and for bags."""
    same = set(Description.__slots__) & set(DescribeResponse.__slots__)
    return Description(domain=domain, **{name: getattr(description, name) for name in same})


def domain_of(env_id: str) -> str:
    """sim or real, where the id says so."""
    found = re.search(r"(Sim|Real)-v\d+$", env_id)
    return found[1].lower() if found else ""


def spec_hash(description: DescribeResponse) -> str:
    """Twelve hex digits that change whenever spaces, task, limits or cycle do."""
    parts = (
        description.env_id,
        description.observation_space,
        description.action_space,
        description.spec,
        description.mode,
        repr(description.cycle_time),
        description.limits,
        description.task,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def reachable(env: gymnasium.Env | VectorEnv) -> tuple[list[str], list[str]]:
    """(attributes, methods) that may be reached by name: what a robot lists, or all that is public of anything else.

    Of a batch made of environments, those of its rows.
    """
    env = one_of(env)
    inner: Any = env.unwrapped
    if hasattr(inner, "remote_attributes"):
        return sorted(inner.remote_attributes), sorted(inner.remote_methods)
    names = {name for layer in _layers(env) for name in dir(layer) if not name.startswith("_")} - _OWN_PROTOCOL
    methods = {name for name in names if any(_is_method(layer, name) for layer in _layers(env))}
    return sorted(names - methods), sorted(methods)


def one_of(env: Any) -> Any:
    """One of the environments a batch is made of; `env` itself when it is made of none."""
    return next(iter(getattr(env.unwrapped, "envs", ())), env)


def _single_spaces(env: Any) -> tuple[gymnasium.Space, gymnasium.Space]:
    if not isinstance(env, VectorEnv):
        return env.observation_space, env.action_space
    single = env.single_observation_space, env.single_action_space
    for space, batched in zip(single, (env.observation_space, env.action_space), strict=True):
        if batch_space(space, env.num_envs) != batched:
            raise UnsupportedSpace(f"a batch is served when its rows share one space; {batched} is not {env.num_envs} "
                                   f"times {space}")
    return single


def _metadata(env: Any) -> dict[str, Any]:
    """The environment's, with the names of what a robot's observations hold; only a batch has an autoreset mode."""
    metadata = {key: value for key, value in env.metadata.items() if key != "autoreset_mode"}
    if hasattr(env.unwrapped, "observation_names"):
        metadata["observation_names"] = env.unwrapped.observation_names
    if isinstance(env, VectorEnv):
        metadata["autoreset_mode"] = AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)).value
    return metadata


def _layers(env: Any) -> list[Any]:
    layers = [env]
    while isinstance(env, gymnasium.Wrapper):
        env = env.env
        layers.append(env)
    return layers


def _is_method(layer: Any, name: str) -> bool:
    """Without running properties."""
    return callable(inspect.getattr_static(layer, name, None)) or isinstance(
        inspect.getattr_static(layer, name, None), (staticmethod, classmethod)
    )


def _spec(env: gymnasium.Env | VectorEnv) -> dict[str, Any]:
    spec = env.spec
    if spec is None:
        return {}
    return {
        "id": spec.id,
        "max_episode_steps": spec.max_episode_steps,
        "reward_threshold": spec.reward_threshold,
        "nondeterministic": spec.nondeterministic,
    }


def _versions() -> dict[str, str]:
    return {"gymnasium": gymnasium.__version__, "numpy": np.__version__, "python": platform.python_version()}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
