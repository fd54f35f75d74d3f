"""The driver on the emulated bus: what it publishes, how it follows, clamps, refuses and stops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from driver_rig import HOME, PERIOD, READY, SOON, Rig, jump, pause
from live import wait_until

from uniros_env_server.driver.config import load_setup
from uniros_env_server.driver.trajectory import Points, Sample, plan

ORDER = ["waist", "shoulder", "elbow", "wrist_angle", "wrist_rotate", "gripper", "left_finger", "right_finger"]
SETUP = load_setup()

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="module")
def shared() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


@pytest.fixture
def rig(shared: Rig) -> Rig:
    """The arm at READY, holding."""
    shared.ready()
    shared.forget()
    return shared


def counted(rig: Rig, what: str) -> int:
    """A count in the driver's /diagnostics, which come once a second."""
    return int(rig.operator.diagnostics()["driver"][2][what])


def test_nothing_moves_and_nothing_is_stiff_until_torque_is_asked_for(shared: Rig) -> None:
    operator = shared.operator
    assert operator.state() == "limp"
    wait_until(shared.standstill, 3.0)  # the limp arm comes to lie
    shared.forget()
    operator.send([{"time": 1.0, "positions": HOME}])
    wait_until(lambda: operator.diagnostics().get("driver", (0, "", {}))[2].get("commands refused") == "1", 5.0)
    assert "torque is off: call driver/torque" in operator.diagnostics()["driver"][2]["last refusal"]
    assert max(shared.truth()["fastest"].values()) < 0.02


@pytest.mark.deadline
def test_joint_states_are_complete_in_order_and_fresh(rig: Rig) -> None:
    since = rig.operator.now()
    pause(1.0)
    messages = rig.operator.joints(since)
    assert len(messages) > 50  # 100 when nobody else needs the CPU
    assert all(names == ORDER for _, _, names, *_ in messages)
    stamps = [stamp for stamp, *_ in messages]
    assert all(later - earlier > 1e-3 for earlier, later in itertools.pairwise(stamps))
    ages = [arrival - stamp for stamp, arrival, *_ in messages]
    assert min(ages) > 0.0005  # stamped with the middle of the exchange, not with the time of publishing
    assert np.median(ages) < 0.01
    for *_, position, velocity, effort in messages:
        assert len(position) == len(velocity) == len(effort) == len(ORDER)
        assert np.isfinite([position, velocity, effort]).all()
        assert position[6] == pytest.approx(-position[7])
        assert position[6] == pytest.approx(float(SETUP.linkage.opening(position[5])))
    truth = rig.truth()["position"]
    assert messages[-1][3][:5] == pytest.approx([truth[name] for name in ORDER[:5]], abs=0.02)  # play and encoder steps


@pytest.mark.deadline
def test_a_smooth_trajectory_is_followed_closely(rig: Rig) -> None:
    times = [0.8, 1.6, 2.4]
    goals = [[0.4, -0.6, 0.4, 0.8, 0.3], [0.6, -0.3, 0.2, 0.6, 0.5], READY]
    start = Sample.rest(np.array(rig.operator.joints()[-1][3][:5]))
    path, factor = plan(Points(np.array(times), np.array(goals)), start, SETUP.speed[:5])
    assert factor == 1.0
    sent = rig.operator.send([{"time": t, "positions": goal} for t, goal in zip(times, goals)])
    pause(times[-1] + 0.5)
    moving = [(stamp - sent, position[:5]) for stamp, _, _, position, *_ in rig.operator.joints(sent)]

    def error(delay: float) -> float:
        return max(float(np.abs(path.at(t - delay).position - position).max()) for t, position in moving)

    best = min(np.arange(0.0, 0.15, 0.005), key=error)  # the servos' lag
    assert error(best) < 0.04
    assert best < 0.1
    assert moving[-1][1] == pytest.approx(READY, abs=0.02)


def test_a_stream_of_ramps_moves_evenly(rig: Rig) -> None:
    """What an env server sends: every 0.1 s a set-point 0.1 rad further."""
    target = list(READY)
    for _ in range(10):
        target[0] += 0.1
        rig.operator.send([{"time": 0.1, "positions": target}])
        pause(0.1)
    rig.wait_for("holding")
    truth = rig.truth()
    assert truth["fastest"]["waist"] < 1.6
    assert truth["highest"]["waist"] < 1.0 + 0.03
    wait_until(lambda: abs(rig.truth()["position"]["waist"] - 1.0) < 0.02, 2.0)


