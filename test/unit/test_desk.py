"""A desk: jobs of other threads and streams of messages, all in one thread."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from uniros_env_server.serving.desk import Desk
from uniros_msgs.topics import Stream


class Line:
    """A connection as rospy has it, and the other end."""

    def __init__(self, hand_on: Any):
        ours, self.far = socket.socketpair()
        self.connection = SimpleNamespace(socket=ours, done=False, stat_bytes=0, stat_num_msg=0)
        self.stream = Stream(self.connection, hand_on)

    def say(self, *texts: bytes) -> None:
        self.far.sendall(b"".join(struct.pack("<I", len(text)) + text for text in texts))


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    worker = threading.Thread(target=desk.work, daemon=True)
    worker.start()
    yield desk
    desk.put(None)
    worker.join(2.0)
    assert not worker.is_alive()


def test_all_is_done_in_one_thread_and_in_order(desk: Desk) -> None:
    done: list[tuple[Any, int]] = []
    heard = threading.Semaphore(0)

    def note(what: Any) -> None:
        done.append((what, threading.get_ident()))
        heard.release()

    line = Line(note)
    reader = threading.Thread(target=desk.read, args=(line.stream,), daemon=True)
    reader.start()
    for number in range(3):
        desk.put(lambda number=number: note(number))
    for _ in range(3):
        assert heard.acquire(timeout=2.0)
    line.say(b"one", b"")
    line.far.sendall(struct.pack("<I", 5) + b"th")  # the rest comes later
    line.far.sendall(b"ree")
    for _ in range(3):
        assert heard.acquire(timeout=2.0)
    assert [what for what, _ in done] == [0, 1, 2, b"one", b"", b"three"]
    assert len({thread for _, thread in done}) == 1 != threading.get_ident()
    assert reader.is_alive()
    line.far.close()
    reader.join(2.0)
    assert not reader.is_alive()
    assert line.connection.stat_num_msg == 3


def test_a_job_that_comes_of_a_message_is_done_before_the_next_message(desk: Desk) -> None:
    done: list[bytes] = []
    heard = threading.Event()

    def hand_on(body: bytes) -> None:
        desk.put(lambda: done.append(body + b" carried out"))
        done.append(body)
        if body == b"last":
            heard.set()

    line = Line(hand_on)
    line.say(b"first", b"last")
    threading.Thread(target=desk.read, args=(line.stream,), daemon=True).start()
    assert heard.wait(2.0)
    assert done == [b"first carried out", b"first", b"last carried out", b"last"]
    line.far.close()


def test_a_connection_closed_here_ends_its_stream_and_leaves_its_number_to_the_next(desk: Desk) -> None:
    heard = threading.Semaphore(0)
    busy, at_work = threading.Event(), threading.Event()
    first = Line(lambda body: heard.release())
    readers = [threading.Thread(target=desk.read, args=(first.stream,), daemon=True)]
    readers[0].start()
    first.say(b"one")
    assert heard.acquire(timeout=2.0)
    desk.put(lambda: (at_work.set(), busy.wait(2.0)))  # the desk does not see that it closes
    assert at_work.wait(2.0)
    number = first.stream.fileno()
    first.connection.done = True
    first.connection.socket.shutdown(socket.SHUT_RDWR)
    first.connection.socket.close()
    second = Line(lambda body: heard.release())
    assert second.stream.fileno() == number
    readers.append(threading.Thread(target=desk.read, args=(second.stream,), daemon=True))
    readers[1].start()
    busy.set()
    readers[0].join(2.0)
    assert not readers[0].is_alive()
    second.say(b"two")
    assert heard.acquire(timeout=2.0)
    second.far.close()
    readers[1].join(2.0)
    assert not readers[1].is_alive()


def test_a_stream_that_has_ended_is_not_waited_for(desk: Desk) -> None:
    line = Line(lambda body: None)
    line.connection.done = True
    desk.read(line.stream)
