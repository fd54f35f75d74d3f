"""What the codec costs: each step of the way, beside pickle and JSON doing the same with the same values.

    .venv/bin/python test/benchmark/bench_codec.py

Times are the best of several rounds in microseconds; the ratios compare a value's whole way, there and back.
"""

from __future__ import annotations

import io
import json
import pickle
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
from compare import Comparison, compare
from gymnasium.spaces import Box

from uniros_msgs import codec
from uniros_msgs.msg import Data
from uniros_msgs.spaces import conform

ROUNDS, CALLS = 9, 1000


def microseconds(call: Callable[[], Any]) -> float:
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def values() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "action, 5 float32": rng.random(5).astype(np.float32),
        "observation, 28 float32": rng.random(28).astype(np.float32),
        "goal observation, 25 + 3 + 3 float64": {
            "observation": rng.random(25),
            "achieved_goal": rng.random(3),
            "desired_goal": rng.random(3),
        },
        "info, 8 mixed scalars": {
            "distance": 0.123,
            "is_success": False,
            "steps": 12,
            "refusal": "",
            "overruns": np.int64(3),
            "reward_distance": np.float64(-0.1),
            "reward_control": np.float32(0.2),
            "task": "reach",
        },
        "empty info": {},
        "batch, 64 x 28 float32": rng.random((64, 28)).astype(np.float32),
        "image, 84 x 84 x 4 uint8": rng.integers(0, 255, (84, 84, 4), np.uint8),
    }


def plain(value: Any) -> Any:
    """What JSON can hold of it."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def rows() -> list[Comparison]:
    """A value's whole way, there and back, beside pickle, which nobody should read from a network."""
    measured = {name: columns(value) for name, value in values().items()}
    return [compare(f"{name}, there and back", "µs", [times["dumps"] + times["loads"]], "pickle", [times["pickle"]],
                    more=False) for name, times in measured.items()]


def columns(value: Any) -> dict[str, float]:
    data, raw = codec.encode(value), codec.dumps(value)
    pickled, text = pickle.dumps(value, 5), json.dumps(plain(value))
    received = Data().deserialize(raw)
    times = {
        "encode": lambda: codec.encode(value),
        "pack": lambda: codec.pack(data),
        "unpack": lambda: codec.unpack(raw),
        "decode": lambda: codec.decode(received),
        "dumps": lambda: codec.dumps(value),
        "loads": lambda: codec.loads(raw),
        "genpy": lambda: (data.serialize(io.BytesIO()), Data().deserialize(raw)),
        "pickle": lambda: (pickle.dumps(value, 5), pickle.loads(pickled)),
        "json": lambda: (json.dumps(plain(value)), json.loads(text)),
    }
    return {name: microseconds(call) for name, call in times.items()}


def main() -> None:
    rows = {name: columns(value) for name, value in values().items()}
    names = list(next(iter(rows.values())))
    print(f"{'us':38}" + "".join(f"{name:>8}" for name in names) + "   dumps + loads is")
    for name, times in rows.items():
        both = times["dumps"] + times["loads"]
        cells = "".join(f"{times[column]:8.2f}" for column in names)
        print(f"{name:38}{cells}   {both / times['pickle']:.2f} x pickle, {both / times['json']:.2f} x json")
    space, sample = Box(-1, 1, (5,)), values()["action, 5 float32"]
    for name, value in {"5 float32": sample, "5 float64": sample.astype(float), "a list": sample.tolist()}.items():
        print(f"conform, {name:29}{microseconds(lambda value=value: conform(space, value)):8.2f}")


if __name__ == "__main__":
    main()
