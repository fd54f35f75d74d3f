"""What emulated servos do with instructions, after ROBOTIS' documents: answers, errors, rules of the control table."""

from __future__ import annotations

import pytest
from dynamixel import ALL, BROADCAST, Host, word

from uniros_env_server.emulation.arm import EmulatedArm
from uniros_env_server.emulation.control_table import load_servo_model
from uniros_env_server.emulation.packets import Error, Instruction, PacketReader, frame

ALERT = Error.ALERT


@pytest.fixture
def host() -> Host:
    return Host(EmulatedArm())


def test_a_ping_tells_model_and_firmware(host: Host) -> None:
    (answer,) = host.ask(4, Instruction.PING)
    assert (answer.number, answer.parameters) == (4, bytes([0, 0xFC, 0x03, 45]))
    assert [answer.number for answer in host.ask(BROADCAST, Instruction.PING)] == list(ALL)
    assert host.ask(9, Instruction.PING) == []


def test_registers_are_where_the_maker_says() -> None:
    """ROBOTIS' own tables, which come with dynamixel-sdk."""
    from pathlib import Path

    import dynamixel_easy_sdk

    for name in ("XL430-W250", "XM430-W350"):
        file = Path(dynamixel_easy_sdk.__file__).parent / "control_table" / f"{name.lower().replace('-', '_')}.model"
        rows = [line.split("\t") for line in file.read_text().split("[control table]")[1].splitlines()[2:] if line]
        theirs = {title.lower().replace("(shadow)", "").replace(" ", "_"): (int(address), int(size))
                  for address, size, title in rows if not title.startswith("Indirect")}
        ours = {key: (register.address, register.size) for key, register in load_servo_model(name).registers.items()}
        assert len(theirs) > 40
        assert {key: ours[key] for key in theirs} == theirs


def test_a_written_value_is_read_back(host: Host) -> None:
    assert host.write(1, "profile_velocity", 30_000) == 0
    assert host.read(1, "profile_velocity") == 30_000
    assert host.write(2, "goal_current", -100) == 0
    assert host.read(2, "goal_current") == -100


@pytest.mark.parametrize(("servo", "address", "data", "error"), [
    (1, 132, bytes(4), Error.ACCESS),  # present_position is read only
    (1, 66, b"\1", Error.ACCESS),  # not defined
    (1, 700, b"\1", Error.ACCESS),  # beyond the table
    (1, 38, b"\1\0", Error.ACCESS),  # current_limit: not on an XL430
    (2, 38, b"\1\0", Error.NONE),  # ... but on an XM430
    (1, 116, b"\0\4", Error.DATA_LENGTH),  # two bytes of four
    (1, 117, b"\0\4\0\0", Error.DATA_LENGTH),  # begins inside
    (1, 116, b"", Error.DATA_LENGTH),
    (1, 64, b"\2", Error.DATA_RANGE),
    (1, 84, word(16_384), Error.DATA_RANGE),
    (1, 11, b"\x05", Error.DATA_RANGE),  # current-based position: not on an XL430
    (2, 11, b"\x05", Error.NONE),
    (1, 11, b"\x02", Error.DATA_RANGE),  # no such mode
    (1, 100, word(886), Error.DATA_RANGE),
    (2, 116, (3334).to_bytes(4, "little"), Error.DATA_LIMIT),  # beyond max_position_limit
    (2, 116, (818).to_bytes(4, "little"), Error.DATA_LIMIT),
    (1, 104, (132).to_bytes(4, "little"), Error.DATA_LIMIT),  # beyond velocity_limit
])
def test_writes_are_refused_with_the_documented_error(host: Host, servo: int, address: int, data: bytes,
                                                       error: int) -> None:
    assert host.error(servo, Instruction.WRITE, word(address) + data) == error


def test_a_refused_write_changes_nothing(host: Host) -> None:
    """goal_velocity is fine, profile_acceleration too, profile_velocity is not: none of the three is taken."""
    data = (10).to_bytes(4, "little") + (20).to_bytes(4, "little") + (40_000).to_bytes(4, "little")
    assert host.error(1, Instruction.WRITE, word(104) + data) == Error.DATA_RANGE
    assert (host.read(1, "goal_velocity"), host.read(1, "profile_acceleration")) == (0, 0)


