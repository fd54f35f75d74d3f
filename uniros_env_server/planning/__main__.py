"""`python -m uniros_env_server.planning FD`: answers questions on an inherited socket, one line of JSON each.

The first line tells for which arm and how to plan. Questions name a method of `Search` and its arguments, and `until`,
the monotonic time (s) by which to give up: {plan: {start, goal}}, {to_pose: {start, position, orientation}}, {aims:
{start, position, orientation}} or {judge: {positions}}. Answers hold a trajectory, goals or nothing; or `no_path` or
`failed` with the reason. It ends when the other end of the socket closes.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from uniros_env_server.planning.search import Search
from uniros_env_server.planning.settings import Settings
from uniros_env_server.planning.trajectory import Trajectory
from uniros_env_server.robots.model import load_model
from uniros_env_server.safety.gate import SafetyLimits
from uniros_msgs.errors import NoPath

NICENESS = 5  # behind the control loop and the driver


def answer(search: Search, question: dict[str, Any]) -> dict[str, Any]:
    """What there is to say to a question, as JSON can hold it."""
    until = question.pop("until")
    ((kind, given),) = question.items()
    arrays: dict[str, Any] = {key: None if value is None else np.array(value, float) for key, value in given.items()}

    def stop() -> bool:
        return time.monotonic() >= until

    try:
        if kind == "judge":
            search.judge(**arrays)
            return {}
        if kind == "aims":
            return {"goals": [goal.tolist() for goal in search.aims(**arrays)]}
        if kind == "to_pose":
            return _plain(search.to_pose(**arrays, stop=stop))
        return _plain(search.plan(**arrays, stop=stop))
    except NoPath as error:
        return {"no_path": str(error)}
    except Exception:  # noqa: BLE001 - whatever it is, the one who asked must hear of it
        return {"failed": traceback.format_exc()}


def _plain(trajectory: Trajectory) -> dict[str, Any]:
    return {"times": trajectory.times.tolist(), "positions": trajectory.positions.tolist(),
            "velocities": trajectory.velocities.tolist()}


def _messages(connection: socket.socket) -> Iterator[dict[str, Any]]:
    with connection.makefile("rb") as stream, suppress(ConnectionResetError):  # who was killed says no goodbye
        for line in stream:
            yield json.loads(line)


def _say(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def main() -> None:
    """Listen, until nobody is there any more."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # who starts us may have a real-time priority
    os.nice(NICENESS)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        messages = _messages(connection)
        task = next(messages)
        search = Search(load_model(task["robot"]), SafetyLimits(**task["limits"]), Settings(**task["settings"]),
                        task["seed"])
        _say(connection, {"listens": True})
        for question in messages:
            _say(connection, answer(search, question))


if __name__ == "__main__":
    main()
