"""dynamixel-sdk's own calls, on a serial port behind which the emulated arm runs as a process of its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dynamixel import ALL, PatientPort, opened
from dynamixel_sdk import (
    COMM_RX_TIMEOUT,
    COMM_SUCCESS,
    GroupBulkRead,
    GroupBulkWrite,
    GroupSyncRead,
    GroupSyncWrite,
    PacketHandler,
    PortHandler,
)
from live import wait_until

from uniros_bringup.process import spawn

DXL = PacketHandler(2.0)
TORQUE, LED, GOAL, POSITION, VELOCITY_LIMIT = 64, 65, 116, 132, 44  # addresses in ROBOTIS' tables
XL430, XM430 = 1060, 1020
OK = (COMM_SUCCESS, 0)
ACCESS, RANGE, LIMIT = 7, 4, 6
BYTE = 10e-6  # s on the wire at 1 Mbit/s
CYCLES = 300  # at 100 Hz

pytestmark = pytest.mark.deadline  # of packets, in ms


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    link = tmp_path_factory.mktemp("bus") / "rx200"
    process = spawn([sys.executable, "-m", "uniros_env_server.emulation", "--link", link, "--start", "home"],
                    log=link.with_suffix(".log"))
    wait_until(link.exists, timeout=10.0)
    yield str(link)
    assert process.stop() == 0
    assert not link.is_symlink()


@pytest.fixture
def port(device: str) -> Iterator[PortHandler]:
    with opened(device) as handler:
        yield handler


def four(value: int) -> list[int]:
    return list(value.to_bytes(4, "little"))


def test_ping_read_and_write_through_the_unchanged_port_of_the_sdk(device: str) -> None:
    with opened(device, PortHandler) as port:
        assert DXL.ping(port, 1) == (XL430, *OK)
        assert DXL.ping(port, 9)[1] == COMM_RX_TIMEOUT
        assert DXL.broadcastPing(port) == ({number: [XM430 if number in (2, 3, 4) else XL430, 45] for number in ALL}, 0)
        assert DXL.write1ByteTxRx(port, 6, LED, 1) == OK
        assert DXL.read1ByteTxRx(port, 6, LED) == (1, *OK)
        position, *result = DXL.read4ByteTxRx(port, 6, POSITION)
        assert tuple(result) == OK and abs(position - 2048) < 20


def test_errors_come_back_as_numbers(port: PortHandler) -> None:
    assert DXL.write4ByteTxRx(port, 6, POSITION, 1) == (COMM_SUCCESS, ACCESS)
    assert DXL.write1ByteTxRx(port, 6, TORQUE, 7) == (COMM_SUCCESS, RANGE)
    assert DXL.write4ByteTxRx(port, 5, GOAL, 4000) == (COMM_SUCCESS, LIMIT)
    assert DXL.write1ByteTxRx(port, 6, TORQUE, 1) == OK
    assert DXL.write4ByteTxRx(port, 6, VELOCITY_LIMIT, 200) == (COMM_SUCCESS, ACCESS)
    assert DXL.write1ByteTxRx(port, 6, TORQUE, 0) == OK


def test_sync_write_and_sync_read(port: PortHandler) -> None:
    writer = GroupSyncWrite(port, DXL, 112, 4)  # profile_velocity
    for number in ALL:
        assert writer.addParam(number, four(number * 10))
    assert writer.txPacket() == COMM_SUCCESS
    for read in ("txRxPacket", "fastSyncRead"):
        reader = GroupSyncRead(port, DXL, 112, 4)
        for number in ALL:
            assert reader.addParam(number)
        assert getattr(reader, read)() == COMM_SUCCESS
        assert [reader.getData(number, 112, 4) for number in ALL] == [number * 10 for number in ALL]


def test_bulk_write_and_bulk_read(port: PortHandler) -> None:
    writer = GroupBulkWrite(port, DXL)
    assert writer.addParam(1, LED, 1, [1]) and writer.addParam(4, 112, 4, four(123))
    assert writer.txPacket() == COMM_SUCCESS
    for read in ("txRxPacket", "fastBulkRead"):
        reader = GroupBulkRead(port, DXL)
        assert reader.addParam(1, LED, 1) and reader.addParam(4, 112, 4)
        assert getattr(reader, read)() == COMM_SUCCESS
        assert (reader.getData(1, LED, 1), reader.getData(4, 112, 4)) == (1, 123)


def test_registered_writes(port: PortHandler) -> None:
    for number in (1, 6):
        assert DXL.regWriteTxRx(port, number, LED, 1, [0]) == OK
    assert DXL.action(port, 0xFE) == COMM_SUCCESS
    time.sleep(0.005)
    assert [DXL.read1ByteTxRx(port, number, LED)[0] for number in (1, 6)] == [0, 0]


@pytest.mark.parametrize("offset", [-1, -513, -131_073])  # FF FF FF FF; FF FD FF FF; FF FF FD FF, which is stuffed
def test_data_that_look_like_a_header_arrive(port: PortHandler, offset: int) -> None:
    homing_offset = 20
    assert DXL.write4ByteTxRx(port, 6, homing_offset, offset % 2**32) == OK
    data, *result = DXL.readTxRx(port, 6, homing_offset, 4)
    assert (int.from_bytes(bytes(data), "little", signed=True), tuple(result)) == (offset, OK)
    assert DXL.write4ByteTxRx(port, 6, homing_offset, 0) == OK


def test_reboot_and_clear(port: PortHandler) -> None:
    assert DXL.write1ByteTxRx(port, 6, LED, 1) == OK
    assert DXL.clearMultiTurn(port, 6) == OK
    assert DXL.reboot(port, 6) == OK
    assert DXL.ping(port, 6)[1] == COMM_RX_TIMEOUT
    time.sleep(0.3)
    assert DXL.read1ByteTxRx(port, 6, LED) == (0, *OK)


def test_factory_reset_leaves_a_servo_as_from_the_works(port: PortHandler) -> None:
    assert DXL.read4ByteTxRx(port, 6, VELOCITY_LIMIT)[0] == 131
    assert DXL.factoryReset(port, 6, 0x02) == OK
    time.sleep(0.3)
    assert DXL.read4ByteTxRx(port, 6, VELOCITY_LIMIT) == (265, *OK)
    assert DXL.write4ByteTxRx(port, 6, VELOCITY_LIMIT, 131) == OK


def test_another_speed_is_not_understood(device: str) -> None:
    with opened(device) as port:
        assert port.setBaudRate(57_600)
        assert DXL.ping(port, 1)[1] == COMM_RX_TIMEOUT
        assert port.setBaudRate(1_000_000)
        assert DXL.ping(port, 1)[1] == COMM_SUCCESS


def test_no_answer_is_sooner_than_its_bits(port: PortHandler) -> None:
    """10 bytes there and 14 back; then 21 there and seven times 27 back."""
    reader = GroupSyncRead(port, DXL, 120, 16)
    for number in ALL:
        reader.addParam(number)
    for _ in range(50):
        start = time.monotonic()
        assert DXL.ping(port, 1)[1] == COMM_SUCCESS
        assert time.monotonic() - start >= 24 * BYTE
        start = time.monotonic()
        assert reader.txRxPacket() == COMM_SUCCESS
        assert time.monotonic() - start >= (21 + 7 * 27) * BYTE


def test_a_hundred_cycles_a_second_for_some_seconds(device: str, record_property: pytest.RecordProperty) -> None:
    """Sync read and sync write of seven servos, none lost, each within its turn of 10 ms on average."""
    took, late = [], 0.0
    with opened(device, PatientPort) as port:
        reader, writer = GroupSyncRead(port, DXL, 120, 16), GroupSyncWrite(port, DXL, GOAL, 4)
        for number in ALL:
            reader.addParam(number)
        start = time.monotonic()
        for cycle in range(CYCLES):
            time.sleep(max(0.0, start + cycle * 0.01 - time.monotonic()))
            begun = time.monotonic()
            assert reader.txRxPacket() == COMM_SUCCESS, f"cycle {cycle}"
            writer.clearParam()
            for number in ALL:
                writer.addParam(number, four(min(3000, max(1000, reader.getData(number, POSITION, 4)))))
            assert writer.txPacket() == COMM_SUCCESS
            took.append(time.monotonic() - begun)
            late = max(late, begun - start - cycle * 0.01)
        end = time.monotonic() - start
    took.sort()
    p50, p99 = took[CYCLES // 2] * 1e3, took[CYCLES * 99 // 100] * 1e3
    record_property("cycle", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, began up to {late * 1e3:.1f} ms late")
    assert end < CYCLES * 0.01 + 0.5


def test_two_arms_live_side_by_side(device: str, tmp_path: Path) -> None:
    link = tmp_path / "other"
    process = spawn([sys.executable, "-m", "uniros_env_server.emulation", "--link", link, "--seed", "7"],
                    log=tmp_path / "log")
    wait_until(link.exists, timeout=10.0)
    assert os.path.realpath(link) != os.path.realpath(device)
    with opened(str(link)) as port, opened(device) as first:
        assert DXL.ping(port, 1)[1] == DXL.ping(first, 1)[1] == COMM_SUCCESS
    process.kill()
    assert link.is_symlink() and not link.exists()  # SIGKILL leaves a link to nothing, which the next one replaces
    again = spawn([sys.executable, "-m", "uniros_env_server.emulation", "--link", link], log=tmp_path / "log")
    wait_until(link.exists, timeout=10.0)
    assert again.stop() == 0