def test_reading_outside_the_table_is_an_access_error_without_data(host: Host) -> None:
    for span in (word(660) + word(4), word(14) + word(2), word(132) + word(0)):
        (answer,) = host.ask(1, Instruction.READ, span)
        assert answer.parameters == bytes([Error.ACCESS])


def test_eeprom_is_locked_while_the_torque_is_on(host: Host) -> None:
    assert host.write(1, "torque_enable", 1) == 0
    assert host.write(1, "return_delay_time", 5) == Error.ACCESS
    assert host.write(1, "operating_mode", 4) == Error.ACCESS
    assert host.write(1, "torque_enable", 0) == 0
    assert host.write(1, "return_delay_time", 5) == 0
    assert host.read(1, "return_delay_time") == 5


def test_an_unknown_instruction_and_an_action_without_anything_registered_are_instruction_errors(host: Host) -> None:
    assert host.error(1, 0x77) == Error.INSTRUCTION
    assert host.error(1, Instruction.SYNC_READ, word(132) + word(4) + b"\1") == Error.INSTRUCTION
    assert host.error(1, Instruction.ACTION) == Error.INSTRUCTION


def test_a_wrong_check_sum_is_answered_by_the_one_it_was_for(host: Host) -> None:
    raw = bytearray(frame(1, Instruction.READ, word(132) + word(4)))
    raw[-1] ^= 1
    (answer,) = PacketReader().feed(host.arm.exchange(bytes(raw)))
    assert (answer.number, answer.parameters) == (1, bytes([Error.CRC]))


def test_a_registered_write_waits_for_the_action(host: Host) -> None:
    for servo in (1, 6):
        assert host.error(servo, Instruction.REG_WRITE, word(65) + b"\1") == 0
        assert (host.read(servo, "registered_instruction"), host.read(servo, "led")) == (1, 0)
    assert host.ask(BROADCAST, Instruction.ACTION) == []
    assert [(host.read(servo, "registered_instruction"), host.read(servo, "led")) for servo in (1, 6)] == [(0, 1)] * 2
    assert host.error(1, Instruction.REG_WRITE, word(64) + b"\2") == Error.DATA_RANGE


def test_broadcast_writes_are_obeyed_by_all_and_answered_by_none(host: Host) -> None:
    assert host.ask(BROADCAST, Instruction.WRITE, word(65) + b"\1") == []
    assert host.sync_read("led") == dict.fromkeys(ALL, 1)
    assert host.ask(BROADCAST, Instruction.READ, word(65) + word(1)) == []


def test_status_return_level(host: Host) -> None:
    host.write(1, "status_return_level", 1)
    assert host.ask(1, Instruction.WRITE, word(65) + b"\1") == []
    assert host.read(1, "led") == 1
    host.ask(1, Instruction.WRITE, word(68) + b"\0")
    assert host.ask(1, Instruction.READ, word(65) + word(1)) == []
    assert len(host.ask(1, Instruction.PING)) == 1


def test_a_shadow_obeys_its_secondary_id_silently(host: Host) -> None:
    """Servo 3 has the secondary id 2: it does what 2 is told, 2 alone answers, and its EEPROM stays its own."""
    assert host.write(2, "led", 1) == 0
    assert host.read(3, "led") == 1
    host.sync_write("profile_velocity", {2: 77})
    assert host.read(3, "profile_velocity") == 77
    assert host.write(2, "moving_threshold", 33) == 0
    assert (host.read(2, "moving_threshold"), host.read(3, "moving_threshold")) == (33, 10)
    host.write(3, "led", 0)
    assert (host.read(2, "led"), host.read(3, "led")) == (1, 0)
    assert set(host.sync_read("led", (2,))) == {2}


def test_sync_read_answers_in_the_order_asked_until_one_is_silent(host: Host) -> None:
    request = word(132) + word(4)
    answers = host.ask(BROADCAST, Instruction.SYNC_READ, request + bytes([7, 1, 4]))
    assert [answer.number for answer in answers] == [7, 1, 4]
    host.arm.fault("silence", servo=1)
    answers = host.ask(BROADCAST, Instruction.SYNC_READ, request + bytes([7, 1, 4]))
    assert [answer.number for answer in answers] == [7]


