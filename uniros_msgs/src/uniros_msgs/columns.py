"""Rows of equal shape as columns: thirty observations as one array, thirty info dicts as one dict of arrays.

    stack(rows) -> column     unstack(column) -> rows, as they were     numbers(column) -> arrays, for buffers and plots

A column is a tuple (kind, ...) that the codec can carry:

    ("array", a)            arrays of one dtype and shape; a has a leading dimension of rows
    ("scalar", a)           numpy scalars of one dtype
    ("float"|"int"|"bool", a)   Python's own numbers
    ("same", n, value)      n times None, or the same text
    ("dict", {key: column}) dicts of the same keys
    ("some", n, {key: (rows, column)})  dicts of different keys: which rows have the key, and their values
    ("tuple", [column, ...])    tuples of the same length
    ("rows", [row, ...])    anything else, one by one
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from uniros_msgs.errors import MalformedData

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Column = tuple

_NUMBERS = {float: ("float", np.float64), int: ("int", np.int64), bool: ("bool", np.bool_)}
_PYTHON = {"float": float, "int": int, "bool": bool}
_INT64 = range(-(2**63), 2**63)


def stack(rows: Sequence[Any]) -> Column:
    """The column of `rows`, which must not be empty. Shares no memory with them, but for what stays row by row."""
    kinds = set(map(type, rows))
    kind = kinds.pop()
    if kinds:
        return "rows", list(rows)
    if kind is np.ndarray:
        return _stack_arrays(rows)
    if kind is dict:
        return _stack_dicts(rows)
    if kind in _NUMBERS and (kind is not int or all(row in _INT64 for row in rows)):
        name, dtype = _NUMBERS[kind]
        return name, np.array(rows, dtype)
    if kind is tuple and rows[0] and len(set(map(len, rows))) == 1:
        return "tuple", [stack(column) for column in zip(*rows)]
    if kind in (str, type(None)) and all(row == rows[0] for row in rows):
        return "same", len(rows), rows[0]
    if issubclass(kind, np.generic) and kind is not np.void:
        return "scalar", np.array(rows, rows[0].dtype)
    return "rows", list(rows)


def _stack_arrays(rows: Sequence[np.ndarray]) -> Column:
    shape, dtype = rows[0].shape, rows[0].dtype
    if dtype.hasobject or any(row.shape != shape or row.dtype != dtype for row in rows):
        return "rows", list(rows)
    return "array", np.array(rows, dtype)


def _stack_dicts(rows: Sequence[dict[Any, Any]]) -> Column:
    keys = list(rows[0])
    if keys and all(list(row) == keys for row in rows):
        return "dict", {key: stack([row[key] for row in rows]) for key in keys}
    found: dict[Any, tuple[list[int], list[Any]]] = {}
    for number, row in enumerate(rows):
        for key, value in row.items():
            where, values = found.setdefault(key, ([], []))
            where.append(number)
            values.append(value)
    columns = {key: (np.array(where, np.int64), stack(values)) for key, (where, values) in found.items()}
    return "some", len(rows), columns


def unstack(column: Column) -> list[Any]:
    """The rows of a column; arrays are views into it. Raises MalformedData for what is no column."""
    try:
        return _UNSTACK[column[0]](column)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise MalformedData(f"expected a column as uniros_msgs.columns writes them: {error!r}") from error


def _unstack_dict(column: Column) -> list[Any]:
    columns = {key: unstack(inner) for key, inner in column[1].items()}
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def _unstack_some(column: Column) -> list[Any]:
    rows: list[dict[Any, Any]] = [{} for _ in range(column[1])]
    for key, (where, inner) in column[2].items():
        for number, value in zip(where.tolist(), unstack(inner)):
            rows[number][key] = value
    return rows


_UNSTACK: dict[str, Callable[[Column], list[Any]]] = {
    "array": lambda column: list(column[1]),
    "scalar": lambda column: list(column[1]),
    **{name: lambda column: column[1].tolist() for name in _PYTHON},
    "same": lambda column: [column[2]] * column[1],
    "dict": _unstack_dict,
    "some": _unstack_some,
    "tuple": lambda column: list(zip(*map(unstack, column[1]))),
    "rows": lambda column: list(column[1]),
}


def numbers(column: Column) -> Any:
    """A column as arrays with a leading dimension of rows: an array, or a dict or tuple of them, without Python rows.

    Raises MalformedData for columns that hold something else than numbers.
    """
    kind = column[0]
    if kind in ("array", "scalar", *_PYTHON):
        return column[1]
    if kind == "dict":
        return {key: numbers(inner) for key, inner in column[1].items()}
    if kind == "tuple":
        return tuple(map(numbers, column[1]))
    raise MalformedData(f"expected a column of numbers, got one of kind {kind!r}")
