"""The driver's port, bus and arm against the emulated servos, without ROS: deadlines, refusals, settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import dynamixel_sdk.port_handler
import numpy as np
import pytest

from uniros_env_server.driver import eeprom
from uniros_env_server.driver.__main__ import connect
from uniros_env_server.driver.arm import Arm
from uniros_env_server.driver.bus import Answers, BusError
from uniros_env_server.driver.config import load_setup
from uniros_env_server.driver.core import Driver
from uniros_env_server.driver.hold import Hold
from uniros_env_server.driver.port import Port, PortLost
from uniros_env_server.driver.registers import STATE, STATE_ADDRESS
from uniros_env_server.driver.states import NotNow
from uniros_env_server.emulation.bus import EmulatedBus

SETUP = load_setup()
TIMEOUT = SETUP.tuning.response_timeout
IDS = [servo.id for servo in SETUP.servos]
SDK_TIMEOUT = 0.034  # s, what dynamixel-sdk's own port handler waits for a lost packet

pytestmark = pytest.mark.deadline  # of packets, in ms


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[EmulatedBus]:
    with EmulatedBus(link=str(tmp_path / "ttyDXL"), start="home") as emulated:
        yield emulated


@pytest.fixture
def arm(bus: EmulatedBus) -> Iterator[Arm]:
    connected = connect(SETUP, bus.port)
    yield connected
    connected.bus.port.close()


def measured(arm: Arm, attempts: int = 20) -> np.ndarray:
    """A position that was measured, sooner or later."""
    for _ in range(attempts):
        measurement = arm.measure()
        if measurement:
            return measurement.position
    raise AssertionError("nothing was measured")


def test_all_servos_answer_in_one_exchange_with_what_they_say_singly(arm: Arm) -> None:
    answers = arm.bus.sync_read(IDS, STATE_ADDRESS, STATE.itemsize)
    assert list(answers.data) == IDS and answers.missing == ()
    assert answers.sent < answers.received < answers.sent + 0.05
    for servo in SETUP.servos:
        position = np.frombuffer(answers.data[servo.id], STATE)[0]["position"]
        assert arm.bus.read(servo.id, arm.register("present_position")) == pytest.approx(position, abs=60)  # it sinks
        assert arm.bus.ping(servo.id) == servo.model.number


def test_a_measurement_is_stamped_within_its_exchange(arm: Arm) -> None:
    before = time.monotonic()
    measurement = arm.measure()
    assert measurement is not None
    assert before < measurement.stamp - measurement.spread < measurement.stamp + measurement.spread < time.monotonic()
    assert 0.001 < measurement.spread < 0.05  # the bits alone take 2 ms
    assert np.abs(measurement.position[:5]).max() < 0.1


def test_a_silent_servo_costs_the_time_agreed_and_the_others_are_not_forgotten(arm: Arm, bus: EmulatedBus) -> None:
    arm.bus.port.slack = TIMEOUT
    bus.fault("silence", servo=5)
    took, busy = [], []
    for _ in range(5):
        start, cpu = time.monotonic(), time.thread_time()
        answers = arm.bus.sync_read(IDS, STATE_ADDRESS, STATE.itemsize)
        took.append(time.monotonic() - start)
        busy.append(time.thread_time() - cpu)
        assert list(answers.data) == [1, 2, 3, 4]
        assert answers.missing == (5, 6, 7)  # those after it wait for its packet in vain
    assert TIMEOUT < min(took) < SDK_TIMEOUT / 2
    assert min(busy) < 0.3 * min(took)  # it sleeps while it waits
    assert arm.search() == "servo 5 (wrist_angle): no answer"
    assert arm.bus.counters.lost >= 5


def test_the_wall_clock_is_not_looked_at(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> float:
        raise AssertionError("time.time() was called")

    monkeypatch.setattr(dynamixel_sdk.port_handler.time, "time", never)
    assert measured(arm) is not None


def test_what_was_answered_before_is_not_taken_for_a_measurement(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = arm.bus.sync_read(IDS, STATE_ADDRESS, STATE.itemsize)

    def again(*_: object) -> Answers:
        return Answers(answers.data, frozenset(), (), time.monotonic(), time.monotonic())

    with monkeypatch.context() as patch:
        patch.setattr(arm.bus, "sync_read", again)
        assert arm.measure() is not None
        time.sleep(0.01)
        assert arm.measure() is None  # the servos' clocks have stood still
        assert arm.bus.counters.stale == 1
    measured(arm)


def test_late_answers_are_not_taken_for_those_to_the_next_question(tmp_path: Path) -> None:
    with EmulatedBus(link=str(tmp_path / "tty"), adapter={"latency": 0.02, "chunk": 62}) as bus:
        arm = connect(SETUP, bus.port)
        arm.bus.port.slack = TIMEOUT
        wanted = {"drive_mode": 1, "operating_mode": 3, "secondary_id": 255, "model_number": 1020}
        late = 0
        for name, value in list(wanted.items()) * 4:
            try:
                assert arm.bus.read(4, arm.register(name)) == value, name
            except BusError:
                late += 1
        assert late > 10
        for _ in range(10):
            asked = time.monotonic()
            measurement = arm.measure()
            assert measurement is None or measurement.stamp - measurement.spread >= asked
        arm.bus.port.close()


def test_corrupt_packets_are_counted_and_not_believed(arm: Arm, bus: EmulatedBus) -> None:
    here = measured(arm)
    arm.bus.port.slack = TIMEOUT
    bus.fault("corrupt", value=0.2)
    found = [arm.measure() for _ in range(60)]
    assert 5 < sum(measurement is None for measurement in found) < 60
    assert arm.bus.counters.corrupt > 5
    for measurement in filter(None, found):
        assert measurement.position[[0, 4, 5]] == pytest.approx(here[[0, 4, 5]], abs=0.02)  # the others sink


def test_a_refusal_is_reported_in_words(arm: Arm) -> None:
    with pytest.raises(BusError, match=r"servo 1 was told torque_enable = 9: The data value is out of range!"):
        arm.bus.write(1, arm.register("torque_enable"), 9)
    with pytest.raises(BusError, match="servo 99 does not answer a ping: There is no status packet!"):
        arm.bus.ping(99)


def test_a_cable_that_is_pulled_out_is_noticed_at_once_and_can_be_put_back(arm: Arm, bus: EmulatedBus) -> None:
    measured(arm)
    bus.fault("unplug")
    start = time.monotonic()
    with pytest.raises(PortLost, match="has gone"):
        arm.measure()
    assert time.monotonic() - start < SDK_TIMEOUT
    arm.bus.port.close()
    with pytest.raises(PortLost, match="is closed"):
        arm.measure()
    with pytest.raises(PortLost, match="is the U2D2 plugged in"):
        arm.bus.port.open()
    bus.fault("clear")
    arm.bus.port.open()
    measured(arm)


def test_a_port_is_opened_once_and_errors_give_advice(arm: Arm, bus: EmulatedBus, tmp_path: Path) -> None:
    with pytest.raises(PortLost, match="is in use: is another driver"):
        Port(bus.port, SETUP.baud_rate, 0.01).open()
    with pytest.raises(PortLost, match=r"there is no .*/none: is the U2D2 plugged in"):
        Port(str(tmp_path / "none"), SETUP.baud_rate, 0.01).open()
    measured(arm)


def test_torque_comes_with_gains_limits_grip_and_watchdog(arm: Arm) -> None:
    arm.stiffen(arm.present("present_position"))
    try:
        for servo in SETUP.servos:
            registers = servo.model.registers
            for name, value in {**servo.gains, "torque_enable": 1, "bus_watchdog": 5}.items():
                assert arm.bus.read(servo.id, registers[name]) == value, (servo, name)
            speed = arm.bus.read(servo.id, registers["profile_velocity"])
            assert speed == (97 if servo.joint == "shoulder" else 131)
        assert arm.bus.read(7, arm.register("goal_pwm")) == 354
    finally:
        arm.slacken()
    assert arm.bus.read(1, arm.register("bus_watchdog")) == 0


def test_goals_reach_all_servos_and_never_leave_their_limits(arm: Arm) -> None:
    arm.move(np.array([9.0, -9.0, 9.0, -9.0, 9.0, 0.5]))
    goals = {servo.id: arm.bus.read(servo.id, arm.register("goal_position")) for servo in SETUP.servos}
    assert goals == {1: 4095, 2: 819, 3: 819, 4: 3106, 5: 910, 6: 4095, 7: int(SETUP.ticks(0.5))}


def test_a_servo_that_was_turned_by_hand_beyond_its_turn_is_read_within_it(arm: Arm) -> None:
    home = arm.present("present_position")
    homing = arm.register("homing_offset")  # moves what it says, as a turn would
    arm.bus.write(1, homing, 4096)
    assert arm.present("present_position") == pytest.approx(home, abs=0.02)


def test_torque_is_refused_to_an_arm_that_lies_beyond_its_limits(arm: Arm) -> None:
    arm.bus.write(5, arm.register("homing_offset"), 2000)  # as if it lay 3 rad further
    hold = Hold(SETUP, arm, Driver(SETUP, arm).motion)
    with pytest.raises(NotNow, match=r"wrist_angle is .* rad beyond its limits: move it by hand"):
        hold.limp_arm()
    arm.look_at_all()
    assert arm.health.where("torque_enable", 1) == []


@pytest.mark.parametrize(("wrong", "words"), [
    ({4: {"drive_mode": 0}}, r"servo 4 \(elbow\) +drive_mode +0 +1\n"),
    ({3: {"secondary_id": 255}}, r"servo 3 \(shoulder, shadow\) +secondary_id +255 +2\n"),
    ({2: {"min_position_limit": 0}, 6: {"velocity_limit": 265}}, r"(?s)min_position_limit +0 +819.*velocity_limit"),
])
def test_settings_that_differ_are_refused_and_written_on_request(wrong: dict, words: str, tmp_path: Path) -> None:
    with EmulatedBus(link=str(tmp_path / "tty"), start="home", eeprom=wrong) as bus:
        arm = connect(SETUP, bus.port)
        with pytest.raises(eeprom.SettingsDiffer, match=words):
            eeprom.verify(arm)
        written = [(difference.servo.id, difference.register) for difference in eeprom.configure(arm)]
        assert written == [(servo, register) for servo, registers in wrong.items() for register in registers]
        eeprom.verify(arm)
        assert eeprom.configure(arm) == []
        arm.bus.port.close()


def test_settings_are_not_written_with_torque_on(tmp_path: Path) -> None:
    with EmulatedBus(link=str(tmp_path / "tty"), start="home", eeprom={4: {"return_delay_time": 250}}) as bus:
        arm = connect(SETUP, bus.port)
        arm.write("torque_enable", {4: 1})
        with pytest.raises(eeprom.SettingsDiffer, match=r"torque is on, .* at servo 4 \(elbow\)"):
            eeprom.configure(arm)
        assert arm.bus.read(4, arm.register("return_delay_time")) == 250
        arm.bus.port.close()


def test_another_servo_is_not_configured_into_ours(tmp_path: Path) -> None:
    with EmulatedBus(link=str(tmp_path / "tty"), start="home", eeprom={1: {"model_number": 1020}}) as bus:
        arm = connect(SETUP, bus.port)
        with pytest.raises(eeprom.SettingsDiffer, match=r"is it another servo(?s:.*)servo 1 \(waist\) +model_number"):
            eeprom.configure(arm)
        arm.bus.port.close()
