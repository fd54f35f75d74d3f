"""Every value comes back as it was, by every way through the codec."""

from __future__ import annotations

import ast
import enum
import io
import json
import logging
import subprocess
import sys
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from exact import assert_same
from gymnasium.spaces import GraphInstance

from uniros_msgs import codec
from uniros_msgs.codec import Opaque, decode, dumps, encode, loads, pack, unpack
from uniros_msgs.msg import Data

SOURCES = Path(__file__).resolve().parents[2] / "uniros_msgs" / "src" / "uniros_msgs"
DTYPES = [
    "b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g", "c8", "c16", "G",
    ">i2", ">i4", ">u8", ">f2", ">f4", ">f8", ">c8", ">g", "M8[ns]", "m8[s]", "S3", "U3", ">U3", "V5", "O",
]  # fmt: skip
NANS = np.array([0x7FA00001, 0x7FC12345, 0xFFC00001, 0xFF800001, 0x3F800000], np.uint32).view(np.float32)
NANS64 = np.array([0x7FF0000000000001, 0x7FF8123412341234, 0xFFF8000000000000], np.uint64).view(np.float64)


def nested(levels: int) -> Any:
    value: Any = 1.5
    for level in range(levels):
        value = [[value], {"key": value}, {1: value}, (value,), OrderedDict([(2, value)])][level % 5]
    return value


PLAIN = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**5000, -(2**4000),
    1.5, 0.0, -0.0, float("inf"), float("-inf"), 5e-324, NANS64[1].item(), NANS64[2].item(),
    complex(-0.0, float("inf")), "", "plain", "ünï€😀", "a\0b", "\ud800 alone", b"", b"\0\xff", bytearray(b"xy"),
]  # fmt: skip
CONTAINERS = [
    [], (), {}, set(), frozenset(), [1, 2, 3], [1.0] * 100, ("a", "a", 1, 1, 1.0), [None] * 3, [{}] * 4,
    [(1, 2.0, "x", np.float32(3), np.zeros(2), b"b", True)] * 5, [[[1] * 3] * 4] * 5, [["a", "b"]] * 2 + [["a"]],
    {"b": 1, "a": {"nested": [1, (2, {"deeper": None})]}}, {"%s": 1, '"quoted"\\': 2, "é\ud800\n": 3, "": 4},
    {1: 2, "a": 3, None: 4, (1, 2): [5], 2.5: 6, b"k": 7, True + 1: 8}, {np.str_("key"): 1}, {np.int64(3): np.int8(4)},
    OrderedDict(b=1, a=2), OrderedDict({1: 2}), {frozenset([1, 2]): {3}}, {1, 2, 3}, frozenset("a"), nested(64),
]  # fmt: skip
SCALARS = [
    *[np.array(1).astype(code)[()] for code in DTYPES if code not in ("O", "V5")],
    np.float64(-0.0), NANS[0], NANS[1], NANS[3], NANS64[0], np.float16("nan"), np.uint64(2**64 - 1),
    np.uint64(2**63 - 1),
    np.longlong(5), np.ulonglong(2**64 - 1), np.longdouble(1) / 3, np.clongdouble(1j) / 3, np.datetime64("NaT"),
    np.str_("ü"), np.str_("\udfff"), np.bytes_(b"a\0b"), np.void(b"abc"), np.bool_(False),
    np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")])[0],
]  # fmt: skip
ARRAYS = [
    *[np.zeros(shape, code) for code in DTYPES for shape in ((), (3,), (2, 2), (0, 2), (1500,))],
    *[np.array([1, 0, 1]).astype(code) for code in DTYPES if code != "V5"],
    NANS, NANS[:2], np.stack([NANS, NANS]).T, NANS64, np.full(2000, NANS[0]), NANS.astype(">f4"),
    np.frombuffer(b"\x01\x7c\x01\x7e\x00\xfe", np.float16), np.array([np.inf, -np.inf, 3e38], np.float32),
    np.array([2**64 - 1, 0], np.uint64), np.array([2**63 - 1], np.uint64), np.array([-(2**63)], np.int64),
    np.arange(12.0).reshape(3, 4).T, np.arange(12, dtype=np.float32)[::2], np.arange(6)[::-1],
    np.broadcast_to(1.5, (2, 3)),
    np.ones((1,) * 32), np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)),
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, 1:, ::2],
    np.array(["a\0b", "", "ü😀"]), np.array(["\ud800"]), np.array(["x" * 129, "y"]), np.array([b"a", b"\0b"]),
    np.array(["a", "bcd" * 50], np.dtypes.StringDType()),
    np.array([(1, 2.5, "x")], [("a", "i4"), ("b", ">f8"), ("c", "U3")]),
    np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    np.ones(2, [("a", "f4", (2, 3)), ("b", [("x", "g"), ("y", ">c8")])]), np.zeros(2, []),
    np.array([1, "a", None, [1], np.float32(2)], object), np.array([[1] * 3, [2.5] * 3], object),
    np.array({"a": 1}, object),
]  # fmt: skip
VALUES = {"plain": PLAIN, "containers": CONTAINERS, "scalars": SCALARS, "arrays": ARRAYS}
INFO = {
    "distance": 0.123, "is_success": False, "steps": 12, "refusal": "", "overruns": np.int64(3),
    "cost": np.float64(-0.1),
    "age": np.float32(0.2), "achieved_goal": np.arange(3.0), "final_info": None, "nested": {"xs": [np.int32(1), 2.5]},
}  # fmt: skip


