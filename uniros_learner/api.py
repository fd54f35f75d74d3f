"""`make` and `connect`: the two ways to an environment; `make_vec` and `connect_vec`: the same to a batch."""

from __future__ import annotations

import base64
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gymnasium.vector import AutoresetMode

from uniros_bringup.companions import company
from uniros_learner.proxy import GymProxy, VectorProxy, holder
from uniros_learner.worker import Task, namespace
from uniros_msgs import codec
from uniros_msgs.errors import StartFailed

START_TIMEOUT = 60.0  # s; MuJoCo from a cold disk takes its time


def make(
    env_id: str,
    *,
    start_timeout: float = START_TIMEOUT,
    step_timeout: float | None = None,
    reset_timeout: float | None = None,
    master_uri: str = "",
    local_address: str = "",
    **kwargs: Any,
) -> GymProxy:
    """Start a ROS master and an env server of our own for `env_id`, and return the environment.

    env_id: a registered gymnasium id, or `module:Class`; `kwargs` go to its constructor.
    master_uri: start only the env server, on the master that runs there: a robot's, on this machine or another; then
    local_address is ours as that machine reaches it, "" finds it from the route there.
    An id ending in Real-v0 gets an emulated arm unless port=... names a serial device, or master_uri its driver's
    master: those need allow_motion=True, and raise MotionNotAllowed without.
    Timeouts in seconds. Everything started here ends with `close()`, or with this process, however it ends.
    Raises StartFailed, with the end of the log, when the environment cannot be constructed.
    """
    task = _own(env_id, kwargs, master_uri=master_uri, local_address=local_address, timeout=start_timeout)
    return GymProxy(task, **_given(step_timeout=step_timeout, reset_timeout=reset_timeout))


def make_vec(
    env_id: str,
    num_envs: int,
    *,
    autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    start_timeout: float = START_TIMEOUT,
    step_timeout: float | None = None,
    reset_timeout: float | None = None,
    master_uri: str = "",
    local_address: str = "",
    **kwargs: Any,
) -> VectorProxy:
    """As `make`, but `num_envs` environments in one env server, stepped as one batch.

    autoreset_mode: when a row that ended is begun anew, "NextStep", "SameStep" or "Disabled", as gymnasium has it;
    Stable-Baselines3 (`uniros_learner.sb3`) wants "SameStep".
    """
    task = _own(env_id, kwargs, master_uri=master_uri, local_address=local_address, timeout=start_timeout,
                num_envs=num_envs, autoreset_mode=AutoresetMode(autoreset_mode).value)
    return VectorProxy(task, **_given(step_timeout=step_timeout, reset_timeout=reset_timeout))


def connect(
    master_uri: str,
    ns: str = "/rx200",
    *,
    local_address: str = "",
    timeout: float = 10.0,
    step_timeout: float | None = None,
    reset_timeout: float | None = None,
) -> GymProxy:
    """Join the env server in namespace `ns` on a running master, e.g. `connect("http://127.0.0.1:11311", "/rx200")`.

    local_address: the address of ours that the server's machine can reach; "" finds it from the route there. timeout:
    seconds to find the server and get its lease. Raises ConnectionFailed, or LeaseHeld when another learner has it.
    """
    task = Task("/" + ns.strip("/"), holder(), master_uri=master_uri, local_address=local_address, timeout=timeout)
    return GymProxy(task, **_given(step_timeout=step_timeout, reset_timeout=reset_timeout))


def connect_vec(
    master_uri: str,
    ns: str = "/rx200",
    *,
    local_address: str = "",
    timeout: float = 10.0,
    step_timeout: float | None = None,
    reset_timeout: float | None = None,
) -> VectorProxy:
    """As `connect`, to an env server that serves a batch (`_num_envs:=N`)."""
    task = Task("/" + ns.strip("/"), holder(), master_uri=master_uri, local_address=local_address, timeout=timeout)
    return VectorProxy(task, **_given(step_timeout=step_timeout, reset_timeout=reset_timeout))


def _own(env_id: str, kwargs: dict[str, Any], *, master_uri: str, **settings: Any) -> Task:
    """A worker that starts what `env_id` needs."""
    needed = company(env_id, kwargs, elsewhere=bool(master_uri))
    return Task(namespace(env_id), holder(), env_id, _pack_arguments(needed.arguments), path=_script_folder(),
                nodes=[asdict(node) for node in needed.nodes], master_uri=master_uri, **settings)


def _script_folder() -> str:
    """Where the user's script lies, whose neighbours may be served as `module:Class`."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    return str(Path(script).resolve().parent) if script else os.getcwd()


def _given(**timeouts: float | None) -> dict[str, float]:
    return {name: value for name, value in timeouts.items() if value is not None}


def _pack_arguments(kwargs: dict[str, Any]) -> str:
    """Constructor arguments as text for the parameter server, exactly. Raises StartFailed for what cannot be sent."""
    for name, value in kwargs.items():
        if isinstance(codec.decode(codec.encode(value)), codec.Opaque):
            raise StartFailed(
                f"the argument {name}={value!r} cannot be sent to another process: give numbers, text, arrays, "
                "lists, tuples or dicts, or serve a class of your own that builds the rest itself"
            )
    return base64.b64encode(codec.dumps(kwargs)).decode()
