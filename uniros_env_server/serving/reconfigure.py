"""The knobs of a served environment as dynamic_reconfigure has them: `~cycle`, and `~physics` of a simulation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from uniros_env_server.environments.tuning import Tuning
from uniros_env_server.serving.periodic import every
from uniros_env_server.serving.server import EnvServer
from uniros_msgs.reconfigure import Reconfigure

PERIOD = 1.0  # s between two looks whether an episode has drawn its physics anew


class Knobs:
    """Has the environment's thread turn them, between two steps; no step waits for anybody here."""

    def __init__(self, server: EnvServer, tuning: Tuning) -> None:
        self._server, self._tuning = server, tuning
        self._offered = [Reconfigure(group.title(), f"~{group}", tuning.bounds(group), partial(tuning.values, group),
                                     partial(self._turn, group)) for group in tuning.groups]

    def start(self) -> None:
        """From now on, tell also of what was not asked for here."""
        every(PERIOD, self._refresh, "knobs")

    def _turn(self, group: str, changes: Mapping[str, float]) -> None:
        self._server.between_steps(lambda: self._carry_out(group, changes))

    def _carry_out(self, group: str, changes: Mapping[str, float]) -> None:
        self._tuning.turn(group, changes)
        self._server.note_change(changes)

    def _refresh(self) -> None:
        for each in self._offered:
            each.refresh()
