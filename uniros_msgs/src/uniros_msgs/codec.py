"""The codec between Python values and `uniros_msgs/Data`: samples of any gymnasium space, info dicts, reset options.

    encode(value) -> Data      decode(data) -> value           for messages that ROS' own code serializes
    pack(data) -> bytes        unpack(buffer) -> Data, end     the same bytes as ROS' own code, several times as quick
    dumps(value) -> bytes      loads(buffer) -> value, end     both steps in one, for the path of every step

What comes back is equal in type, dtype, shape, order and bits: None, bool, int of any size, float, complex, str, bytes,
bytearray, list, tuple, set, frozenset, dict, OrderedDict, numpy scalars and arrays of every dtype, and gymnasium's
GraphInstance. Decoded arrays own their memory and can be written to. Values that cannot be sent never raise:

* an object of a class derived from one of these arrives as that class (a namedtuple as a tuple, an IntEnum as an int, a
  defaultdict as a dict), and
* everything else (functions, tensors, arrays with a mask) arrives as `Opaque`, its type's name and its repr,

with one warning for each type. `layout` describes the text that makes each message self-describing.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from uniros_msgs.errors import MalformedData
from uniros_msgs.flatten import flatten
from uniros_msgs.layout import F32, F64, I64, TEXT, Opaque
from uniros_msgs.plan import Plan, plan_of
from uniros_msgs.sources import LETTERS, WIDTHS, read_texts

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Sequence

    from uniros_msgs.msg import Data
    from uniros_msgs.sources import Buffer
else:
    try:
        from uniros_msgs.msg import Data
    except ImportError:  # without ROS there are no messages to make: dumps and loads do without
        Data = None

__all__ = ["MalformedData", "Opaque", "decode", "dumps", "encode", "loads", "pack", "unpack"]

_LENGTH = struct.Struct("<I")
_LENGTHS = tuple(_LENGTH.pack(n) for n in range(1024))  # most arrays of most messages are short
_MALFORMED = (ValueError, TypeError, IndexError, OverflowError, RecursionError, struct.error)


# --- values and messages -------------------------------------------------------------------------------------------


def encode(value: Any, into: Data | None = None) -> Data:
    """`value` as a message; `into` is a message to fill instead of making one.

    The message shares no memory with the value. Its numbers are lists or tuples, as ROS makes them.
    """
    layout, (f64, f32, i64, u8, text, packed) = flatten(value)
    if packed:
        f64, f32, i64 = _numbers(f64, F64), _numbers(f32, F32), _numbers(i64, I64)
    data = Data.__new__(Data) if into is None else into
    data.layout, data.f64, data.f32, data.i64, data.u8, data.text = layout, f64, f32, i64, b"".join(u8), text
    return data


def decode(data: Data) -> Any:
    """The value of a message, whether its numbers are lists, tuples or numpy arrays.

    Raises:
        MalformedData: the layout is not one, or does not fit the arrays.
    """
    plan = plan_of(data.layout)
    found = (len(data.f64), len(data.f32), len(data.i64), len(data.u8), len(data.text))
    if found != plan.sizes:
        raise _misfit(plan, found)
    try:
        return plan.read([source(data) for source in plan.from_data])
    except _MALFORMED as error:
        raise _unreadable(error) from error


# --- values and bytes ----------------------------------------------------------------------------------------------


def dumps(value: Any) -> bytes:
    """The same as pack(encode(value))."""
    layout, (f64, f32, i64, u8, text, packed) = flatten(value)
    raw = _bytes if packed else _packed
    return _join(layout, raw(f64, F64), raw(f32, F32), raw(i64, I64), b"".join(u8), text)


def loads(buffer: Buffer, offset: int = 0) -> tuple[Any, int]:
    """The same as decoding what unpack gives: the value of the message that starts at `offset`, and where it ends.

    Raises:
        MalformedData: as decode and unpack do.
    """
    try:
        (length,) = _LENGTH.unpack_from(buffer, offset)
        at = offset + 4 + length
        plan = plan_of(str(buffer[offset + 4 : at], "ascii"))
        found = plan.lengths.unpack_from(buffer, at)
        if found != plan.sizes:
            raise _misfit(plan, found)
        texts, end = read_texts(buffer, at + plan.lengths.size, found[TEXT])
        return plan.read([texts if source is None else source(buffer, at) for source in plan.from_wire]), end
    except MalformedData:
        raise
    except _MALFORMED as error:
        raise _unreadable(error) from error


# --- messages and bytes --------------------------------------------------------------------------------------------


def pack(data: Data) -> bytes:
    """The message as ROS sends it; the same bytes as `data.serialize` writes."""
    u8 = data.u8 if isinstance(data.u8, bytes) else bytes(data.u8)
    return _join(data.layout, _packed(data.f64, F64), _packed(data.f32, F32), _packed(data.i64, I64), u8, data.text)


def unpack(buffer: Buffer, offset: int = 0) -> tuple[Data, int]:
    """The message that starts at `offset`, and where it ends; it shares no memory with the buffer.

    Raises:
        MalformedData: the buffer ends before the message does.
    """
    data = Data.__new__(Data)
    try:
        (data.layout,), at = read_texts(buffer, offset, 1)
        data.f64, at = _read_numbers(buffer, at, "d")
        data.f32, at = _read_numbers(buffer, at, "f")
        data.i64, at = _read_numbers(buffer, at, "q")
        (data.u8,), at = _read_numbers(buffer, at, "s")
        (count,) = _LENGTH.unpack_from(buffer, at)
        data.text, at = read_texts(buffer, at + 4, count)
    except _MALFORMED as error:
        raise _unreadable(error) from error
    return data, at


def _join(layout: str, f64: bytes, f32: bytes, i64: bytes, u8: bytes, text: Sequence[str]) -> bytes:
    coded = layout.encode()
    parts = [_length(len(coded)), coded, _length(len(f64) >> 3), f64, _length(len(f32) >> 2), f32]
    parts += (_length(len(i64) >> 3), i64, _length(len(u8)), u8, _length(len(text)))
    for each in text:
        coded = each.encode()
        parts += (_length(len(coded)), coded)
    return b"".join(parts)


def _length(count: int) -> bytes:
    return _LENGTHS[count] if count < 1024 else _LENGTH.pack(count)


def _packed(numbers: Any, stream: int) -> bytes:
    return struct.pack(f"<{len(numbers)}{LETTERS[stream]}", *numbers) if len(numbers) else b""


def _bytes(chunks: list[Any], stream: int) -> bytes:
    """One stream's numbers and memory of arrays, in their order."""
    if not chunks:
        return b""
    letter = "<" + LETTERS[stream]
    return b"".join([each if type(each) is bytes else struct.pack(letter, each) for each in chunks])


def _numbers(chunks: list[Any], stream: int) -> tuple[Any, ...]:
    if not chunks:
        return ()
    raw = _bytes(chunks, stream)
    return struct.unpack(f"<{len(raw) // WIDTHS[stream]}{LETTERS[stream]}", raw)


def _read_numbers(buffer: Buffer, at: int, letter: str) -> tuple[tuple[Any, ...], int]:
    (count,) = _LENGTH.unpack_from(buffer, at)
    layout = f"<{count}{letter}"
    return struct.unpack_from(layout, buffer, at + 4), at + 4 + struct.calcsize(layout)


def _misfit(plan: Plan, found: tuple[int, ...]) -> MalformedData:
    return MalformedData(f"expected {plan.sizes} elements of f64, f32, i64, u8, text as the layout says, got {found}")


def _unreadable(error: Exception) -> MalformedData:
    return MalformedData(f"a message that cannot be decoded: {error}")
