"""Changes reach the thread that steps, between two steps and as a whole; the journal tells from when they count."""

from __future__ import annotations

import threading
import time
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
import pytest

from uniros_env_server.serving.journal import Journal
from uniros_env_server.serving.lease import Lease
from uniros_env_server.serving.session import Session
from uniros_msgs import knobs, wire
from uniros_msgs.errors import Timeout
from uniros_msgs.handover import Handover
from uniros_msgs.transitions import unpack

GROUPS = [knobs.Physics, knobs.Cycle, knobs.Learner]


@pytest.mark.parametrize("group", GROUPS)
def test_the_built_configuration_is_that_of_the_knobs(group: type) -> None:
    built = import_module(f"uniros.cfg.{group.__name__}Config")
    for row in knobs.table(group):
        assert (built.defaults[row.name], built.min[row.name], built.max[row.name], built.type[row.name]) == (
            row.default, row.low, row.high, row.kind)
        assert row.low <= row.default <= row.high
    assert set(built.defaults) == {row.name for row in knobs.table(group)}


def test_whole_numbers_stay_whole() -> None:
    values = knobs.changed(knobs.Learner(), {"updates_per_step": 4.0}, knobs.bounds(knobs.Learner()))
    assert type(values.updates_per_step) is int


# --- from thread to thread


def ask(handover: Handover, work: Any, deadline: float = 5.0) -> tuple[threading.Thread, list]:
    found: list = []

    def run() -> None:
        try:
            found.append(handover.ask(work, deadline))
        except Exception as error:  # noqa: BLE001 - what came is what is looked at
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def test_work_is_done_in_the_thread_that_carries_it_out_and_its_result_comes_back() -> None:
    handover = Handover()
    thread, found = ask(handover, threading.get_ident)
    while not found:
        handover.carry_out()
    thread.join()
    assert found == [threading.get_ident()]


def test_what_goes_wrong_is_for_the_one_who_asked() -> None:
    handover = Handover()
    thread, found = ask(handover, lambda: 1 / 0)
    while not found:
        handover.carry_out()
    thread.join()
    assert isinstance(found[0], ZeroDivisionError)


def test_work_that_nobody_had_time_for_is_withdrawn() -> None:
    handover, done = Handover(), []
    thread, found = ask(handover, lambda: done.append(1), deadline=0.05)
    thread.join()
    handover.carry_out()
    assert isinstance(found[0], Timeout) and done == []


def test_work_begun_just_before_the_deadline_is_waited_for() -> None:
    handover = Handover()
    thread, found = ask(handover, lambda: time.sleep(0.2) or "done", deadline=0.1)
    while thread.is_alive() and not found:
        handover.carry_out()
    thread.join()
    assert found == ["done"]


def test_a_session_makes_changes_between_two_steps() -> None:
    session = Session(gymnasium.make("CartPole-v1"), Lease())
    session.begin(1, [], None, None)
    session.settle()
    steps: list[int] = []
    thread, found = ask(session.changes, lambda: steps.append(session.step_count))
    for _ in range(5):
        session.apply(0)
        time.sleep(0.02)
        session.settle()
    thread.join()
    assert len(steps) == 1 and 1 <= steps[0] <= 2 and found == [None]


# --- the journal


class Told:
    """A journal, and what it sent."""

    def __init__(self, num_envs: int = 0) -> None:
        self.batches: list = []
        self.journal = Journal("Task-v0", "old", "sim", num_envs, lambda: True,
                               lambda body: self.batches.append(unpack(body)))

    def begin(self, number: int, info: dict) -> None:
        self.journal.begin(number, [], None, np.zeros(2), info, wire.Stamps())

    def add(self, done: bool = False, info: dict | None = None) -> None:
        ended = np.array([done, False]) if self.journal._origin["num_envs"] else done
        reward = np.zeros(2) if self.journal._origin["num_envs"] else 0.0
        self.journal.add(np.zeros(1), np.zeros(2), reward, ended, ended, info or {}, wire.Stamps())


def test_a_change_counts_from_the_next_step_and_another_specification_begins_a_batch() -> None:
    told = Told()
    told.begin(1, {})
    told.add()
    told.add()
    told.journal.change({"cycle_time": 0.2}, "new")
    told.journal.change({"gravity": -5.0}, "new")
    told.add(done=True)
    assert [(batch.step, batch.count, batch.spec_hash) for batch in told.batches] == [(1, 2, "old"), (3, 1, "new")]
    assert told.batches[0].settings == []
    assert told.batches[1].settings == [[3, {"cycle_time": 0.2}], [3, {"gravity": -5.0}]]


def test_physics_drawn_for_an_episode_are_settings_from_its_first_step() -> None:
    told = Told()
    for number, mass in ((1, 0.9), (2, 1.1)):
        told.begin(number, {"randomisation": {"mass": mass}})
        told.add(done=True)
    assert [batch.settings for batch in told.batches] == [[[1, {"mass": 0.9}]], [[1, {"mass": 1.1}]]]


def test_rows_that_begin_anew_in_a_batch_tell_their_physics_too() -> None:
    told = Told(num_envs=2)
    told.begin(1, {"randomisation": {"mass": np.array([0.9, 1.1]), "_mass": np.array([True, True])}})
    told.add(done=True, info={"randomisation": {"mass": np.array([1.05, 0]), "_mass": np.array([True, False])}})
    told.add()
    told.journal.leave()
    steps = [(step, values["mass"].tolist()) for batch in told.batches for step, values in batch.settings]
    assert steps == [(1, [0.9, 1.1]), (2, [1.05, 0])]
