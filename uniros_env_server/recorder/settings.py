"""What a recorder may be told, as private parameters of its node."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import rospy

from uniros_msgs.errors import StartFailed

MIB = 1 << 20
SMALL_DISK = 20  # the floor is at most one part in so many of a disk


@dataclass(frozen=True)
class Settings:
    """Checked once, when the node starts."""

    folder: Path  # where bags go; a relative one begins where the shell was that started it
    prefix: str = "transitions"  # what their names begin with
    split_size: float = 1024.0  # MiB on the disk from which on the next file begins; 0: no such bound
    split_time: float = 3600.0  # s after which the next file begins; 0: no such bound
    min_free: float = 1024.0  # MiB that stay free on the disk, at most a twentieth of it
    backlog: float = 64.0  # MiB that may wait to be written; what comes beyond is lost, and counted
    namespaces: tuple[str, ...] = ()  # of the env servers to record, which may come later; none: all on the master

    def __post_init__(self) -> None:
        for name, least in (("split_size", 0), ("split_time", 0), ("min_free", 0), ("backlog", 1)):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not least <= value < 1e9:
                unit = "s" if name == "split_time" else "MiB"
                raise StartFailed(f"~{name} must be a number of {unit}, at least {least}, not {value!r}")
        if not self.prefix or "/" in self.prefix:
            raise StartFailed(f"~prefix must be the beginning of a file name, not {self.prefix!r}")

    def floor(self) -> int:
        """Bytes that must stay free. Raises OSError when the disk does not answer."""
        return min(int(self.min_free * MIB), shutil.disk_usage(self.folder).total // SMALL_DISK)


def read() -> Settings:
    """From the private parameters. Raises StartFailed for those that make no sense, or a folder that cannot be made."""
    given = rospy.get_param("~", {})
    unknown = given.keys() - Settings.__dataclass_fields__.keys()
    if unknown:
        known = ", ".join("~" + name for name in Settings.__dataclass_fields__)
        raise StartFailed(f"unknown parameters {', '.join(sorted(unknown))}; a recorder knows {known}")
    namespaces = given.pop("namespaces", "")
    folder = Path(os.environ.get("PWD", "."), Path(str(given.pop("folder", "") or "runs/bags")).expanduser())
    settings = Settings(folder, namespaces=tuple(str(namespaces).split()), **given)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartFailed(f"the folder for bags cannot be made: {error}") from error
    return settings