def test_bulk_read_and_bulk_write(host: Host) -> None:
    rows = [(1, 65, b"\1"), (4, 84, word(900)), (7, 65, b"\1")]
    packet = b"".join(bytes([servo]) + word(address) + word(len(data)) + data for servo, address, data in rows)
    assert host.ask(BROADCAST, Instruction.BULK_WRITE, packet) == []
    packet = b"".join(bytes([servo]) + word(address) + word(len(data)) for servo, address, data in rows)
    answers = host.ask(BROADCAST, Instruction.BULK_READ, packet)
    assert [(answer.number, answer.parameters[1:]) for answer in answers] == [(row[0], row[2]) for row in rows]


def test_reboot_forgets_ram_and_is_silent_for_a_while(host: Host) -> None:
    host.write(1, "torque_enable", 1)
    host.write(1, "led", 1)
    assert host.error(1, Instruction.REBOOT) == 0
    assert host.ask(1, Instruction.PING) == []
    host.arm.advance(0.3)
    assert (host.read(1, "torque_enable"), host.read(1, "led"), host.read(1, "velocity_limit")) == (0, 0, 131)
    assert host.read(1, "realtime_tick") < 400


def test_factory_reset_keeps_what_its_option_says(host: Host) -> None:
    assert host.error(4, Instruction.FACTORY_RESET, b"\x07") == Error.DATA_RANGE
    assert host.ask(BROADCAST, Instruction.FACTORY_RESET, b"\xff") == []
    assert len(host.ask(BROADCAST, Instruction.PING)) == 7
    assert host.error(4, Instruction.FACTORY_RESET, b"\x02") == 0
    host.arm.advance(0.3)
    names = ("drive_mode", "min_position_limit", "return_delay_time")
    assert [host.read(4, name) for name in names] == [0, 0, 250]
    assert host.error(4, Instruction.FACTORY_RESET, b"\xff") == 0
    host.arm.advance(0.3)
    answers = list(PacketReader().feed(host.arm.exchange(frame(1, Instruction.PING), baud=57_600)))
    assert [answer.parameters[1:3] for answer in answers] == [word(1020)]


def test_clear_needs_its_key_and_a_servo_at_rest(host: Host) -> None:
    assert host.error(1, Instruction.CLEAR, b"\x01\x44\x58\x4c\x22") == 0
    assert host.error(1, Instruction.CLEAR, b"\x01\x44\x58\x4c\x23") == Error.RESULT_FAIL
    host.write(1, "torque_enable", 1)
    host.write(1, "goal_position", 3000)
    host.arm.advance(0.1)
    assert host.read(1, "moving") == 1
    assert host.error(1, Instruction.CLEAR, b"\x01\x44\x58\x4c\x22") == Error.RESULT_FAIL


def test_servos_hear_only_their_own_speed(host: Host) -> None:
    assert host.arm.exchange(frame(1, Instruction.PING), baud=57_600) == b""
    assert host.write(1, "baud_rate", 1) == 0
    assert host.ask(1, Instruction.PING) == []
    assert len(host.arm.exchange(frame(1, Instruction.PING), baud=57_600)) == 14


def test_an_id_can_be_given(host: Host) -> None:
    assert host.write(7, "id", 253) == Error.DATA_RANGE
    assert host.write(7, "id", 17) == 0
    assert host.ask(7, Instruction.PING) == []
    assert len(host.ask(17, Instruction.PING)) == 1


def test_indirect_data_shows_and_sets_what_it_points_at(host: Host) -> None:
    for offset in range(4):
        assert host.write(1, f"indirect_address_{168 + 2 * offset}", 116 + offset) == 0
    assert host.write(1, "indirect_address_176", 65) == 0
    assert host.error(1, Instruction.WRITE, word(224) + (1500).to_bytes(4, "little") + b"\1") == 0
    assert (host.read(1, "goal_position"), host.read(1, "led")) == (1500, 1)
    (answer,) = host.ask(1, Instruction.READ, word(224) + word(5))
    assert answer.parameters[1:] == (1500).to_bytes(4, "little") + b"\1"
    assert host.write(1, "indirect_address_168", 10) == Error.DATA_RANGE


