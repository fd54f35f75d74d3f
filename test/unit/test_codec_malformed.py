"""Whatever a peer sends is decoded or refused: nothing executed, no memory taken, no other exception."""

from __future__ import annotations

import json
import random
import struct
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

from uniros_msgs import codec, plan
from uniros_msgs.errors import MalformedData
from uniros_msgs.msg import Data

SEEDS: list[Any] = [
    {"distance": 0.5, "name": "reach", "n": 3, "ok": True, "x": np.float32(1), "big": 2**70, "none": None},
    np.arange(5, dtype=np.float32),
    {"image": np.zeros((4, 4, 3), np.uint8), "goal": np.zeros(3), "half": np.ones(3, np.float16)},
    [(1, 2.0, "x", b"bytes", np.zeros(2))] * 5,
    {1: "a", (2, 3): {"b"}, None: frozenset([1])},
    np.array([(1, 2.5, "x")], [("a", "i4"), ("b", "f8"), ("c", "U3")]),
    [np.array(["a", "bc"]), np.array([1, None, "x"], object), np.datetime64("2020-01-01"), "\ud800"],
]

BAD_LAYOUTS = [
    "", "nonsense", "{", "[]", "[1]", "1", "true", "1.5", "NaN", '"unknown"', '"f3"', '"O"', '["O",1]', '["object"]',
    '["object",3]', '["object",[2],null]', '["object",[-1]]', '["list",2]', '["list",2,3,null]', '["list",-1,null]',
    '["list",0,null]', '["list",1e3,null]', '["list",true,null]', '{"a":null,"a":null}',
    '["dict",["tuple"],["tuple",null]]',
    '["dict",["list"],["list"]]', '["dict",["tuple",["list"]],["tuple",null]]', '["OrderedDict",["list"]]',
    '["OrderedDict"]',
    '["graph",null]', '["bytes"]', '["bytes",-1]', '["bytes","4"]', '["f8",-1]', '["f8",1.5]', '["f8","3"]',
    '["f8",true]',
    '["f8",1099511627776]', '["u1",1000000,1000000]', '["u1",' + ",".join("1" * 70) + "]", '["raw"]', '["raw","O",1]',
    '["raw","f4,O",1]', '["raw","object",1]', '["raw",["f4"],1]', '["raw",["f4",-1],1]', '["raw",{"names":["a"]},1]',
    '["raw",{"names":["a"],"formats":["O"],"offsets":[0],"itemsize":8},1]', '["raw","g13",1]', '["raw","M8[q]",1]',
    '["raw",{"names":["a"],"formats":["f8"],"offsets":[4],"itemsize":8},1]', '["scalar"]', '["scalar","f4",3]',
    '["U999999999",1]', '["U5"', '["S5",1]', '["bigint","x"]', '["bigint",["u8"]]', '["c8",2]', '["set",["list"]]',
    "[" * 500 + "]" * 500, '["list",' * 400 + "null" + "]" * 400, '["raw",' + '["f4",' * 300 + "2" + "]" * 300 + ",1]",
    '["list",1000000000000,null]', '["list",1000000,["list",1000000,["tuple"]]]', '["list",100000000,["f8",0]]',
]  # fmt: skip


