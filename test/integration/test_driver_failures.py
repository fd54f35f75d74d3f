"""The driver when things break: each ends in a hold, an ERROR in /diagnostics, and a recovery without a jump."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from driver_rig import HOME, NS, PERIOD, READY, SOON, WATCHDOG, Rig, jump, pause
from live import wait_until

FAR = [1.5, *READY[1:]]
STEP = 0.03  # rad, more than this between before and after is a jump; less is the servos' integrators settling

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="module")
def shared() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


@pytest.fixture
def rig(shared: Rig) -> Iterator[Rig]:
    """The arm at READY, holding; mended afterwards, with a driver that runs."""
    shared.ready()
    shared.forget()
    yield shared
    shared.operator.fault("clear")
    if not shared.driver.alive:
        shared.start_driver()


def set_off(rig: Rig) -> float:
    """Start a motion that takes long; returns when."""
    sent = rig.operator.send([{"time": 2.0, "positions": FAR}])
    pause(0.6)
    assert max(rig.truth()["fastest"].values()) > 0.5
    return sent


def joints(rig: Rig) -> list[float]:
    """Where the arm's joints really are."""
    return list(rig.truth()["position"].values())[:5]


def stands(rig: Rig) -> list[float]:
    """Where the arm stands: it does, and goes on doing so."""
    wait_until(lambda: rig.standstill(0.05), 2.0)
    before = joints(rig)
    pause(0.3)
    assert joints(rig) == pytest.approx(before, abs=STEP)
    return before


def recovers(rig: Rig) -> None:
    """Acknowledging brings the arm back to holding without a jump, and it obeys again."""
    wait_until(lambda: rig.standstill(0.05), 3.0)  # a joint without torque sinks
    before = joints(rig)
    rig.forget()
    good, text = rig.operator.trigger("driver/clear_estop")
    assert good, text
    rig.wait_for("holding")
    pause(0.4)
    truth = rig.truth()
    assert joints(rig) == pytest.approx(before, abs=STEP)
    assert max(truth["fastest"].values()) < 0.5
    rig.operator.send([{"time": SOON, "positions": READY}])
    rig.wait_for("following")
    rig.wait_for("holding")


def refuses(rig: Rig) -> None:
    """It follows no command and moves nothing."""
    before = joints(rig)
    rig.operator.send([{"time": SOON, "positions": HOME}])
    pause(SOON + 0.2)
    assert joints(rig) == pytest.approx(before, abs=STEP)


def says(rig: Rig, words: str, since: float = 0.0) -> None:
    """/diagnostics has an ERROR with these words."""
    wait_until(lambda: any(words in error for error in rig.operator.errors(since)), 3.0)


@pytest.mark.deadline
def test_killed_the_servos_stop_by_themselves_and_the_next_driver_asks_before_it_moves(rig: Rig) -> None:
    set_off(rig)
    rig.driver.send_signal(signal.SIGKILL)
    pause(WATCHDOG + 0.15)
    assert abs(rig.truth()["velocity"]["waist"]) < 0.02
    at = stands(rig)
    assert at[0] < 1.2
    rig.forget()
    started = rig.operator.now()
    rig.start_driver()
    rig.wait_for("fault")
    says(rig, "the bus watchdog has stopped", started)
    refuses(rig)
    recovers(rig)


@pytest.mark.deadline
def test_frozen_the_servos_stop_by_themselves_and_it_notices_when_it_thaws(rig: Rig) -> None:
    since = set_off(rig)
    rig.driver.send_signal(signal.SIGSTOP)
    pause(WATCHDOG + 0.15)
    assert abs(rig.truth()["velocity"]["waist"]) < 0.02
    at = stands(rig)
    assert at[0] < 1.2
    rig.driver.send_signal(signal.SIGCONT)
    rig.wait_for("fault")
    assert joints(rig) == pytest.approx(at, abs=STEP)
    says(rig, "the bus watchdog has stopped", since)
    refuses(rig)
    recovers(rig)


@pytest.mark.deadline
def test_cable_pulled_out_and_put_back(rig: Rig) -> None:
    since = set_off(rig)
    assert rig.operator.fault("unplug")[0]
    out = rig.operator.now()
    rig.wait_for("fault", 1.0)
    at = stands(rig)
    assert at[0] < 1.2
    assert not rig.operator.joints(out + 0.05)  # nothing is measured, so nothing is said
    says(rig, "has gone", since)
    good, text = rig.operator.trigger("driver/clear_estop")
    assert not good and "plug it in" in text
    rig.operator.fault("clear")
    wait_until(lambda: rig.operator.joints(rig.operator.now() - 0.1), 3.0)
    pause(0.3)
    assert rig.operator.state() == "fault"
    refuses(rig)
    recovers(rig)


@pytest.mark.deadline
def test_total_silence_on_the_bus(rig: Rig) -> None:
    set_off(rig)
    rig.operator.fault("cut")
    cut = rig.operator.now()
    rig.wait_for("fault", 1.0)
    stands(rig)
    assert not rig.operator.joints(cut + 0.05)
    good, text = rig.operator.trigger("driver/clear_estop")
    assert not good and "no servo answers" in text
    rig.operator.fault("clear")
    wait_until(lambda: rig.operator.joints(rig.operator.now() - 0.1), 3.0)
    recovers(rig)


