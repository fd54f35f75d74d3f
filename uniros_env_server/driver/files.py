"""The YAML files the driver reads: config/ beside the sources, share/uniros/config once installed.

The env server has a finder of its own; the driver imports nothing from there, because that needs a newer Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

PLACES = ("config", "share/uniros/config")


def load_yaml(*parts: str) -> dict[str, Any]:
    """The mapping in a file under config/. Raises FileNotFoundError, ValueError when it holds anything else."""
    for folder in Path(__file__).resolve().parents:
        for place in PLACES:
            path = folder.joinpath(place, *parts)
            if path.is_file():
                return _read(path)
    raise FileNotFoundError(f"{'/'.join(parts)} was expected under {' or '.join(PLACES)} above {Path(__file__).parent}")


def _read(path: Path) -> dict[str, Any]:
    with path.open() as file:
        data = yaml.safe_load(file)
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold a mapping, it holds {type(data).__name__}")
    return data
