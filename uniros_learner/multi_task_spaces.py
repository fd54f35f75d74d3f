"""One space for several environments, padded to the largest of theirs, and the way there and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space
from numpy.typing import NDArray

from uniros_msgs.errors import InvalidAction, UnsupportedSpace


def common_space(spaces: Sequence[Space]) -> Space:
    """The smallest space that holds all of them, once they are padded with zeros at the end of each axis.

    Raises UnsupportedSpace when they are of different kinds, or of one that cannot be padded.
    """
    if all(space == spaces[0] for space in spaces):
        return spaces[0]
    boxes, choices, dicts = (_all_of(kind, spaces) for kind in (Box, Discrete, Dict))
    if len({len(box.shape) for box in boxes}) == 1:
        return _common_box(boxes)
    if len({choice.start for choice in choices}) == 1:
        return Discrete(max(int(choice.n) for choice in choices), start=int(choices[0].start))
    if dicts and all(each.keys() == dicts[0].keys() for each in dicts):
        return Dict({key: common_space([each[key] for each in dicts]) for key in dicts[0]})
    raise UnsupportedSpace("environments of one policy need spaces that can be padded to each other: Box with equally "
                           f"many axes, Discrete with one start, or Dict with the same keys; got {list(spaces)}")


def _all_of(kind: Any, spaces: Sequence[Space]) -> list[Any]:
    """The spaces if all are of that kind, else none of them."""
    return list(spaces) if all(isinstance(space, kind) for space in spaces) else []


def _common_box(spaces: Sequence[Box]) -> Box:
    shape = tuple(max(sizes) for sizes in zip(*(space.shape for space in spaces)))
    pads = [[(0, size - own) for size, own in zip(shape, space.shape)] for space in spaces]
    low = np.min([np.pad(space.low, pad) for space, pad in zip(spaces, pads)], axis=0)
    high = np.max([np.pad(space.high, pad) for space, pad in zip(spaces, pads)], axis=0)
    kind = np.result_type(*(space.dtype for space in spaces))
    return Box(low.astype(kind), high.astype(kind), dtype=kind.type)


class Fit:
    """Between one environment's own space and the common one."""

    def __init__(self, own: Space, whole: Space):
        self._own, self._whole = own, whole
        self.exact = own == whole
        both = isinstance(own, Dict) and isinstance(whole, Dict)
        self._parts = {key: Fit(part, whole[key]) for key, part in own.items()} if both else {}  # type: ignore
        self._cut: Any = tuple(slice(size) for size in own.shape or ()) if isinstance(own, Box) else ()

    @property
    def pads(self) -> bool:
        """Whether anything is filled up with zeros, or with choices that the environment does not have."""
        if self._parts:
            return any(part.pads for part in self._parts.values())
        if isinstance(self._own, Discrete):
            return not self.exact
        return self._own.shape != self._whole.shape

    def widen(self, value: Any) -> Any:
        """A sample of the environment's space as one of the common space."""
        if self.exact:
            return value
        if self._parts:
            return {key: part.widen(value[key]) for key, part in self._parts.items()}
        if not isinstance(self._whole, Box):
            return value
        wide = np.zeros(self._whole.shape, self._whole.dtype)
        wide[self._cut] = value
        return wide

    def crop(self, values: NDArray[Any]) -> NDArray[Any]:
        """Of one or more arrays (leading axes) of the common space, the part that is the environment's."""
        return values[(..., *self._cut)]

    def narrow(self, action: Any) -> Any:
        """An action of the common space as the nearest one of the environment's. Raises InvalidAction for others."""
        if self.exact:
            return action
        array = np.asarray(action)
        if array.shape != self._whole.shape or not np.issubdtype(array.dtype, np.number):
            raise InvalidAction(f"expected an action of {self._whole}, got {action!r}; nothing moved")
        if isinstance(self._own, Discrete):
            return min(int(action), int(self._own.start) + int(self._own.n) - 1)
        assert isinstance(self._own, Box), "common_space pads no others"
        return np.clip(self.crop(array), self._own.low, self._own.high).astype(self._own.dtype)
