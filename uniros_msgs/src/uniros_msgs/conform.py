"""Values brought into the form of a gymnasium space's samples, or refused by name.

Casts that lose nothing but the rounding of floats are made: lists, Python numbers, float64 for a float32 Box, whole
floats for integers. Comparison with the bounds comes after the cast. Everything else is an InvalidAction that says
where in the value, what was expected, and what came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

from uniros_msgs.errors import InvalidAction, UnsupportedSpace

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Callable

    Space = gymnasium.Space[Any]


def conform(space: Space, value: Any, name: str = "action") -> Any:
    """`value` as a sample of `space`; itself, not a copy, if it is one already.

    Args:
        space: a space of one of gymnasium's own classes.
        value: what somebody sent for it.
        name: what the message of an error calls the value.

    Raises:
        InvalidAction: wrong kind or shape, NaN, outside the bounds, missing or unknown keys.
        UnsupportedSpace: the space is of another class.
    """
    check = _CHECKS.get(type(space))
    if check is None:
        raise UnsupportedSpace(f"values of {type(space).__module__}.{type(space).__qualname__} cannot be checked")
    return check(space, value, name)


def _refused(path: str, expected: str, got: str) -> InvalidAction:
    return InvalidAction(f"{path}: expected {expected}, got {got}")


def _seen(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    return f"{type(value).__name__} {value!r:.80}"


# --- arrays of numbers ---------------------------------------------------------------------------------------------


def _box(space: spaces.Box, value: Any, path: str) -> np.ndarray:
    dtype: Any = space.dtype
    fits = isinstance(value, (np.ndarray, np.generic)) and value.dtype == dtype
    array: Any = value if fits else _cast(value, dtype, path, space)
    if array.shape != space.shape:
        raise _refused(path, _expected(space), _seen(value))
    if not ((array >= space.low) & (array <= space.high)).all():
        return _at_rounded_bounds(array, value, space.low, space.high, path, space)
    return array


def _numbers(value: Any, path: str, expected: Callable[[], str]) -> np.ndarray:
    """`value` as an array of whatever numbers it holds."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:  # ragged lists, tensors on a GPU
        raise _refused(path, expected(), f"{_seen(value)} ({error})") from error
    if array.dtype.kind not in "biuf":
        raise _refused(path, expected(), _seen(value))
    return array


def _cast(value: Any, dtype: np.dtype, path: str, space: Any) -> np.ndarray:
    """`value` as an array of `dtype`; a float that is not whole, or a number beyond the dtype, is refused."""
    raw = _numbers(value, path, lambda: _expected(space))
    with np.errstate(all="ignore"):
        array = raw.astype(dtype)
        lost = np.isfinite(raw) & ~np.isfinite(array) if dtype.kind == "f" else array != raw
    if lost.any():
        raise _refused(path, _expected(space), f"{_first(raw, lost)}, which {dtype} cannot hold")
    return array


def _at_rounded_bounds(array: np.ndarray, value: Any, low: Any, high: Any, path: str, space: Any) -> np.ndarray:
    """A bound that the sender rounded to its narrower float type stands for the bound; all else outside is refused."""
    narrow = value.dtype if isinstance(value, (np.ndarray, np.generic)) else array.dtype
    if array.dtype.kind == narrow.kind == "f" and narrow.itemsize < array.dtype.itemsize:
        array = np.where(array == low.astype(narrow), low, array)
        array = np.where(array == high.astype(narrow), high, array)
    outside = ~((array >= low) & (array <= high))
    if not outside.any():
        return array
    index = tuple(np.argwhere(outside)[0])
    limit = f", below its bound {low[index]}" if array[index] < low[index] else ""
    limit = f", above its bound {high[index]}" if array[index] > high[index] else limit
    raise _refused(path, _expected(space), _first(array, outside) + limit)


def _first(array: np.ndarray, where: np.ndarray) -> str:
    """The first of the marked elements and its index."""
    index = tuple(int(i) for i in np.argwhere(where)[0])
    at = "" if not index else f" at index {index[0] if len(index) == 1 else index}"
    return f"{array[index]}{at}"


def _expected(space: Any) -> str:
    """One line on what a value of this space of numbers is."""
    if isinstance(space, spaces.Discrete):
        return f"a whole number from {int(space.start)} to {int(space.start) + int(space.n) - 1}"
    if isinstance(space, spaces.MultiBinary):
        return f"zeros and ones of shape {space.shape}"
    if isinstance(space, spaces.MultiDiscrete):
        return f"whole numbers of shape {space.shape} within {space}"
    low, high = (" ".join(bound.split()) for bound in (space.low_repr, space.high_repr))
    return f"{space.dtype} numbers of shape {space.shape} from {low:.80} to {high:.80}"


def _multi_discrete(space: spaces.MultiDiscrete, value: Any, path: str) -> np.ndarray:
    array = _cast(value, space.dtype, path, space)  # type: ignore[arg-type]
    if array.shape != space.shape:
        raise _refused(path, _expected(space), _seen(value))
    outside = (array < space.start) | (array - space.start >= space.nvec)  # the sum could overflow, the difference not
    if outside.any():
        raise _refused(path, _expected(space), _first(array, outside))
    return array


def _multi_binary(space: spaces.MultiBinary, value: Any, path: str) -> np.ndarray:
    array = _cast(value, np.dtype(np.int8), path, space)
    if array.shape != space.shape:
        raise _refused(path, _expected(space), _seen(value))
    outside = (array != 0) & (array != 1)
    if outside.any():
        raise _refused(path, _expected(space), _first(array, outside))
    return array


