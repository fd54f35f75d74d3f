"""The vocabulary of errors: every failure a user can meet, by name, on either side of the wire.

A server answers with the *name* of one of these classes and a message (`uniros_msgs/Error`); the client raises that
class. Names that are not in this file become `RemoteError`: nothing is imported because a peer says so.
"""

from __future__ import annotations


class UnirosError(Exception):
    """Base of all errors raised by uniros."""

    remote_traceback: str = ""


# --- what the caller asked for -------------------------------------------------------------------------------------


class InvalidAction(UnirosError, ValueError):
    """Raised when an action has the wrong kind or shape, is not finite, or lies outside the space. Nothing moved."""


class ResetNeeded(UnirosError):
    """Raised when a step is asked for before the first reset, or after an episode that broke."""


class StaleStep(UnirosError):
    """Raised when a step is late, out of order, or belongs to another episode. Nothing moved."""


class LeaseHeld(UnirosError):
    """Raised when another learner holds the environment; the message says who."""


class LeaseLost(UnirosError):
    """Raised when a request carries a token that has expired or was taken over."""


class Cancelled(UnirosError):
    """Raised when the goal was cancelled before it was carried out, or while it was."""


class NotReachable(UnirosError, AttributeError):
    """Raised when an attribute or method of the served environment does not exist or is not offered."""


class MalformedData(UnirosError, ValueError):
    """Raised when a message cannot be decoded: bad layout, missing or surplus numbers."""


class InvalidPolicy(UnirosError, ValueError):
    """Raised when a policy cannot be read, does not fit together, or is not meant for the environment."""


class Busy(UnirosError):
    """Raised when an environment is asked for something while a rollout has it."""


class UnsupportedSpace(UnirosError, TypeError):
    """Raised when a space is of a class that has no description."""


# --- what happened inside the environment --------------------------------------------------------------------------


class EnvironmentFailed(UnirosError):
    """Raised when the served environment raised; `remote_traceback` holds the traceback of the server's side."""


class InvalidObservation(UnirosError):
    """Raised at the server when an observation is not finite or does not match its space; it reaches no buffer."""


class RobotFault(UnirosError):
    """Raised when a robot cannot go on: stale state, emergency stop, a dead control loop. The arm holds."""


class NoPath(UnirosError):
    """Raised when no safe way to a goal was found in the time given. The message says what is in the way; nothing
    moved."""


class MotionNotAllowed(UnirosError):
    """Raised when an arm that may be real shall move, and nobody has agreed to that (allow_motion=True)."""


# --- what happened to the processes in between ---------------------------------------------------------------------


class ConnectionFailed(UnirosError, ConnectionError):
    """Base of errors of the way between learner and environment. Raised when no environment answers at that address."""


class Timeout(ConnectionFailed, TimeoutError):
    """Raised when an answer does not come within its deadline. The request may still be carried out."""


class WorkerDied(ConnectionFailed):
    """Raised when the process that holds the connection has ended."""


class ServerDied(ConnectionFailed):
    """Raised when the env server has ended."""


class MasterDied(ConnectionFailed):
    """Raised when the ROS master has ended."""


class AllDown(ConnectionFailed):
    """Raised when none of several environments can be used, and none came back in time."""


class Closed(ConnectionFailed):
    """Raised when an environment is used after close()."""


class StartFailed(UnirosError, RuntimeError):
    """Raised when a master or node did not come up; the message shows the end of its log."""


class BagInUse(UnirosError):
    """Raised when a bag cannot be read or repaired because it is being recorded."""


class RemoteError(UnirosError):
    """Raised for an error of a kind this side does not know."""


def _vocabulary() -> dict[str, type[UnirosError]]:
    found: dict[str, type[UnirosError]] = {}
    for value in list(globals().values()):
        if isinstance(value, type) and issubclass(value, UnirosError):
            found[value.__name__] = value
    return found


KINDS = _vocabulary()


def by_name(kind: str, message: str, traceback: str = "") -> UnirosError:
    """The error a peer reported, ready to raise; its class is looked up by name, here only."""
    error = KINDS[kind](message) if kind in KINDS else RemoteError(f"{kind}: {message}")
    error.remote_traceback = traceback
    if traceback and hasattr(error, "add_note"):  # Python 3.11
        error.add_note("Traceback on the server's side:\n" + traceback)
    return error
