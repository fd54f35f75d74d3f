"""Who may step the environment: one learner at a time, for as long as it renews its claim."""

from __future__ import annotations

import secrets
import threading
import time

from uniros_msgs.errors import LeaseHeld, LeaseLost

LONGEST = 60.0  # s; an expiry beyond this would keep a dead learner's claim alive for too long


class Lease:
    """A claim with an expiry on the monotonic clock. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._token = ""
        self._holder = ""
        self._expiry = 0.0  # s
        self._until = 0.0  # monotonic s

    @property
    def holder(self) -> str:
        """Who holds the lease, "" when it is free."""
        with self._lock:
            return self._holder if self._held() else ""

    def acquire(self, holder: str, token: str, expiry: float) -> str:
        """A token for `holder`, or the renewal of `token`.

        Raises LeaseHeld naming the holder, LeaseLost for a dead token.
        """
        if not 0.0 < expiry <= LONGEST:
            raise LeaseHeld(f"the lease's expiry must be within (0, {LONGEST:.0f}] s, not {expiry}")
        with self._lock:
            if self._held() and token != self._token:
                raise LeaseHeld(self._busy())
            if token and token != self._token:
                raise LeaseLost("this lease has run out and somebody else had one since: acquire a new one (token '')")
            self._token = token or secrets.token_hex(8)
            self._holder, self._expiry = holder, expiry
            self._until = time.monotonic() + expiry
            return self._token

    def release(self, token: str) -> None:
        """Give the lease back. Releasing what one no longer holds does nothing."""
        with self._lock:
            if token and token == self._token:
                self._token, self._until = "", 0.0

    def check(self, token: str) -> None:
        """Raise unless `token` may act now: the holder's own token, or none while nobody holds the lease. Renews it."""
        with self._lock:
            if token and token == self._token:
                self._until = time.monotonic() + self._expiry
            elif self._held():
                raise LeaseHeld(self._busy())
            elif token:
                raise LeaseLost("this lease is no longer valid: acquire a new one")

    def stands(self, token: str) -> bool:
        """Whether `check` would let the token pass; renews nothing."""
        with self._lock:
            return token == self._token if self._held() else not token

    def _held(self) -> bool:
        return bool(self._token) and time.monotonic() < self._until

    def _busy(self) -> str:
        left = self._until - time.monotonic()
        return (
            f"the environment is held by {self._holder}; stop that learner, or wait: "
            f"its lease runs out {left:.1f} s after it stops renewing"
        )
