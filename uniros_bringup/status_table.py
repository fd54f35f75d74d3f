"""What is known of masters as lines for a person, 80 columns wide: env servers and who holds them, nodes and how they
are."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlparse

from uniros_bringup.joint_status import short_holder
from uniros_bringup.watch import LEVELS, Part, View

WIDTH = 80
NODE, LEVEL, GAP = 22, 5, "  "  # widths of columns
BRIEF = 130  # characters of what a node says of itself; all of it is on /diagnostics
FINE = "in order"  # what goes without saying
ENVIRONMENT = "environment"  # the part of an env server's diagnostics that tells of its environment
HEAD = ("environment", "on", "held by", "steps/s", "episode", "steps")
Values = Mapping[str, str]


def table(views: Sequence[View]) -> list[str]:
    """All of it, line by line."""
    labels = _labels(views)
    masters = [f"{labels[view.uri]:<5} {view.uri}" + f"  {view.failure}" * bool(view.failure) for view in views]
    environments = [_environment(part, labels[view.uri]) for view in views for part in view.parts if _serves(part)]
    nodes = [line for view in views for line in _nodes(view, labels[view.uri])]
    return [*masters, *(["", *_aligned([HEAD, *environments])] if environments else []), *([""] if nodes else []),
            *nodes]


def _labels(views: Sequence[View]) -> dict[str, str]:
    """What each master is called: sim or real, where that tells them apart; else its port, or its whole address."""
    for name in (lambda view: view.domain, lambda view: f":{urlparse(view.uri).port}", lambda view: view.uri):
        names = [name(view) for view in views]
        if all(names) and len({*names}) == len(names):
            break
    return {view.uri: name for view, name in zip(views, names, strict=True)}


def _serves(part: Part) -> bool:
    return part.name == ENVIRONMENT and "env" in part.values


def _environment(part: Part, label: str) -> tuple[str, ...]:
    values = part.values
    several = int(values.get("environments", "1"))
    name = values["env"] + (f" x{several}" if several > 1 else "")
    return (name, label, short_holder(values["lease"]), _count(values["steps/s"]), _count(values["episode"]),
            _count(values["steps"]))


def _count(text: str) -> str:
    """A figure with its thousands marked; one below a hundred with what comes behind the point, unless it is 0."""
    number = float(text)
    return f"{number:.1f}" if number < 100 and number % 1 else f"{number:,.0f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """As a table: words to the left, the last three columns to the right. What is too long is cut in its middle."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    over = sum(widths) + len(GAP) * (len(widths) - 1) - WIDTH
    for column in (2, 0):  # who holds it, and then its name, must give way
        give = max(0, min(over, widths[column] - len(HEAD[column]) - 5))
        widths[column], over = widths[column] - give, over - give
    return [GAP.join(_cut(cell, width).ljust(width) if number < 3 else cell.rjust(width)
                     for number, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]


def _cut(text: str, width: int) -> str:
    half = (width - 1) // 2
    return text if len(text) <= width else f"{text[: width - 1 - half]}…{text[len(text) - half :]}"


# --- nodes ------------------------------------------------------------------------------------------------------------


def _nodes(view: View, label: str) -> list[str]:
    """For each node of a master its worst news, and the figures one asks for first."""
    rows: list[tuple[str, str, str]] = []
    for node, group in itertools.groupby(view.parts, key=lambda part: part.node):
        parts = list(group)
        rows.append((node, LEVELS[max(part.level for part in parts)], "; ".join([*_news(parts), *_figures(parts)])))
    rows += [(node, "?", "nothing on /diagnostics") for node in view.silent]
    return [line for row in sorted(rows) for line in _paragraph(label, *row)]


def _news(parts: Sequence[Part]) -> list[str]:
    """The worst that is wrong; of a node where nothing is, and that has but one part, how that is."""
    wrong = sorted((part for part in parts if part.level > 0), key=lambda part: -part.level)
    if not wrong:
        return [_brief(parts[0].text)] if len(parts) == 1 and parts[0].text != FINE else []
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return [_brief(wrong[0].text if len(parts) == 1 else f"{wrong[0].name}: {wrong[0].text}") + more]


def _brief(text: str) -> str:
    return textwrap.shorten(text, BRIEF, placeholder=" ...")


def _figures(parts: Iterable[Part]) -> list[str]:
    values, found = {part.name: part.values for part in parts}, []
    for name, tell in FIGURES.items():
        with suppress(KeyError, ValueError):  # somebody else's part may have the same name
            found.append(tell(values[name]))
    return [text for text in found if text]


def _paragraph(label: str, node: str, level: str, text: str) -> list[str]:
    head = f"{label:<5}{GAP}{_cut(node, NODE):<{NODE}}{GAP}{level:<{LEVEL}}{GAP}"
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent=head, subsequent_indent=" " * len(head),
                         break_on_hyphens=False)


def _of_environment(values: Values) -> str:
    failed = sum(int(count) for name, count in values.items() if name.startswith("failed: "))
    return f"{values.get('mode', '').replace('_', '-')}" + (f", {failed} requests failed so far" if failed else "")


def _of_loop(values: Values) -> str:
    refused = sum(int(count) for name, count in values.items() if name.startswith("refused: "))
    gate = f"{refused:,} actions refused by the safety gate" if refused else ""
    if values.get("ticks", "0") == "0":
        return gate
    late = f"loop {values['rate']} Hz, p99 {values['jitter_p99_ms']} ms late, {values['missed_ticks']} ticks missed, " \
           f"{values['overruns']} cycles without an action"
    return ", ".join(filter(None, [late, gate]))


def _of_bus(values: Values) -> str:
    lost = sum(int(values[name]) for name in ("lost answers", "corrupt packets", "stale answers"))
    return f"bus {values['rate (Hz)']} Hz, p99 {values['start late p99 (ms)']} ms late, {lost} answers lost"


def _of_driver(values: Values) -> str:
    return f"{values['state']}, {values['commands refused']} commands refused"


def _of_bags(values: Values) -> str:
    lost = sum(int(values[name]) for name in ("lost on the way", "dropped, could not keep up", "dropped, no room"))
    missing = f"{lost} missing" if lost else "none missing"
    file = re.sub(r".*/", "", values["file"])
    return f"{_count(values['transitions'])} transitions, {missing}" + (f", {values['size (MiB)']} MiB in {file}"
                                                                      if file else "")


def _of_training(values: Values) -> str:
    return f"{values['steps/s']} steps/s, {values['updates/s']} updates/s, return {values['return']}"


FIGURES: dict[str, Callable[[Values], str]] = {
    ENVIRONMENT: _of_environment, "loop": _of_loop, "driver": _of_driver, "bus": _of_bus, "bags": _of_bags,
    "training": _of_training}