@pytest.mark.parametrize("layout", BAD_LAYOUTS, ids=lambda layout: layout[:40])
def test_a_layout_that_is_not_one_is_refused(layout: str) -> None:
    for data in (Data(layout=layout), Data(layout=layout, f64=[0.0], u8=b"12345678", text=["a"])):
        tracemalloc.start()
        with pytest.raises(MalformedData):
            codec.decode(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**20, f"{peak} bytes were taken for it"


@pytest.mark.parametrize(
    "data",
    [
        Data(layout='"float"'),
        Data(layout='"float"', f64=[1.0, 2.0]),
        Data(layout='"float"', f64=[1.0], text=["surplus"]),
        Data(layout='["f4",3]', f32=[1.0, 2.0]),
        Data(layout='["f4",3]', f32=["a", "b", "c"]),
        Data(layout='["f4",1]', f32=[1e300]),
        Data(layout='["i1",1]', i64=[300]),
        Data(layout='["u8",1]', i64=[-1]),
        Data(layout='"i1"', i64=[300]),
        Data(layout='"bigint"', text=["12"]),
        Data(layout='"bigint"', text=["0x_1"]),
        Data(layout='["U2",1]', text=["abc"]),
        Data(layout='["U99999999",1]', text=["abc"]),
        Data(layout='["f4",-1,-1]', f32=[1.0]),
        Data(layout='["set",["list","int"]]', i64=[1]),
        Data(layout='["surrogates",2]', u8=b"\xff\xff"),
        Data(layout='["u1",3]', u8=[1, 2, 300]),
        Data(layout='["object",[2,2],"int"]', i64=[1]),
        Data(layout='["list",3,"float"]', f64=[1.0]),
        Data(layout='["bigint","i1"]', text=["0xffff"]),
    ],
    ids=lambda data: data.layout,
)
def test_arrays_that_do_not_fit_are_refused(data: Data) -> None:
    tracemalloc.start()
    with pytest.raises(MalformedData):
        codec.decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20, f"{peak} bytes were taken for it"


def test_layouts_have_a_limited_depth() -> None:
    with pytest.raises(MalformedData, match="deeper than 64"):
        codec.decode(Data(layout='["list",' * 300 + "null" + "]" * 300))


def test_a_buffer_cut_off_anywhere_is_refused() -> None:
    for value in SEEDS:
        wire = codec.dumps(value)
        for end in range(len(wire)):
            for read in (codec.loads, codec.unpack):
                with pytest.raises(MalformedData):
                    read(wire[:end])


def accepted(call: Any, *args: Any) -> bool:
    """Decoded or refused; every other exception fails the test."""
    try:
        call(*args)
    except MalformedData:
        return False
    return True


def test_any_bytes_are_decoded_or_refused(rounds: int = 4000) -> None:
    rng = random.Random(1)
    wires = [codec.dumps(value) for value in SEEDS]
    decoded = 0
    for _ in range(rounds):
        wire = bytearray(rng.choice(wires))
        for _ in range(rng.randint(1, 4)):
            wire[rng.randrange(len(wire))] = rng.choice([0, 1, 127, 255, rng.randrange(256)])
        at_once = accepted(codec.loads, bytes(wire))
        assert at_once == accepted(lambda raw: codec.decode(codec.unpack(raw)[0]), memoryview(wire))
        accepted(codec.loads, rng.randbytes(rng.randrange(60)))
        decoded += at_once
    assert rounds / 20 < decoded < rounds * 19 / 20, f"{decoded} of {rounds}: one-sided"


def pieces(layout: Any) -> list[Any]:
    inside = layout.values() if isinstance(layout, dict) else layout if isinstance(layout, list) else []
    return [layout, *[piece for each in inside for piece in pieces(each)]]


def shuffled(layout: Any, rng: random.Random, spare: list[Any]) -> Any:
    if rng.random() < 0.15:
        return rng.choice(spare)
    if isinstance(layout, dict):
        return {key: shuffled(each, rng, spare) for key, each in layout.items()}
    if isinstance(layout, list):
        return [shuffled(each, rng, spare) for each in layout]
    return layout


def test_any_layout_is_decoded_or_refused(rounds: int = 4000) -> None:
    rng = random.Random(2)
    messages = [codec.encode(value) for value in SEEDS]
    spare = [piece for data in messages for piece in pieces(json.loads(data.layout))] + [0, -1, 2, 10**20, True, 1.5]
    decoded = 0
    for _ in range(rounds):
        data = rng.choice(messages)
        layout = json.dumps(shuffled(json.loads(data.layout), rng, spare))
        decoded += accepted(codec.decode, Data(layout, data.f64, data.f32, data.i64, data.u8, data.text))
        accepted(codec.loads, codec.pack(Data(layout, [1.0] * 3, [1.0] * 5, [1, 2], b"123", ["a", "b"])))
    assert rounds / 20 < decoded < rounds * 19 / 20, f"{decoded} of {rounds}: one-sided"


def test_a_short_message_cannot_ask_for_long_lists() -> None:
    start = time.monotonic()
    for count in (2**21, 2**30, 2**39):
        layout = f'["list",{count},["tuple",null,{{}},["f8",0]{",null" * 50}]]'
        with pytest.raises(MalformedData, match="containers"):
            codec.decode(Data(layout=layout))
    assert time.monotonic() - start < 1.0


def test_a_peer_cannot_fill_the_memory_with_layouts() -> None:
    for number in range(600):
        codec.decode(Data(layout=json.dumps({f"key {number}": None})))
    assert plan._remembered_plan.cache_info().currsize <= 256
    before = plan._remembered_plan.cache_info().misses
    codec.decode(Data(layout=json.dumps({"x" * 5000: None})))
    assert plan._remembered_plan.cache_info().misses == before, "a long layout was kept"


def test_lengths_beyond_the_buffer_take_no_memory() -> None:
    for stream in range(6):
        wire = bytearray(codec.dumps(None))
        at = 4 + len("null") + 4 * stream if stream < 5 else 0  # the length of each array, then that of the layout
        struct.pack_into("<I", wire, at, 0xFFFFFFFF)
        tracemalloc.start()
        for read in (codec.loads, codec.unpack):
            with pytest.raises(MalformedData):
                read(bytes(wire))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**20
