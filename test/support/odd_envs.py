"""Environments with every kind of space and every kind of misbehaviour, served in the tests as `odd_envs:Class`."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, OneOf, Sequence, Text, Tuple


class Sampled(gymnasium.Env):
    """Observations drawn from any space with the seeded generator; the info dict holds one of everything."""

    def __init__(self, kind: str = "dict", length: int = 20):
        self.observation_space = SPACES[kind]
        self.action_space = SPACES[kind]
        self._length = length
        self._count = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self._count = 0
        return self.observation_space.sample(), {"options": options}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict]:
        self._count += 1
        info = {
            "action": action,
            "count": self._count,
            "f4": np.float32(0.1),
            "i2": np.int16(-3),
            "bool": np.bool_(True),
            "array": np.arange(6, dtype=np.uint16).reshape(2, 3),
            "none": None,
            "nested": {"nan": float("nan"), "t": (1, "x")},
            "big": 2**80,
            "bytes": b"\x00\xff",
            "empty": np.zeros((0, 3)),
        }
        reward = [1, np.float32(0.5), np.float64(-1.5), 0.25][self._count % 4]
        return self.observation_space.sample(), reward, np.bool_(False), self._count >= self._length, info


class Batchable(Sampled):
    """Without the integer that gymnasium cannot put into the infos of a batch."""

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict]:
        *said, info = super().step(action)
        return (*said, {key: value for key, value in info.items() if key != "big"})


SPACES: dict[str, spaces.Space] = {
    "dict": Dict(
        {"image": Box(0, 255, (4, 4, 3), np.uint8), "pose": Box(-1, 1, (7,), np.float32), "mode": Discrete(3, start=5)}
    ),
    "tuple": Tuple((Box(-np.inf, np.inf, (2,), np.float64), MultiBinary((2, 2)), MultiDiscrete([3, 4]))),
    "text": Text(12, charset="abcXYZ 09"),  # a set of characters would be drawn from in another order in each process
    "graph": Graph(Box(-1, 1, (3,)), Discrete(4)),
    "sequence": Sequence(Dict({"x": Box(0, 1, (2,)), "name": Text(4, charset="äöü-")})),
    "one_of": OneOf((Discrete(3), Box(-1, 1, (2,)))),
    "float16": Box(-1, 1, (3,), np.float16),
}


class Faulty(gymnasium.Env):
    """Does as it is told, and what it is told is bad: raises, freezes, dies or answers late."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(6)
    colour = "red"

    def __init__(self, fail_in_init: bool = False):
        self.steps = 0
        if fail_in_init:
            raise RuntimeError("no arm on the table")

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if options and options.get("fail"):
            raise RuntimeError("cannot go home")
        time.sleep((options or {}).get("delay", 0.0))
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.steps += 1
        if action == 1:
            raise ZeroDivisionError("the gripper divided by zero")
        if action == 2:
            time.sleep(1.5)
        if action == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if action == 4:
            return np.array([np.nan, 0], np.float32), 0.0, False, False, {}
        return np.full(2, self.steps / 100, np.float32), 1.0, False, False, {"function": len}

    def count(self, times: int = 1) -> int:
        return self.steps * times

    @property
    def broken(self) -> int:
        raise ValueError("this property cannot be read")


class Wide(gymnasium.Env):
    """Observations of 64 KiB, as quick as can be; they count the steps."""

    observation_space = Box(-np.inf, np.inf, (1 << 14,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self._seen = np.zeros(1 << 14, np.float32)
        return self._seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self._seen += 1
        return self._seen, 1.0, False, False, {}