def assert_identical(a: Any, b: Any) -> None:
    """As assert_same, for what memory does not tell: arrays of references, complex NaN."""
    if isinstance(a, np.ndarray) and a.dtype.kind in "OT":
        assert (type(a), a.dtype, a.shape) == (type(b), b.dtype, b.shape)
        assert_same(a.tolist(), b.tolist())
    elif type(a) is complex:
        assert_same((a.real, a.imag), (b.real, b.imag))
    else:
        assert_same(a, b)


def genpy(data: Data) -> bytes:
    buffer = io.BytesIO()
    data.serialize(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", VALUES)
def test_comes_back_from_a_message(kind: str) -> None:
    for value in VALUES[kind]:
        assert_identical(value, decode(encode(value)))


@pytest.mark.parametrize("kind", VALUES)
def test_comes_back_through_ros_own_serialization(kind: str) -> None:
    for value in VALUES[kind]:
        wire = genpy(encode(value))
        assert_identical(value, decode(Data().deserialize(wire)))
        assert_identical(value, decode(Data().deserialize_numpy(wire, np)))


@pytest.mark.parametrize("kind", VALUES)
def test_the_fast_ways_write_and_read_what_ros_does(kind: str) -> None:
    for value in VALUES[kind]:
        wire = genpy(encode(value))
        assert pack(encode(value)) == dumps(value) == wire
        data, end = unpack(b"before" + wire + b"after", 6)
        assert (end, genpy(data)) == (6 + len(wire), wire)
        for buffer in (bytes, bytearray, memoryview):
            back, end = loads(buffer(b"before" + wire + b"after"), 6)
            assert end == 6 + len(wire)
            assert_identical(value, back)


def test_a_tree_of_everything_comes_back() -> None:
    tree = {kind: list(values) for kind, values in VALUES.items() if kind != "arrays"} | {"info": INFO}
    again = decode(encode(tree))
    assert dumps(again) == dumps(tree)
    assert_same(INFO, again["info"])


def test_any_bits_come_back(rounds: int = 300) -> None:
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        code = rng.choice(["f2", "f4", "f8", ">f4", "i8", "u8", "c8", "c16", "i2"])
        raw = rng.bytes(rng.integers(0, 20) * np.dtype(code).itemsize)
        value = {"a": np.frombuffer(raw, code), "b": np.frombuffer(raw, code).tolist()[:0]}
        assert_same(value, decode(Data().deserialize(genpy(encode(value)))))
        assert_same(value, loads(dumps(value))[0])


def test_decoded_arrays_are_ones_own() -> None:
    for value in ARRAYS:
        wire = bytearray(dumps([value, value]))
        first, second = loads(wire)[0]
        before = wire[:]
        assert first.flags.writeable and (first.flags.owndata or first.base.flags.owndata)
        assert not np.shares_memory(first, second) and not np.shares_memory(first, np.frombuffer(wire, np.uint8))
        if first.size and first.dtype.kind in "iuf":
            first[...] = 77
            assert wire == before and not (second == 77).any()


def test_a_message_does_not_change_with_the_array_it_was_made_from() -> None:
    value = {"a": np.zeros(3, np.float32), "b": np.zeros(2), "c": np.zeros(2, np.uint8), "d": [1]}
    data = encode(value)
    value["a"][:] = value["b"][:] = value["c"][:] = 9  # type: ignore[index]
    value["d"].append(2)  # type: ignore[union-attr]
    assert_same(decode(data), {"a": np.zeros(3, np.float32), "b": np.zeros(2), "c": np.zeros(2, np.uint8), "d": [1]})


def test_numbers_stay_readable() -> None:
    data = encode(INFO)
    assert data.layout == (
        '{"distance":"float","is_success":"bool","steps":"int","refusal":"str","overruns":"i8","cost":"f8","age":"f4",'
        '"achieved_goal":["f8",3],"final_info":null,"nested":{"xs":["list","i4","float"]}}'
    )
    assert list(data.f64) == [0.123, -0.1, 0.0, 1.0, 2.0, 2.5]
    assert list(data.f32) == [np.float32(0.2).item()]
    assert (list(data.i64), data.u8, data.text) == ([12, 3, 1], b"\0", [""])
    assert encode([1.0] * 3 + [(1, 2)] * 2).layout == '["list",3,"float",2,["tuple",2,"int"]]'
    assert encode(np.zeros((2, 3), np.int16)).layout == '["i2",2,3]'
    assert encode(np.zeros(1025, np.int16)).layout == '["raw","i2",1025]'
    assert "distance" in str(data) and "0.123" in str(data)  # what rostopic echo prints


def test_a_message_can_be_filled_instead_of_made() -> None:
    data = Data(layout='"float"', f64=[1.0], text=["old"])
    assert encode(np.float32(2), into=data) is data
    assert_same(decode(data), np.float32(2))


def test_graphs_come_back_as_gymnasiums() -> None:
    graph = GraphInstance(np.ones((2, 3), np.float32), np.array([1]), np.array([[0, 1]], np.int32))
    for value in (graph, GraphInstance(np.arange(3), None, None), {"seq": (graph, graph)}):
        assert_same(value, decode(encode(value)))


class Colour(enum.IntEnum):
    RED = 3


class Word(str):
    def __str__(self) -> str:
        return "lies"


class Pair(NamedTuple):
    a: int
    b: float


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, 3),
        (Word("truth"), "truth"),
        (Pair(1, 2.5), (1, 2.5)),
        (defaultdict(int, a=1), {"a": 1}),
        (np.array([(1, 2)], [("a", int), ("b", int)]).view(np.recarray), np.array([(1, 2)], [("a", int), ("b", int)])),
    ],
)
def test_subclasses_arrive_as_what_they_derive_from(value: Any, plain: Any) -> None:
    assert_same(decode(encode({"x": value})), {"x": plain})


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Garbled:
    def __repr__(self) -> str:
        return "\ud800 is no character"


