"""From a tree of Python values to a layout and flat streams of numbers: the first half of the codec, made to be quick.

Each handler puts a value's numbers into the streams and returns its part of the layout. The streams are six items of a
list: one list for each field of Data (see `layout.STREAMS`) and the flag PACKED. Single numbers go in as such, arrays
as their bytes, which is also the copy that keeps a message unchanged when its sender reuses the array; the flag says
that there are such bytes among f64, f32 and i64. All of u8 is bytes.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from uniros_msgs.arrays import array_writer, compact, put_scalar_memory, scalar_writer
from uniros_msgs.layout import F64, I64, MAX_DEPTH, NUMERIC, TEXT, U8, Opaque

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Callable, Iterable

    from uniros_msgs.layout import Handler, Streams

_MAX_REMEMBERED = 4096  # shapes, sets of keys, warned types: more than any sane program has
_log = logging.getLogger("rosout.uniros_msgs")  # where rospy shows what libraries have to say


class _TooDeep(Exception):
    """Containers nested deeper than MAX_DEPTH: most likely one that contains itself."""


def flatten(value: Any) -> tuple[str, Streams]:
    """The layout and the streams of `value`. Never raises for a value's sake: what cannot be sent becomes Opaque."""
    streams: Streams = [[], [], [], [], [], False]
    try:
        return _HANDLERS.get(type(value), _other)(value, streams, 0), streams
    except (_TooDeep, RecursionError):
        return _flatten_carefully(value)


def _flatten_carefully(value: Any) -> tuple[str, Streams]:
    _warn_once(type(value), "contains itself or is nested too deeply; that part arrives as Opaque")
    for finite in (lambda: _prune(value, frozenset()), lambda: _opaque_of(value)):
        streams: Streams = [[], [], [], [], [], False]
        try:
            pruned = finite()
            return _HANDLERS.get(type(pruned), _other)(pruned, streams, 0), streams
        except (_TooDeep, RecursionError):
            continue
    return "null", [[], [], [], [], [], False]


def _prune(value: Any, path: frozenset) -> Any:
    """A copy of the tree in which whatever contains itself or lies too deep is Opaque."""
    kind = type(value)
    if kind not in (list, tuple, dict, OrderedDict):
        return value
    if id(value) in path or len(path) >= MAX_DEPTH:
        return _opaque_of(value)
    path = path | {id(value)}
    if kind in (list, tuple):
        return kind(_prune(item, path) for item in value)
    return kind((key, _prune(item, path)) for key, item in value.items())


# --- Python's own types --------------------------------------------------------------------------------------------


def _none(value: None, streams: Streams, depth: int) -> str:
    return "null"


def _bool(value: bool, streams: Streams, depth: int) -> str:
    streams[U8].append(b"\1" if value else b"\0")
    return '"bool"'


def _int(value: int, streams: Streams, depth: int) -> str:
    if -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        streams[I64].append(value)
        return '"int"'
    streams[TEXT].append(hex(value))  # decimal digits cost quadratic time, and Python limits their number
    return '"bigint"'


def _float(value: float, streams: Streams, depth: int) -> str:
    streams[F64].append(value)
    return '"float"'


def _complex(value: complex, streams: Streams, depth: int) -> str:
    streams[F64] += (value.real, value.imag)
    return '"complex"'