@pytest.mark.deadline
def test_a_new_trajectory_replaces_the_old_one_without_a_jump(rig: Rig) -> None:
    sent = rig.operator.send([{"time": 2.0, "positions": [1.0, -0.5, 0.3, 0.9, 0.0]}])
    pause(0.8)
    rig.operator.send([{"time": 0.8, "positions": READY}, {"time": 1.6, "positions": HOME}])
    pause(0.4)
    rig.operator.send([{"time": 1.5, "positions": READY}])
    rig.wait_for("holding")
    positions = [message[3][:5] for message in rig.operator.joints(sent)]
    assert jump(positions) < 2.5 * 1.5 * PERIOD  # rad; now and then a read is missing
    assert max(rig.truth()["fastest"].values()) < 2.0


@pytest.mark.parametrize(("point", "joint", "limit"), [
    ([9.0, *READY[1:]], "waist", math.pi), ([0.0, -9.0, 1.0, 0.5, 0.0], "shoulder", -1.88496)])
def test_positions_are_clamped(rig: Rig, point: list[float], joint: str, limit: float) -> None:
    before = counted(rig, "commands clamped")
    rig.operator.send([{"time": SOON, "positions": point}])
    rig.wait_for("following")
    rig.wait_for("holding", 10.0)
    truth = rig.truth()
    assert truth["lowest"][joint] > -abs(limit) - 0.01 and truth["highest"][joint] < abs(limit) + 0.01
    assert truth["position"][joint] == pytest.approx(limit, abs=0.03)
    wait_until(lambda: counted(rig, "commands clamped") == before + 1, 2.0)


def test_speed_is_limited_whatever_is_asked(rig: Rig) -> None:
    rig.operator.send([{"time": 0.0, "positions": [2.0, 0.4, -0.5, -0.9, -2.0]}])
    rig.wait_for("following")
    rig.wait_for("holding", 10.0)
    fastest = rig.truth()["fastest"]
    assert fastest["shoulder"] < 2.35
    assert max(fastest[name] for name in ORDER[:5]) < 2.0  # set-points keep 1.5
    assert max(fastest[name] for name in ORDER[:5]) > 1.2


REFUSED: dict[str, dict[str, Any]] = {  # what the driver says, and the command
    "positions must be finite": {"points": [{"time": 1.0, "positions": [math.nan, 0, 0, 0, 0]}]},
    "known are": {"points": [{"time": 1.0, "positions": HOME}], "names": ["a", "b", "c", "d", "e"]},
    "positions must have 5 numbers": {"points": [{"time": 1.0, "positions": [0, 0]}]},
    "increase from point to point": {"points": [{"time": t, "positions": READY} for t in (1.0, 0.5)]},
    "velocities must have 5 numbers": {"points": [{"time": 1.0, "positions": HOME, "velocities": [0, 0]}]},
    "the command is stamped": {"points": [{"time": 1.0, "positions": HOME}], "stamp": 1e9},
    "left_finger": {"points": [{"time": 1.0, "positions": [0.03]}], "names": ["left_finger"]},
}


def test_a_bad_command_is_refused_with_its_reason_counted_and_moves_nothing(rig: Rig) -> None:
    assert rig.driver.log
    before = counted(rig, "commands refused")
    for reason, command in REFUSED.items():
        logged = rig.driver.log.stat().st_size
        rig.operator.send(**command)
        wait_until(lambda: reason in rig.driver.log.read_text()[logged:], 2.0)  # noqa: B023
        assert rig.operator.state() == "holding"
        pause(0.2)  # a log that is filled with refusals shows one in so many seconds
    wait_until(lambda: counted(rig, "commands refused") == before + len(REFUSED), 2.0)
    assert max(rig.truth()["fastest"].values()) < 0.1


def test_fingers_open_and_close_in_metres(rig: Rig) -> None:
    for opening in (0.034, 0.018):
        rig.operator.send([{"time": 0.8, "positions": [opening]}], ["left_finger"], "gripper_controller")
        wait_until(lambda: abs(rig.truth()["position"]["left_finger"] - opening) < 1e-3, 5.0)  # noqa: B023
        position = rig.operator.joints()[-1][3]
        assert position[6] == pytest.approx(opening, abs=1.5e-3)
        assert position[7] == pytest.approx(-opening, abs=1.5e-3)