@pytest.mark.parametrize(
    "value",
    [
        *(len, object(), Hostile(), Garbled(), range(3), np.dtype("f4"), np.ma.array([1, 2], mask=[0, 1])),
        np.zeros(1, [("o", "O")]),
    ],
)
def test_what_cannot_be_sent_arrives_as_its_name_and_repr(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    codec_warned = sys.modules["uniros_msgs.flatten"]._WARNED  # type: ignore[attr-defined]
    codec_warned.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            arrived = decode(encode([1, value, {value.__class__: 2}]))
    assert isinstance(arrived[1], Opaque) and arrived[1].type_name.endswith(type(value).__qualname__)
    assert arrived[0] == 1 and [type(key) for key in arrived[2]] == [Opaque]
    assert_same(decode(Data().deserialize(genpy(encode(arrived)))), arrived)
    assert sum(arrived[1].type_name in record.getMessage() for record in caplog.records) == 1


def test_what_contains_itself_arrives_without_that() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    array = np.empty(1, object)
    array[0] = array
    knot: dict[str, Any] = {}
    knot["a"] = [knot, knot]
    assert decode(encode({"ok": 2, "loop": loop}))["ok"] == 2
    for value in (loop, array, knot, nested(65), nested(2000)):
        back = decode(encode(value))
        assert "Opaque" in repr(back) and dumps(back) == dumps(decode(encode(back)))


def test_a_robot_computer_needs_numpy_and_genpy_only() -> None:
    program = (
        "import sys\n"
        "for name in ('gymnasium', 'torch', 'rospy'): sys.modules[name] = None\n"
        "from uniros_msgs import codec\n"
        "import uniros_msgs.errors\n"
        "assert codec.loads(codec.dumps({'a': 1}))[0] == {'a': 1}\n"
        f"graph = bytes.fromhex('{dumps(GraphInstance(np.zeros(2), None, None)).hex()}')\n"
        "try: codec.loads(graph)\n"
        "except codec.MalformedData as error: assert 'install gymnasium' in str(error)\n"
        "else: raise SystemExit('a graph without gymnasium')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_the_package_is_written_in_python_3_8() -> None:
    for file in SOURCES.glob("*.py"):
        ast.parse(file.read_text(), feature_version=(3, 8))
        assert "from __future__ import annotations" in file.read_text() or file.name == "__init__.py"


def test_layouts_are_json_in_ascii() -> None:
    for value in PLAIN + CONTAINERS + SCALARS + ARRAYS:
        layout = encode(value).layout
        assert layout.isascii() and json.dumps(json.loads(layout), separators=(",", ":")) == layout


def test_what_the_module_says_it_offers_is_there() -> None:
    assert all(hasattr(codec, name) for name in codec.__all__)
