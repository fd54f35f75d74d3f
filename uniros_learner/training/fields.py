"""Settings as frozen dataclasses, read from plain mappings; what is unknown or impossible is refused by its name."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_type_hints

from uniros_msgs.errors import UnirosError

Settings = TypeVar("Settings")


class InvalidConfig(UnirosError, ValueError):
    """Raised when a setting is unknown, of the wrong kind, or has a value that cannot work. Nothing was started."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What a number may be, or each number of a list."""

    at_least: float = -math.inf
    at_most: float = math.inf
    above: float = -math.inf

    def allow(self, value: Any) -> bool:
        return all(self.at_least <= v <= self.at_most and v > self.above for v in _numbers(value))

    def __str__(self) -> str:
        said = {"above": self.above, "at least": self.at_least, "at most": self.at_most}
        return " and ".join(f"{word} {limit:g}" for word, limit in said.items() if math.isfinite(limit))


@dataclasses.dataclass(frozen=True)
class OneOf:
    """What a word may be."""

    words: tuple[str, ...]

    def allow(self, value: Any) -> bool:
        return value in self.words

    def __str__(self) -> str:
        return "one of " + ", ".join(self.words)


def _numbers(value: Any) -> Iterator[float]:
    """Those in a value that may be a list, or lists by name."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _numbers(each)
    else:
        yield value


Rule = Bounds | OneOf
Kind = tuple[str, Callable[[Any], Any]]  # what is expected, in words, and what makes one of what is given

def setting(default: Any, meaning: str, rule: Rule | None = None) -> Any:
    """A dataclass field with its meaning (and unit) and what it may be."""
    return dataclasses.field(default=default, metadata={"meaning": meaning, "rule": rule})


def read(kind: type[Settings], given: Any, where: str = "") -> Settings:
    """Make a `kind` from a mapping, as YAML gives it; what is missing keeps its default.

    where: what the mapping is called in messages. Raises InvalidConfig.
    """
    if not isinstance(given, Mapping):
        raise InvalidConfig(f"{where or 'the settings'}: expected 'key: value' lines, got {given!r}")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    refuse_unknown(given, fields, where)
    hints = get_type_hints(kind)
    prefix = f"{where}." if where else ""
    return kind(**{name: _value(fields[name], hints[name], value, prefix + name) for name, value in given.items()})


def refuse_unknown(given: Iterable[Any], known: Iterable[str], where: str = "") -> None:
    """Raises InvalidConfig for the first key that is not known, with the nearest that is."""
    names = list(known)
    for key in given:
        if key in names:
            continue
        near = difflib.get_close_matches(str(key), names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
        raise InvalidConfig(f"unknown setting {f'{where}.{key}' if where else str(key)!r}: {hint}")


def _value(field: dataclasses.Field, hint: Any, given: Any, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return read(hint, given, name)  # type: ignore[arg-type]
    return checked(given, KINDS[hint], field.metadata["rule"], field.metadata["meaning"], name)


def checked(given: Any, kind: Kind, rule: Rule | None, meaning: str, name: str) -> Any:
    """`given` as its kind has it. Raises InvalidConfig, which says what `name` is and what it may be."""
    expected, convert = kind
    try:
        value = convert(given)
        fits = rule is None or rule.allow(value)
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        limits = str(rule) if isinstance(rule, OneOf) else f"{expected} {rule or ''}".rstrip()
        raise InvalidConfig(f"{name}: {given!r} cannot be; expected {limits} ({meaning})")
    return value


def whole(given: Any) -> int:
    if isinstance(given, bool) or float(given) != int(float(given)):
        raise ValueError(given)
    return given if isinstance(given, int) else int(float(given))


def number(given: Any) -> float:
    """Text is taken too: YAML 1.1 reads 1e-3, without a dot, as text."""
    if isinstance(given, bool) or not math.isfinite(float(given)):
        raise ValueError(given)
    return float(given)


def _exactly(kind: type) -> Callable[[Any], Any]:
    def convert(given: Any) -> Any:
        if not isinstance(given, kind):
            raise TypeError(given)
        return given

    return convert


def _whole_numbers(given: Any) -> tuple[int, ...]:
    if isinstance(given, (str, Mapping)):
        raise TypeError(given)
    return tuple(whole(value) for value in given)


def _numbers_of(given: Any) -> tuple[float, ...]:
    if isinstance(given, (str, Mapping)):
        raise TypeError(given)
    return tuple(number(value) for value in given)


def _texts(given: Any) -> tuple[str, ...]:
    if isinstance(given, (str, Mapping)) or not all(isinstance(value, str) for value in given):
        raise TypeError(given)
    return tuple(given)


KINDS: dict[Any, Kind] = {
    int: ("a whole number", whole),
    float: ("a number", number),
    bool: ("true or false", _exactly(bool)),
    str: ("text", _exactly(str)),
    tuple[int, ...]: ("a list of whole numbers, each", _whole_numbers),
    tuple[float, ...]: ("a list of numbers, each", _numbers_of),
    tuple[str, ...]: ("a list of texts", _texts),
    dict[str, Any]: ("'key: value' lines", _exactly(dict)),
}
