"""Bags grow in whole pieces; whatever cuts one off, every batch that was committed is read again."""

import errno
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import rosbag

from uniros_env_server.recorder import writer as writing
from uniros_env_server.recorder.intake import Intake, Message
from uniros_env_server.recorder.settings import Settings
from uniros_env_server.recorder.staged import StagedFile
from uniros_env_server.recorder.tally import Tally
from uniros_env_server.recorder.writer import State, Writer
from uniros_env_server.serving.journal import Journal
from uniros_learner.replay import bags, trajectories
from uniros_msgs import wire
from uniros_msgs.bag_repair import repair
from uniros_msgs.errors import BagInUse, MalformedData, StartFailed
from uniros_msgs.msg import TransitionBatch
from uniros_msgs.transitions import head

TOPIC = "/arm/env/transitions"


def batches(episodes, steps=4, first=1):
    """Messages of whole episodes; observation and reward are the number of the transition."""
    found = []
    journal = Journal("Task-v0", "abc", "sim", 0, lambda: True, lambda body: found.append(
        Message(TOPIC, TransitionBatch, body, time.time(), head(body))))
    rng = np.random.default_rng(first)
    for episode in range(first, first + episodes):
        journal.begin(episode, [], None, rng.normal(size=28), {}, wire.Stamps())
        for n in range(steps):
            journal.add(np.zeros(5), rng.normal(size=28), float(journal.sequence), n == steps - 1, False, {},
                        wire.Stamps())
    return found


def writer(folder, **settings):
    return Writer(Settings(folder, min_free=0.0, **settings), Tally())


def episodes_in(path):
    return [trajectory.about.episode for trajectory in trajectories(path)]


def test_a_bag_has_its_name_when_it_is_whole(tmp_path):
    recording = writer(tmp_path, prefix="arm")
    recording.record(batches(3))
    active, = tmp_path.iterdir()
    assert active.name.startswith("arm-") and active.name.endswith(".bag.active")
    with pytest.raises(BagInUse, match="being recorded"):
        repair(active)
    recording.finish()
    bag, = tmp_path.iterdir()
    assert bag.name == active.name.removesuffix(".active")
    told = subprocess.run(["rosbag", "info", bag], capture_output=True, text=True, check=True).stdout
    assert "3 msgs" in told and "lz4" in told and "uniros_msgs/TransitionBatch" in told
    rewards = np.concatenate([trajectory.reward for trajectory in trajectories(bag)])
    assert rewards.tolist() == [float(n) for n in range(12)]


def test_wherever_it_is_cut_off_what_was_committed_is_read(tmp_path):
    recording, sizes = writer(tmp_path), []
    for message in batches(8):
        recording.record([message])
        sizes.append(recording.file.size)
    whole = next(tmp_path.glob("*.active")).read_bytes()
    assert len(whole) == sizes[-1]
    for length in [*range(5000, len(whole), 97), *sizes, *(size - 1 for size in sizes)]:
        (tmp_path / "cut.bag.active").write_bytes(whole[:length])
        done = repair(tmp_path / "cut.bag.active")
        committed = sum(size <= length for size in sizes)
        assert (done.repaired, done.chunks) == (True, committed)
        if length in sizes:
            assert episodes_in(done.path) == list(range(1, committed + 1))
        done.path.unlink()


def test_garbage_behind_the_last_chunk_is_cut_off(tmp_path):
    recording = writer(tmp_path)
    recording.record(batches(2))
    whole = next(tmp_path.glob("*.active")).read_bytes()
    for garbage in (bytes(5000), os.urandom(5000), whole[4100:4150]):
        (tmp_path / "cut.bag.active").write_bytes(whole + garbage)
        done = repair(tmp_path / "cut.bag.active")
        assert episodes_in(done.path) == [1, 2]
        assert done.lost == len(garbage)
        assert not repair(done.path).repaired
        with rosbag.Bag(str(done.path)) as bag:
            assert bag.get_message_count() == 2
        done.path.unlink()


def test_what_is_no_bag_stays_as_it_is(tmp_path):
    for content in (b"", b"#ROSBAG V2.0\n", b"hello"):
        path = tmp_path / "no.bag"
        path.write_bytes(content)
        with pytest.raises(MalformedData, match=r"no\.bag"):
            repair(path)
        assert path.read_bytes() == content


