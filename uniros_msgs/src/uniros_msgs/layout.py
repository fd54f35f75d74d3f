"""The layout language: how a tree of Python values lies in the five arrays of a `uniros_msgs/Data` message.

A layout is one line of JSON. Reading it from left to right tells which numbers to take next from which array::

    {"distance":"float","is_success":"bool","pose":["f4",7]}        one float64, one u8, seven float32

======================================  =========================================================================
in the layout                           value
======================================  =========================================================================
null                                    None
"bool" "int" "float" "complex" "str"    the Python type; from u8, i64, f64, f64 (two numbers), text
"bigint" ["bigint","u8"]                an int, a numpy integer beyond int64, from text, in hexadecimal
"U"                                     numpy.str_, from text
"b1" "u1" "i4" "f4" ...                 a numpy scalar: kind and size in bytes
"longlong" "ulonglong"                  numpy's second types of 64 bits, where it has them
["f4",3,2]                              an array of that type and shape; ["f4"] has no dimensions
["U5",2]                                an array of unicode strings of up to five (at most 128) characters, from text
["T",2]                                 an array of numpy's StringDType, from text
["raw",DTYPE,3]  ["scalar",DTYPE]       an array, a numpy scalar whose memory lies in u8
["object",[2,2],ITEMS]                  an array of objects
["bytes",4] ["bytearray",4] ["S",4]     four bytes of u8; "S" is numpy.bytes_
["surrogates",4] ["U_surrogates",4]     a str, a numpy.str_ that is not valid Unicode, from u8
["list",ITEMS] "tuple" "set" ...        ITEMS are layouts; a number before a layout repeats it: ["list",100,"float"]
{"key":LAYOUT}                          a dict whose keys are all str
["dict",LAYOUT,LAYOUT]                  any other dict: a tuple of its keys, a tuple of its values
["OrderedDict",LAYOUT]                  the same as an OrderedDict
["graph",LAYOUT,LAYOUT,LAYOUT]          gymnasium.spaces.GraphInstance
"opaque"                                what cannot be sent: the name of its type and its repr, from text
======================================  =========================================================================

float16 travels as float32, integers as int64. Arrays of more than `READABLE` integers that are smaller than that,
and everything that would not survive (complex, datetime64, structured, beyond int64, signalling NaN of float32), travel
as raw memory.

A DTYPE is numpy's code without the sign for little endian ("c16", ">i2", "M8[ns]"), with these differences: long
doubles are "g" and complex long doubles "G" with the bits of their significand ("g64"), because computers that agree on
their size differ in that; a structured type is an object {"names","formats","offsets","itemsize"}; a field that is
itself an array is [DTYPE, shape...].
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from uniros_msgs.errors import MalformedData

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    DtypeName: TypeAlias = "str | dict[str, Any] | list[Any]"
    Streams = list[Any]  # of a value on its way out: a list for each stream and the flag PACKED
    Handler = Callable[[Any, Streams, int], str]  # from a value, its streams and its depth to its part of the layout
    Sources = Sequence[Any]  # of a value on its way in: the streams a plan asked for, as Python numbers or as ndarrays
    Read = Callable[[Sources], Any]

STREAMS = ("f64", "f32", "i64", "u8", "text")  # the fields of Data, in the order of the wire
F64, F32, I64, U8, TEXT, PACKED = range(6)
READABLE = 1024  # elements: longer arrays of small integers travel as raw memory, an eighth to a half of the size
WIDEST = 512  # bytes of an element: wider arrays of strings travel as raw memory, which shows how much there really is
MAX_DEPTH = 64  # containers inside containers

NUMERIC = {  # numpy's code -> the array it travels in
    "b1": U8,
    "u1": U8,
    **dict.fromkeys(("longlong", "ulonglong", "i1", "i2", "i4", "i8", "u2", "u4", "u8"), I64),
    "f2": F32,
    "f4": F32,
    "f8": F64,
}
SCALARS = {code: np.dtype(code).type for code in NUMERIC}
SEQUENCES = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
BYTES = {"bytes": bytes, "bytearray": bytearray, "S": np.bytes_}

_UNITS = r"(\[[0-9]{0,9}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
_PLAIN = re.compile(rf">?([iu][1248]|f[248]|b1|c8|c16|[SVU][0-9]{{1,9}}|[mM]8{_UNITS})")
_LONG = re.compile(r"(>?)([gG][0-9]{1,3})")


@dataclass(frozen=True)
class Opaque:
    """What arrives in place of a value that cannot be sent, such as a function.

    Attributes:
        type_name: module and name of the value's class.
        text: its repr, shortened to 200 characters.
    """

    type_name: str
    text: str


def _long_names() -> dict[str, np.dtype]:
    bits = np.finfo(np.longdouble).nmant + 1
    return {f"g{bits}": np.dtype(np.longdouble), f"G{bits}": np.dtype(np.clongdouble)}


_LONG_DOUBLES = _long_names() if np.dtype(np.longdouble).itemsize > 8 else {}


def dtype_name(dtype: np.dtype) -> DtypeName | None:
    """What a layout calls `dtype`; None for one that holds Python objects or that numpy alone cannot rebuild."""
    if dtype.kind not in "biufcSUVmM":
        return None
    if dtype.subdtype is not None:
        base = dtype_name(dtype.subdtype[0])
        return None if base is None else [base, *dtype.subdtype[1]]
    if dtype.names is not None:
        return _struct_name(dtype)
    for name, long_double in _LONG_DOUBLES.items():
        if dtype.newbyteorder("=") == long_double:
            return name if dtype.isnative else ">" + name
    code = dtype.str.lstrip("<|")
    return code if _PLAIN.fullmatch(code) else None


def _struct_name(dtype: np.dtype) -> DtypeName | None:
    names = list(dtype.names or ())
    formats = [dtype_name(dtype[name]) for name in names]
    if None in formats:
        return None
    offsets = [field[1] for field in map(dict(dtype.fields or {}).get, names) if field]
    return {"names": names, "formats": formats, "offsets": offsets, "itemsize": dtype.itemsize}


def named_dtype(name: Any) -> np.dtype:
    """The dtype of that name. Raises MalformedData for anything that is not in the language above."""
    if isinstance(name, str) and _PLAIN.fullmatch(name):
        return np.dtype(name if name[0] == ">" else "<" + name)
    if isinstance(name, str) and _LONG.fullmatch(name):
        return _long_double(name)
    if isinstance(name, list) and len(name) > 1:
        return np.dtype((named_dtype(name[0]), dimensions(name[1:])))
    if isinstance(name, dict):
        return _struct(name)
    raise MalformedData(f"expected the name of a numpy type without objects in a layout, got {name!r:.100}")


def _long_double(name: str) -> np.dtype:
    if name.lstrip(">") not in _LONG_DOUBLES:
        raise MalformedData(f"no long doubles of kind {name!r} on this computer, it has {list(_LONG_DOUBLES)}")
    dtype = _LONG_DOUBLES[name.lstrip(">")]
    return dtype.newbyteorder(">") if name[0] == ">" else dtype


def _struct(name: dict[str, Any]) -> np.dtype:
    try:
        parts: Any = {key: name[key] for key in ("names", "offsets", "itemsize")}
        parts["formats"] = [named_dtype(each) for each in name["formats"]]
        return np.dtype(parts)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise MalformedData(f"not a structured numpy type: {name!r:.200}: {error}") from error


def dimensions(numbers: Any) -> tuple[int, ...]:
    """A shape from a layout: whole, not negative, and of a size that a computer can have."""
    if not isinstance(numbers, (list, tuple)) or len(numbers) > 64:
        raise MalformedData(f"expected the dimensions of an array in a layout, got {numbers!r:.100}")
    size = 1
    for number in numbers:
        if type(number) is not int or not 0 <= number < 2**40:
            raise MalformedData(f"expected the dimensions of an array in a layout, got {numbers!r:.100}")
        size *= number or 1
    if size >= 2**40:
        raise MalformedData(f"no array of this computer has the shape {numbers!r:.100}")
    return tuple(numbers)
