"""How recording goes, on /diagnostics."""

from __future__ import annotations

import shutil
import time

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper, Updater

from uniros_env_server.recorder.intake import Intake
from uniros_env_server.recorder.settings import MIB, Settings
from uniros_env_server.recorder.subscriptions import Subscriptions
from uniros_env_server.recorder.tally import Tally
from uniros_env_server.recorder.writer import State, Writer

PERIOD = 0.5  # s
RECENT = 10.0  # s that a loss is a warning
SLOW = 0.5  # share of the backlog that may be used before it is a warning

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Diagnostics:
    """One status: what is recorded where, and what is missing."""

    def __init__(self, settings: Settings, intake: Intake, tally: Tally, subscriptions: Subscriptions,
                 writer: Writer) -> None:
        self._settings, self._intake, self._tally = settings, intake, tally
        self._subscriptions, self._writer = subscriptions, writer
        self._before = (time.monotonic(), 0)  # when we last looked, and what had been recorded
        self._updater = Updater()
        self._updater.setHardwareID(str(settings.folder))
        self._updater.add("bags", self._bags)

    def publish(self) -> None:
        """Say how it is."""
        self._updater.force_update()

    def _bags(self, status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        status.summary(*self._judge())
        for key, value in self._values().items():
            status.add(key, str(value))
        return status

    def _judge(self) -> tuple[int, str]:
        """Level and one sentence."""
        missing = self._tally.total().missing
        if self._writer.state is State.NO_ROOM:
            return ERROR, self._writer.reason
        if time.monotonic() - self._tally.last_loss < RECENT:
            return WARN, f"{missing} transitions are missing so far"
        if self._intake.size > SLOW * self._settings.backlog * MIB:
            return WARN, f"cannot keep up: {self._intake.size / MIB:.0f} MiB wait to be written"
        return OK, self._writer.state.value + (f"; {missing} transitions are missing" if missing else "")

    def _values(self) -> dict[str, object]:
        total, file = self._tally.total(), self._writer.file
        (then, recorded), now = self._before, time.monotonic()
        self._before = now, total.recorded
        slowest, self._writer.slowest = self._writer.slowest, 0.0
        return {
            "file": file.path if file else "", "size (MiB)": round(file.size / MIB, 2) if file else 0,
            "env servers": self._subscriptions.publishers(), "transitions": total.recorded,
            "transitions/s": round((total.recorded - recorded) / max(now - then, 1e-3), 1),
            "episodes": total.episodes, "lost on the way": total.lost, "dropped, could not keep up": total.dropped,
            "dropped, no room": total.no_room, "made before anybody listened": total.before,
            "waiting (MiB)": round(self._intake.size / MIB, 2), "slowest write (ms)": round(slowest * 1e3, 1),
            "free (MiB)": self._free(), "to stay free (MiB)": self._floor()}

    def _free(self) -> object:
        try:
            return round(shutil.disk_usage(self._settings.folder).free / MIB, 1)
        except OSError as error:
            return error

    def _floor(self) -> object:
        try:
            return round(self._settings.floor() / MIB, 1)
        except OSError as error:
            return error
