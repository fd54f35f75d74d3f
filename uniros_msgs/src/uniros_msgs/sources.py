"""Where a plan finds its numbers: in the fields of a `uniros_msgs/Data` message, or in the bytes of one.

On the wire a Data message is, little endian, lengths as uint32: the layout; four arrays, each as its length and its
elements; the number of texts, each as its length and UTF-8.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from uniros_msgs.layout import STREAMS, TEXT, U8

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Callable

    Buffer = bytes | bytearray | memoryview

LETTERS = "dfq"  # struct's letters of f64, f32, i64
WIDTHS = (8, 4, 8, 1)
DTYPES = (np.dtype("<f8"), np.dtype("<f4"), np.dtype("<i8"))
_LENGTH = struct.Struct("<I")


def from_data(stream: int, as_array: bool, size: int) -> Callable[[Any], Any]:
    """A function from a message to one of its fields, as an ndarray or as Python numbers."""
    name = STREAMS[stream]
    if stream == TEXT:
        return lambda data: data.text
    if stream == U8:
        return lambda data: data.u8 if type(data.u8) is bytes else bytes(data.u8)
    if not as_array:
        return lambda data: _numbers(getattr(data, name))
    dtype, packer = DTYPES[stream], struct.Struct(f"<{size}{LETTERS[stream]}")

    def array(data: Any) -> np.ndarray:
        field = getattr(data, name)
        if isinstance(field, np.ndarray):
            return np.ascontiguousarray(field, dtype)
        return np.frombuffer(packer.pack(*field), dtype)  # quicker than numpy's own way from a tuple

    return array


def _numbers(field: Any) -> Any:
    return field.tolist() if isinstance(field, np.ndarray) else field


def from_wire(stream: int, as_array: bool, sizes: tuple[int, ...]) -> Callable[[Buffer, int], Any]:
    """The same from a buffer and the index where the first array's length stands."""
    before = sum(4 + count * width for count, width in zip(sizes[:stream], WIDTHS)) + 4
    size = sizes[stream]
    if stream == U8:
        return lambda buffer, at: memoryview(buffer)[at + before : at + before + size]
    if as_array:
        dtype = DTYPES[stream]
        return lambda buffer, at: np.ndarray(size, dtype, buffer, at + before)
    numbers = struct.Struct(f"<{size}{LETTERS[stream]}").unpack_from
    return lambda buffer, at: numbers(buffer, at + before)


def lengths(sizes: tuple[int, ...]) -> struct.Struct:
    """Unpacks the five lengths of a message's arrays, skipping what lies between; it ends with the last of them."""
    return struct.Struct("<" + "".join(f"I{count * width}x" for count, width in zip(sizes, WIDTHS)) + "I")


def read_texts(buffer: Buffer, at: int, count: int) -> tuple[list[str], int]:
    """The texts that start there, and where they end."""
    texts = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(buffer, at)
        start, at = at + 4, at + 4 + length
        if at > len(buffer):
            raise ValueError(f"a text of {length} bytes is cut off")
        texts.append(str(buffer[start:at], "utf-8"))
    return texts, at
