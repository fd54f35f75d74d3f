"""Where the transitions of a run were recorded: the recorders of the environment's ROS master, and their bags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uniros_bringup.xmlrpc import CallFailed, call

DEFAULT_FOLDER = "runs/bags"  # of a recorder that was told none
TIMEOUT = 2.0  # s that the master may take


def recorders(master_uri: str, ns: str) -> dict[str, str]:
    """Node names and folders of those who hear `ns`/env/transitions; {} where there is none, or no master answers.

    A relative folder begins in the directory of the shell that started the recorder.
    """
    topic = f"{ns}/env/transitions"
    try:
        _, subscribers, _ = call(master_uri, "getSystemState", timeout=TIMEOUT)
        nodes = [node for name, hearing in subscribers if name == topic for node in hearing]
        return {node: call(master_uri, "getParam", f"{node}/folder", timeout=TIMEOUT) for node in nodes
                if call(master_uri, "hasParam", f"{node}/folder", timeout=TIMEOUT)}
    except CallFailed:
        return {}


def references(master_uri: str, ns: str, since: float) -> list[dict[str, Any]]:
    """For each recorder its folder, and the bags in it that were written since (s since the epoch), if they are here.

    Empty for an environment on a private master ("").
    """
    found = []
    for node, folder in recorders(master_uri, ns).items() if master_uri else ():
        there = Path(folder or DEFAULT_FOLDER).expanduser()
        bags = [path for path in sorted([*there.glob("*.bag"), *there.glob("*.bag.active")])
                if path.stat().st_mtime >= since]
        found.append({"recorder": node, "master": master_uri, "folder": folder,
                      "bags": [str(path.absolute()) for path in bags]})
    return found
