"""Plans: layouts compiled once into functions that read their values out of a message.

Plans of the last layouts are kept. A layout that is not in the language of `layout`, or asks for more than its numbers
can justify, raises MalformedData here; one that does not fit its message is found by the plan's sizes, before memory is
taken for it.
"""

from __future__ import annotations

import functools
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniros_msgs.assemble import Assembler
from uniros_msgs.errors import MalformedData
from uniros_msgs.layout import TEXT
from uniros_msgs.sources import from_data, from_wire, lengths

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Callable

    from uniros_msgs.layout import Read

_PLANS = 256
_MAX_REMEMBERED_LAYOUT = 4096  # characters: a longer one is compiled each time, so that peers cannot fill the memory
_MAX_UNBACKED = 2**20  # containers, Nones and empty arrays beyond a few for each number that is really there


@dataclass(frozen=True)
class Plan:
    """How to read the values of one layout.

    Attributes:
        read: from the sources to the value.
        sizes: elements it takes from f64, f32, i64, u8 and text.
        from_data: functions from a message to each source that `read` wants.
        from_wire: functions from a buffer and an index to each of them; None stands for the texts.
        lengths: unpacks the sizes that a buffer claims to have.
    """

    read: Read
    sizes: tuple[int, ...]
    from_data: tuple[Callable[[Any], Any], ...]
    from_wire: tuple[Callable[[Any, int], Any] | None, ...]
    lengths: struct.Struct


def plan_of(layout: str) -> Plan:
    """The plan for a layout. Raises MalformedData."""
    return _remembered_plan(layout) if len(layout) <= _MAX_REMEMBERED_LAYOUT else _compile(layout)


def _compile(layout: str) -> Plan:
    assembler = Assembler()
    try:
        spec = json.loads(layout, object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse)
        return _plan(assembler.node(spec), assembler)
    except MalformedData:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, struct.error) as error:
        raise MalformedData(f"expected a layout as uniros_msgs.layout has it, got {layout!r:.200}: {error}") from error


def _plan(read: Read, assembler: Assembler) -> Plan:
    sizes, sources = tuple(assembler.at), assembler.sources
    if assembler.unbacked > _MAX_UNBACKED + 8 * sum(sizes):
        raise MalformedData(f"a layout of {assembler.unbacked} containers for {sum(sizes)} numbers")
    return Plan(
        read,
        sizes,
        tuple(from_data(stream, as_array, sizes[stream]) for stream, as_array in sources),
        tuple(None if stream == TEXT else from_wire(stream, as_array, sizes) for stream, as_array in sources),
        lengths(sizes),
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise MalformedData("a layout with the same key twice in one dict")
    return dict(pairs)


def _refuse(text: str) -> Any:
    raise MalformedData(f"a layout has whole numbers only, got {text}")


_remembered_plan = functools.lru_cache(maxsize=_PLANS)(_compile)
