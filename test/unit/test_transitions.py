"""Transitions by the batch: columns give back the rows they were made of, bytes are those that ROS would write."""

import io
from dataclasses import replace

import numpy as np
import pytest

from uniros_env_server.serving.journal import LARGEST, MOST, Journal
from uniros_msgs import wire
from uniros_msgs.columns import numbers, stack, unstack
from uniros_msgs.errors import MalformedData
from uniros_msgs.msg import TransitionBatch
from uniros_msgs.transitions import Transitions, head, pack, seconds, unpack

ROWS = [
    [np.arange(3, dtype=np.float32) + n for n in range(4)],
    [np.float64(n) for n in range(3)],
    [True, False],
    [1.5, float("nan")],
    [1, 2, 3],
    [2**70, 1],
    ["", ""],
    ["a", "b"],
    [None, None],
    [{}, {}],
    [(1, np.zeros(2)), (2, np.ones(2))],
    [(), ()],
    [{"x": 1.0, "y": {"z": "same"}}, {"x": 2.0, "y": {"z": "same"}}],
    [{"x": 1.0}, {"x": 2.0, "late": np.ones(2)}, {"late": np.zeros(2)}],
    [np.zeros(2), np.zeros(3)],
    [1, 2.0, "three"],
]


@pytest.mark.parametrize("rows", ROWS, ids=lambda rows: str(rows[0])[:20])
def test_columns_give_back_their_rows(rows):
    again = unstack(stack(rows))
    assert [type(row) for row in again] == [type(row) for row in rows]
    np.testing.assert_equal(again, rows)


def test_numbers_are_arrays_without_a_detour_through_rows():
    found = numbers(stack([{"a": np.ones(2), "b": 1.0}, {"a": np.zeros(2), "b": 2.0}]))
    assert found["a"].tolist() == [[1, 1], [0, 0]]
    assert found["b"].tolist() == [1, 2]
    with pytest.raises(MalformedData, match="numbers"):
        numbers(stack(["a", "b"]))


def test_what_is_no_column_is_refused():
    with pytest.raises(MalformedData, match="column"):
        unstack(("bag", 1))


class Heard:
    """A journal, and the batches it sent."""

    def __init__(self, num_envs=0, wanted=True):
        self.batches: list[Transitions] = []
        self.bodies: list[bytes] = []
        self.wanted = wanted
        self.journal = Journal("Task-v0", "abc", "sim", num_envs, lambda: self.wanted, self._hear)

    def _hear(self, body):
        self.bodies.append(body)
        self.batches.append(unpack(body))

    def episode(self, number, steps, done=True):
        self.journal.begin(number, [number], {"goal": np.zeros(3)}, np.full(2, -1.0), {"distance": 0.5}, wire.Stamps())
        for n in range(steps):
            last = done and n == steps - 1
            self.journal.add(np.full(1, n), np.full(2, float(n)), -n, last, False, {"distance": 0.1, "n": n},
                             wire.Stamps(1.5, 2.25, 0.125, n))


def test_an_episode_is_one_batch_and_the_bytes_are_those_of_ros():
    heard = Heard()
    heard.episode(1, 3)
    (batch,), (body,) = heard.batches, heard.bodies
    message = TransitionBatch().deserialize(body)
    buffer = io.BytesIO()
    message.serialize(buffer)
    assert buffer.getvalue() == body
    assert pack(batch) == body
    assert (message.count, message.step, message.end, message.domain, message.seed) == (3, 1, "done", "sim", (1,))
    assert message.reward == (0, -1, -2)
    assert message.stamps[3].measured.to_sec() == 2.25
    assert batch.observations().tolist() == [[-1, -1], [0, 0], [1, 1], [2, 2]]
    assert batch.infos()[0] == {"distance": 0.5}
    assert batch.infos()[3] == {"distance": 0.1, "n": 2}
    assert batch.terminated.tolist() == [False, False, True]
    assert seconds(batch.stamps["measured"]).tolist() == [0, 2.25, 2.25, 2.25]


def test_a_long_episode_comes_in_several_batches_without_a_gap():
    heard = Heard()
    heard.episode(1, 2 * MOST + 5)
    assert [b.count for b in heard.batches] == [MOST, MOST, 5]
    assert [b.step for b in heard.batches] == [1, MOST + 1, 2 * MOST + 1]
    assert [b.sequence for b in heard.batches] == [0, MOST, 2 * MOST]
    assert [b.end for b in heard.batches] == ["", "", "done"]
    first, second = (b.observations() for b in heard.batches[:2])
    assert first[-1].tolist() == second[0].tolist()


def test_how_an_episode_ends_is_told():
    heard = Heard()
    heard.episode(1, 3, done=False)
    heard.episode(2, 2, done=False)
    heard.journal.fail()
    heard.episode(3, 1)
    assert [b.end for b in heard.batches] == ["abandoned", "failed", "done"]
    assert [b.sequence for b in heard.batches] == [0, 3, 5]


def test_changed_settings_count_from_the_step_after():
    heard = Heard()
    heard.journal.change({"gravity": 1.0})
    heard.episode(1, 2, done=False)
    heard.journal.change({"gravity": 2.0})
    heard.journal.add(np.zeros(1), np.zeros(2), 0, True, False, {}, wire.Stamps())
    assert heard.batches[0].settings == [[1, {"gravity": 1.0}], [3, {"gravity": 2.0}]]