@pytest.mark.deadline
def test_one_silent_servo_is_named_and_the_others_hold(rig: Rig) -> None:
    since = set_off(rig)
    rig.operator.fault("silence", servo=5)
    rig.wait_for("fault", 1.0)
    says(rig, "servo 5 (wrist_angle) has not answered", since)
    stands(rig)
    refuses(rig)
    good, text = rig.operator.trigger("driver/clear_estop")
    assert not good and "servo 5 (wrist_angle): no answer" in text
    rig.operator.fault("clear")
    recovers(rig)


@pytest.mark.deadline
@pytest.mark.parametrize("kind", ["lose", "corrupt"])
def test_spoilt_packets_give_gaps_and_never_old_values_with_fresh_stamps(rig: Rig, kind: str) -> None:
    counter = {"lose": "lost answers", "corrupt": "corrupt packets"}[kind]
    before = {name: int(value) for name, value in rig.operator.diagnostics()["bus"][2].items() if value.isdigit()}
    rig.operator.fault(kind, value=0.03)
    sent = rig.operator.send([{"time": 2.0, "positions": FAR}])
    pause(1.9)
    rig.operator.fault("clear")
    messages = [(stamp, position[0]) for stamp, _, _, position, *_ in rig.operator.joints(sent)]
    moving = [(stamp, waist) for stamp, waist in messages if 0.1 < waist < 1.3]
    assert len(moving) > 50
    speeds = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(moving)]
    assert min(speeds) > 0.05 and max(speeds) < 1.4  # rad/s: 0.75 with encoder steps; a repeated value would give 0
    assert rig.operator.state() in ("following", "holding")
    for count in (counter, "cycles without a measurement"):
        wait_until(lambda: int(rig.operator.diagnostics()["bus"][2][count]) > before[count], 2.0)  # noqa: B023
    wait_until(lambda: abs(joints(rig)[0] - FAR[0]) < 0.03, 3.0)


def test_an_overheating_servo_lets_go_and_is_named_until_it_was_rebooted(rig: Rig) -> None:
    since = rig.operator.now()
    rig.operator.fault("overheat", servo=5)
    rig.wait_for("fault", 2.0)
    says(rig, "servo 5 (wrist_angle): overheating", since)
    pause(0.5)
    held = joints(rig)
    assert held[:3] == pytest.approx(READY[:3], abs=0.05)  # the others hold
    good, text = rig.operator.trigger("driver/clear_estop")
    assert not good and "driver/reboot" in text
    rig.operator.fault("clear")
    good, text = rig.operator.trigger("driver/reboot")
    assert good and "servo 5" in text, text
    recovers(rig)
    assert rig.operator.diagnostics()["servo 5 (wrist_angle)"][2]["hardware error"] == "0"


def test_a_blocked_link_is_not_pressed_for_ever(rig: Rig) -> None:
    since = rig.operator.now()
    rig.operator.fault("block", joint="waist")
    rig.operator.send([{"time": 1.0, "positions": FAR}])
    rig.wait_for("fault", 3.0)
    says(rig, "waist is blocked", since)
    pause(0.2)
    rig.operator.fault("clear")
    pause(1.0)  # the servo's own integrator has to come down
    stands(rig)
    assert rig.truth()["highest"]["waist"] < 0.3  # of the 1.5 rad that were asked for
    recovers(rig)


def test_an_arm_that_cannot_be_lowered_keeps_its_torque(rig: Rig) -> None:
    rig.operator.fault("block", joint="shoulder")
    good, text = rig.operator.torque(False)
    assert not good and text
    rig.operator.fault("clear")
    assert rig.operator.state() in ("fault", "holding")
    assert rig.operator.diagnostics()["servo 2 (shoulder)"][2]["torque"] == "1"
    pause(1.0)
    stands(rig)
    assert joints(rig)[1] > -1.2  # it has not fallen
    recovers(rig)


def test_a_dip_of_the_supply_is_noticed(rig: Rig) -> None:
    rig.operator.fault("voltage", value=10.0)
    wait_until(lambda: rig.operator.diagnostics()["servo 1 (waist)"][0] == 1, 3.0)
    assert "V: 11 to 13 V were expected" in rig.operator.diagnostics()["servo 1 (waist)"][1]
    rig.operator.fault("clear")
    wait_until(lambda: rig.operator.diagnostics()["servo 1 (waist)"][0] == 0, 3.0)


