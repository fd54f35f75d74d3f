"""The rules of a session, walked through without ROS: exactly once, order, lease, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from actionlib_msgs.msg import GoalStatus
from odd_envs import Faulty

from uniros_env_server.serving.lease import Lease
from uniros_env_server.serving.session import Answer, Session
from uniros_msgs import codec, wire
from uniros_msgs.errors import LeaseHeld, LeaseLost, StaleStep
from uniros_msgs.msg import Data, ResetGoal


@pytest.fixture
def session() -> Session:
    return Session(Faulty(), Lease())


def reset(session: Session, episode: int = 0, lease: str = "", **options: Any) -> wire.ResetReply:
    goal = ResetGoal(lease, episode, [], codec.encode(options or None))
    return wire.unpack_reset_reply(session.reset(goal).body)


def raw_step(session: Session, episode: int = 0, step: int = 0, action: Any = 0, lease: str = "") -> Answer:
    return session.step(wire.pack_step_goal(lease, episode, step, action), 0)


def step(session: Session, *args: Any, **kwargs: Any) -> wire.StepReply:
    return wire.unpack_step_reply(raw_step(session, *args, **kwargs).body)


def test_numbers_of_zero_mean_the_next_one(session: Session) -> None:
    assert reset(session).episode == 1
    assert [step(session).step for _ in range(3)] == [1, 2, 3]
    assert reset(session).episode == 2
    assert step(session).step == 1


def test_a_repeated_step_is_answered_and_not_applied(session: Session) -> None:
    reset(session, 1)
    first = raw_step(session, 1, 1)
    assert raw_step(session, 1, 1) is first
    assert session.env.unwrapped.steps == 1


def test_a_repeated_reset_is_answered_and_not_applied(session: Session) -> None:
    goal = ResetGoal("", 5, [], codec.encode(None))
    assert session.reset(goal) is session.reset(goal)


@pytest.mark.parametrize(("episode", "number", "word"), [(1, 1, "late"), (1, 4, "out of order"), (7, 3, "episode 7")])
def test_late_and_disordered_steps_are_refused_by_name(session: Session, episode: int, number: int, word: str) -> None:
    reset(session, 1)
    step(session, 1, 1)
    step(session, 1, 2)
    reply = step(session, episode, number)
    assert reply.error.kind == "StaleStep" and word in reply.error.message
    assert session.env.unwrapped.steps == 2


def test_an_old_reset_is_refused(session: Session) -> None:
    reset(session, 3)
    step(session)
    assert reset(session, 2).error.kind == "StaleStep"
    assert reset(session, 3).error.kind == "StaleStep"
    assert reset(session, 9).episode == 9


def test_a_step_needs_a_reset(session: Session) -> None:
    answer = raw_step(session)
    assert answer.status == GoalStatus.REJECTED
    assert wire.unpack_step_reply(answer.body).error.kind == "ResetNeeded"


def test_an_exception_breaks_the_episode_and_is_answered_again(session: Session) -> None:
    reset(session)
    failed = raw_step(session, 1, 1, action=1)
    assert failed.status == GoalStatus.ABORTED
    assert raw_step(session, 1, 1, action=1) is failed
    assert "odd_envs.py" in wire.unpack_step_reply(failed.body).error.traceback
    assert step(session, 1, 2).error.kind == "ResetNeeded"
    assert reset(session, fail=True).error.kind == "EnvironmentFailed"
    assert not reset(session).error.kind


def test_a_refused_action_does_not_count(session: Session) -> None:
    reset(session)
    assert step(session, 1, 1, action=99).error.kind == "InvalidAction"
    assert step(session, 1, 1, action=0).step == 1


def test_numbers_without_a_layout_are_read_as_the_space_says(session: Session) -> None:
    reset(session)
    bare = wire.pack_step_goal("", 0, 0, 0)[:12] + codec.pack(Data(i64=[0]))
    assert wire.unpack_step_reply(session.step(bare, 0).body).step == 1


def test_observations_are_checked_on_request() -> None:
    strict = Session(Faulty(), Lease(), check_observations=True)
    reset(strict)
    assert step(strict, action=4).error.kind == "InvalidObservation"
    reset(strict)
    assert step(strict).observation[0] == np.float32(0.01)


def test_a_lease_keeps_others_out_until_it_is_given_back(session: Session) -> None:
    token = session.lease.acquire("ann", "", 5.0)
    assert reset(session, lease=token).episode == 1
    assert reset(session).error.kind == "LeaseHeld"
    assert "ann" in step(session).error.message
    with pytest.raises(LeaseHeld, match="ann"):
        session.lease.acquire("bob", "", 5.0)
    session.lease.release(token)
    assert step(session, lease=token).error.kind == "LeaseLost"
    assert session.lease.acquire("bob", "", 5.0) != token


def test_a_lease_runs_out_unless_renewed() -> None:
    lease = Lease()
    token = lease.acquire("ann", "", 0.02)
    lease._until -= 1.0
    assert lease.holder == ""
    lease.check("")
    assert lease.acquire("ann", token, 5.0) == token  # nobody had it meanwhile
    lease._until -= 10.0
    lease.acquire("bob", "", 5.0)
    with pytest.raises(LeaseHeld):
        lease.acquire("ann", token, 5.0)
    lease.release(lease._token)
    with pytest.raises(LeaseLost):
        lease.acquire("ann", token, 5.0)


def test_a_repeated_rollout_is_answered_and_not_carried_out_again(session: Session) -> None:
    token = session.lease.acquire("ann", "", 5.0)
    begun = []

    def carry_out(first: int) -> Answer:
        for number in (first, first + 1):
            begun.append(session.begin(number, [], None, None).episode)
            session.apply(0)
        return Answer(GoalStatus.SUCCEEDED, b"body")

    reset(session, lease=token)
    first = session.rollout(token, 2, carry_out)
    assert session.rollout(token, 2, carry_out) is first and begun == [2, 3]
    assert step(session, 3, 1, lease=token).error.kind == "ResetNeeded"
    assert session.rollout(token, 0, carry_out) is not first and begun == [2, 3, 4, 5]
    for number in (2, 3, 5):
        with pytest.raises(StaleStep, match="ask for 6"):
            session.rollout(token, number, carry_out)
    with pytest.raises(LeaseHeld, match="ann"):
        session.rollout("", 6, carry_out)
    assert reset(session, 6, lease=token).episode == 6


def test_a_rollout_that_began_nothing_leaves_its_number_to_the_next(session: Session) -> None:
    session.rollout("", 1, lambda first: Answer(GoalStatus.PREEMPTED, b""))
    assert reset(session, 1).episode == 1


def test_a_lease_stands_for_its_holder_alone_and_looking_renews_nothing() -> None:
    lease = Lease()
    assert lease.stands("") and not lease.stands("made up")
    token = lease.acquire("ann", "", 5.0)
    assert lease.stands(token) and not lease.stands("")
    lease._until -= 10.0
    assert not lease.stands(token) and lease.stands("")
