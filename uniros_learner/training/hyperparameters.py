"""The hyperparameters of a run: every keyword of the algorithm and of its policy, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uniros_learner.training.catalogue import ALGORITHMS, NO_LITERAL, REPLAY_BUFFERS, SB3, Algorithm, constructor
from uniros_learner.training.fields import KINDS, InvalidConfig, checked, refuse_unknown
from uniros_learner.training.keywords import HER, TABLE, Keyword

WHERE = "hyperparameters"
ELSEWHERE = {"env": "env_id", "seed": "seed", "device": "device", "verbose": "", "tensorboard_log": "",
             "_init_setup_model": ""}  # a keyword: what decides it instead
ANYTHING = ("a value", lambda given: given)


def resolve(algorithm: str, given: Any) -> dict[str, Any]:
    """All hyperparameters by name: those given, and Stable-Baselines3's own defaults for the rest.

    Keys of the policy's constructor stand beside those of the algorithm's, or in `policy_kwargs`. What stands under
    the name of an algorithm is for that one alone. Raises InvalidConfig.
    """
    if not isinstance(given, Mapping):
        raise InvalidConfig(f"{WHERE}: expected 'key: value' lines, got {given!r}")
    entry = ALGORITHMS[algorithm]
    chosen = flat(given, algorithm)
    known = _defaults(entry)
    _refuse_foreign(chosen, known, algorithm)
    refuse_unknown(chosen, known, WHERE)
    values = {name: _check(name, chosen[name], known[name]) for name in chosen}
    whole = {name: default for name, default in known.items() if default != NO_LITERAL} | values
    _check_together(whole)
    return whole


def flat(given: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
    """The keywords for one algorithm: without sections. Raises InvalidConfig for a section that is none."""
    common = {name: value for name, value in given.items() if name not in ALGORITHMS and name != "policy_kwargs"}
    for section in (given.get("policy_kwargs"), given.get(algorithm)):
        if section is None:
            continue
        if not isinstance(section, Mapping):
            raise InvalidConfig(f"{WHERE}: expected 'key: value' lines under each section, got {section!r}")
        common |= flat(section, algorithm)
    return common


def split(algorithm: str, resolved: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keywords of the algorithm's constructor, and those of its policy's."""
    of_policy = ALGORITHMS[algorithm].policy_keywords()
    first = {name: value for name, value in resolved.items() if name not in of_policy}
    return first, {name: value for name, value in resolved.items() if name in of_policy and value is not None}


def _defaults(entry: Algorithm) -> dict[str, Any]:
    """Every keyword that may be given, with its default."""
    known = entry.keywords() | entry.policy_keywords()
    return {name: default for name, default in known.items() if name not in ELSEWHERE and name != "policy_kwargs"}


def _refuse_foreign(chosen: Mapping[str, Any], known: Mapping[str, Any], algorithm: str) -> None:
    """Raises InvalidConfig for what is set elsewhere, or is a keyword of another algorithm only."""
    for name in chosen:
        if name in ELSEWHERE:
            raise InvalidConfig(f"{WHERE}.{name} is set " + (f"one level up, as {ELSEWHERE[name]}" if ELSEWHERE[name]
                                                             else "by the trainer itself: leave it out"))
        if name in known or name not in TABLE:
            continue
        takers = [other for other, entry in ALGORITHMS.items() if name in _defaults_if_there(entry)]
        if takers:
            raise InvalidConfig(f"unknown setting '{WHERE}.{name}': {algorithm} has none, only {', '.join(takers)}; "
                                f"what stands under {WHERE}.{takers[0]} is for that one alone")


def _defaults_if_there(entry: Algorithm) -> dict[str, Any]:
    try:
        return _defaults(entry)
    except InvalidConfig:  # an optional package
        return {}


def _check(name: str, given: Any, default: Any) -> Any:
    if given is None and default is None:
        return None
    keyword = TABLE.get(name) or Keyword(KINDS.get(type(default), ANYTHING), "as Stable-Baselines3 has it")
    return checked(given, keyword.kind, keyword.rule, keyword.meaning, f"{WHERE}.{name}")


def _check_together(whole: dict[str, Any]) -> None:
    """What only shows when several are seen. Raises InvalidConfig."""
    batch, buffer = whole.get("batch_size"), whole.get("buffer_size")
    if batch and buffer and batch > buffer:
        raise InvalidConfig(f"{WHERE}.batch_size: {batch} transitions cannot be drawn from a buffer of {buffer}; "
                            "expected at most buffer_size")
    if whole.get("replay_buffer_kwargs"):
        whole["replay_buffer_kwargs"] = _replay_arguments(whole["replay_buffer_kwargs"], whole["replay_buffer_class"])


def _replay_arguments(given: Mapping[str, Any], kind: str | None) -> dict[str, Any]:
    where = f"{WHERE}.replay_buffer_kwargs"
    if kind not in (None, *REPLAY_BUFFERS):
        return dict(given)
    known = set(HER) if kind in (None, "her") else set(constructor(SB3, *REPLAY_BUFFERS["plain"])) & set(HER)
    refuse_unknown(given, sorted(known), where)
    return {name: checked(value, HER[name].kind, HER[name].rule, HER[name].meaning, f"{where}.{name}")
            for name, value in given.items()}
