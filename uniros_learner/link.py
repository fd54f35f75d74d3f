"""What lies between a learner and its env server: a `Link` carries serialised requests there and serialised answers
back.

`RosLink` (roslink.py) talks to a master from this process; `WorkerLink` (proxy.py) lets a worker process do so.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NoReturn, Protocol

from uniros_msgs.errors import UnirosError, by_name
from uniros_msgs.msg import Error
from uniros_msgs.wire import serialise


class Op(IntEnum):
    """What a request asks for.

    The payload is a serialised goal or service request, the answer's a result or response.
    """

    FAILED = 0  # an answer only: the payload is a uniros_msgs/Error
    READY = 1  # a worker's first answer: the payload is an AcquireResponse
    STEP = 2
    RESET = 3
    DESCRIBE = 4
    CALL = 5
    ROLLOUT = 6
    FEEDBACK = 7  # an answer only, of which a rollout gets any number before its result, and perhaps some after it
    POLICY = 8
    CANCEL = 9  # of the rollout under way; has no payload and no answer of its own
    DIRECT = 10  # to and from a worker only: lend us the connection for steps, see direct.py


Reply = Callable[[Op, bytes], None]


class Link(Protocol):
    """What `RosEnv` needs of the way to its env server. Several threads may wait, each for requests of its own."""

    address: str  # for messages: namespace and master
    token: str  # the lease
    episode: int  # the last episode's number when the lease was taken

    def begin(self, op: Op, payload: bytes) -> int:
        """Send a request, and return the number to `finish` it by."""

    def answered(self, number: int, patience: float = 0.0) -> bool:
        """Whether `finish` would return or raise at once; waits for that up to `patience` (s)."""

    def finish(self, number: int, timeout: float) -> bytes:
        """The serialised answer. Raises Timeout after `timeout` seconds, or whatever ended the connection.

        In any case that request is done with: an answer that comes later is dropped. Raises ValueError for a number
        that was not begun, or is finished.
        """
        try:
            return self.receive(number, timeout)[1]
        finally:
            self.forget(number)

    def request(self, op: Op, payload: bytes, timeout: float) -> bytes:
        """Both at once."""
        return self.finish(self.begin(op, payload), timeout)

    def receive(self, number: int, timeout: float) -> tuple[Op, bytes]:
        """The next of a rollout's answers. Raises as `finish`, but the request goes on until `forget`."""

    def forget(self, number: int) -> None:
        """Drop what else comes for that request."""

    def cancel_rollout(self) -> None:
        """Cancel the rollout under way; its result says what was done until then."""

    def close(self) -> None:
        """Release the lease and let go. Idempotent."""


def pack_failure(error: UnirosError) -> bytes:
    """The payload of a FAILED answer."""
    return serialise(Error(type(error).__name__, str(error), error.remote_traceback))


def raise_error(error: Error) -> NoReturn:
    """Raise what a peer reported, as the class of that name."""
    raise by_name(error.kind, error.message, error.traceback)
