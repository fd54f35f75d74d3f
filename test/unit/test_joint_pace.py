"""Simulations wait for updates, updates for experience; the board gives out the newest policy."""

from __future__ import annotations

import threading
import time

from uniros_learner.training.joint.board import Board
from uniros_learner.training.joint.pace import AHEAD, STILL_WAITS, Pace
from uniros_learner.training.joint.plan import JointPlan


def test_a_simulation_is_ahead_of_the_updates_by_no_more_than_a_few_steps() -> None:
    pace = Pace(JointPlan(), learning_starts=300, updates_per_step=lambda: 1.0)
    pace.note_steps(300 + AHEAD - 1, lock_step=True)
    assert pace.simulation_may_go_on(0)
    pace.note_steps(1, lock_step=True)
    assert not pace.simulation_may_go_on(0)
    pace.note_updates(10)
    assert pace.simulation_may_go_on(0)


def test_more_updates_per_step_slow_simulations_down_at_once() -> None:
    ratio = [1.0]
    pace = Pace(JointPlan(), learning_starts=0, updates_per_step=lambda: ratio[0])
    pace.note_updates(1000)
    pace.note_steps(1000, lock_step=True)
    assert pace.simulation_may_go_on(0)
    ratio[0] = 4.0
    assert not pace.simulation_may_go_on(0)


def test_what_arms_do_does_not_hold_simulations_up() -> None:
    pace = Pace(JointPlan(), learning_starts=0, updates_per_step=lambda: 1.0)
    pace.note_steps(10_000, lock_step=False)
    assert pace.simulation_may_go_on(0)


def test_simulations_take_turns_unless_one_no_longer_asks() -> None:
    pace = Pace(JointPlan(), learning_starts=10_000, updates_per_step=lambda: 1.0)
    assert pace.simulation_may_go_on(0)
    assert pace.simulation_may_go_on(1)
    assert pace.simulation_may_go_on(0)
    pace.note_steps(10_000 + AHEAD, lock_step=True)
    assert not pace.simulation_may_go_on(1)
    assert not pace.simulation_may_go_on(0)
    pace.note_updates(10)
    assert not pace.simulation_may_go_on(0)  # it is the other's turn
    time.sleep(STILL_WAITS + 0.05)
    assert pace.simulation_may_go_on(0)


def test_updates_wait_for_experience() -> None:
    pace = Pace(JointPlan(most_updates_per_step=2.0), learning_starts=100, updates_per_step=lambda: 1.0)
    pace.note_steps(99, lock_step=False)
    assert pace.updates_due() == 0
    pace.note_steps(101, lock_step=True)
    assert pace.updates_due() == 200, "those before learning starts do not count"
    pace.note_updates(200)
    assert pace.updates_due() == 0


def test_simulations_never_wait_for_more_updates_than_the_learner_may_make() -> None:
    pace = Pace(JointPlan(most_updates_per_step=2.0), learning_starts=100, updates_per_step=lambda: 20.0)
    for _ in range(50):
        while pace.simulation_may_go_on(0):
            pace.note_steps(10, lock_step=True)
        pace.note_updates(pace.updates_due())
    assert pace.steps > 1000


def test_who_waits_is_woken() -> None:
    pace = Pace(JointPlan(), learning_starts=0, updates_per_step=lambda: 1.0)
    threading.Timer(0.05, pace.note_updates, (1,)).start()
    start = time.monotonic()
    pace.wait(5.0)
    assert time.monotonic() - start < 2.0


def test_the_board_gives_the_newest_policy_to_who_waits_for_it() -> None:
    board = Board()
    first = board.post(b"one")
    assert board.newer(first.number, 0.0) is None
    threading.Timer(0.05, board.post, (b"two",)).start()
    found = board.newer(first.number, 5.0)
    assert found is not None
    assert (found.policy, found.number) == (b"two", first.number + 1)
    assert board.newest == found
