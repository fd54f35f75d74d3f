"""Bags opened together, as one record of what env servers did. Needs no ROS installation.

Bags that were cut off are repaired first. Installing `rosbags` and `lz4` (requirements/learner.txt) is enough.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import gymnasium
from rosbags.highlevel import AnyReader, AnyReaderError

from uniros_msgs import spaces
from uniros_msgs.bag_repair import ACTIVE, repair
from uniros_msgs.errors import BagInUse, MalformedData
from uniros_msgs.transitions import Transitions, unpack

log = logging.getLogger("rosout")
BATCH, DESCRIPTION = "uniros_msgs/msg/TransitionBatch", "uniros_msgs/msg/Description"  # as rosbags calls them
TRANSITIONS = "/env/transitions"  # an env server's topic, behind its namespace


@dataclass(frozen=True)
class Description:
    """What was served; fields as in uniros_msgs/Description, JSON decoded."""

    env_id: str
    num_envs: int
    observation_space: gymnasium.Space[Any]  # of one environment
    action_space: gymnasium.Space[Any]
    metadata: dict[str, Any]
    mode: str
    cycle_time: float  # s
    limits: dict[str, Any]
    task: dict[str, Any]
    spec: dict[str, Any]
    versions: dict[str, str]
    spec_hash: str
    domain: str


class Bags:
    """A context manager; what is in the bags comes in the order it was recorded."""

    def __init__(self, paths: Path | str | Iterable[Path | str]) -> None:
        """paths: of bags, or folders of them. Raises FileNotFoundError, MalformedData for what is no bag, BagInUse.

        Bags of a folder that are being recorded are left out, with a warning.
        """
        given = [paths] if isinstance(paths, (str, Path)) else list(paths)
        self._stack = ExitStack()
        try:
            self.paths = [path for each in given for path in self._usable(Path(each))]
            if not self.paths:
                raise FileNotFoundError(f"no bag (*.bag) in {', '.join(map(str, given)) or 'nothing'}")
            self._reader = self._stack.enter_context(AnyReader(self.paths))
        except AnyReaderError as error:
            self.close()
            raise MalformedData(f"{', '.join(map(str, given))}: {error}") from error
        except BaseException:
            self.close()
            raise
        self.descriptions: dict[tuple[str, str], Description] = {}  # (namespace, spec hash)
        self._read_descriptions()

    def batches(self) -> Iterator[tuple[str, Transitions]]:
        """(namespace of the env server, batch)."""
        for connection, _, raw in self._reader.messages(self._of_type(BATCH)):
            yield connection.topic.removesuffix(TRANSITIONS), unpack(raw)

    def describe(self, namespace: str, batch: Transitions) -> Description | None:
        """What made the batch; None when the bag begins without it, as one of `rosbag record` may."""
        return self.descriptions.get((namespace, batch.spec_hash))

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _of_type(self, kind: str) -> list[Any]:
        found = [connection for connection in self._reader.connections if connection.msgtype == kind]
        if not found and kind == BATCH:
            raise MalformedData(f"no transitions in {', '.join(map(str, self.paths))}: no topic of type "
                                "uniros_msgs/TransitionBatch")
        return found

    def _read_descriptions(self) -> None:
        for connection in self._of_type(DESCRIPTION):
            for _, _, raw in self._reader.messages([connection]):
                description = _decoded(self._reader.deserialize(raw, DESCRIPTION))
                namespace = connection.topic.removesuffix("/env/description")
                self.descriptions[namespace, description.spec_hash] = description

    # --- files ------------------------------------------------------------------------------------------------------

    def _usable(self, path: Path) -> list[Path]:
        """The bags of a folder, or the one that is meant; repaired where it is needed."""
        if not path.is_dir():
            if not path.exists() and path.with_name(path.name + ACTIVE).exists():
                path = path.with_name(path.name + ACTIVE)
            return [self._whole(path)]
        found = []
        for each in sorted([*path.glob("*.bag"), *path.glob(f"*.bag{ACTIVE}")]):
            try:
                found.append(self._whole(each))
            except BagInUse as error:
                log.warning("left out: %s", error)
        return found

    def _whole(self, path: Path) -> Path:
        """Raises BagInUse, MalformedData, and FileNotFoundError."""
        try:
            return repair(path).path
        except (PermissionError, FileNotFoundError):
            if not path.exists():
                raise FileNotFoundError(f"there is no bag {path}") from None
            return repair(self._copy(path)).path
        except OSError:  # a full disk, for one
            return repair(self._copy(path)).path

    def _copy(self, path: Path) -> Path:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="uniros-bag-"))
        copied = Path(shutil.copyfile(path, Path(folder, path.name)))
        copied.chmod(0o600)
        return copied


def _decoded(message: Any) -> Description:
    values: dict[str, Any] = {name: getattr(message, name) for name in Description.__dataclass_fields__}
    values |= {name: json.loads(values[name]) for name in ("metadata", "limits", "task", "spec", "versions")}
    values |= {name: spaces.build(values[name]) for name in ("observation_space", "action_space")}
    return Description(**values)
