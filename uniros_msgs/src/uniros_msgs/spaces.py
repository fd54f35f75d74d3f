"""Gymnasium spaces as text and back, and values brought into the form of a space's samples (`conform`).

The text is JSON: readable, the same for the same space, and as exact as the space itself::

    {"type":"Box","shape":[2],"dtype":"float32","low":-1.0,"high":[0.5,"inf"]}

A bound that is the same everywhere is one number; "inf" and "-inf" are text. Nothing in a text can make `build`
execute, import or unpickle anything. A space's random state is not part of its description.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces as gs  # a builder's arguments are a description's keys, and one of these is "spaces"

from uniros_msgs.conform import conform
from uniros_msgs.errors import MalformedData, UnsupportedSpace
from uniros_msgs.layout import dimensions

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Callable

    Space = gymnasium.Space[Any]

__all__ = ["build", "conform", "describe"]

_MAX_ELEMENTS = 2**27  # of a Box: its two bounds are arrays, however short their description
_SET_LIKE = 8  # characters: from here on, an order equal to that of a set is no accident
_DTYPE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64|80|96|128|256)|[<>][iuf](2|4|8|16)")


def describe(space: Space) -> str:
    """The description of a space.

    Raises:
        UnsupportedSpace: it is, or contains, a space of a class that gymnasium does not bring along.
    """
    return json.dumps(_described(space), separators=(",", ":"), allow_nan=False)


def build(text: str) -> Space:
    """The space of a description: `build(describe(space)) == space`.

    Seeded alike, both give the same samples, except for a Text whose charset is a set, which has an order of its own in
    each process.

    Raises:
        MalformedData: the text is not a description of a space.
        UnsupportedSpace: it names a class that this version of gymnasium does not have.
    """
    try:
        return _built(json.loads(text))
    except (MalformedData, UnsupportedSpace):
        raise
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError, OverflowError, RecursionError) as error:
        raise MalformedData(f"expected the description of a space, got {text!r:.200}: {error!r}") from error


def _described(space: Space) -> dict[str, Any]:
    name = type(space).__name__
    if name not in _KINDS or type(space) is not getattr(gs, name, None):
        raise UnsupportedSpace(
            f"{type(space).__module__}.{type(space).__qualname__} has no description; spaces of these classes have: "
            f"{', '.join(_KINDS)}. Wrap the environment so that it uses one of them."
        )
    return {"type": name, **_KINDS[name][0](space)}


def _built(tree: Any) -> Space:
    if not isinstance(tree, dict) or "type" not in tree:
        raise MalformedData(f"expected an object with a 'type', got {tree!r:.100}")
    name = tree["type"]
    if name not in _KINDS or not hasattr(gs, name):
        raise UnsupportedSpace(f"gymnasium {gymnasium.__version__} has no space called {name!r:.60} that we know")
    return _KINDS[name][1](**{key: value for key, value in tree.items() if key != "type"})


# --- Box -----------------------------------------------------------------------------------------------------------


def _describe_box(space: gs.Box) -> dict[str, Any]:
    low = _bounds(space.low, space.bounded_below, "-inf")
    high = _bounds(space.high, space.bounded_above, "inf")
    return {"shape": list(space.shape), "dtype": str(space.dtype), "low": low, "high": high}


def _bounds(values: np.ndarray, bounded: np.ndarray, infinite: str) -> Any:
    """Nested lists of numbers, or one number. Integers know no infinity: an unbounded one is in `bounded` only."""
    numbers = [_number(value) if ok else infinite for value, ok in zip(values.ravel(), bounded.ravel())]
    if numbers and len({repr(number) for number in numbers}) == 1:
        return numbers[0]
    return _nested(numbers, values.shape)


def _nested(numbers: list[Any], shape: tuple[int, ...]) -> Any:
    array = np.empty(len(numbers), object)
    array[:] = numbers
    return array.reshape(shape).tolist()


def _number(value: Any) -> bool | int | float | str:
    """The shortest text or number from which the dtype makes exactly this value again."""
    if value.dtype.kind != "f":
        return value.item()  # type: ignore[no-any-return]
    short = float(str(value))
    return short if np.isfinite(short) and value.dtype.type(short) == value else str(value)


def _build_box(shape: Any, dtype: Any, low: Any, high: Any) -> gs.Box:
    exact, kind = dimensions(shape), _dtype(dtype)
    if np.prod(exact, dtype=object) > _MAX_ELEMENTS:
        raise MalformedData(f"a Box of shape {shape} is larger than {_MAX_ELEMENTS} elements")
    lower, bounded_below = _parse_bounds(low, exact, kind, "-inf")
    upper, bounded_above = _parse_bounds(high, exact, kind, "inf")
    wire: Any = np.uint8 if kind.kind == "b" else kind  # gymnasium cannot look for infinity among bools
    space = gs.Box(lower.astype(wire), upper.astype(wire), exact, kind)  # type: ignore[arg-type]
    space.bounded_below, space.bounded_above = bounded_below, bounded_above
    return space


def _parse_bounds(tree: Any, shape: tuple[int, ...], dtype: np.dtype, infinite: str) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.empty(shape, object)
    numbers[...] = np.array(tree, object).reshape(shape) if isinstance(tree, list) else tree
    bounded = numbers != infinite
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        numbers[~bounded] = info.min if infinite == "-inf" else info.max
    values = np.empty(shape, dtype)
    values.ravel()[:] = [dtype.type(number) for number in numbers.ravel()]
    return values, bounded


def _dtype(name: Any) -> np.dtype:
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise MalformedData(f"expected the name of a numpy type of numbers, got {name!r:.60}")
    return np.dtype(name)


# --- the other simple spaces ---------------------------------------------------------------------------------------


def _describe_discrete(space: gs.Discrete) -> dict[str, Any]:
    return {"n": int(space.n), **_unless_usual(int(space.start), str(space.dtype))}


def _build_discrete(n: int, start: int = 0, dtype: str = "int64") -> gs.Discrete:
    return gs.Discrete(n, start=start, **_unless_usual(dtype=_dtype(dtype).name))  # older gymnasium has no dtype


def _describe_multi_discrete(space: gs.MultiDiscrete) -> dict[str, Any]:
    start = space.start.tolist() if space.start.any() else 0
    return {"nvec": space.nvec.tolist(), **_unless_usual(start, str(space.dtype))}


def _build_multi_discrete(nvec: Any, start: Any = None, dtype: str = "int64") -> gs.MultiDiscrete:
    return gs.MultiDiscrete(nvec, _dtype(dtype).name, start=start)


def _unless_usual(start: Any = 0, dtype: str = "int64") -> dict[str, Any]:
    return {**({} if start == 0 else {"start": start}), **({} if dtype == "int64" else {"dtype": dtype})}


def _describe_multi_binary(space: gs.MultiBinary) -> dict[str, Any]:
    return {"n": space.n if isinstance(space.n, int) else list(space.n)}


def _describe_text(space: gs.Text) -> dict[str, Any]:
    """The order of characters decides what is sampled: that of a string is kept, that of a set is not even known."""
    lengths = {"min_length": space.min_length, "max_length": space.max_length}
    characters, unordered = space.character_list, tuple(space.character_set)
    if characters == unordered and space.character_set == gs.text.alphanumeric:
        return lengths
    if characters == unordered and len(characters) >= _SET_LIKE:
        return {**lengths, "character_set": "".join(sorted(characters))}
    return {**lengths, "charset": "".join(characters)}


def _build_text(min_length: int, max_length: int, charset: str = "", character_set: str = "") -> gs.Text:
    characters = charset or frozenset(character_set) or gs.text.alphanumeric
    return gs.Text(max_length, min_length=min_length, charset=characters)


# --- spaces made of spaces -----------------------------------------------------------------------------------------


def _describe_dict(space: gs.Dict) -> dict[str, Any]:
    if all(type(key) is str for key in space.spaces):
        return {"spaces": {key: _described(each) for key, each in space.spaces.items()}}
    if all(type(key) in (str, int) for key in space.spaces):
        return {"spaces": [[key, _described(each)] for key, each in space.spaces.items()]}
    raise UnsupportedSpace(f"the keys of a Dict space must be str or int to be described, got {list(space.spaces)}")


def _build_dict(spaces: Any) -> gs.Dict:
    pairs = spaces.items() if isinstance(spaces, dict) else spaces
    return gs.Dict([(key, _built(each)) for key, each in pairs])  # a list: gymnasium sorts a dict


def _describe_parts(space: Any) -> dict[str, Any]:
    return {"spaces": [_described(each) for each in space.spaces]}


def _build_tuple(spaces: Any) -> gs.Tuple:
    return gs.Tuple([_built(each) for each in spaces])


def _build_one_of(spaces: Any) -> gs.OneOf:
    return gs.OneOf([_built(each) for each in spaces])


def _describe_sequence(space: gs.Sequence) -> dict[str, Any]:
    return {"space": _described(space.feature_space), "stack": bool(space.stack)}


def _build_sequence(space: Any, stack: bool) -> gs.Sequence:
    return gs.Sequence(_built(space), stack=bool(stack))


def _describe_graph(space: gs.Graph) -> dict[str, Any]:
    edges = None if space.edge_space is None else _described(space.edge_space)
    return {"node_space": _described(space.node_space), "edge_space": edges}


def _build_graph(node_space: Any, edge_space: Any) -> gs.Graph:
    edges: Any = None if edge_space is None else _built(edge_space)
    return gs.Graph(_built(node_space), edges)  # type: ignore[arg-type]


_KINDS: dict[str, tuple[Callable[[Any], dict[str, Any]], Callable[..., Space]]] = {
    "Box": (_describe_box, _build_box),
    "Discrete": (_describe_discrete, _build_discrete),
    "MultiDiscrete": (_describe_multi_discrete, _build_multi_discrete),
    "MultiBinary": (_describe_multi_binary, lambda n: gs.MultiBinary(n)),
    "Text": (_describe_text, _build_text),
    "Dict": (_describe_dict, _build_dict),
    "Tuple": (_describe_parts, _build_tuple),
    "OneOf": (_describe_parts, _build_one_of),
    "Sequence": (_describe_sequence, _build_sequence),
    "Graph": (_describe_graph, _build_graph),
}