def _is_unicode(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _text(code: str, lone: str) -> Handler:
    def put(value: str, streams: Streams, depth: int) -> str:
        text = str(value)
        if _is_unicode(text):
            streams[TEXT].append(text)
            return code
        return put_bytes(text.encode("utf-8", "surrogatepass"), streams, depth)

    put_bytes = _bytes(lone)
    return put


def _bytes(code: str) -> Handler:
    def put(value: bytes, streams: Streams, depth: int) -> str:
        streams[U8].append(bytes(value))
        return f'["{code}",{len(value)}]'

    return put


def _opaque(value: Opaque, streams: Streams, depth: int) -> str:
    streams[TEXT] += (_printable(value.type_name), _printable(value.text))
    return '"opaque"'


# --- containers ----------------------------------------------------------------------------------------------------


def _tokens(values: Iterable[Any], streams: Streams, depth: int) -> list[str]:
    if depth >= MAX_DEPTH:
        raise _TooDeep
    handler, depth = _HANDLERS.get, depth + 1
    return [handler(type(value), _other)(value, streams, depth) for value in values]


def _items(tokens: list[str]) -> str:
    """The layouts of several values, equal neighbours counted."""
    parts = []
    for token, group in groupby(tokens):
        count = len(list(group))
        parts.append(f",{token}" if count == 1 else f",{count},{token}")
    return "".join(parts)


def _sequence(name: str) -> Handler:
    def put(value: Any, streams: Streams, depth: int) -> str:
        return f'["{name}"{_items(_tokens(value, streams, depth))}]'

    return put


def _dict(value: dict[Any, Any], streams: Streams, depth: int) -> str:
    keys = tuple(value)
    template = _TEMPLATES.get(keys)
    if not _ONLY_STR.issuperset(map(type, keys)):  # a numpy.str_ equals a str and is another type: ask first
        return _mapping(value, streams, depth)
    if template is None:
        template = _remember(_TEMPLATES, keys, _template(keys))
    return template % tuple(_tokens(value.values(), streams, depth))


def _template(keys: tuple[str, ...]) -> str:
    return "{" + ",".join(json.dumps(key).replace("%", "%%") + ":%s" for key in keys) + "}"


def _mapping(value: dict[Any, Any], streams: Streams, depth: int) -> str:
    keys = _sequence("tuple")(value.keys(), streams, depth)
    return f'["dict",{keys},{_sequence("tuple")(value.values(), streams, depth)}]'


def _ordered(value: OrderedDict[Any, Any], streams: Streams, depth: int) -> str:
    return f'["OrderedDict",{_dict(value, streams, depth)}]'


def _graph(value: Any, streams: Streams, depth: int) -> str:
    return f'["graph",{",".join(_tokens(value, streams, depth))}]'


# --- numpy ---------------------------------------------------------------------------------------------------------


def _array(value: np.ndarray, streams: Streams, depth: int) -> str:
    key = (value.dtype, value.shape)
    put = _WRITERS.get(key) or _remember(_WRITERS, key, _writer(*key))
    return put(value, streams, depth)


def _writer(dtype: np.dtype, shape: tuple[int, ...]) -> Handler:
    return _object_array if dtype.kind == "O" else array_writer(dtype, shape) or _send_opaque


def _object_array(value: np.ndarray, streams: Streams, depth: int) -> str:
    return f'["object",{compact(list(value.shape))}{_items(_tokens(value.ravel().tolist(), streams, depth))}]'


def _other_scalar(value: np.generic, streams: Streams, depth: int) -> str:
    return put_scalar_memory(value, streams) or _send_opaque(value, streams, depth)


# --- everything else -----------------------------------------------------------------------------------------------


def _other(value: Any, streams: Streams, depth: int) -> str:
    """Types without a handler of their own: the class they derive from decides, if there is one."""
    kind = type(value)
    if (kind.__module__, kind.__name__) == ("gymnasium.spaces.graph", "GraphInstance"):
        _HANDLERS[kind] = _graph
        return _graph(value, streams, depth)
    plain = next((base for base in kind.__mro__ if base in _PLAIN), None)
    if plain is None or isinstance(value, np.ma.MaskedArray):
        return _send_opaque(value, streams, depth)
    if kind not in (np.memmap, np.record):
        _warn_once(kind, f"arrives as a plain {plain.__name__}")
    handler, convert = _PLAIN[plain]
    return handler(convert(value), streams, depth)


def _send_opaque(value: Any, streams: Streams, depth: int) -> str:
    _warn_once(type(value), "cannot be sent; it arrives as Opaque, its name and repr only")
    return _opaque(_opaque_of(value), streams, depth)


def _opaque_of(value: Any) -> Opaque:
    kind = type(value)
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the repr of a stranger may do anything
        text = "<its repr fails>"
    return Opaque(f"{kind.__module__}.{kind.__qualname__}", text[:200])


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _warn_once(kind: type, what: str) -> None:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if (name, what) not in _WARNED:
        _remember(_WARNED, (name, what), True)
        _log.warning("a value of type %s %s", name, what)


def _remember(cache: dict[Any, Any], key: Any, value: Any) -> Any:
    if len(cache) >= _MAX_REMEMBERED:
        cache.clear()
    cache[key] = value
    return value


_ONLY_STR = frozenset([str])
_OTHER_SCALARS = (np.complex64, np.complex128, np.longdouble, np.clongdouble, np.datetime64, np.timedelta64, np.void)

_TEMPLATES: dict[tuple[str, ...], str] = {}
_WRITERS: dict[tuple[np.dtype, tuple[int, ...]], Handler] = {}
_WARNED: dict[tuple[str, str], bool] = {}

_HANDLERS: dict[type, Handler] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    complex: _complex,
    str: _text('"str"', "surrogates"),
    np.str_: _text('"U"', "U_surrogates"),
    bytes: _bytes("bytes"),
    bytearray: _bytes("bytearray"),
    np.bytes_: _bytes("S"),
    list: _sequence("list"),
    tuple: _sequence("tuple"),
    set: _sequence("set"),
    frozenset: _sequence("frozenset"),
    dict: _dict,
    OrderedDict: _ordered,
    Opaque: _opaque,
    np.ndarray: _array,
    **dict.fromkeys(_OTHER_SCALARS, _other_scalar),
    **{np.dtype(code).type: scalar_writer(code) for code in NUMERIC},
}

_PLAIN: dict[type, tuple[Handler, Callable[[Any], Any]]] = {  # base class -> its handler, and how to reach the base
    np.ndarray: (_array, np.asarray),
    np.generic: (_other_scalar, lambda value: value),
    OrderedDict: (_ordered, lambda value: value),
    dict: (_dict, dict),
    str: (_HANDLERS[str], str.__str__),
    int: (_int, int.__index__),
    float: (_float, float.__float__),
    complex: (_complex, complex),
    bytes: (_HANDLERS[bytes], bytes),
    bytearray: (_HANDLERS[bytearray], bytearray),
    tuple: (_HANDLERS[tuple], tuple),
    list: (_HANDLERS[list], list),
    set: (_HANDLERS[set], set),
    frozenset: (_HANDLERS[frozenset], frozenset),
}
