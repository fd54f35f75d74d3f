"""Numpy's arrays and scalars of each dtype on their way into the streams and back.

Writers put numbers into streams and return their part of the layout (see `flatten`); readers take them out of the
arrays that a plan asked for (see `assemble`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from uniros_msgs.errors import MalformedData
from uniros_msgs.layout import F32, F64, I64, NUMERIC, PACKED, READABLE, TEXT, U8, WIDEST, dtype_name

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from uniros_msgs.layout import Handler, Read, Sources, Streams

_INT64_MAX = 0x7FFFFFFFFFFFFFFF
_STRING_DTYPE = np.dtypes.StringDType() if hasattr(np, "dtypes") and hasattr(np.dtypes, "StringDType") else None


def compact(layout: list[Any]) -> str:
    """JSON without spaces."""
    return json.dumps(layout, separators=(",", ":"))


# --- writing arrays ------------------------------------------------------------------------------------------------


def array_writer(dtype: np.dtype, shape: tuple[int, ...]) -> Handler | None:
    """How arrays of that type and shape travel; None if they cannot."""
    if (dtype.kind == "U" and dtype.itemsize <= WIDEST) or dtype == _STRING_DTYPE:
        return _put_texts
    if dtype_name(dtype) is None:
        return None
    code = dtype.str.lstrip("<|>")
    stream = NUMERIC.get(code) if dtype.names is None else None
    token = compact([dtype.str.lstrip("<|"), *shape])
    size = int(np.prod(shape, dtype=object))
    if stream == F32:
        return _float_writer(token, dtype, len(shape), size)
    if stream is None or (stream == I64 and code != "i8" and size > READABLE):
        return _put_memory
    return _uint64_writer(token) if code == "u8" else _number_writer(token, stream, dtype)


def _number_writer(token: str, stream: int, dtype: np.dtype) -> Handler:
    wire = np.dtype(("<f8", "<f4", "<i8", dtype)[stream])
    as_it_is = dtype == wire

    def put(value: np.ndarray, streams: Streams, depth: int) -> str:
        streams[stream].append(value.tobytes() if as_it_is else value.astype(wire).tobytes())
        streams[PACKED] = True
        return token

    return put


def _float_writer(token: str, dtype: np.dtype, dimensions: int, size: int) -> Handler:
    put_numbers = _number_writer(token, F32, dtype)
    short = dimensions == 1 and size <= READABLE and dtype == np.float32

    def put(value: np.ndarray, streams: Streams, depth: int) -> str:
        if short:  # a product with itself is NaN if and only if an element is, and four times as quick as asking
            product = value.dot(value)
            has_nan = product != product
        else:
            has_nan = np.isnan(value).any()
        if has_nan and not _survives(value):
            return _put_memory(value, streams, depth)
        return put_numbers(value, streams, depth)

    return put


def _survives(value: np.ndarray) -> bool:
    """Whether the bits of each NaN come through a Python float, as ROS' own code makes of each float32."""
    with np.errstate(all="ignore"):
        return value.astype("<f4").astype("<f8").astype("<f4").astype(value.dtype).tobytes() == value.tobytes()


def _uint64_writer(token: str) -> Handler:
    put_numbers = _number_writer(token, I64, np.dtype("u8"))

    def put(value: np.ndarray, streams: Streams, depth: int) -> str:
        if value.size and value.max() > _INT64_MAX:
            return _put_memory(value, streams, depth)
        return put_numbers(value, streams, depth)

    return put


def _put_texts(value: np.ndarray, streams: Streams, depth: int) -> str:
    try:
        texts = value.ravel().tolist()
        "".join(texts).encode()
    except ValueError:  # memory that is not Unicode
        return _put_memory(value, streams, depth)
    streams[TEXT] += texts
    return compact(["T" if value.dtype.kind == "T" else value.dtype.str.lstrip("<"), *value.shape])


def _put_memory(value: np.ndarray, streams: Streams, depth: int) -> str:
    streams[U8].append(value.tobytes())
    return compact(["raw", dtype_name(value.dtype), *value.shape])


# --- writing scalars -----------------------------------------------------------------------------------------------


def scalar_writer(code: str) -> Handler:
    """How numpy's scalars that fit into a readable array travel."""
    stream, token = NUMERIC[code], f'"{code}"'
    if stream == F32:
        return _float_scalar_writer(token)
    if stream == I64:
        return _integer_scalar_writer(token)
    convert = float if stream == F64 else np.generic.tobytes

    def put(value: Any, streams: Streams, depth: int) -> str:
        streams[stream].append(convert(value))
        return token

    return put


def _float_scalar_writer(token: str) -> Handler:
    def put(value: Any, streams: Streams, depth: int) -> str:
        if value != value and not _survives(value):
            return put_scalar_memory(value, streams)
        streams[F32].append(float(value))
        return token

    return put


def _integer_scalar_writer(token: str) -> Handler:
    def put(value: Any, streams: Streams, depth: int) -> str:
        number = int(value)
        if number <= _INT64_MAX:
            streams[I64].append(number)
            return token
        streams[TEXT].append(hex(number))
        return f'["bigint",{token}]'

    return put


def put_scalar_memory(value: np.generic, streams: Streams) -> str:
    """Any other scalar; an empty layout if it cannot travel."""
    name = dtype_name(value.dtype)
    if name is None:
        return ""
    streams[U8].append(value.tobytes())
    return compact(["scalar", name])


# --- reading -------------------------------------------------------------------------------------------------------


def memory_reader(dtype: np.dtype, shape: tuple[int, ...], source: int, offset: int) -> Read:
    """Arrays that lie in the message as they lie in memory, from `offset` bytes on."""
    return lambda sources: np.ndarray(shape, dtype, sources[source], offset).copy()


def bool_reader(shape: tuple[int, ...], source: int, offset: int) -> Read:
    """Arrays of bool; whatever is not zero is True."""
    return lambda sources: np.ndarray(shape, np.uint8, sources[source], offset).astype(np.bool_)


def cast_reader(dtype: np.dtype, shape: tuple[int, ...], source: int, start: int, stop: int) -> Read:
    """Arrays of types that travel as a wider one."""

    def read(sources: Sources) -> np.ndarray:
        wide = sources[source][start:stop]
        with np.errstate(all="ignore"):
            narrow = wide.astype(dtype)
        if dtype.kind in "iu" and (narrow != wide).any():
            raise MalformedData(f"integers that do not fit into an array of {dtype}")
        return narrow.reshape(shape)

    return read


def text_reader(dtype: np.dtype, shape: tuple[int, ...], source: int, start: int, stop: int) -> Read:
    """Arrays of strings."""

    def read(sources: Sources) -> np.ndarray:
        texts = list(sources[source][start:stop])
        if dtype.kind == "U" and any(len(text) > dtype.itemsize // 4 for text in texts):
            raise MalformedData(f"a string too long for an array of {dtype}")
        return np.array(texts, dtype).reshape(shape)

    return read


def object_reader(read: Read, count: int, shape: tuple[int, ...]) -> Read:
    """Arrays of the objects that `read` gives as a list."""

    def build(sources: Sources) -> np.ndarray:
        flat = np.empty(count, object)
        for index, item in enumerate(read(sources)):
            flat[index] = item
        return flat.reshape(shape)

    return build


def string_dtype() -> Any:
    """Numpy's type of strings of any length. Raises MalformedData where numpy is older than 2."""
    if _STRING_DTYPE is None:
        raise MalformedData("an array of numpy's StringDType: it takes numpy 2 to read it")
    return _STRING_DTYPE
