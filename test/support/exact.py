"""Comparison to the last bit, types included."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np


def assert_same(a: Any, b: Any, path: str = "value") -> None:
    """Raise AssertionError unless `a` and `b` are equal in type, dtype, shape, order and every bit."""
    assert type(a) is type(b), f"{path}: {type(a)} is not {type(b)}"
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape, f"{path}: {a.dtype}{a.shape} is not {b.dtype}{b.shape}"
        if a.dtype == object:
            assert_same(a.tolist(), b.tolist(), path)
        else:
            assert a.tobytes() == b.tobytes(), f"{path}: {a} is not {b}"
    elif isinstance(a, dict):
        assert list(a) == list(b), f"{path}: keys {list(a)} are not {list(b)}"
        for key in a:
            assert_same(a[key], b[key], f"{path}[{key!r}]")
    elif isinstance(a, (tuple, list)):
        assert len(a) == len(b), f"{path}: {len(a)} items are not {len(b)}"
        for index, (x, y) in enumerate(zip(a, b)):
            assert_same(x, y, f"{path}[{index}]")
    elif isinstance(a, float):
        assert struct.pack("d", a) == struct.pack("d", b), f"{path}: {a} is not {b}"
    elif isinstance(a, np.generic):
        assert a.tobytes() == b.tobytes(), f"{path}: {a} is not {b}"
    else:
        assert a == b, f"{path}: {a!r} is not {b!r}"