def test_an_episode_nobody_wants_is_counted_all_the_same():
    heard = Heard(wanted=False)
    heard.episode(1, 3)
    assert (heard.batches, heard.journal.sequence) == ([], 3)


def test_an_environment_may_write_into_its_old_observation():
    heard = Heard()
    reused = np.zeros(2)
    heard.journal.begin(1, [], None, reused, {}, wire.Stamps())
    for n in (1, 2):
        reused[:] = n
        heard.journal.add(np.zeros(1), reused, 0, n == 2, False, {}, wire.Stamps())
    assert heard.batches[0].observations()[:, 0].tolist() == [0, 1, 2]


def test_a_batch_of_environments_has_a_row_for_all_of_them():
    heard = Heard(num_envs=2)
    heard.journal.begin(1, [3, 4], None, np.zeros((2, 5)), {}, wire.Stamps())
    for n in range(2):
        heard.journal.add(np.zeros((2, 1)), np.ones((2, 5)), np.array([n, 0.5]), np.array([n, 0]), np.zeros(2), {},
                          wire.Stamps())
    heard.journal.close("abandoned")
    batch, = heard.batches
    assert batch.reward.tolist() == [[0, 0.5], [1, 0.5]]
    assert batch.terminated.tolist() == [[False, False], [True, False]]
    assert batch.observations().shape == (3, 2, 5)


def test_who_comes_in_the_middle_gets_the_rest():
    heard = Heard(num_envs=2, wanted=False)
    heard.journal.begin(1, [], None, np.zeros((2, 5)), {}, wire.Stamps())

    def step(n):
        heard.journal.add(np.zeros((2, 1)), np.full((2, 5), n), np.zeros(2), *[np.zeros(2, bool)] * 2, {},
                          wire.Stamps())

    heard.journal.change({"gravity": 1.0})
    heard.journal.change({"latency": 0.1})
    step(1)
    heard.wanted = True
    for n in range(2, 5):
        step(n)
    heard.journal.close("abandoned")
    batch, = heard.batches
    assert (batch.step, batch.count, batch.sequence) == (3, 2, 2)
    assert batch.observations()[:, 0, 0].tolist() == [2, 3, 4]
    assert batch.settings == [[3, {"gravity": 1.0, "latency": 0.1}]]


def test_when_nobody_is_left_it_only_counts():
    heard = Heard()
    heard.episode(1, 3)
    heard.wanted = False
    heard.episode(2, 3)
    heard.episode(3, 3)
    heard.wanted = True
    heard.episode(4, 3)
    assert [(b.episode, b.sequence, b.count) for b in heard.batches] == [(1, 0, 3), (4, 9, 3)]


def test_a_change_after_the_last_step_belongs_to_the_next_episode():
    heard = Heard()
    heard.episode(1, 2, done=False)
    heard.journal.change({"gravity": 2.0})
    heard.episode(2, 1)
    assert [b.settings for b in heard.batches] == [[], [[1, {"gravity": 2.0}]]]


def test_batches_stay_small():
    heard = Heard()
    image = np.zeros(LARGEST // 3, np.uint8)
    heard.journal.begin(1, [], None, image, {}, wire.Stamps())
    for _ in range(5):
        heard.journal.add(0, image, 0.0, False, False, {}, wire.Stamps())
    assert [b.count for b in heard.batches] == [2, 2]
    heard = Heard(num_envs=MOST // 2)
    rows = np.zeros((MOST // 2, 3))
    heard.journal.begin(1, [], None, rows, {}, wire.Stamps())
    for _ in range(5):
        heard.journal.add(rows, rows, rows[:, 0], rows[:, 0] > 0, rows[:, 0] > 0, {}, wire.Stamps())
    assert [b.count for b in heard.batches] == [2, 2]


def test_odd_values_harm_nobody(caplog):
    heard = Heard()
    endless = {}
    endless["again"] = endless
    heard.journal.begin(1, [], None, np.zeros(2), endless, wire.Stamps())
    heard.journal.add(0, np.zeros(2), np.ones(1), np.array([True]), False, {}, wire.Stamps())
    assert "contains itself" in heard.batches[0].infos()[0].text
    heard.journal.begin(2, [], None, np.zeros(2), {}, wire.Stamps())
    heard.journal.add(0, np.zeros(2), "much", True, False, {}, wire.Stamps())
    heard.journal.begin(3, [], None, np.zeros(2), {}, wire.Stamps())
    heard.journal.add(0, np.zeros(2), 2, True, False, {}, wire.Stamps())
    assert [b.sequence for b in heard.batches] == [0, 2]
    assert "cannot be recorded" in caplog.text


def test_the_head_of_a_batch_is_read_alone():
    heard = Heard()
    heard.episode(7, 3)
    about = head(heard.bodies[0])
    assert (about.env_id, about.episode, about.step, about.count, about.end) == ("Task-v0", 7, 1, 3, "done")
    with pytest.raises(MalformedData, match="TransitionBatch"):
        head(heard.bodies[0][:40])


def test_what_is_no_batch_is_refused():
    with pytest.raises(MalformedData, match="TransitionBatch"):
        unpack(b"\0" * 10)
    assert replace(Transitions(1, 1, 0, (), (), *[np.zeros(0)] * 3, (), np.zeros(0)), policy="7").policy == "7"