def _discrete(space: spaces.Discrete, value: Any, path: str) -> np.integer[Any]:
    number = int(_scalar(value, path, space))
    if not 0 <= number - int(space.start) < int(space.n):
        raise _refused(path, _expected(space), _seen(value))
    dtype: Any = space.dtype
    return dtype.type(number)  # type: ignore[no-any-return]


def _scalar(value: Any, path: str, space: Any) -> int | float:
    if isinstance(value, (np.generic, np.ndarray)) and value.shape == () and value.dtype.kind in "biuf":
        value = value.item()
    if not isinstance(value, (int, float)) or value != value or value in (np.inf, -np.inf) or int(value) != value:
        raise _refused(path, _expected(space), _seen(value))
    return value


# --- text and containers -------------------------------------------------------------------------------------------


def _text(space: spaces.Text, value: Any, path: str) -> str:
    expected = f"a str of {space.min_length} to {space.max_length} characters out of {space.characters!r}"
    if not isinstance(value, str) or not space.min_length <= len(value) <= space.max_length:
        raise _refused(path, expected, _seen(value))
    for index, character in enumerate(value):
        if character not in space.character_set:
            raise _refused(path, expected, f"{character!r} at index {index}")
    return str(value)


def _dict(space: spaces.Dict, value: Any, path: str) -> dict[Any, Any]:
    expected = f"a dict with the keys {list(space.spaces)}"
    if not isinstance(value, dict):
        raise _refused(path, expected, _seen(value))
    if value.keys() != space.spaces.keys():
        missing = [key for key in space.spaces if key not in value]
        unknown = [key for key in value if key not in space.spaces]
        raise _refused(path, expected, f"one without {missing}" if missing else f"also {unknown}")
    return {key: conform(each, value[key], f"{path}[{key!r}]") for key, each in space.spaces.items()}


def _tuple(space: spaces.Tuple, value: Any, path: str) -> tuple[Any, ...]:
    if not _is_sequence(value) or len(value) != len(space.spaces):
        raise _refused(path, f"a tuple of {len(space.spaces)} values", _seen(value))
    return tuple(conform(each, item, f"{path}[{i}]") for i, (each, item) in enumerate(zip(space.spaces, value)))


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _one_of(space: spaces.OneOf, value: Any, path: str) -> tuple[Any, Any]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise _refused(path, "a pair: the index of a space and a value of that space", _seen(value))
    index = _discrete(spaces.Discrete(len(space.spaces)), value[0], f"{path}[0]")
    return index, conform(space.spaces[int(index)], value[1], f"{path}[1]")


def _sequence(space: spaces.Sequence, value: Any, path: str) -> Any:
    if space.stack:
        return _stack(space, value, path)
    if not isinstance(value, (tuple, list)):
        raise _refused(path, f"a tuple of values of {space.feature_space}", _seen(value))
    return tuple(conform(space.feature_space, item, f"{path}[{i}]") for i, item in enumerate(value))


def _stack(space: spaces.Sequence, value: Any, path: str) -> Any:
    from gymnasium.vector.utils import concatenate, create_empty_array, iterate

    try:
        items = tuple(iterate(space.stacked_feature_space, value))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise _refused(path, f"stacked values of {space.feature_space}", _seen(value)) from error
    items = tuple(conform(space.feature_space, item, f"{path}[{i}]") for i, item in enumerate(items))
    stack = create_empty_array(space.feature_space, len(items))
    return concatenate(space.feature_space, items, stack) if items else stack


def _graph(space: spaces.Graph, value: Any, path: str) -> spaces.GraphInstance:
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise _refused(path, "a GraphInstance: nodes, edges, edge_links", _seen(value))
    nodes, edges, links = value
    checked = _features(space.node_space, nodes, f"{path}.nodes")
    if edges is None and links is None:
        return spaces.GraphInstance(checked, None, None)
    if space.edge_space is None or edges is None or links is None:
        raise _refused(path, "edges and edge_links, both or none, and none without an edge_space", _seen(value))
    checked_edges = _features(space.edge_space, edges, f"{path}.edges")
    return spaces.GraphInstance(checked, checked_edges, _links(links, len(checked), len(checked_edges), path))


def _features(space: Any, value: Any, path: str) -> np.ndarray:
    """Values of one space along the first axis of an array."""
    if not _is_sequence(value):
        raise _refused(path, f"an array of values of {space}", _seen(value))
    if len(value) == 0:
        return np.asarray(value, space.dtype).reshape(0, *space.shape)
    return np.stack([conform(space, item, f"{path}[{i}]") for i, item in enumerate(value)])


def _links(value: Any, nodes: int, edges: int, path: str) -> np.ndarray:
    expected = f"whole numbers of shape {(edges, 2)} from 0 to {nodes - 1}"
    links = _numbers(value, f"{path}.edge_links", lambda: expected)
    if links.dtype.kind not in "iu" or links.shape != (edges, 2) or ((links < 0) | (links >= nodes)).any():
        raise _refused(f"{path}.edge_links", expected, _seen(value))
    return links


_CHECKS: dict[type, Callable[[Any, Any, str], Any]] = {
    spaces.Box: _box,
    spaces.Discrete: _discrete,
    spaces.MultiDiscrete: _multi_discrete,
    spaces.MultiBinary: _multi_binary,
    spaces.Text: _text,
    spaces.Dict: _dict,
    spaces.Tuple: _tuple,
    spaces.Sequence: _sequence,
    spaces.Graph: _graph,
}
if hasattr(spaces, "OneOf"):  # since gymnasium 1.0
    _CHECKS[spaces.OneOf] = _one_of
