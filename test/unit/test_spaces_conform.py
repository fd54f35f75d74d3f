"""What is accepted as a value of a space, and how the rest is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exact import assert_same
from gymnasium import Space
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    GraphInstance,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Text,
    Tuple,
)

from uniros_msgs.errors import InvalidAction, UnsupportedSpace
from uniros_msgs.spaces import conform

INF = float("inf")
NAN = float("nan")
ARM = Box(-1, 1, (3,))
WIDE = Box(-0.1, 0.1, (2,), np.float64)
FREE = Box(-INF, INF, (2,))
BYTES = Box(0, 200, (2, 2), np.uint8)
MODE = Discrete(3, start=5)
GRAPH = Graph(Box(-1, 1, (2,)), Discrete(3))


def f4(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def i8(*values: Any) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("space", "value", "sample"),
    [
        (ARM, [0.5, -1, 1], f4(0.5, -1, 1)),
        (ARM, (0, 1, 0), f4(0, 1, 0)),
        (ARM, np.array([0.1, 0.2, 1 + 1e-9]), f4(0.1, 0.2, 1)),
        (ARM, i8(1, 0, -1), f4(1, 0, -1)),
        (ARM, np.array([0.5] * 3, np.float16), f4(0.5, 0.5, 0.5)),
        (ARM, np.arange(6.0)[::2] / 4, f4(0, 0.5, 1)),
        (ARM, np.array([0.5] * 3, ">f4"), f4(0.5, 0.5, 0.5)),
        (WIDE, f4(0.1, -0.1), np.array([0.1, -0.1])),
        (WIDE, f4(0.05, 0), np.array([np.float64(np.float32(0.05)), 0])),
        (FREE, [INF, -INF], f4(INF, -INF)),
        (Box(0, 1, ()), 0.5, np.array(0.5, np.float32)),
        (Box(0, 9, (), np.int16), np.int16(4), np.int16(4)),
        (BYTES, [[1, 2], [3.0, 200]], np.array([[1, 2], [3, 200]], np.uint8)),
        (BYTES, np.full((2, 2), 7), np.full((2, 2), 7, np.uint8)),
        (Box(0, 1, (2,), bool), [0, True], np.array([False, True])),
        (Box(0, 2**64 - 1, (1,), np.uint64), [2**64 - 1], np.array([2**64 - 1], np.uint64)),
        (MODE, 6, np.int64(6)),
        (MODE, 7.0, np.int64(7)),
        (MODE, np.uint8(5), np.int64(5)),
        (MODE, np.array(5, np.int32), np.int64(5)),
        (MODE, np.float32(6), np.int64(6)),
        (Discrete(2), True, np.int64(1)),
        (Discrete(3, dtype=np.uint8), 2, np.uint8(2)),
        (MultiDiscrete([2, 250], np.uint8, start=[1, 5]), [2, 254], np.array([2, 254], np.uint8)),
        (MultiDiscrete([156], np.uint8, start=[100]), [255], np.array([255], np.uint8)),
        (MultiDiscrete([[2], [3]]), [[1.0], [2]], i8([1], [2])),
        (MultiBinary(3), [True, 0, 1.0], np.array([1, 0, 1], np.int8)),
        (Text(4), np.str_("abc"), "abc"),
        (Dict(b=MODE, a=ARM), {"a": [0, 0, 0], "b": 5}, {"b": np.int64(5), "a": f4(0, 0, 0)}),
        (Tuple([MODE, Text(3)]), [5, "a"], (np.int64(5), "a")),
        (Tuple([MODE, MODE]), i8(5, 6), (np.int64(5), np.int64(6))),
        (Sequence(MODE), [5, 6.0], (np.int64(5), np.int64(6))),
        (Sequence(MODE), (), ()),
        (Sequence(ARM, stack=True), [[0, 0, 0], [1, 1, 1]], np.stack([f4(0, 0, 0), f4(1, 1, 1)])),
        (Sequence(MODE, stack=True), [], i8()),
        (OneOf([MODE, ARM]), [1, [0, 0, 0]], (np.int64(1), f4(0, 0, 0))),
        (GRAPH, ([[0, 1]], None, None), GraphInstance(f4([0, 1]), None, None)),
        (GRAPH, ([[0, 1], [1, 0]], [2], [[1, 0]]), GraphInstance(np.stack([f4(0, 1), f4(1, 0)]), i8(2), i8([1, 0]))),
        (GRAPH, ([], None, None), GraphInstance(np.zeros((0, 2), np.float32), None, None)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Casting input x to numpy array")  # gymnasium's Box on a numpy scalar
def test_safe_casts_are_made(space: Space, value: Any, sample: Any) -> None:
    assert_same(conform(space, value), sample)
    assert conform(space, value) in space


def test_a_sample_is_passed_on_as_it_is() -> None:
    sample = ARM.sample()
    assert conform(ARM, sample) is sample


@pytest.mark.parametrize(
    ("space", "value", "message"),
    [
        (ARM, f4(0, 0), r"^action: expected float32 numbers of shape \(3,\) from -1.0 to 1.0, got an array .* \(2,\)$"),
        (ARM, 0.5, "got float 0.5"),
        (ARM, [[0, 0, 0]], "shape"),
        (ARM, [0, [1, 2], 3], "got list"),
        (ARM, [0, NAN, 0], "got nan at index 1$"),
        (ARM, f4(0, 0, NAN), "got nan at index 2$"),
        (ARM, [0, 0, INF], "got inf at index 2, above its bound 1.0$"),
        (ARM, f4(0, -1.5, 2), "got -1.5 at index 1, below its bound -1.0$"),
        (ARM, f4(NAN, 2, -1.5), "got nan at index 0$"),
        (ARM, f4(0, 2, -1.5), "got 2.0 at index 1, above its bound 1.0$"),
        (ARM, np.array([0, 0, 1.001]), "got 1.00[0-9]* at index 2, above its bound 1.0$"),
        (ARM, "abc", "got str 'abc'"),
        (ARM, None, "got NoneType None"),
        (ARM, {"a": 1}, "got dict"),
        (ARM, np.array([1j] * 3), "got an array of complex128"),
        (ARM, ["a", "b", "c"], "got list"),
        (FREE, [1e300, 0], "got 1e.300 at index 0, which float32 cannot hold$"),
        (FREE, f4(NAN, 0), "got nan at index 0"),
        (WIDE, f4(0.2, 0), "above its bound 0.1"),
        (WIDE, np.array([0.1 + 1e-9, 0]), "above its bound 0.1"),
        (Box(0, np.ones((2, 2)), dtype=np.float64), [[0, 0], [0, 3]], r"got 3.0 at index \(1, 1\), above its bound 1"),
        (BYTES, [[1, 2], [3, 300]], r"got 300 at index \(1, 1\), which uint8 cannot hold$"),
        (BYTES, [[1, 2], [3, -1]], "got -1 at"),
        (BYTES, [[1, 2.5], [3, 4]], r"got 2.5 at index \(0, 1\), which uint8 cannot hold$"),
        (BYTES, [[1, NAN], [3, 4]], "got nan at"),
        (BYTES, [[1, 201], [3, 4]], "got 201 at .* above its bound 200"),
        (Box(0, 1, (1,), bool), [2], "got 2 at index 0, which bool cannot hold"),
        (Box(0, 1, (1,), np.int64), [2**70], "got list"),
        (MODE, 4, r"^action: expected a whole number from 5 to 7, got int 4$"),
        (MODE, 8, "got int 8"),
        (MODE, 5.5, "got float 5.5"),
        (MODE, NAN, "got float nan"),
        (MODE, INF, "got float inf"),
        (MODE, "5", "got str '5'"),
        (MODE, [5], r"got list \[5\]"),
        (MODE, i8(5), r"shape \(1,\)"),
        (MODE, None, "got NoneType"),
        (Discrete(3, dtype=np.uint8), 256, "got int 256"),
        (MultiDiscrete([2, 3]), [1, 3], "got 3 at index 1"),
        (MultiDiscrete([2, 3]), [1, -1], "got -1 at index 1"),
        (MultiDiscrete([2, 3]), [1, 1.5], "got 1.5 at index 1"),
        (MultiDiscrete([2, 3]), [1], "got list"),
        (MultiDiscrete([200], np.uint8, start=[100]), [50], "got 50 at index 0"),
        (MultiBinary(2), [0, 2], "expected zeros and ones of shape .2,., got 2 at index 1"),
        (MultiBinary(2), [0, 1, 1], "got list"),
        (Text(3, charset="ab"), "abc", "got 'c' at index 2$"),
        (Text(3, charset="ab"), "abab", "1 to 3 characters"),
        (Text(3), b"ab", "got bytes"),
        (Dict(a=MODE), {}, r"expected a dict with the keys \['a'\], got one without \['a'\]"),
        (Dict(a=MODE), {"a": 5, "b": 1}, r"got also \['b'\]"),
        (Dict(a=MODE), [5], "got list"),
        (Dict(arm=Tuple([MODE, ARM])), {"arm": (5, [0, 2, 0])}, r"^action\['arm'\]\[1\]: .*got 2.0 at index 1, above"),
        (Tuple([MODE]), (5, 5), "a tuple of 1 values"),
        (Tuple([MODE]), np.array(5), "got an array"),
        (Sequence(MODE), 5, "got int 5"),
        (Sequence(MODE), (5, 9), r"^action\[1\]: .*got int 9$"),
        (Sequence(ARM, stack=True), [[0, 0, 0], [0, 0, 2]], r"^action\[1\]: .*got 2.0 at index 2"),
        (Sequence(ARM, stack=True), 5, "stacked values"),
        (Sequence(Dict(a=ARM), stack=True), {"b": [1]}, "stacked values"),
        (OneOf([MODE]), (1, 5), r"^action\[0\]: "),
        (OneOf([MODE]), (0, 9), r"^action\[1\]: "),
        (OneOf([MODE]), 5, "a pair"),
        (GRAPH, 5, "GraphInstance"),
        (GRAPH, (5, None, None), r"^action.nodes: "),
        (GRAPH, ([[0, 2]], None, None), r"^action.nodes\[0\]: .*got 2.0 at index 1"),
        (GRAPH, ([[0, 1]], [9], [[0, 0]]), r"^action.edges\[0\]: "),
        (GRAPH, ([[0, 1]], [1], [[0, 1]]), r"^action.edge_links: .*from 0 to 0"),
        (GRAPH, ([[0, 1]], [1], [[0]]), "edge_links"),
        (GRAPH, ([[0, 1]], [1], [[0, 0], [0]]), "edge_links"),
        (GRAPH, ([[0, 1]], [1], None), "both or none"),
        (Graph(MODE, None), ([5], [5], [[0, 0]]), "without an edge_space"),
    ],
)  # fmt: skip
def test_the_rest_is_refused_by_name(space: Space, value: Any, message: str) -> None:
    with pytest.raises(InvalidAction, match=message):
        conform(space, value)


def test_the_value_is_called_what_the_caller_calls_it() -> None:
    with pytest.raises(InvalidAction, match=r"^observation\['a'\]: "):
        conform(Dict(a=MODE), {"a": 1}, "observation")


class Odd(Space):
    """Somebody's own space."""


def test_values_of_an_unknown_space_cannot_be_checked() -> None:
    with pytest.raises(UnsupportedSpace, match="Odd"):
        conform(Odd(), 1)