@pytest.mark.deadline
def test_a_frozen_master_holds_nobody_up(rig: Rig) -> None:
    """rospy asks the master about every log line: the loop must not be the one that waits."""
    master = rig.graph.master.process
    assert master is not None
    rig.operator.keep_line("driver/clear_estop")
    rig.operator.keep_line("driver/estop")
    rig.operator.trigger("driver/clear_estop")
    rig.wait_for("holding")
    master.send_signal(signal.SIGSTOP)
    try:
        assert rig.operator.trigger("driver/estop")[0]  # which is logged
        rig.operator.send([{"time": 1.0, "positions": [float("nan")] * 5}])  # and so is this
        pause(0.5)
        assert len(rig.operator.joints(rig.operator.now() - 0.3)) > 10
        assert rig.operator.trigger("driver/clear_estop") == (True, "holding")
        rig.operator.send([{"time": 1.0, "positions": READY}])
        rig.wait_for("following", 1.0)
    finally:
        master.send_signal(signal.SIGCONT)
        rig.operator.drop_lines()


def test_a_second_driver_does_not_get_the_port(rig: Rig) -> None:
    result = subprocess.run([sys.executable, "-m", "uniros_env_server.driver", "--check", f"_port:={rig.port}"],
                            capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert "is in use: is another driver" in result.stderr


def test_ended_politely_it_leaves_the_arm_holding_and_the_next_one_takes_over_at_once(rig: Rig) -> None:
    set_off(rig)
    rig.driver.send_signal(signal.SIGTERM)
    assert rig.driver.wait(5.0) == 0
    at = stands(rig)
    started = rig.operator.now()
    rig.start_driver(torque_on_start=True)
    wait_until(lambda: rig.operator.states(started)[-1:] and rig.operator.state() == "holding", 5.0)
    pause(0.3)
    assert joints(rig) == pytest.approx(at, abs=STEP)


def test_ended_politely_it_goes_to_sleep_if_asked_to() -> None:
    with Rig(start="ready", on_exit="sleep", torque_on_start=True) as rig:
        rig.wait_for("holding")
        rig.forget()
        rig.driver.send_signal(signal.SIGINT)
        assert rig.driver.wait(15.0) == 0
        truth = rig.truth()
        assert truth["position"]["shoulder"] < -1.6
        assert max(truth["fastest"].values()) < 1.3


@pytest.mark.deadline
def test_a_loop_that_dies_ends_the_process_and_the_servos_stop(rig: Rig) -> None:
    rig.driver.stop()
    code = ("import uniros_env_server.driver.arm as arm, uniros_env_server.driver.__main__ as main\n"
            "class Broken(arm.Arm):\n"
            "    def move(self, position):\n"
            "        super().move(position)\n"
            "        if position[0] > 0.5: raise ZeroDivisionError('broken on purpose')\n"
            "main.Arm = Broken\nmain.run()")
    rig.driver = rig.graph.node([sys.executable, "-c", code, f"__ns:={NS}", "__name:=rx200_driver",
                                 "_port_from:=emulator/port"], "broken_driver")
    wait_until(rig.operator.connected, 10.0)
    rig.ready()
    rig.operator.send([{"time": 2.0, "positions": FAR}])
    assert rig.driver.wait(10.0) == 1
    pause(WATCHDOG + 0.15)
    assert abs(rig.truth()["velocity"]["waist"]) < 0.02
    assert 0.3 < joints(rig)[0] < 0.9
    assert "broken on purpose" in rig.driver.tail(40)
    rig.start_driver()
    rig.wait_for("fault")
    recovers(rig)


def test_wrong_settings_are_refused_with_a_table_and_written_only_when_asked_to() -> None:
    with Rig(eeprom={4: {"drive_mode": 0}, 7: {"return_delay_time": 250}}, wait=False) as rig:
        assert rig.driver.wait(15.0) == 1
        text = rig.driver.tail(30)
        assert "servo 4 (elbow)" in text and "drive_mode" in text and "--configure" in text
        assert "servo 7 (gripper)" in text and "return_delay_time" in text and "250" in text
        assert max(rig.truth()["fastest"].values()) < 1.0  # it lies down, nothing drives it
        command = [sys.executable, "-m", "uniros_env_server.driver", f"_port:={rig.port}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROS_MASTER")}

        def serve(option: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([*command, option], capture_output=True, text=True, timeout=30, check=False,
                                  env=environment)

        checked = serve("--check")
        assert checked.returncode == 1 and "drive_mode" in checked.stderr
        written = serve("--configure")
        assert written.returncode == 0, written.stderr
        assert "2 settings written" in written.stdout
        checked = serve("--check")
        assert checked.returncode == 0 and "servo 7 (gripper)" in checked.stdout
        rig.start_driver()
        assert rig.operator.torque(True)[0]


def test_torque_comes_on_without_a_jump_wherever_the_arm_lies() -> None:
    with Rig(start="ready") as rig:
        pause(1.0)  # it sinks
        before = joints(rig)
        rig.forget()
        since = rig.operator.now()
        assert rig.operator.torque(True) == (True, "holding")
        pause(0.5)
        assert joints(rig) == pytest.approx(before, abs=0.04)
        assert max(rig.truth()["fastest"].values()) < 1.0
        assert jump([message[3][:5] for message in rig.operator.joints(since)]) < 1.0 * 10 * PERIOD
        assert np.isfinite(before).all()