def test_reading_repairs(tmp_path):
    recording = writer(tmp_path)
    recording.record(batches(2))
    active, = tmp_path.glob("*.active")
    (tmp_path / "cut.bag.active").write_bytes(active.read_bytes())
    assert episodes_in(tmp_path) == [1, 2]  # the bag that is being recorded is left out
    assert sorted(path.name for path in tmp_path.glob("cut*")) == ["cut.bag"]


def test_where_a_bag_cannot_be_repaired_a_copy_is_read(tmp_path, monkeypatch):
    recording = writer(tmp_path)
    recording.record(batches(2))
    active, = tmp_path.glob("*.active")
    (tmp_path / "cut.bag.active").write_bytes(active.read_bytes())

    def on_a_full_disk(path):
        if path.parent == tmp_path:
            raise OSError(errno.ENOSPC, "no space left on device")
        return repair(path)

    monkeypatch.setattr(bags, "repair", on_a_full_disk)
    assert episodes_in(tmp_path / "cut.bag.active") == [1, 2]
    assert (tmp_path / "cut.bag.active").read_bytes() == active.read_bytes()


def test_files_end_by_size_and_by_time(tmp_path):
    recording = writer(tmp_path, split_size=0.01)
    for message in batches(20):
        recording.record([message])
    recording.finish()
    assert len(list(tmp_path.glob("*.bag"))) > 2
    assert episodes_in(tmp_path) == list(range(1, 21))
    (tmp_path / "timed").mkdir()
    recording = writer(tmp_path / "timed", split_time=0.05)
    recording.record(batches(1))
    time.sleep(0.06)
    recording.check()
    assert recording.state is State.WAITING
    recording.record(batches(1, first=2))
    recording.finish()
    assert len(list((tmp_path / "timed").glob("*.bag"))) == 2


def test_a_disk_below_the_floor_is_left_alone_until_there_is_room(tmp_path, monkeypatch):
    recording = Writer(Settings(tmp_path, min_free=1.0), tally := Tally())
    recording.record(batches(1))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 19))
    recording.record(batches(2, first=2))
    assert recording.state is State.NO_ROOM
    assert "0.5 MiB free, and 1.0 MiB are to stay free" in recording.reason
    assert (tally.total().recorded, tally.total().no_room) == (4, 8)
    assert episodes_in(tmp_path) == [1]
    monkeypatch.undo()
    recording.check()  # too soon to try again
    assert recording.state is State.NO_ROOM
    monkeypatch.setattr(writing, "RETRY", 0.0)
    recording.check()
    recording.record(batches(1, first=4))
    recording.finish()
    assert episodes_in(tmp_path) == [1, 4]


def test_a_piece_that_finds_no_room_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file = StagedFile(tmp_path / "a.active", tmp_path / "a")
    file.write(b"first")
    file.commit()
    file.write(b"second" * 1000)
    real = os.pwrite

    def full(fd, data, at):
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "no space left on device")
        return real(fd, data[:50 + len(data) // 2], at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="no space"):
        file.commit()
    file.discard()
    assert (tmp_path / "a.active").read_bytes() == b"first"


def test_the_intake_is_bounded_and_never_waits():
    intake = Intake(bound=3 * len(batches(1)[0].body))
    kept = [intake.put(message) for message in batches(10)]
    assert 2 <= sum(kept) <= 4 and kept == sorted(kept, reverse=True)
    assert len(intake.take(0.0)) == sum(kept)
    assert intake.take(0.01) == [] and intake.size == 0


def test_gaps_are_counted_and_told(caplog):
    tally = Tally()
    first, second, third, fourth = (message.about for message in batches(4))
    tally.came(TOPIC, second)
    assert (tally.total().before, tally.total().lost) == (4, 0)
    tally.came(TOPIC, fourth)
    assert (tally.total().before, tally.total().lost) == (4, 4)
    assert "4 transitions before step 1 of episode 4 never came" in caplog.text
    tally.came(TOPIC, first)  # a new env server begins at 0
    tally.came(TOPIC, second)
    tally.came(TOPIC, third)
    assert tally.total().lost == 4


def test_settings_that_make_no_sense_are_refused(tmp_path):
    for wrong in ({"split_size": -1}, {"backlog": 0}, {"min_free": float("nan")}, {"split_time": "soon"}):
        with pytest.raises(StartFailed, match="~" + next(iter(wrong))):
            Settings(Path(tmp_path), **wrong)
    with pytest.raises(StartFailed, match="~prefix"):
        Settings(Path(tmp_path), prefix="a/b")
