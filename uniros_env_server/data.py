"""Where the YAML data of the package lies: beside the sources, or under share/ once installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_HERE = Path(__file__).resolve()
_PLACES = (_HERE.parents[1] / "config", *(up / "share" / "uniros" / "config" for up in _HERE.parents[2:5]))


def config_path(*parts: str) -> Path:
    """The path of a file or folder under config/.

    Raises FileNotFoundError, naming the places searched, when it is in none of them.
    """
    for place in _PLACES:
        path = place.joinpath(*parts)
        if path.exists():
            return path
    places = ", ".join(str(place) for place in _PLACES)
    raise FileNotFoundError(f"config file {'/'.join(parts)} was expected in one of: {places}")


def load_yaml(*parts: str) -> dict[str, Any]:
    """The mapping in a YAML file under config/. Raises ValueError when the file holds anything else."""
    path = config_path(*parts)
    with path.open() as file:
        data = yaml.safe_load(file)
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold a mapping, it holds {type(data).__name__}")
    return data
