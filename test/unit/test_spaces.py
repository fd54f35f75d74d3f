"""Every space of gymnasium as text and back, and every sample of it through the codec."""

from __future__ import annotations

import io
import json
import os
import string
import subprocess
import sys
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
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Text,
    Tuple,
)

from uniros_msgs import codec
from uniros_msgs.errors import MalformedData, UnsupportedSpace
from uniros_msgs.msg import Data
from uniros_msgs.spaces import build, conform, describe

INF = float("inf")
SAMPLES = 100
FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def arrays(dtype: str, *values: list[float]) -> list[np.ndarray]:
    return [np.array(value, dtype) for value in values]


BOXES = [
    *[Box(1, 7, shape, dtype) for dtype in (*FLOATS, *INTEGERS) for shape in ((), (2, 3), (0, 3))],
    *[Box(0, 1, shape, bool) for shape in ((), (2, 3), (0, 3))],
    *[Box(*arrays(dtype, [0, 0], [0, 1]), dtype=dtype) for dtype in (*FLOATS, *INTEGERS, "bool")],
    *[Box(-INF, INF, (3,), dtype) for dtype in (*FLOATS, "int8", "int32", "int64")],
    *[Box(*arrays(dtype, [-INF, 0.1, -1 / 3], [0.3, INF, 2 / 3]), dtype=dtype) for dtype in FLOATS],
    *[Box(np.full(2, -0.0, dtype), np.array([0.1, 0.7], dtype), dtype=dtype) for dtype in FLOATS],
    Box(np.array([-INF, 0]), np.array([3, INF]), dtype=np.int8),
    Box(-(2**63), 2**63 - 2, (2,), np.int64),
    Box(np.array([0, 5], np.uint64), np.array([2**64 - 1, 6], np.uint64), dtype=np.uint64),
    Box(np.finfo("f4").min, np.finfo("f4").max, (2,), np.float32),
    Box(-np.arange(24, dtype=np.float32).reshape(2, 3, 4), 1.5, (2, 3, 4)),
    Box(0, 255, (8, 8, 3), np.uint8),
]  # fmt: skip
SIMPLE = [
    Discrete(5), Discrete(3, start=-1), Discrete(7, dtype=np.uint8), Discrete(200, start=5, dtype=np.int32),
    Discrete(2**40),
    MultiDiscrete([5, 2, 3]), MultiDiscrete([[5, 2], [3, 4]], start=[[1, 2], [3, -4]]),
    MultiDiscrete([5, 250], np.uint8),
    MultiBinary(5), MultiBinary([3, 2]), MultiBinary((4,)),
    Text(5), Text(9, min_length=0, charset="zyxab"), Text(3, charset=string.digits), Text(4, charset='aA 😀"\\\n'),
]  # fmt: skip
NESTED = [
    Dict(b=Discrete(3), a=Box(-1, 1, (2,))), Dict([("b", Discrete(3)), ("a", Box(-1, 1, (2,)))]),
    Dict({2: Discrete(2), 1: Discrete(3)}),
    Dict({}), Dict(x=Dict(y=Dict({"%z\"é": Text(3)}))), Tuple([Discrete(2), Box(0, 1, (2,))]), Tuple([]),
    Tuple([Tuple([MultiBinary(2)]), Dict(a=Discrete(2))]),
    Sequence(Discrete(4)), Sequence(Box(0, 1, (2,))), Sequence(Dict(x=Box(0, 1, (2,)), name=Text(4))),
    Sequence(Tuple([Discrete(2), MultiBinary(2)])),
    Sequence(Box(0, 1, (2,)), stack=True), Sequence(Discrete(4), stack=True), Sequence(Text(4), stack=True),
    Sequence(Dict(a=Box(0, 1, (2,)), b=Discrete(3)), stack=True), Sequence(Sequence(MultiDiscrete([2, 3]))),
    Graph(Box(-1, 1, (3,)), Discrete(4)), Graph(Discrete(5), None), Graph(Discrete(5), Box(0, 1, (2, 2))),
    Graph(Box(0, 255, (2,), np.uint8), None),
    OneOf([Discrete(2), Box(0, 1, (2,)), Dict(a=Text(2))]),
    Dict(image=Box(0, 255, (8, 8, 3), np.uint8), seq=Sequence(Graph(Discrete(3), Discrete(2))), one=OneOf([Tuple([])])),
]  # fmt: skip
SPACES = BOXES + SIMPLE + NESTED


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_space_comes_back(space: Space) -> None:
    text = describe(space)
    again = build(text)
    assert again == space and space == again
    assert describe(again) == text
    assert_same(vars_of(again), vars_of(space))


