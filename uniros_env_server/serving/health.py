"""How an env server is, on /diagnostics: `environment` of every one, `loop` where a control loop keeps its times.

Everything is looked up here, every half second; the path of a step only counts what went wrong.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper, Updater

from uniros_env_server.serving.periodic import every
from uniros_env_server.serving.server import EnvServer
from uniros_env_server.serving.session import Phase

PERIOD = 0.5  # s
WINDOW = 2.0  # s that steps/s are taken over
RECENT = 10.0  # s that a refused request is a warning
RATE_SHARE = 0.95  # of the rate that the loop should have, for it to be in order

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Health:
    """Publishes until the node ends. One object for an environment, a batch, a robot."""

    def __init__(self, env: Any, server: EnvServer) -> None:
        """env: unwrapped."""
        self._env, self._server = env, server
        self._progress: deque[tuple[float, int]] = deque()  # monotonic s, steps so far
        self._failed, self._failed_at = 0, -RECENT  # requests so far, monotonic s of the latest
        self._late = 0  # ticks and cycles that were missed when last looked
        self._updater = Updater()
        self._updater.setHardwareID(env.gate.model.name if hasattr(env, "gate") else "none")
        self._updater.add("environment", self._environment)
        if hasattr(env, "timing_report"):
            self._updater.add("loop", self._loop)

    def start(self) -> None:
        """From now on, in a thread of its own."""
        every(PERIOD, self._updater.force_update, "health")

    # --- environment ------------------------------------------------------------------------------------------------

    def _environment(self, status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        session, description = self._server.session, self._server.description
        steps, failures = self._server.journal.sequence, session.failures.copy()
        status.summary(*self._judge(failures))
        return _told(status, {
            "env": description.env_id, "domain": self._server.domain, "mode": description.mode,
            "environments": description.num_envs, "lease": self._server.lease.holder or "free",
            "episode": session.episode, "step": session.step_count, "steps": steps,
            "steps/s": round(self._rate(steps), 1), "cycle time (s)": getattr(self._env, "cycle_time", 0.0),
        } | {f"failed: {name}": count for name, count in failures.items()})

    def _judge(self, failures: Mapping[str, int]) -> tuple[int, str]:
        """Level and one sentence."""
        session, now, failed = self._server.session, time.monotonic(), sum(failures.values())
        if failed > self._failed:
            self._failed, self._failed_at = failed, now
        if hasattr(self._env, "gate") and self._env.gate.stopped:
            return ERROR, "emergency stop: call env/clear_estop when it is safe"
        if session.broken:
            return ERROR, f"{Phase.BROKEN.value}; a reset begins another. {session.broken}"
        if now - self._failed_at < RECENT:
            return WARN, session.last_failure
        return OK, "in order"

    def _rate(self, steps: int) -> float:
        """Steps/s of late; a batch makes one step with all its rows."""
        now = time.monotonic()
        self._progress.append((now, steps))
        while self._progress[0][0] < now - WINDOW:
            self._progress.popleft()
        then, before = self._progress[0]
        return (steps - before) / (now - then) if now > then else 0.0

    # --- loop -------------------------------------------------------------------------------------------------------

    def _loop(self, status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        report = self._env.timing_report()
        status.summary(*self._judge_loop(report))
        refusals = report.pop("refusals")
        return _told(status, report | {f"refused: {name}": count for name, count in refusals.items()})

    def _judge_loop(self, report: Mapping[str, Any]) -> tuple[int, str]:
        """Level and one sentence."""
        late = report["missed_ticks"] + report["overruns"]
        news, self._late = late - self._late, late
        if report["fault"]:
            return ERROR, report["fault"]
        if self._env.mode != "real_time":
            return OK, "in lock-step: time passes with steps only"
        if report["rate"] < RATE_SHARE * self._env.clock.record.rate:
            return WARN, f"the loop runs at {report['rate']:.1f} Hz only"
        if news > 0:
            return WARN, f"{news} deadlines of the loop or of action cycles were missed"
        return OK, f"{report['rate']:.1f} Hz"


def _told(status: DiagnosticStatusWrapper, values: Mapping[str, Any]) -> DiagnosticStatusWrapper:
    for key, value in values.items():
        status.add(key, str(value))
    return status
