"""Tasks by name: pure batched functions of a state, which a learner may load too for relabelling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uniros_env_server.tasks.reach import Reach
from uniros_env_server.tasks.task import Task

TASKS: dict[str, Callable[..., Task]] = {"reach": Reach}


def load(name: str, **parameters: Any) -> Task:
    """The task of that name with those parameters, as `describe_task()` gives them; the rest at their defaults.

    Raises ValueError for an unknown task, TypeError for an unknown parameter.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; known are {', '.join(TASKS)}")
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
    return TASKS[name](**plain)
