"""Time on the emulated wire: nothing is at the host before its bits can have come."""

from __future__ import annotations

import math

import pytest

from uniros_env_server.emulation.instructions import Answer
from uniros_env_server.emulation.line import Line
from uniros_env_server.emulation.settings import Adapter

MBIT = 1_000_000
BYTE = 10e-6  # s at 1 Mbit/s


def line(latency: float = 0.0, chunk: int = 1000) -> Line:
    return Line(Adapter(latency, chunk))


def test_an_answer_takes_the_time_of_both_packets_and_the_return_delay() -> None:
    wire = line()
    assert wire.receive(14, MBIT, now=1.0)
    wire.answer([Answer(bytes(15), delay=0.0005)], MBIT)
    assert wire.due == pytest.approx(1.0 + 29 * BYTE + 0.0005)
    assert wire.deliver(wire.due - 1e-6) == b""
    assert wire.deliver(wire.due) == bytes(15)
    assert wire.due == math.inf


def test_a_slower_line_takes_longer() -> None:
    wire = line()
    wire.receive(10, 57_600, now=0.0)
    wire.answer([Answer(bytes(14), 0.0)], 57_600)
    assert wire.due == pytest.approx(24 * 10 / 57_600)


def test_packets_sent_at_once_go_one_after_the_other() -> None:
    wire = line()
    assert wire.receive(50, MBIT, now=0.0) and wire.receive(20, MBIT, now=0.0)
    wire.answer([Answer(b"x", 0.0)], MBIT)
    assert wire.due == pytest.approx(71 * BYTE)


def test_the_adapter_hands_over_after_its_latency_or_when_a_chunk_is_full() -> None:
    wire = line(latency=0.001, chunk=62)
    wire.receive(20, MBIT, now=0.0)
    wire.answer([Answer(bytes([number] * 21), 0.0) for number in range(7)], MBIT)
    assert wire.due == pytest.approx((20 + 3 * 21) * BYTE)  # the third completes the first 62 bytes
    assert len(wire.deliver(wire.due)) == 63
    assert wire.due == pytest.approx((20 + 6 * 21) * BYTE)
    assert len(wire.deliver(wire.due)) == 63
    assert wire.due == pytest.approx((20 + 7 * 21) * BYTE + 0.001)
    assert len(wire.deliver(wire.due)) == 21


def test_speaking_into_an_answer_loses_both() -> None:
    wire = line()
    wire.receive(10, MBIT, now=0.0)
    wire.answer([Answer(bytes(14), 0.0), Answer(bytes(14), 0.0)], MBIT)
    assert wire.deliver(25 * BYTE) == bytes(14)
    assert not wire.receive(10, MBIT, now=26 * BYTE)
    assert (wire.collisions, wire.due) == (1, math.inf)
    assert wire.receive(10, MBIT, now=60 * BYTE)


def test_a_lost_answer_takes_its_time() -> None:
    wire = line()
    wire.receive(10, MBIT, now=0.0)
    wire.answer([Answer(bytes(14), 0.0, lost=True), Answer(bytes(14), 0.0)], MBIT)
    assert wire.due == pytest.approx(38 * BYTE)
    assert wire.deliver(wire.due) == bytes(14)