def vars_of(space: Any) -> dict[str, Any]:
    """What gymnasium's own == does not look at closely: bounds to the last bit, types, the order of keys."""
    names = ("low", "high", "bounded_below", "bounded_above", "n", "start", "nvec", "stack")
    exact = {name: getattr(space, name, None) for name in names}
    exact |= {"dtype": str(space.dtype), "shape": space.shape, "characters": getattr(space, "character_list", None)}
    parts = getattr(space, "spaces", ())
    inside = {str(key): vars_of(each) for key, each in (parts.items() if isinstance(parts, dict) else enumerate(parts))}
    return exact | inside


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_sample_comes_back_and_conforms(space: Space) -> None:
    again = build(describe(space))
    space.seed(7)
    again.seed(7)
    for _ in range(SAMPLES):
        sample = space.sample()
        assert_same(again.sample(), sample)
        buffer = io.BytesIO()
        codec.encode(sample).serialize(buffer)
        assert_same(codec.decode(Data().deserialize(buffer.getvalue())), sample)
        assert_same(codec.loads(codec.dumps(sample))[0], sample)
        assert_same(conform(space, sample), sample)


def test_descriptions_are_readable() -> None:
    assert describe(Box(-1, np.array([0.1, INF], np.float32))) == (
        '{"type":"Box","shape":[2],"dtype":"float32","low":-1.0,"high":[0.1,"inf"]}'
    )
    assert describe(Discrete(3)) == '{"type":"Discrete","n":3}'
    assert describe(Discrete(3, start=1, dtype=np.uint8)) == '{"type":"Discrete","n":3,"start":1,"dtype":"uint8"}'
    assert describe(Text(3)) == '{"type":"Text","min_length":1,"max_length":3}'
    assert describe(Dict(b=MultiBinary(2))) == '{"type":"Dict","spaces":{"b":{"type":"MultiBinary","n":2}}}'


def test_a_description_is_the_same_in_every_process() -> None:
    program = (
        "from gymnasium.spaces import *; from uniros_msgs.spaces import describe\n"
        "print(describe(Dict(a=Text(3), b=Text(3, charset=frozenset('qwertzuiop')), c=Text(3, charset='zyx'))))"
    )
    said = set()
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        said.add(subprocess.check_output([sys.executable, "-c", program], env=environment, text=True, timeout=30))
    assert len(said) == 1
    assert build(said.pop())["b"] == Text(3, charset="poiuztrewq")


def test_long_double_bounds_are_exact() -> None:
    third = np.longdouble(1) / 3
    space = Box(np.array([-third, -INF], np.longdouble), np.array([third, 1], np.longdouble), dtype=np.longdouble)
    assert_same(vars_of(build(describe(space))), vars_of(space))


class MyBox(Box):
    """Somebody's own space."""


class Odd(Space):
    """Somebody's own space."""


Disguised = type("Box", (Box,), {"__qualname__": "Disguised.Box"})


CUSTOM = [MyBox(0, 1), Odd(), Disguised(0, 1), Dict(a=Tuple([Odd()])), Sequence(Odd())]


@pytest.mark.parametrize("space", CUSTOM, ids=type)
def test_a_space_of_a_class_unknown_to_gymnasium_is_refused_by_name(space: Space) -> None:
    with pytest.raises(UnsupportedSpace, match=r"\.(Odd|MyBox|Disguised.Box) has no description.*Box, Discrete"):
        describe(space)


def test_dict_spaces_have_keys_of_str_or_int() -> None:
    with pytest.raises(UnsupportedSpace, match="keys"):
        describe(Dict({(1, 2): Discrete(2)}))


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", '{"type":"Box"}', '{"type":"Box","shape":[-1],"dtype":"float32","low":0,"high":1}',
        '{"type":"Box","shape":[2],"dtype":"object","low":0,"high":1}',
        '{"type":"Box","shape":[2],"dtype":"f4,O","low":0,"high":1}',
        '{"type":"Box","shape":[2],"dtype":"float32","low":[0,0,0],"high":1}',
        '{"type":"Box","shape":[2],"dtype":"int8","low":-300,"high":1}',
        '{"type":"Box","shape":[2],"dtype":"float32","low":1,"high":0}',
        '{"type":"Box","shape":[2],"dtype":"float32","low":"nan","high":0}',
        '{"type":"Box","shape":[1000000,1000000],"dtype":"float32","low":0,"high":1}', '{"type":"Discrete"}',
        '{"type":"Discrete","n":0}',
        '{"type":"Discrete","n":2,"seed":"x"}', '{"type":"Discrete","n":2,"dtype":"O"}',
        '{"type":"MultiDiscrete","nvec":["a"]}',
        '{"type":"MultiBinary","n":-1}', '{"type":"Text","max_length":-1}',
        '{"type":"Text","min_length":1,"max_length":3,"charset":5}',
        '{"type":"Dict","spaces":3}', '{"type":"Dict","spaces":{"a":{}}}', '{"type":"Tuple","spaces":[null]}',
        '{"type":"OneOf","spaces":[]}',
        '{"type":"Sequence","space":{"type":"Discrete","n":2}}',
        '{"type":"Graph","node_space":{"type":"Text","max_length":2,"min_length":0},"edge_space":null}',
        '{"type":["Box"]}', '{"type":"Tuple","spaces":' * 2000 + "1" + "}" * 2000,
    ],
    ids=lambda text: text[:70],
)  # fmt: skip
def test_a_text_that_describes_no_space_is_refused(text: str) -> None:
    with pytest.raises(MalformedData):
        build(text)


@pytest.mark.parametrize("name", ["Wormhole", "Space", "__class__", "utils"])
def test_a_class_we_do_not_know_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedSpace, match=name):
        build(json.dumps({"type": name}))
