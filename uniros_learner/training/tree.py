"""Nested state as plain arrays and a JSON text, both ways exactly: what checkpoints are made of, without pickle."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
PLAIN = (str, int, float, bool, type(None))


def flatten(tree: Any) -> tuple[str, Arrays]:
    """The layout of `tree` as JSON, and its arrays by number.

    The arrays share their memory with the tree's. A tree is made of dicts, lists, tuples, numbers, text, None, arrays
    and tensors. Raises TypeError for anything else.
    """
    arrays: Arrays = {}
    return json.dumps(_layout(tree, arrays)), arrays


def build(layout: str, arrays: Arrays) -> Any:
    """The tree again; tensors are on the CPU. Raises ValueError or KeyError when the two do not go together."""
    return _built(json.loads(layout), arrays)


def _layout(tree: Any, arrays: Arrays) -> Any:
    """JSON in which every container is [kind, content]."""
    if isinstance(tree, dict):
        return ["dict", [[_layout(key, arrays), _layout(value, arrays)] for key, value in tree.items()]]
    if isinstance(tree, (list, tuple)):
        return [type(tree).__name__, [_layout(each, arrays) for each in tree]]
    if isinstance(tree, torch.Tensor):
        return ["tensor", _put(tree.detach().cpu().numpy(), arrays)]
    if isinstance(tree, (np.ndarray, np.generic)):
        return ["array", _put(np.asarray(tree), arrays)]
    if isinstance(tree, PLAIN):
        return ["plain", tree]
    raise TypeError(f"a {type(tree).__name__} cannot be kept in a checkpoint")


def _put(array: NDArray[Any], arrays: Arrays) -> str:
    if array.dtype == object:
        raise TypeError("an array of objects cannot be kept in a checkpoint")
    name = str(len(arrays))
    arrays[name] = array if array.flags.c_contiguous else array.copy()
    return name


def _built(layout: Any, arrays: Arrays) -> Any:
    kind, content = layout
    if kind == "dict":
        return {_built(key, arrays): _built(value, arrays) for key, value in content}
    if kind in ("list", "tuple"):
        built = [_built(each, arrays) for each in content]
        return tuple(built) if kind == "tuple" else built
    if kind == "tensor":
        return torch.from_numpy(np.array(arrays[content]))
    if kind == "array":
        return arrays[content]
    if kind == "plain":
        return content
    raise ValueError(f"unknown kind {kind!r}")
