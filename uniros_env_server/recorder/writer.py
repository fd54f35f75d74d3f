"""From the intake to bags: one after the other, each with the descriptions of what is recorded at its beginning."""

from __future__ import annotations

import errno
import logging
import shutil
import time
from collections.abc import Sequence
from enum import Enum

from uniros_env_server.recorder.bag import BagFile
from uniros_env_server.recorder.intake import Message
from uniros_env_server.recorder.settings import MIB, Settings
from uniros_env_server.recorder.tally import Tally

log = logging.getLogger("rosout")
SPARE = 1 << 20  # bytes beyond what must stay free from which on a full disk counts as having room again
RETRY = 2.0  # s until a disk that took no more is tried again


class State(Enum):
    """Of the writer."""

    WAITING = "nothing to record yet"
    RECORDING = "recording"
    NO_ROOM = "the disk takes no more"


class Writer:
    """Used by one thread; others may look at `state`, `reason`, `file` and `slowest`."""

    def __init__(self, settings: Settings, tally: Tally) -> None:
        self._settings, self._tally = settings, tally
        self._descriptions: dict[str, Message] = {}  # topic -> the last one
        self.state = State.WAITING
        self.reason = ""  # why nothing is recorded
        self._since = 0.0  # monotonic s, when the disk took no more
        self.file: BagFile | None = None
        self.slowest = 0.0  # s that a write has taken, since the diagnostics last asked
        self.check()

    def record(self, messages: Sequence[Message]) -> None:
        """Put messages on the disk; when this returns, they are there, or counted as lost."""
        self._descriptions |= {message.topic: message for message in messages if message.about is None}
        messages = [message for message in messages if message.about or self.file]  # a bag begins with transitions
        if not messages:
            return
        begun = time.monotonic()
        written = self.state is not State.NO_ROOM and self._written(messages)
        for message in messages:
            if message.about and written:
                self._tally.keep(message.topic, message.about)
            elif message.about:
                self._tally.lose(message.topic, message.about.count, "no_room")
        self.slowest = max(self.slowest, time.monotonic() - begun)

    def check(self) -> None:
        """Now and then: begin a new file when it is time, and see whether a full disk has room again."""
        try:
            if self.state is State.NO_ROOM:
                self._try_again()
            else:
                self._require_room()
            if self.file and self._is_due(self.file):
                self.finish()
        except OSError as error:
            self._give_up(error)

    def _try_again(self) -> None:
        if time.monotonic() - self._since > RETRY:
            self._require_room(SPARE)
            log.warning("there is room on the disk again: recording goes on")
            self.state, self.reason = State.WAITING, ""

    def finish(self) -> None:
        """End the file; the next transitions begin another."""
        file, self.file = self.file, None
        if file:
            try:
                file.close()
                log.info("%s: %.1f MiB", file.path, file.size / MIB)
            except OSError as error:
                file.abandon()
                self._stop(error)
        if self.state is State.RECORDING:
            self.state = State.WAITING

    def _written(self, messages: Sequence[Message]) -> bool:
        """Whether they are on the disk."""
        try:
            self._require_room()
            file = self.file or self._begin()
            for message in messages:
                _put(file, message)
            file.commit()
        except OSError as error:
            self._give_up(error)
            return False
        self.state, self.reason = State.RECORDING, ""
        if self._is_due(file):
            self.finish()
        return True

    def _begin(self) -> BagFile:
        name = f"{self._settings.prefix}-{time.strftime('%Y%m%d-%H%M%S')}.bag"
        self.file = file = BagFile(self._settings.folder / name)
        log.info("recording to %s", file.path)
        for message in self._descriptions.values():
            _put(file, message)
        return file

    def _is_due(self, file: BagFile) -> bool:
        size, age = self._settings.split_size * MIB, self._settings.split_time
        return bool(size and file.size > size) or bool(age and time.monotonic() - file.since > age)

    def _require_room(self, spare: int = 0) -> None:
        """Raises OSError when the disk is as full as it may become, but for some bytes."""
        free, floor = shutil.disk_usage(self._settings.folder).free, self._settings.floor() + spare
        if free < floor:
            raise OSError(errno.ENOSPC, f"{free / MIB:.1f} MiB free, and {floor / MIB:.1f} MiB are to stay free")

    def _give_up(self, error: OSError) -> None:
        """Keep what is on the disk, and record nothing until `check` finds room."""
        file, self.file = self.file, None
        if file:
            file.abandon()
        self._stop(error)

    def _stop(self, error: OSError) -> None:
        why = f"nothing is recorded in {self._settings.folder}: {error.strerror or error}"
        if self.state is not State.NO_ROOM:
            log.error("%s. Make room, or record elsewhere", why)
        self.state, self.reason, self._since = State.NO_ROOM, why, time.monotonic()


def _put(file: BagFile, message: Message) -> None:
    file.write(message.topic, message.kind, message.body, message.received, latched=message.about is None)
