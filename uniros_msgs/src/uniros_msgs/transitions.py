"""The bytes of a `uniros_msgs/TransitionBatch`, and what is in them. Needs no ROS installation.

    pack(batch) -> bytes        byte for byte what genpy would write
    unpack(buffer) -> Transitions
    head(buffer) -> Head        what a batch is about, without its numbers: costs some microseconds

Of T transitions, `observation`, `info` and `stamps` hold T + 1 rows, the first of which the first action was chosen in;
`action`, `reward`, `terminated` and `truncated` hold T. Of a batch of N environments a row holds N of everything.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from uniros_msgs import codec
from uniros_msgs.columns import Column, numbers, unstack
from uniros_msgs.errors import MalformedData

GOES_ON, DONE, ABANDONED, FAILED = "", "done", "abandoned", "failed"  # how a batch ends its episode

_U32 = struct.Struct("<I")
_HEADER = struct.Struct("<4I")  # seq, stamp, length of frame_id (0)
_NUMBERS = struct.Struct("<IQIII")  # num_envs, sequence, episode, step, count
STAMP = np.dtype([("commanded", "<u4", 2), ("measured", "<u4", 2), ("observation_age", "<f8"), ("overruns", "<u4")])


@dataclass
class Transitions:
    """Consecutive transitions of one episode; see uniros_msgs/TransitionBatch for what is not explained here."""

    episode: int
    step: int  # of the first one
    count: int
    observation: Column
    action: Column
    reward: np.ndarray  # (T,) float64, (T, N) of a batch; as are the flags, bool
    terminated: np.ndarray
    truncated: np.ndarray
    info: Column
    stamps: np.ndarray  # (T + 1,) of STAMP
    env_id: str = ""
    spec_hash: str = ""
    domain: str = ""
    num_envs: int = 0
    sequence: int = 0
    end: str = GOES_ON
    policy: str = ""
    seed: list[int] = field(default_factory=list)
    options: Any = None
    settings: list[Any] = field(default_factory=list)  # [step, {name: value}]
    sent: float = 0.0  # s since the epoch

    def observations(self) -> Any:
        """(T + 1, ...) arrays, in a dict or tuple where the space is one. Raises MalformedData unless all are numbers.
        """
        return numbers(self.observation)

    def actions(self) -> Any:
        """(T, ...) arrays, as requested. Raises MalformedData unless all are numbers."""
        return numbers(self.action)

    def infos(self) -> list[dict[str, Any]]:
        """T + 1 dicts."""
        return unstack(self.info)


@dataclass(frozen=True)
class Head:
    """The beginning of a batch; fields as in uniros_msgs/TransitionBatch."""

    sent: float  # s since the epoch
    env_id: str
    spec_hash: str
    domain: str
    num_envs: int
    sequence: int
    episode: int
    step: int
    count: int
    end: str
    policy: str
    size: int  # bytes of all this


def pack(batch: Transitions) -> bytes:
    """A serialised `TransitionBatch`."""
    secs = int(batch.sent)
    count = (batch.num_envs, batch.sequence, batch.episode, batch.step, batch.count)
    return b"".join((
        _HEADER.pack(0, secs, int((batch.sent - secs) * 1e9), 0),
        *map(_text, (batch.env_id, batch.spec_hash, batch.domain)),
        _NUMBERS.pack(*count),
        *map(_text, (batch.end, batch.policy)),
        _array(np.asarray(batch.seed, "<i8")),
        *map(codec.dumps, (batch.options, batch.observation, batch.action)),
        _array(np.asarray(batch.reward, "<f8")),
        _array(np.asarray(batch.terminated, np.bool_)),
        _array(np.asarray(batch.truncated, np.bool_)),
        codec.dumps(batch.info),
        _array(batch.stamps),
        codec.dumps(batch.settings),
    ))


def unpack(buffer: bytes, at: int = 0) -> Transitions:
    """The inverse of `pack`. Raises MalformedData when the buffer is not a TransitionBatch."""
    return unpack_from(buffer, at)[0]


def head(buffer: bytes, at: int = 0) -> Head:
    """What the batch that starts at `at` is about. Raises MalformedData when the buffer holds no TransitionBatch."""
    try:
        return _head(buffer, at)
    except (struct.error, UnicodeDecodeError) as error:
        raise MalformedData(f"expected a uniros_msgs/TransitionBatch: {error}") from error


def unpack_from(buffer: bytes, at: int = 0) -> tuple[Transitions, int]:
    """As `unpack`, and where the message ends."""
    try:
        return _unpack(buffer, at)
    except (struct.error, UnicodeDecodeError, ValueError, IndexError) as error:
        raise MalformedData(f"expected a uniros_msgs/TransitionBatch: {error}") from error


def _head(buffer: bytes, start: int) -> Head:
    _, secs, nsecs, frame = _HEADER.unpack_from(buffer, start)
    (env_id, at), (spec_hash, at), (domain, at) = _texts(buffer, start + _HEADER.size + frame, 3)
    num_envs, sequence, episode, step, count = _NUMBERS.unpack_from(buffer, at)
    (end, at), (policy, at) = _texts(buffer, at + _NUMBERS.size, 2)
    return Head(secs + nsecs * 1e-9, env_id, spec_hash, domain, num_envs, sequence, episode, step, count, end, policy,
                at - start)


def _unpack(buffer: bytes, at: int) -> tuple[Transitions, int]:
    about = _head(buffer, at)
    at += about.size
    seed, at = _read(buffer, at, np.dtype("<i8"))
    options, at = codec.loads(buffer, at)
    observation, at = codec.loads(buffer, at)
    action, at = codec.loads(buffer, at)
    shape = (about.count, about.num_envs) if about.num_envs else (about.count,)
    reward, at = _read(buffer, at, np.dtype("<f8"), shape)
    terminated, at = _read(buffer, at, np.dtype(np.bool_), shape)
    truncated, at = _read(buffer, at, np.dtype(np.bool_), shape)
    info, at = codec.loads(buffer, at)
    stamps, at = _read(buffer, at, STAMP)
    settings, at = codec.loads(buffer, at)
    return Transitions(about.episode, about.step, about.count, observation, action, reward, terminated, truncated, info,
                       stamps, about.env_id, about.spec_hash, about.domain, about.num_envs, about.sequence, about.end,
                       about.policy, seed.tolist(), options, settings, about.sent), at


def stamps_of(rows: list[Any]) -> np.ndarray:
    """`wire.Stamps` (wall times in s) as an array of STAMP."""
    array = np.zeros(len(rows), STAMP)
    table = np.array(rows, np.float64)
    if table.any():
        for number, name in enumerate(("commanded", "measured")):
            array[name][:, 0] = table[:, number]
            array[name][:, 1] = table[:, number] % 1.0 * 1e9
        array["observation_age"] = table[:, 2]
        array["overruns"] = table[:, 3]
    return array


def seconds(times: np.ndarray) -> np.ndarray:
    """ROS times, (T, 2) of s and ns, as (T,) s since the epoch."""
    return times[:, 0] + times[:, 1] * 1e-9


def _text(value: str) -> bytes:
    raw = value.encode()
    return _U32.pack(len(raw)) + raw


def _texts(buffer: bytes, at: int, count: int) -> list[tuple[str, int]]:
    """Each text, and where it ends."""
    found = []
    for _ in range(count):
        end = at + 4 + _U32.unpack_from(buffer, at)[0]
        found.append((str(buffer[at + 4 : end], "utf-8"), end))
        at = end
    return found


def _array(array: np.ndarray) -> bytes:
    return _U32.pack(array.size) + array.tobytes()


def _read(buffer: bytes, at: int, dtype: np.dtype, shape: tuple[int, ...] | None = None) -> tuple[np.ndarray, int]:
    (count,) = _U32.unpack_from(buffer, at)
    array = np.frombuffer(buffer, dtype, count, at + 4).copy()
    return (array if shape is None else array.reshape(shape)), at + 4 + array.nbytes
