"""Attributes and methods of the served environment, reached by name: no code and no pickle crosses the wire."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from uniros_env_server.serving.describe import one_of, reachable
from uniros_msgs import codec
from uniros_msgs.errors import EnvironmentFailed, NotReachable
from uniros_msgs.msg import Error
from uniros_msgs.srv import CallRequest, CallResponse


class Remote:
    """Answers `env/call` for one environment or a batch."""

    def __init__(self, env: gymnasium.Env | VectorEnv):
        self._members = Rows(env) if isinstance(env, VectorEnv) else _members(env)
        self._restricted = hasattr(one_of(env).unwrapped, "remote_attributes")  # a robot names what may be reached
        self._listed = frozenset(name for names in reachable(env) for name in names) | {"render"}

    def call(self, request: CallRequest) -> CallResponse:
        """Get, set or call.

        Raises NotReachable for a name that is not offered, EnvironmentFailed for what the call raises.
        """
        self._admit(request.name)
        arguments = codec.decode(request.arguments) if request.arguments.layout else None
        try:
            value = self._members.carry_out(request.op, request.name, arguments)
        except AttributeError as error:
            raise NotReachable(str(error)) from error
        except Exception as error:  # whatever user code raises
            failure = EnvironmentFailed(f"{request.name}: {type(error).__name__}: {error}")
            failure.remote_traceback = traceback.format_exc()
            raise failure from error
        return CallResponse(Error(), self._encode(request.name, value))

    def _admit(self, name: str) -> None:
        if name.startswith("_") or not name.isidentifier():
            raise NotReachable(f"{name!r} is private and stays on the server's side")
        if self._restricted and name not in self._listed:
            raise NotReachable(f"this robot does not offer {name!r}; it offers {', '.join(sorted(self._listed))}")

    def _encode(self, name: str, value: Any) -> Any:
        data = codec.encode(value)
        sent = codec.decode(data)
        for each in sent if isinstance(self._members, Rows) else [sent]:
            if not isinstance(each, codec.Opaque):
                continue
            raise NotReachable(f"{name!r} is a {each.type_name}, which cannot leave the server's process")
        return data


class Members:
    """Attributes and methods by name; `find` and `put` are the environment's own getattr and setattr."""

    def __init__(self, find: Callable[[str], Any], put: Callable[[str, Any], Any]):
        self._find, self._put = find, put

    def carry_out(self, op: int, name: str, arguments: Any) -> Any:
        """GET takes no arguments, SET the value, CALL (args, kwargs). Raises whatever comes of it."""
        if op == CallRequest.SET:
            self._put(name, arguments)
            return None
        member = self._find(name)
        if op == CallRequest.GET:
            if callable(member):
                raise AttributeError(f"{name!r} is a method: call it")
            return member
        args, kwargs = arguments or ((), {})
        return member(*args, **kwargs)


class Rows:
    """The same for a batch: of each environment it is made of, or what a batch of its own kind has for all of them.

    Every request takes one argument more, the numbers of the rows it is for (None for all), and gives a list with a
    value for each: GET takes (rows,), SET (value, rows), CALL (args, kwargs, rows).
    """

    def __init__(self, env: VectorEnv):
        self._env = env
        self._shared = Members(partial(getattr, env), partial(setattr, env))
        self._single = [_members(each) for each in getattr(env.unwrapped, "envs", ())]

    def carry_out(self, op: int, name: str, arguments: Any) -> list[Any]:
        """See `Members.carry_out`."""
        *given, rows = arguments or (None,)
        rows = range(self._env.num_envs) if rows is None else rows
        one: Any = given if op == CallRequest.CALL else given[0] if given else None
        if self._single:
            return [self._single[row].carry_out(op, name, one) for row in rows]
        value = self._shared.carry_out(op, name, one)
        if name == "render":  # the one method of a batch that answers for each of its rows
            return [value[row] if value else None for row in rows]
        return [value] * len(rows)


def _members(env: gymnasium.Env) -> Members:
    return Members(env.get_wrapper_attr, env.set_wrapper_attr)
