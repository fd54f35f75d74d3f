"""A robot behind joint_states: messages judged by value and stamp, other clocks, and an arm that does not move."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rospy
from sensor_msgs.msg import JointState

from uniros_env_server.robots.clock_map import BUCKET, ClockMap, is_ours
from uniros_env_server.robots.joint_states import ALIKE, Reader, Sample, Unsound
from uniros_env_server.robots.model import load_model
from uniros_env_server.robots.ros_control import Ramp
from uniros_env_server.robots.vigil import Patience, Vigil

MODEL = load_model("rx200")
READY = dict(zip(MODEL.arm, MODEL.poses["ready"].tolist(), strict=True))
WHOLE = {**READY, "gripper": float(MODEL.linkage_angle(np.array(0.03))), "left_finger": 0.03, "right_finger": -0.03}


def message(stamp: float = 100.0, velocity: float = 0.1, **positions: float) -> JointState:
    named = positions or WHOLE
    found = JointState(name=list(named), position=list(named.values()), velocity=[velocity] * len(named),
                       effort=[0.5] * len(named))
    found.header.stamp = rospy.Time.from_sec(stamp)
    return found


def read(found: JointState, before: Sample | None = None, **parts: Any) -> Sample:
    return Reader(MODEL).read(found, parts.get("clock", ClockMap()), before, parts.get("arrived", time.monotonic()))


# --- messages


def test_joints_are_mapped_by_name_whatever_their_order() -> None:
    shuffled = message(**{name: WHOLE[name] for name in sorted(WHOLE, reverse=True)})
    sample = read(shuffled)
    assert sample.position.tolist() == [WHOLE[name] for name in MODEL.published]
    with pytest.raises(ValueError, match="read-only"):
        sample.position[0] = 1.0


def test_joints_that_do_not_matter_may_be_missing_or_too_many() -> None:
    horn_only = read(message(**READY, gripper=WHOLE["gripper"], wheel=99.0))
    fingers_only = read(message(**READY, left_finger=0.03))
    assert np.allclose(horn_only.position, list(WHOLE.values()))
    assert np.allclose(fingers_only.position, list(WHOLE.values()))


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        ({**WHOLE, "elbow": math.nan}, "not finite: elbow nan"),
        ({**WHOLE, "left_finger": math.inf}, "not finite: left_finger inf"),
        (dict.fromkeys(WHOLE, -math.pi), "no joint can be at: shoulder -3.142, elbow -3.142"),
        ({name: WHOLE[name] for name in WHOLE if name != "waist"}, "they lack waist"),
    ],
)
def test_what_cannot_be_a_measurement_is_none(positions: dict[str, float], said: str) -> None:
    with pytest.raises(Unsound, match=said):
        read(message(**positions))


def test_numbers_that_do_not_fit_the_names_are_no_measurement() -> None:
    odd = message()
    odd.position = odd.position[:-1]
    with pytest.raises(Unsound, match="name 8 joints and hold 7 positions"):
        read(odd)


def test_stamps_must_advance() -> None:
    first = read(message(100.0))
    with pytest.raises(Unsound, match="do not advance"):
        read(message(100.0), first)
    assert read(message(100.01), first).sent == 100.01


def test_velocities_that_are_not_published_are_differences_over_measured_time() -> None:
    now = time.time()
    first, second = message(now - 0.02), message(now - 0.01, **{**WHOLE, "waist": 0.005})
    first.velocity = second.velocity = second.effort = ()
    sample = read(second, read(first))
    assert sample.velocity[0] == pytest.approx(0.5, rel=0.05) and not sample.effort.any()


def test_the_very_same_numbers_are_counted() -> None:
    sample = read(message(100.0), arrived=5.0)
    for number in range(1, 4):
        sample = read(message(100.0 + number), sample, arrived=5.0 + number)
    assert (sample.alike, sample.changed) == (3, 5.0)
    assert read(message(110.0, velocity=0.2), sample).alike == 0


# --- clocks


def test_on_one_machine_the_age_is_exact() -> None:
    clock = ClockMap()
    arrived = time.monotonic()
    assert arrived - clock.moment(time.time() - 0.005, arrived) == pytest.approx(0.005, abs=1e-3)
    assert clock.bound == 0.0


def test_another_machines_clock_is_learnt_and_ages_are_wrong_by_no_more_than_the_least_delay() -> None:
    """Its clock is 1,000 s ahead and drifts by 50 ppm; messages take 0.4 ms at least, half the round trip of 0.8."""
    clock = ClockMap()
    clock.follow(local=False, bound=0.4e-3)
    rng = np.random.default_rng(0)
    errors = []
    for number in range(6000):
        measured = 50.0 + number * 0.01
        arrived = measured + 0.4e-3 + rng.exponential(2e-3)
        moment = clock.moment(1000.0 + measured * (1 + 50e-6), arrived)
        assert moment <= arrived
        if number > 500:
            errors.append(moment - measured)
    assert min(errors) >= 0.0 and max(errors) < clock.bound + 2 * BUCKET * 50e-6 + 1e-4
    assert clock.stamp(200.0) == pytest.approx(1200.0, abs=0.02)


def test_a_clock_that_is_set_back_is_learnt_anew() -> None:
    clock = ClockMap()
    clock.follow(local=False, bound=0.0)
    reader, before = Reader(MODEL), None
    for number in range(5):
        before = reader.read(message(500.0 + number * 0.01), clock, before, 10.0 + number * 0.01)
    with pytest.raises(Unsound, match="do not advance"):
        reader.read(message(400.0), clock, before, 10.05)
    assert clock.moment(400.01, 10.06) == pytest.approx(10.06)


def test_a_sender_on_this_machine_is_known_by_its_address() -> None:
    assert is_ours("http://127.0.0.1:1234/") and not is_ours("http://192.0.2.7:1234/")


# --- what an arm that does not do what it is told means


def still(sample: Sample, alike: int, **changes: float) -> Sample:
    return replace(sample, alike=alike, **changes)


def test_the_same_numbers_are_frozen_only_where_the_arm_was_told_to_move() -> None:
    vigil, sample = Vigil(MODEL, Patience()), read(message())
    rest = MODEL.poses["ready"]
    assert vigil.frozen(still(sample, 0), rest, 1.0) == ""
    assert vigil.frozen(still(sample, 500), rest, 6.0) == "", "an arm at rest may well measure the same"
    assert vigil.frozen(still(sample, ALIKE - 1), rest + 0.05, 6.0) == ""
    assert "the very same numbers" in vigil.frozen(still(sample, ALIKE), rest + 0.05, 6.0)
    assert vigil.frozen(still(sample, 0, changed=7.0), rest + 0.05, 7.0) == ""


def test_a_joint_that_stays_behind_is_blocked_after_a_while() -> None:
    patience = Patience()
    vigil, sample = Vigil(MODEL, patience), read(message())
    far = MODEL.poses["ready"] + [0, 0, patience.behind + 0.01, 0, 0]
    assert vigil.blocked(sample, far, 1.0) == ""
    assert vigil.blocked(sample, far, 1.0 + patience.behind_for - 0.01) == ""
    assert vigil.blocked(sample, MODEL.poses["ready"], 1.5) == "", "it has caught up"
    assert vigil.blocked(sample, far, 1.6) == ""
    assert vigil.blocked(sample, far, 1.6 + patience.behind_for).startswith("elbow is 0.26 rad from its set-point")


def test_a_ramp_is_even_and_ends_exactly() -> None:
    ramp = Ramp(np.zeros(2), np.array([1.0, -2.0]), 5.0, 5.1)
    assert ramp.at(5.05) == pytest.approx([0.5, -1.0])
    assert np.array_equal(ramp.at(5.1 - 1e-4), [1.0, -2.0]) and np.array_equal(ramp.at(9.0), [1.0, -2.0])
