"""A file that grows in whole pieces, and has its final name only when it is closed."""

from __future__ import annotations

import fcntl
import io
import os
from contextlib import suppress
from pathlib import Path


class StagedFile(io.RawIOBase):
    """What is written waits in memory until `commit` puts it on the disk at once: for rosbag, which goes back to a
    chunk's beginning when it knows its length. Holds the file's lock. Nothing that was written can be read.
    """

    mode = "w+b"

    def __init__(self, path: Path, final: Path) -> None:
        """Makes `path`. Raises FileExistsError when there is such a file, OSError when it cannot be made."""
        self.path, self.final = path, final
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        sync_folder(path.parent)
        self._at = 0
        self.committed = 0  # bytes on the disk
        self._tail = bytearray()  # those behind them
        self._patches: list[tuple[int, bytes]] = []  # positions and bytes that replace others on the disk

    def commit(self) -> None:
        """Put on the disk what waits. Raises OSError when there is no room: then the file is as it was before."""
        if self._tail:
            try:
                self._put(self._tail, self.committed)
            except OSError:
                os.ftruncate(self._fd, self.committed)
                raise
            self.committed += len(self._tail)
            self._tail.clear()
        for position, data in self._patches:
            self._put(data, position)
        self._patches.clear()

    def discard(self) -> None:
        """Let go of the file as it is on the disk, under the name it has."""
        if not self.closed:
            self._tail.clear()
            os.close(self._fd)
            super().close()

    # --- what rosbag calls ----------------------------------------------------------------------------------------

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.committed + len(self._tail)}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: bytes) -> int:  # type: ignore[override]
        start = self._at - self.committed
        if start < 0:  # the file's header, when all the rest has been written
            self._patches.append((self._at, bytes(data)))
        else:
            self._tail[start : start + len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Commit, and give the file its final name. Raises OSError, and lets go of the file, when there is no room."""
        if self.closed:
            return
        try:
            self.commit()
            os.replace(self.path, self.final)
        finally:
            self.discard()
        sync_folder(self.final.parent)

    # --- the disk ---------------------------------------------------------------------------------------------------

    def _put(self, data: bytes | bytearray, at: int) -> None:
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], at + done)
        os.fdatasync(self._fd)


def sync_folder(folder: Path) -> None:
    """A file's name survives a power cut once its folder is on the disk."""
    with suppress(OSError):  # some file systems cannot
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
