"""Attributes and methods of the served environment, reached by name: no code and no pickle crosses the wire."""

from __future__ import annotations

import traceback
from typing import Any

import gymnasium

from uniros_env_server.describe import reachable
from uniros_msgs import codec
from uniros_msgs.errors import EnvironmentFailed, NotReachable
from uniros_msgs.msg import Error
from uniros_msgs.srv import CallRequest, CallResponse


class Remote:
    """Answers `env/call` for one environment."""

    def __init__(self, env: gymnasium.Env):
        self._env = env
        self._restricted = hasattr(env.unwrapped, "remote_attributes")  # a robot names what may be reached
        self._listed = frozenset(name for names in reachable(env) for name in names) | {"render"}

    def call(self, request: CallRequest) -> CallResponse:
        """Get, set or call.

        Raises NotReachable for a name that is not offered, EnvironmentFailed for what the call raises.
        """
        self._admit(request.name)
        arguments = codec.decode(request.arguments) if request.arguments.layout else None
        try:
            value = self._carry_out(request.op, request.name, arguments)
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

    def _carry_out(self, op: int, name: str, arguments: Any) -> Any:
        if op == CallRequest.SET:
            self._env.set_wrapper_attr(name, arguments)
            return None
        member = self._env.get_wrapper_attr(name)
        if op == CallRequest.GET:
            if callable(member):
                raise AttributeError(f"{name!r} is a method: call it")
            return member
        args, kwargs = arguments or ((), {})
        return member(*args, **kwargs)

    @staticmethod
    def _encode(name: str, value: Any) -> Any:
        data = codec.encode(value)
        if isinstance(codec.decode(data), codec.Opaque):
            raise NotReachable(f"{name!r} is a {type(value).__name__}, which cannot leave the server's process")
        return data
