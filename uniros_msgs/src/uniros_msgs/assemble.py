"""From a layout and flat arrays back to a tree of Python values: the second half of the codec.

An `Assembler` turns a layout into nested functions that know where in which array their numbers lie. Whatever a peer
sends, nothing is executed, imported or unpickled here: names are looked up in the tables at the end, and nowhere else.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from uniros_msgs.arrays import bool_reader, cast_reader, memory_reader, object_reader, string_dtype, text_reader
from uniros_msgs.errors import MalformedData
from uniros_msgs.layout import (
    BYTES,
    F64,
    I64,
    MAX_DEPTH,
    NUMERIC,
    SCALARS,
    SEQUENCES,
    TEXT,
    U8,
    WIDEST,
    Opaque,
    dimensions,
    named_dtype,
)
from uniros_msgs.sources import DTYPES

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Callable, Sequence

    from uniros_msgs.layout import Read, Sources


class Assembler:
    """Turns layouts into readers, and counts what they will take.

    Attributes:
        at: elements taken so far from f64, f32, i64, u8 and text.
        sources: the streams that readers want, each with whether as an ndarray or as Python numbers.
        unbacked: values so far that took nothing, as containers do.
    """

    def __init__(self) -> None:
        self.at = [0, 0, 0, 0, 0]
        self.sources: list[tuple[int, bool]] = []
        self.unbacked = 0
        self._depth = 0

    def node(self, spec: Any) -> Read:
        """A function that reads one value."""
        if isinstance(spec, str):
            return self._leaf(spec)
        self.unbacked += 1
        self._depth += 1
        if self._depth > 2 * MAX_DEPTH:  # an OrderedDict is two layouts deep
            raise MalformedData(f"a layout nested deeper than {MAX_DEPTH} levels")
        read = self._branch(spec)
        self._depth -= 1
        return read

    def _branch(self, spec: Any) -> Read:
        if spec is None:
            return lambda sources: None
        if isinstance(spec, dict):
            return self._fields([(key, self.node(each)) for key, each in spec.items()])
        if isinstance(spec, list) and spec and isinstance(spec[0], str):
            build = _BRANCHES.get(spec[0])
            return build(self, *spec) if build else self._array(spec[0], dimensions(spec[1:]))
        raise MalformedData(f"expected a value in a layout, got {spec!r:.100}")

    def _take(self, stream: int, count: int = 1, as_array: bool = False) -> tuple[int, int]:
        """Reserve the next elements of a stream: the index of their source, and where they start in it."""
        source = (stream, as_array and stream < U8)
        if source not in self.sources:
            self.sources.append(source)
        start = self.at[stream]
        self.at[stream] += count
        return self.sources.index(source), start

    # --- single values

    def _leaf(self, name: str) -> Read:
        if name not in _LEAVES:
            raise MalformedData(f"expected one of {sorted(_LEAVES)} in a layout, got {name!r:.60}")
        streams, convert = _LEAVES[name]
        source, start = self._take(streams[0], len(streams))
        if len(streams) == 2:
            return lambda sources: convert(sources[source][start], sources[source][start + 1])
        if convert is None:
            return lambda sources: sources[source][start]
        return lambda sources: convert(sources[source][start])

    def _big_scalar(self, name: str, code: str) -> Read:
        kind, read = SCALARS[code], self._leaf(name)
        return lambda sources: kind(read(sources))

    def _bytes(self, name: str, count: int) -> Read:
        (count,) = dimensions([count])
        source, start = self._take(U8, count)
        convert = _FROM_BYTES[name]
        return lambda sources: convert(bytes(sources[source][start : start + count]))

    # --- containers

    def _fields(self, readers: list[tuple[str, Read]]) -> Read:
        return lambda sources: {key: read(sources) for key, read in readers}

    def _sequence(self, name: str, *specs: Any) -> Read:
        read, _ = self._items(specs)
        convert = SEQUENCES[name]
        return read if convert is list else lambda sources: convert(read(sources))

    def _items(self, specs: Sequence[Any]) -> tuple[Read, int]:
        """A function that reads several values into a list, and how many they are."""
        parts: list[tuple[bool, Read]] = []
        count, total = 1, 0
        for spec in specs:
            if type(spec) is int and spec > 1 and count == 1:
                (count,) = dimensions([spec])
                continue
            parts.append((False, self.node(spec)) if count == 1 else (True, self._run(count, spec)))
            total, count = total + count, 1
        if count != 1:
            raise MalformedData("a layout that ends in a number: expected what to repeat")
        return _joined(parts), total

    def _run(self, count: int, spec: Any) -> Read:
        outside, unbacked = self.at, self.unbacked
        self.at = [0, 0, 0, 0, 0]
        read = self.node(spec)
        sizes, self.at = self.at, [start + count * size for start, size in zip(outside, self.at)]
        self.unbacked += (count - 1) * (self.unbacked - unbacked)
        windows = [(outside[stream], sizes[stream]) for stream, _ in self.sources]
        if spec in ("float", "int", "str"):
            ((source, (start, _)),) = [(i, w) for i, w in enumerate(windows) if w[1] and not self.sources[i][1]]
            return lambda sources: list(sources[source][start : start + count])

        def run(sources: Sources) -> list[Any]:
            def window(index: int) -> list[Any]:
                pairs = zip(sources, windows)
                return [source[start + index * size : start + (index + 1) * size] for source, (start, size) in pairs]

            return [read(window(index)) for index in range(count)]

        return run

    def _mapping(self, name: str, keys: Any, values: Any) -> Read:
        if not (_is_tuple(keys) and _is_tuple(values)):
            raise MalformedData(f"expected a tuple of keys and one of values, got {keys!r:.60}, {values!r:.60}")
        (read_keys, count), (read_values, others) = self._items(keys[1:]), self._items(values[1:])
        if count != others:
            raise MalformedData(f"a dict of {count} keys and {others} values")
        return lambda sources: dict(zip(read_keys(sources), read_values(sources)))

    def _ordered(self, name: str, spec: Any) -> Read:
        if not (isinstance(spec, dict) or (isinstance(spec, list) and spec[:1] == ["dict"])):
            raise MalformedData(f"expected a dict to be ordered, got {spec!r:.60}")
        read = self.node(spec)
        return lambda sources: OrderedDict(read(sources))

    def _graph(self, name: str, *specs: Any) -> Read:
        if len(specs) != 3:
            raise MalformedData(f"a graph has nodes, edges and edge_links, got {len(specs)} values")
        readers = [self.node(spec) for spec in specs]
        kind = _graph_instance()
        return lambda sources: kind(*[read(sources) for read in readers])

    # --- arrays

    def _array(self, code: str, shape: tuple[int, ...]) -> Read:
        count = int(np.prod(shape, dtype=object))
        stream = NUMERIC.get(code.lstrip(">"), TEXT)
        if stream == TEXT:
            return self._text_array(code, shape, count)
        dtype = named_dtype(code)
        source, start = self._take(stream, count, as_array=True)
        if stream == U8:
            return bool_reader(shape, source, start) if code == "b1" else memory_reader(dtype, shape, source, start)
        if dtype == DTYPES[stream]:
            return memory_reader(dtype, shape, source, start * dtype.itemsize)
        return cast_reader(dtype, shape, source, start, start + count)

    def _text_array(self, code: str, shape: tuple[int, ...], count: int) -> Read:
        dtype = string_dtype() if code == "T" else named_dtype(code)
        if dtype.kind not in "UT" or dtype.itemsize > WIDEST:
            raise MalformedData(f"arrays of {code!r:.60} travel as ['raw', ...]")
        source, start = self._take(TEXT, count)
        return text_reader(dtype, shape, source, start, start + count)

    def _object_array(self, name: str, shape: Any, *specs: Any) -> Read:
        shape = dimensions(shape)
        read, count = self._items(specs)
        if count != np.prod(shape, dtype=object):
            raise MalformedData(f"{count} objects for an array of shape {shape}")
        return object_reader(read, count, shape)

    def _raw_array(self, name: str, dtype_name: Any, *shape: Any) -> Read:
        dtype, dims = named_dtype(dtype_name), dimensions(shape)
        size = int(np.prod(dims, dtype=object)) * dtype.itemsize
        source, start = self._take(U8, size)
        return memory_reader(dtype, dims, source, start)

    def _raw_scalar(self, name: str, dtype_name: Any) -> Read:
        read = self._raw_array(name, dtype_name)
        return lambda sources: read(sources)[()]


def _is_tuple(spec: Any) -> bool:
    return isinstance(spec, list) and spec[:1] == ["tuple"]


def _joined(parts: list[tuple[bool, Read]]) -> Read:
    if len(parts) == 1 and parts[0][0]:
        return parts[0][1]
    if not any(many for many, _ in parts):
        readers = [read for _, read in parts]
        return lambda sources: [read(sources) for read in readers]

    def read_all(sources: Sources) -> list[Any]:
        items: list[Any] = []
        for many, read in parts:
            items += read(sources) if many else [read(sources)]
        return items

    return read_all


def _graph_instance() -> Callable[..., Any]:
    try:
        from gymnasium.spaces import GraphInstance
    except ImportError as error:
        raise MalformedData("this message holds a gymnasium graph: install gymnasium to read it") from error
    return GraphInstance


def _big_int(text: str) -> int:
    value = int(text, 16)
    if hex(value) != text:
        raise MalformedData(f"expected an integer in hexadecimal, got {text!r:.60}")
    return value


_LEAVES: dict[str, tuple[list[int], Any]] = {
    "bool": ([U8], bool),
    "int": ([I64], None),
    "bigint": ([TEXT], _big_int),
    "float": ([F64], None),
    "complex": ([F64, F64], complex),
    "str": ([TEXT], None),
    "U": ([TEXT], np.str_),
    "opaque": ([TEXT, TEXT], Opaque),
    **{code: ([stream], SCALARS[code]) for code, stream in NUMERIC.items()},
}
_FROM_BYTES: dict[str, Callable[[bytes], Any]] = {
    **BYTES,
    "surrogates": lambda raw: raw.decode("utf-8", "surrogatepass"),
    "U_surrogates": lambda raw: np.str_(raw.decode("utf-8", "surrogatepass")),
}
_BRANCHES: dict[str, Callable[..., Read]] = {
    **dict.fromkeys(SEQUENCES, Assembler._sequence),
    **dict.fromkeys(_FROM_BYTES, Assembler._bytes),
    "bigint": Assembler._big_scalar,
    "dict": Assembler._mapping,
    "OrderedDict": Assembler._ordered,
    "graph": Assembler._graph,
    "object": Assembler._object_array,
    "raw": Assembler._raw_array,
    "scalar": Assembler._raw_scalar,
}