def test_a_reversed_servo_counts_the_other_way() -> None:
    forward, reverse = (Host(EmulatedArm(start="sleep", eeprom={4: {"drive_mode": mode}})) for mode in (0, 1))
    positions = [host.read(4, "present_position") for host in (forward, reverse)]
    assert sum(positions) == pytest.approx(4096, abs=1) and positions[0] < 1100


# --- protection -------------------------------------------------------------------------------------------------------


def test_the_bus_watchdog_stops_a_servo_and_is_cleared_by_zero(host: Host) -> None:
    host.write(1, "torque_enable", 1)
    host.write(1, "profile_velocity", 50)
    host.write(1, "goal_position", 3500)
    assert host.write(1, "bus_watchdog", 5) == 0
    host.arm.advance(0.09)
    assert host.read(1, "bus_watchdog") == 5  # this packet feeds it, too
    host.arm.advance(0.15)
    stopped = host.read(1, "present_position")
    assert host.read(1, "bus_watchdog") == -1
    assert (host.read(1, "profile_velocity"), host.read(1, "torque_enable")) == (0, 1)
    assert host.write(1, "goal_position", 3500) == Error.DATA_RANGE
    assert host.write(1, "bus_watchdog", 5) == Error.DATA_RANGE
    host.arm.advance(0.5)
    assert abs(host.read(1, "present_position") - stopped) <= 10
    assert host.write(1, "bus_watchdog", 0) == 0
    assert host.write(1, "goal_position", stopped) == 0


def test_any_packet_feeds_the_watchdog_and_without_torque_it_sleeps(host: Host) -> None:
    host.write(1, "bus_watchdog", 2)
    host.arm.advance(0.5)
    assert host.read(1, "bus_watchdog") == 2
    host.write(1, "torque_enable", 1)
    for _ in range(20):
        host.arm.advance(0.03)
        host.ask(5, Instruction.PING)
    assert host.read(1, "bus_watchdog") == 2


def test_an_overheated_servo_lets_go_until_it_is_rebooted(host: Host) -> None:
    host.switch_on()
    host.arm.fault("overheat", servo=4)
    host.arm.advance(0.02)
    assert host.read(4, "hardware_error_status") == 4
    assert (host.read(4, "torque_enable"), host.read(4, "present_temperature")) == (0, 90)
    assert host.write(4, "torque_enable", 1) == Error.RESULT_FAIL | ALERT
    assert host.error(4, Instruction.PING) == ALERT
    assert host.read(5, "torque_enable") == 1
    host.arm.fault("clear")
    host.arm.advance(0.1)
    assert host.read(4, "hardware_error_status") == 4
    host.ask(4, Instruction.REBOOT)
    host.arm.advance(0.3)
    assert (host.read(4, "hardware_error_status"), host.write(4, "torque_enable", 1)) == (0, 0)


def test_a_blocked_link_overloads_its_servo_in_time() -> None:
    host = Host(EmulatedArm(start="home"))
    host.switch_on()
    host.arm.fault("block", joint="waist")
    host.write(1, "goal_position", 2600)
    host.arm.advance(1.0)
    assert abs(host.read(1, "present_position") - 2048) < 10
    assert host.read(1, "present_load") > 900 and host.read(1, "hardware_error_status") == 0
    host.arm.advance(1.0)
    assert (host.read(1, "hardware_error_status"), host.read(1, "torque_enable")) == (32, 0)


def test_a_low_supply_raises_the_alert_and_an_off_one_restarts_the_servos(host: Host) -> None:
    host.switch_on()
    host.arm.fault("voltage", value=9.0)
    host.arm.advance(0.1)
    assert host.read(2, "present_input_voltage") == pytest.approx(90, abs=2)
    assert [host.read(servo, "hardware_error_status") for servo in (2, 1)] == [1, 0]  # their limits: 9.5 and 6 V
    assert host.read(2, "torque_enable") == 1  # the works' shutdown setting leaves voltage out
    host.arm.fault("voltage", value=0.0)
    host.arm.advance(0.1)
    assert host.ask(BROADCAST, Instruction.PING) == []
    host.arm.fault("clear")
    host.arm.advance(0.4)
    assert host.sync_read("torque_enable") == dict.fromkeys(ALL, 0)
    assert host.read(2, "hardware_error_status") == 0
