"""Whole episodes are put together from batches, and of broken ones nothing is left."""

from __future__ import annotations

import pytest
from episodes import batch

from uniros_learner.training.joint.experience import Assembly
from uniros_msgs.transitions import ABANDONED, DONE, FAILED


def test_batches_of_an_episode_become_one_in_order() -> None:
    assembly = Assembly()
    assert assembly.add(batch(3, 1, 2)) is None
    whole = assembly.add(batch(3, 3, 2, DONE))
    assert whole is not None
    assert whole.length == 4
    assert [(row[0][0], row[1][0], row[2][0], row[3]) for row in whole.rows()] == [
        (0, 1, 0, 1), (1, 2, 1, 2), (2, 3, 2, 3), (3, 4, 3, 4)]
    assert [row[4] for row in whole.rows()] == [False, False, False, True]
    assert whole.periods().tolist() == [1.0, 1.0, 1.0]
    assert assembly.dropped == 0


def test_what_is_known_of_an_episode_comes_from_its_end() -> None:
    whole = Assembly().add(batch(1, 1, 3, DONE))
    assert whole is not None
    episode = whole.episode("real", 12, 3.4567)
    assert (episode.domain, episode.policy, episode.step, episode.seconds) == ("real", "7", 12, 3.457)
    assert (episode.length, episode.total_reward, episode.success, episode.final_error) == (3, 6.0, True, 0.03)


@pytest.mark.parametrize("end", [FAILED, ABANDONED])
def test_an_episode_that_breaks_off_is_dropped_whole(end: str) -> None:
    assembly = Assembly()
    assembly.add(batch(1, 1, 4))
    assert assembly.add(batch(1, 5, 2, end)) is None
    assert assembly.dropped == 6
    assert assembly.add(batch(2, 1, 1, DONE)) is not None


def test_an_episode_whose_end_never_comes_is_dropped() -> None:
    assembly = Assembly()
    assembly.add(batch(1, 1, 4))
    whole = assembly.add(batch(2, 1, 2, DONE))
    assert whole is not None
    assert (whole.length, assembly.dropped) == (2, 4)
    assembly.add(batch(3, 1, 3))
    assembly.drop()
    assert assembly.dropped == 7
    assert assembly.add(batch(3, 4, 2, DONE)) is None
    assert assembly.dropped == 9


def test_an_episode_with_a_gap_is_dropped() -> None:
    assembly = Assembly()
    assembly.add(batch(1, 1, 2))
    assert assembly.add(batch(1, 4, 2, DONE)) is None
    assert assembly.dropped == 4


def test_the_end_may_come_alone() -> None:
    assembly = Assembly()
    assembly.add(batch(1, 1, 2))
    assert assembly.add(batch(1, 3, 0, FAILED)) is None
    assert assembly.dropped == 2