@pytest.mark.deadline
def test_an_emergency_stop_in_mid_motion_stops_at_once_and_clearing_it_moves_nothing(rig: Rig) -> None:
    rig.operator.watch_setpoint()
    rig.operator.send([{"time": 1.5, "positions": [1.4, *READY[1:]]}])
    pause(0.7)
    good, text = rig.operator.trigger("driver/estop")
    answered = rig.operator.now()
    assert good, text
    pause(0.6)
    setpoints = rig.operator.setpoints(answered + 2 * PERIOD)
    assert len(setpoints) > 10
    assert np.ptp([desired for _, desired, _ in setpoints], axis=0).max() == 0.0
    assert rig.operator.state() == "estop"
    stopped = rig.operator.joints()[-1][3][:5]
    assert stopped[0] < 1.2
    at_stop = next(position for _, arrival, _, position, *_ in rig.operator.joints(answered))
    assert abs(stopped[0] - at_stop[0]) < 0.08
    assert any("driver: estop" in error for error in rig.operator.errors(answered - 0.1))

    rig.operator.send([{"time": 1.0, "positions": HOME}])  # refused
    pause(0.3)
    assert rig.standstill()
    rig.forget()
    since = rig.operator.now()
    assert rig.operator.trigger("driver/clear_estop") == (True, "holding")
    pause(0.3)
    positions = [position[:5] for _, _, _, position, *_ in rig.operator.joints(since)]
    assert np.ptp(positions, axis=0).max() < 0.01
    assert max(rig.truth()["fastest"].values()) < 0.1
    rig.operator.send([{"time": 1.0, "positions": READY}])
    rig.wait_for("following")


def test_an_empty_trajectory_stops_the_arm(rig: Rig) -> None:
    rig.operator.send([{"time": 2.0, "positions": [1.5, *READY[1:]]}])
    pause(0.5)
    rig.operator.send([])
    rig.wait_for("holding", 1.0)
    pause(0.2)
    assert rig.standstill()
    assert rig.truth()["position"]["waist"] < 0.7


def test_follow_joint_trajectory_with_the_stock_client(rig: Rig) -> None:
    succeeded, aborted, rejected, preempted = 3, 4, 5, 2
    there = {"time": 1.0, "positions": [0.5, *READY[1:]], "velocities": [0.0] * 5}
    assert rig.operator.follow([there]) == (succeeded, 0, "arrived")
    assert rig.truth()["position"]["waist"] == pytest.approx(0.5, abs=0.03)
    status, code, text = rig.operator.follow([{"time": 1.0, "positions": [math.nan] * 5}])
    assert (status, code) == (rejected, -1) and "finite" in text
    status, code, text = rig.operator.follow([{"time": 3.0, "positions": READY}], cancel_after=0.3)
    assert (status, text) == (preempted, "cancelled")
    rig.wait_for("holding", 1.0)
    assert abs(rig.truth()["position"]["waist"] - 0.5) < 0.2
    rig.operator.fault("block", joint="waist")
    status, code, _ = rig.operator.follow([{"time": 0.4, "positions": [1.2, *READY[1:]]}])
    assert status == aborted


def test_home_and_sleep_answer_when_the_arm_is_there(rig: Rig) -> None:
    assert rig.operator.trigger("driver/home") == (True, "at home")
    assert [rig.truth()["position"][name] for name in ORDER[:5]] == pytest.approx(HOME, abs=0.07)
    assert rig.operator.trigger("driver/sleep") == (True, "at sleep")
    assert max(rig.truth()["fastest"].values()) < 1.2


def test_torque_off_lowers_the_arm_instead_of_dropping_it(rig: Rig) -> None:
    good, text = rig.operator.torque(False)
    assert (good, text) == (True, "lowered, torque is off")
    rig.wait_for("limp")
    pause(0.5)
    truth = rig.truth()
    assert [truth["position"][name] for name in ORDER[:5]] == pytest.approx(SETUP.poses["sleep"], abs=0.17)
    assert max(truth["fastest"].values()) < 1.3  # it never fell
    assert rig.operator.torque(False) == (True, "torque is off")
