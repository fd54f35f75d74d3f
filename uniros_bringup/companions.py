"""The nodes that an environment needs beside its env server, as config/companions.yaml lists them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rospkg
import yaml

from uniros_msgs.errors import MotionNotAllowed

FILE = Path("config") / "companions.yaml"


@dataclass(frozen=True)
class Companion:
    """One node, to be started in the env server's namespace."""

    name: str
    command: list[str]
    parameters: dict[str, Any] = field(default_factory=dict)  # private ones


@dataclass(frozen=True)
class Company:
    """What comes with one environment, and the arguments that are left for its constructor."""

    nodes: list[Companion]
    arguments: dict[str, Any]


def company(env_id: str, arguments: Mapping[str, Any], elsewhere: bool = False) -> Company:
    """What `env_id` made with these arguments needs. elsewhere: it joins a ROS master where its nodes run already.

    Raises MotionNotAllowed when that could move a real arm without the consent it takes.
    """
    for entry in yaml.safe_load(_path().read_text()):
        if re.fullmatch(entry["ids"], env_id.rpartition("/")[2]):
            return _of(entry, env_id, dict(arguments), elsewhere)
    return Company([], dict(arguments))


def _of(entry: Mapping[str, Any], env_id: str, arguments: dict[str, Any], elsewhere: bool) -> Company:
    given = {name: arguments[name] for name in entry["arguments"] if arguments.get(name)}
    rest = {name: value for name, value in arguments.items() if name not in entry["arguments"]}
    consent = entry["consent"]
    if (given or elsewhere) and rest.get(consent) is not True:
        where = [f"{name}={value!r}" for name, value in given.items()] + ["a ROS master elsewhere"] * elsewhere
        raise MotionNotAllowed(f"{env_id} with {' and '.join(where)} may move a real arm. Clear its surroundings, have "
                               f"the power switch at hand, and say {consent}=True; or leave {where[0]} out: then it "
                               "is an emulated arm. Nothing was started")
    if elsewhere:
        return Company([], rest)
    return Company([_node(node, given) for node in entry["nodes"] if _wanted(node, given)], rest)


def _wanted(node: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return node["with"] in given if "with" in node else node.get("without") not in given


def _node(entry: Mapping[str, Any], given: Mapping[str, Any]) -> Companion:
    parameters = {name: given.get(value[1:], "") if str(value).startswith("$") else value
                  for name, value in entry.get("parameters", {}).items()}
    return Companion(entry["name"], entry["command"], parameters)


def _path() -> Path:
    beside = Path(__file__).resolve().parents[1] / FILE
    return beside if beside.is_file() else Path(rospkg.RosPack().get_path("uniros")) / FILE
