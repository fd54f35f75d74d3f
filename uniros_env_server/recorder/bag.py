"""One bag on its way from `NAME.bag.active` to `NAME.bag`."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import genpy
from rosbag import Bag, Compression

from uniros_env_server.recorder.staged import StagedFile
from uniros_msgs.bag_repair import ACTIVE, free_name, repair
from uniros_msgs.errors import UnirosError

log = logging.getLogger("rosout")
CHUNK = 4 << 20  # bytes: a chunk ends when it is committed, or when it is that large


class BagFile:
    """A rosbag file of LZ4 chunks. What `commit` returned from survives SIGKILL and a power cut."""

    def __init__(self, path: Path) -> None:
        """`path` is the name it shall have in the end. Raises OSError when there is no such folder, or no room."""
        self.path = free_name(path)
        self._file = StagedFile(self.path.with_name(self.path.name + ACTIVE), self.path)
        self._bag = Bag(self._file, "w", compression=Compression.LZ4, chunk_threshold=CHUNK)
        self.since = time.monotonic()
        try:
            self._file.commit()
        except OSError:
            self._file.discard()
            self._file.path.unlink()
            raise

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return self._file.committed

    def write(self, topic: str, kind: Any, body: bytes, received: float, latched: bool = False) -> None:
        """Add a serialised message of the class `kind`, received at that many s since the epoch."""
        header = {"topic": topic, "type": kind._type, "md5sum": kind._md5sum, "message_definition": kind._full_text}
        self._bag.write(topic, (kind._type, body, kind._md5sum, kind), genpy.Time.from_sec(received), raw=True,
                        connection_header=header | {"latching": "1"} if latched else header)

    def commit(self) -> None:
        """Put on the disk what was written. Raises OSError when there is no room; then call `abandon`."""
        self._bag.flush()
        self._file.commit()

    def close(self) -> None:
        """Commit, add the index, and take ".active" off the name. Raises OSError as `commit` does."""
        self._bag.close()

    def abandon(self) -> None:
        """After an OSError: keep what was committed, as a whole bag if there is room for its index."""
        self._file.discard()
        try:
            repair(self._file.path)
        except (OSError, UnirosError) as error:
            log.warning("%s has no index; it gets one when it is opened, or when a recorder starts: %s",
                        self._file.path, error)
