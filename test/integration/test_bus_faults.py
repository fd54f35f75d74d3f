"""What goes wrong on the emulated bus as its host sees it, in wall time, and what the plant does meanwhile."""

from __future__ import annotations

import os
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dynamixel import ALL, opened
from dynamixel_sdk import COMM_RX_CORRUPT, COMM_RX_TIMEOUT, COMM_SUCCESS, PacketHandler, PortHandler
from live import wait_until

from uniros_env_server.emulation.bus import EmulatedBus
from uniros_env_server.emulation.packets import frame

DXL = PacketHandler(2.0)
TORQUE, ERRORS, WATCHDOG, PROFILE, GOAL, POSITION = 64, 70, 98, 112, 116, 132
ALERT = 0x80

pytestmark = pytest.mark.deadline  # of packets, in ms


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[EmulatedBus]:
    with EmulatedBus(link=str(tmp_path / "dxl"), start="home") as running:
        yield running
    assert not os.path.lexists(tmp_path / "dxl")
    assert "emulated-bus" not in [thread.name for thread in threading.enumerate()]


@pytest.fixture
def port(bus: EmulatedBus) -> Iterator[PortHandler]:
    with opened(bus.port) as handler:
        yield handler


def switch_on(port: PortHandler) -> None:
    for number in ALL:
        assert DXL.write1ByteTxRx(port, number, TORQUE, 1) == (COMM_SUCCESS, 0)


def test_a_pulled_adapter_hangs_up_and_comes_back_under_its_name(bus: EmulatedBus) -> None:
    with opened(bus.port) as port:
        assert DXL.ping(port, 1)[1] == COMM_SUCCESS
        bus.fault("unplug")
        assert not os.path.lexists(bus.port)
        with pytest.raises((OSError, termios.error)):
            DXL.ping(port, 1)
    bus.fault("clear")
    with opened(bus.port) as port:
        assert DXL.ping(port, 1)[1] == COMM_SUCCESS


def test_a_link_never_replaces_what_is_not_an_emulators(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/dev/null")
    for name, words in (("file", "already"), ("link", "already"), ("no/folder", "no folder")):
        with pytest.raises(ValueError, match=words):
            EmulatedBus(link=str(tmp_path / name))


def test_a_packet_may_come_byte_by_byte_but_not_with_a_pause(bus: EmulatedBus, port: PortHandler) -> None:
    ping = frame(1, 1)
    for byte in ping:
        port.writePort(bytes([byte]))
        time.sleep(0.001)
    wait_until(lambda: port.getBytesAvailable() == 14, timeout=1.0)
    port.clearPort()
    port.writePort(ping[:5])
    time.sleep(0.1)
    port.writePort(ping[5:])
    time.sleep(0.05)
    assert port.getBytesAvailable() == 0
    assert DXL.ping(port, 1)[1] == COMM_SUCCESS


def test_a_cut_cable_is_silence_at_an_open_port(bus: EmulatedBus, port: PortHandler) -> None:
    bus.fault("cut")
    assert DXL.ping(port, 1)[1] == COMM_RX_TIMEOUT
    bus.fault("clear")
    assert DXL.ping(port, 1)[1] == COMM_SUCCESS


@pytest.mark.parametrize(("kind", "result"), [("lose", COMM_RX_TIMEOUT), ("corrupt", COMM_RX_CORRUPT)])
def test_bad_packets_are_reported_and_good_ones_follow(bus: EmulatedBus, port: PortHandler, kind: str,
                                                       result: int) -> None:
    bus.fault(kind, value=0.3)
    results = [DXL.ping(port, 1)[1:] for _ in range(40)]
    assert (COMM_SUCCESS, 0) in results and result in [code for code, _ in results]
    bus.fault("clear")
    assert [DXL.ping(port, 1)[1] for _ in range(20)] == [COMM_SUCCESS] * 20


def test_an_overheated_servo_says_so_and_lets_its_link_fall(bus: EmulatedBus, port: PortHandler) -> None:
    switch_on(port)
    bus.fault("overheat", servo=4)
    wait_until(lambda: DXL.ping(port, 4)[2] == ALERT, timeout=1.0)
    assert DXL.read1ByteTxRx(port, 4, ERRORS) == (4, COMM_SUCCESS, ALERT)
    wait_until(lambda: bus.truth().position["elbow"] > 0.3, timeout=2.0)
    bus.fault("clear")
    assert DXL.reboot(port, 4)[0] == COMM_SUCCESS
    wait_until(lambda: DXL.ping(port, 4)[1:] == (COMM_SUCCESS, 0), timeout=2.0)


def test_a_silent_host_trips_the_watchdog_in_time(bus: EmulatedBus, port: PortHandler) -> None:
    """100 ms without a packet, then the plant comes to rest: well before the end of its way."""
    switch_on(port)
    DXL.write4ByteTxRx(port, 1, PROFILE, 60)  # 1.4 rad/s
    DXL.write1ByteTxRx(port, 1, WATCHDOG, 5)
    DXL.write4ByteTxRx(port, 1, GOAL, 4000)
    time.sleep(0.06)
    assert DXL.ping(port, 7)[1] == COMM_SUCCESS
    spoken = bus.truth()
    wait_until(lambda: abs(bus.truth().velocity["waist"]) < 0.02 and bus.truth().position["waist"] > 0.05, timeout=3.0)
    travelled = bus.truth().highest["waist"] - spoken.position["waist"]
    assert travelled < (0.1 + 0.004 + 0.2) * 1.7  # rad: until it trips, and to stop
    assert DXL.read1ByteTxRx(port, 1, WATCHDOG)[0] == 255
    assert DXL.write4ByteTxRx(port, 1, GOAL, 2048) == (COMM_SUCCESS, 4)


def test_time_passes_on_the_plant_as_on_the_wall(bus: EmulatedBus) -> None:
    begun, lost = bus.truth().seconds, bus.counts()["lost"]
    start = time.monotonic()
    time.sleep(1.0)
    passed = bus.truth().seconds - begun + bus.counts()["lost"] - lost
    assert passed == pytest.approx(time.monotonic() - start, abs=0.1)
