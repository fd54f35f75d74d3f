"""The bytes of an action goal and an action result on the wire, without building message objects.

Goals and results are ordinary `actionlib` messages: byte for byte what genpy would write. Handled here is what lies
on the path of every step: the envelope (header, goal id, status) and the bodies of `Step` and of a reset's result.
All else goes through genpy.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from uniros_msgs import codec

_GOAL_HEAD = struct.Struct("<6II")  # header seq, stamp, frame_id length (0); goal id: stamp, id length
_U32 = struct.Struct("<I")
_2U32 = struct.Struct("<II")
_STAMPS = struct.Struct("<4IdI")
_NO_ERROR = b"\0" * 12  # three empty strings


class Envelope(NamedTuple):
    """What surrounds the body of a goal or a result."""

    goal_id: str
    status: int  # actionlib_msgs/GoalStatus, 0 in a goal
    stamp: tuple[int, int]  # seconds, nanoseconds
    body: int  # where the body begins


class Stamps(NamedTuple):
    """When a step touched the world: wall times in seconds, age in seconds; see uniros_msgs/Stamps."""

    commanded: float = 0.0
    measured: float = 0.0
    observation_age: float = 0.0
    overruns: int = 0


class Failure(NamedTuple):
    """Why a request was not carried out, see uniros_msgs/Error; an empty kind means that it was."""

    kind: str = ""
    message: str = ""
    traceback: str = ""


OK = Failure()


class ResetReply(NamedTuple):
    """A reset as the server answered it."""

    error: Failure
    episode: int
    observation: Any
    info: Any
    stamps: Stamps


class StepReply(NamedTuple):
    """A step as the server answered it."""

    error: Failure
    episode: int
    step: int
    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: Any
    stamps: Stamps


def _text(value: str) -> bytes:
    raw = value.encode()
    return _U32.pack(len(raw)) + raw


def _read_text(buffer: bytes, at: int) -> tuple[str, int]:
    end = at + 4 + _U32.unpack_from(buffer, at)[0]
    return buffer[at + 4 : end].decode(), end


def serialise(message: Any) -> bytes:
    """A genpy message as bytes."""
    buffer = BytesIO()
    message.serialize(buffer)
    return buffer.getvalue()


# --- envelopes -------------------------------------------------------------------------------------------------------


def wrap_goal(goal_id: bytes, now: float, body: bytes) -> bytes:
    """A complete `…ActionGoal` message around the serialised goal `body`; `now` is wall time in seconds."""
    secs = int(now)
    nsecs = int((now - secs) * 1e9)
    return _GOAL_HEAD.pack(0, secs, nsecs, 0, secs, nsecs, len(goal_id)) + goal_id + body


def open_goal(buffer: bytes) -> Envelope:
    """The envelope of an `…ActionGoal` message."""
    at = 16 + _U32.unpack_from(buffer, 12)[0]
    stamp = _2U32.unpack_from(buffer, at)
    goal_id, at = _read_text(buffer, at + 8)
    return Envelope(goal_id, 0, stamp, at)


def wrap_result(goal: Envelope, status: int, text: str, now: float, body: bytes) -> bytes:
    """A complete `…ActionResult` message answering `goal`."""
    secs = int(now)
    nsecs = int((now - secs) * 1e9)
    raw_id = goal.goal_id.encode()
    head = _GOAL_HEAD.pack(0, secs, nsecs, 0, goal.stamp[0], goal.stamp[1], len(raw_id))
    return b"".join((head, raw_id, bytes((status,)), _text(text), body))


def open_result(buffer: bytes) -> Envelope:
    """The envelope of an `…ActionResult` message."""
    goal = open_goal(buffer)
    status = buffer[goal.body]
    at = goal.body + 5 + _U32.unpack_from(buffer, goal.body + 1)[0]
    return Envelope(goal.goal_id, status, goal.stamp, at)


# --- the body of a step ----------------------------------------------------------------------------------------------


def pack_step_goal(lease: str, episode: int, step: int, action: Any) -> bytes:
    """A serialised `StepGoal`."""
    return _text(lease) + _2U32.pack(episode, step) + codec.dumps(action)


def unpack_step_goal(buffer: bytes, at: int = 0) -> tuple[str, int, int, int]:
    """(lease, episode, step, where the action begins): the action is decoded only once the numbers are right."""
    lease, at = _read_text(buffer, at)
    episode, step = _2U32.unpack_from(buffer, at)
    return lease, episode, step, at + 8


def has_layout(buffer: bytes, at: int) -> bool:
    """Whether the `Data` field at `at` says how to read it; one that a person published by hand may not."""
    return buffer[at : at + 4] != b"\0\0\0\0"


def pack_step_reply(reply: StepReply) -> bytes:
    """A serialised `StepResult`."""
    numbers, scalars = _pack_scalars(reply.reward, reply.terminated, reply.truncated)
    return b"".join(
        (
            _pack_error(reply.error),
            _2U32.pack(reply.episode, reply.step),
            codec.dumps(reply.observation),
            numbers,
            _text(scalars),
            codec.dumps(reply.info),
            _pack_stamps(reply.stamps),
        )
    )


def unpack_step_reply(buffer: bytes, at: int = 0) -> StepReply:
    """The inverse of `pack_step_reply`. Raises MalformedData when the observation or info cannot be decoded."""
    error, at = _unpack_error(buffer, at)
    episode, step = _2U32.unpack_from(buffer, at)
    observation, at = codec.loads(buffer, at + 8)
    (reward, terminated, truncated), at = _unpack_scalars(buffer, at)
    info, at = codec.loads(buffer, at)
    return StepReply(error, episode, step, observation, reward, terminated, truncated, info, _unpack_stamps(buffer, at))


def pack_reset_reply(reply: ResetReply) -> bytes:
    """A serialised `ResetResult`."""
    return b"".join(
        (
            _pack_error(reply.error),
            _U32.pack(reply.episode),
            codec.dumps(reply.observation),
            codec.dumps(reply.info),
            _pack_stamps(reply.stamps),
        )
    )


def unpack_reset_reply(buffer: bytes, at: int = 0) -> ResetReply:
    """The inverse of `pack_reset_reply`. Raises MalformedData when the observation or info cannot be decoded."""
    error, at = _unpack_error(buffer, at)
    episode = _U32.unpack_from(buffer, at)[0]
    observation, at = codec.loads(buffer, at + 4)
    info, at = codec.loads(buffer, at)
    return ResetReply(error, episode, observation, info, _unpack_stamps(buffer, at))


def _pack_error(error: Failure) -> bytes:
    return b"".join(map(_text, error)) if error.kind else _NO_ERROR


def _unpack_error(buffer: bytes, at: int) -> tuple[Failure, int]:
    if buffer[at : at + 12] == _NO_ERROR:
        return OK, at + 12
    kind, at = _read_text(buffer, at)
    message, at = _read_text(buffer, at)
    trace, at = _read_text(buffer, at)
    return Failure(kind, message, trace), at


def _pack_stamps(stamps: Stamps) -> bytes:
    return _STAMPS.pack(*_split(stamps.commanded), *_split(stamps.measured), stamps.observation_age, stamps.overruns)


def _unpack_stamps(buffer: bytes, at: int) -> Stamps:
    a, b, c, d, age, overruns = _STAMPS.unpack_from(buffer, at)
    return Stamps(a + b * 1e-9, c + d * 1e-9, age, overruns)


def _split(seconds: float) -> tuple[int, int]:
    whole = int(seconds)
    return whole, int((seconds - whole) * 1e9)


# --- reward and flags: readable numbers on the topic, exact Python types for the learner -----------------------------

_ONE = struct.Struct("<IdI?I?")  # the three arrays of a single environment: reward, terminated, truncated
_SCALAR_DTYPES = (np.float64, np.bool_, np.bool_)
_SCALARS: dict[str, type] = {"float": float, "int": int, "bool": bool}
_SCALAR_CODES = {kind: code for code, kind in _SCALARS.items()}


def _pack_scalars(*values: Any) -> tuple[bytes, str]:
    reward, terminated, truncated = values
    if type(reward) is float and type(terminated) is bool and type(truncated) is bool:
        return _ONE.pack(1, reward, 1, terminated, 1, truncated), ""
    arrays: list[np.ndarray] = [np.atleast_1d(np.asarray(v, t)).ravel() for v, t in zip(values, _SCALAR_DTYPES)]
    return b"".join(_U32.pack(len(a)) + a.tobytes() for a in arrays), " ".join(map(_scalar_code, values))


def _scalar_code(value: Any) -> str:
    if type(value) in _SCALAR_CODES:
        return _SCALAR_CODES[type(value)]
    array = np.asarray(value)
    if isinstance(value, np.generic):
        return array.dtype.str[1:]
    return f"{array.dtype.str[1:]}[{','.join(map(str, array.shape))}]"


def _unpack_scalars(buffer: bytes, at: int) -> tuple[Sequence[Any], int]:
    arrays: list[np.ndarray] = []
    for dtype in _SCALAR_DTYPES:
        count = _U32.unpack_from(buffer, at)[0]
        arrays.append(np.frombuffer(buffer, dtype, count, at + 4))
        at += 4 + arrays[-1].nbytes
    codes, at = _read_text(buffer, at)
    if not codes:
        return [array[0].item() for array in arrays], at
    return [_restore(array, code) for array, code in zip(arrays, codes.split(" "))], at


def _restore(array: np.ndarray, code: str) -> Any:
    if code in _SCALARS:
        return _SCALARS[code](array[0])
    dtype, bracket, shape = code.partition("[")
    if not bracket:
        return np.dtype(dtype).type(array[0])
    return array.astype(dtype).reshape([int(n) for n in shape.rstrip("]").split(",") if n])
