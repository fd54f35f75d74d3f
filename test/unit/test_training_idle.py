"""When a result is expected, and what may be begun before it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from uniros_learner.training.idle import RISE, Arrivals, IdleTraining

CYCLE = 0.1  # s

pytestmark = pytest.mark.deadline  # of cycles, in ms


def test_an_episodes_first_action_begins_the_grid() -> None:
    arrivals = Arrivals(CYCLE)
    assert arrivals.expect(1, sent=5.0) == pytest.approx(5.1)
    arrivals.came(5.1)
    assert arrivals.expect(1, sent=8.03) == pytest.approx(8.13)


def test_later_results_come_a_cycle_after_each_other_however_long_acting_took() -> None:
    arrivals = Arrivals(CYCLE)
    arrivals.expect(1, sent=5.0)
    arrivals.came(5.1)
    for cycle, pause in enumerate((0.001, 0.03, 0.0), start=2):
        due = arrivals.expect(cycle, sent=5.0 + (cycle - 1) * CYCLE + pause)
        assert due == pytest.approx(5.0 + cycle * CYCLE)
        arrivals.came(due)


def test_an_early_result_counts_at_once_and_a_late_one_little() -> None:
    arrivals = Arrivals(CYCLE)
    arrivals.expect(1, sent=5.0)
    arrivals.came(5.096)
    assert arrivals.expect(2, sent=5.1) == pytest.approx(5.196)
    arrivals.came(5.206)
    assert arrivals.expect(3, sent=5.21) == pytest.approx(5.296 + RISE * 0.01)


def test_missed_cycles_do_not_move_the_grid() -> None:
    arrivals = Arrivals(CYCLE)
    arrivals.expect(1, sent=5.0)
    arrivals.came(5.1)
    assert arrivals.expect(2, sent=5.35) == pytest.approx(5.4)  # the learner was late
    arrivals.came(5.5)  # and the server gave it the cycle after that
    assert arrivals.expect(3, sent=5.501) == pytest.approx(5.6)


class Model:
    """Updates that take as long as they are told to."""

    batch_size, learning_starts, num_timesteps = 8, 10, 11

    def __init__(self, *durations: float):
        self.durations, self.training = list(durations), True
        self.replay_buffer = SimpleNamespace(size=lambda: 1)
        self.policy = SimpleNamespace(set_training_mode=lambda on: setattr(self, "training", on))
        self.logged: list[tuple[str, float]] = []
        self.logger = SimpleNamespace(record_mean=lambda name, value: self.logged.append((name, value)))

    def train(self, gradient_steps: int, batch_size: int) -> None:
        assert (gradient_steps, batch_size) == (1, 8)
        time.sleep(self.durations.pop(0) if self.durations else 0.002)


def wait(work: IdleTraining, step: int, seconds: float) -> None:
    """One step, whose answer comes after `seconds`."""
    end = time.monotonic() + seconds

    def answered(patience: float) -> bool:
        time.sleep(max(0.0, min(patience, end - time.monotonic())))
        return time.monotonic() >= end

    work(step, answered)


def worker(model: Any, most: int | None = None) -> IdleTraining:
    return IdleTraining(model, CYCLE, most)


def test_the_time_is_used_and_reported() -> None:
    model = Model()
    work = worker(model)
    wait(work, 1, CYCLE)
    report = work.report
    assert (report.steps, report.late) == (1, 0)
    assert 5 <= report.updates <= 50
    assert 0.02 < report.used < report.idle < 2 * CYCLE
    assert not model.training
    assert dict(model.logged)["idle/updates_per_step"] == report.updates


def test_an_update_that_may_not_fit_is_not_begun() -> None:
    work = worker(Model(*[0.06] * 10))
    for step in (1, 2, 3):
        wait(work, step, CYCLE)
        assert (work.report.updates, work.report.late) == (step, 0)  # 40 ms are left, too few for a second one


def test_no_more_updates_than_asked_for() -> None:
    work = worker(Model(), most=3)
    wait(work, 1, CYCLE)
    assert work.report.updates == 3
    work.most = 0
    wait(work, 2, CYCLE)
    assert (work.report.updates, work.report.steps) == (3, 2)


def test_an_answer_that_comes_early_ends_it() -> None:
    work = worker(Model())
    start = time.monotonic()
    wait(work, 1, 0.02)
    assert time.monotonic() - start < 0.05
    assert work.report.late == 1


def test_nothing_is_updated_before_there_is_something_to_learn_from() -> None:
    model = Model()
    model.num_timesteps = 10
    work = worker(model)
    wait(work, 1, CYCLE)
    assert (work.report.updates, work.report.steps) == (0, 1)


def test_an_answer_that_never_comes_is_left_to_the_dialogue() -> None:
    work = worker(Model())
    start = time.monotonic()
    wait(work, 1, 60.0)
    assert time.monotonic() - start < 3 * CYCLE
