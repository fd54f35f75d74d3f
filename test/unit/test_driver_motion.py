"""The set-point within its bounds: limits, speed, lead, waiting, stopping."""

from __future__ import annotations

import numpy as np
import pytest

from uniros_env_server.driver.bounds import Bounds
from uniros_env_server.driver.motion import Follower, Motion
from uniros_env_server.driver.ticket import Outcome, Ticket
from uniros_env_server.driver.trajectory import Points, plan

DT = 0.01
AXES = 3  # two of an arm, one of a gripper


def motion() -> Motion:
    bounds = Bounds(np.full(AXES, -1.0), np.full(AXES, 1.0), np.full(AXES, 1.5), lead=0.3, lag=0.1)
    return Motion(bounds, 2, deceleration=5.0)


def send(m: Motion, follower: Follower, *goal: float, time: float = 0.5, ticket: Ticket | None = None) -> None:
    path, _ = plan(Points(np.array([time]), np.array([goal])), m.start_of(follower), m.bounds.speed[follower.axes])
    m.follow(follower, path, ticket)


def test_a_perfect_arm_is_led_along_the_path() -> None:
    m = motion()
    send(m, m.arm, 0.5, -0.25)
    for cycle in range(1, 51):
        m.step(m.setpoint.copy(), DT)
        assert m.setpoint[:2] == pytest.approx(np.array([0.5, -0.25]) * cycle / 50)
    assert m.velocity[:2] == pytest.approx([1.0, -0.5])
    assert not m.moving
    held = m.setpoint.copy()
    for _ in range(100):
        assert np.array_equal(m.step(held, DT), held)  # holds when commands stop


def test_the_setpoint_never_leaves_limits_or_speed_whatever_is_asked() -> None:
    m, rng = motion(), np.random.default_rng(0)
    for _ in range(300):
        follower = m.arm if rng.random() < 0.7 else m.gripper
        axes = 2 if follower is m.arm else 1
        points = Points(np.array([rng.uniform(0.001, 0.5)]), rng.uniform(-3, 3, (1, axes)))
        path, _ = plan(points, m.start_of(follower), np.full(axes, 99.0))  # as if nobody had looked
        m.follow(follower, path)
        for _ in range(5):
            before = m.setpoint.copy()
            m.step(before + rng.uniform(-0.05, 0.05, AXES), DT)
            assert np.abs(m.setpoint).max() <= 1.0
            assert np.abs(m.setpoint - before).max() <= 1.5 * 1.02 * DT + 1e-12


def test_a_blocked_arm_is_led_by_no_more_than_the_lead_and_nothing_is_rushed_afterwards() -> None:
    m = motion()
    send(m, m.arm, 1.0, 0.0, time=1.0)
    stuck = np.zeros(AXES)
    for _ in range(300):
        m.step(stuck, DT)
    assert 0.29 <= m.setpoint[0] <= 0.3 + 0.1 * 1.5
    assert m.moving and m.held_back > 200
    positions = []
    for _ in range(100):
        positions.append(m.step(m.setpoint - 0.05, DT)[0])
    assert np.diff(positions).max() <= 1.0 * DT + 1e-9  # the path's own speed
    assert positions[-1] == pytest.approx(1.0)


def test_a_gripper_that_holds_something_ends_its_path_and_keeps_squeezing_within_the_lead() -> None:
    m = motion()
    send(m, m.gripper, -0.9, time=0.9)
    for _ in range(200):
        m.step(np.array([0.0, 0.0, -0.2]), DT)
    assert not m.moving
    assert m.setpoint[2] == pytest.approx(-0.5)


def test_an_arm_that_is_pushed_away_does_not_snap_back() -> None:
    m = motion()
    for offset in np.linspace(0, 0.8, 100):
        m.step(np.array([offset, 0.0, 0.0]), DT)
    assert m.setpoint[0] == pytest.approx(0.5, abs=0.02)


def test_freezing_stops_at_once_where_the_arm_is_and_holding_axes_stay() -> None:
    m = motion()
    m.place(np.array([0.0, 0.0, 0.4]), "start")
    ticket = Ticket(np.full(2, 0.05), 1.0)
    send(m, m.arm, 0.5, 0.5, ticket=ticket)
    for _ in range(20):
        m.step(m.setpoint - np.array([0.03, 0.03, 0.2]), DT)
    at = m.setpoint - np.array([0.03, 0.03, 0.2])  # the gripper squeezes something
    m.freeze(at, "emergency")
    assert m.setpoint[:2] == pytest.approx(at[:2])
    assert m.setpoint[2] == pytest.approx(0.4)
    assert ticket.outcome is Outcome.STOPPED and ticket.text == "emergency"
    held = m.setpoint.copy()
    for _ in range(50):
        m.step(held, DT)
    assert np.array_equal(m.setpoint, held)


def test_freezing_lets_go_of_what_blocks_the_arm() -> None:
    m = motion()
    send(m, m.arm, 1.0, 0.0, time=1.0)
    for _ in range(200):
        m.step(np.zeros(AXES), DT)
    assert m.setpoint[0] > 0.29
    m.freeze(np.zeros(AXES), "blocked")
    assert m.setpoint[0] == 0.0


def test_braking_comes_to_rest_smoothly() -> None:
    m = motion()
    send(m, m.arm, 0.75, 0.0)
    for _ in range(20):
        m.step(m.setpoint.copy(), DT)
    m.brake(m.arm, "enough")
    speeds = []
    while m.moving:
        m.step(m.setpoint.copy(), DT)
        speeds.append(m.velocity[0])
    assert len(speeds) == pytest.approx(1.5 / 5.0 / DT, abs=2)
    assert np.abs(np.diff(speeds)).max() <= 5.0 * DT * 1.6


@pytest.mark.parametrize(("offset", "outcome"), [(0.04, Outcome.ARRIVED), (0.06, Outcome.NOT_THERE)])
def test_a_ticket_is_closed_when_the_arm_is_there_or_has_taken_too_long(offset: float, outcome: Outcome) -> None:
    m = motion()
    ticket = Ticket(np.full(2, 0.05), time_tolerance=0.2)
    send(m, m.arm, 0.3, 0.0, ticket=ticket)
    cycles = 0
    while ticket.outcome is None:
        m.step(m.setpoint + offset, DT)
        cycles += 1
        assert cycles < 100
    assert ticket.outcome is outcome
    assert cycles == pytest.approx(50 if outcome is Outcome.ARRIVED else 70, abs=1)


def test_a_ticket_hears_of_a_path_that_was_left_and_of_being_replaced() -> None:
    m = motion()
    ticket = Ticket(np.full(2, 0.05), 1.0, path_tolerance=np.array([0.1, np.inf]))
    send(m, m.arm, 0.3, 0.0, ticket=ticket)
    m.step(m.setpoint + np.array([0.05, 0.2, 0.0]), DT)
    assert ticket.outcome is None
    m.step(m.setpoint + np.array([0.15, 0.0, 0.0]), DT)
    assert ticket.outcome is Outcome.LEFT_PATH
    first = Ticket(np.full(2, 0.05), 1.0)
    send(m, m.arm, 0.3, 0.0, ticket=first)
    send(m, m.arm, 0.2, 0.0)
    assert first.outcome is Outcome.REPLACED
