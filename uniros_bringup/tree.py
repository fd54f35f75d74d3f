"""The process tree as Linux keeps it: who descends from whom, who dies with whom, and killing all of them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}, {value}): {os.strerror(error)}")


def become_subreaper() -> None:
    """Adopt every descendant whose own parent has ended, so that `descendants` still finds it."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int | None = None, death_signal: int = signal.SIGKILL) -> None:
    """Have the kernel send this process `death_signal` when the thread that started it ends.

    parent: pid of the one who started us. If it has already gone, the signal would never come: exit at once.
    """
    _prctl(PR_SET_PDEATHSIG, death_signal)
    if parent is not None and os.getppid() != parent:
        sys.exit(f"uniros: process {parent}, which started this one, has ended")


def _stat(pid: int) -> tuple[str, int, int] | None:
    """(state, parent pid, session id) of a process, None when it has gone: fields 3, 4 and 6 of proc(5)'s stat."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent, _group, session = text.rpartition(")")[2].split()[:4]
    return state, int(parent), int(session)


def _living() -> dict[int, tuple[int, int]]:
    """Every process that is not a zombie: pid -> (parent pid, session id)."""
    found = {}
    for entry in os.listdir("/proc"):
        stat = _stat(int(entry)) if entry.isdigit() else None
        if stat is not None and stat[0] not in "ZX":
            found[int(entry)] = stat[1:]
    return found


def descendants(pid: int) -> list[int]:
    """Living children of `pid`, their children and so on, parents before children."""
    children: dict[int, list[int]] = {}
    for child, (parent, _session) in _living().items():
        children.setdefault(parent, []).append(child)
    found = list(children.get(pid, []))
    for parent in found:
        found.extend(children.get(parent, []))
    return found


def session_members(session: int) -> list[int]:
    """Living processes of a session: those a child started in a session of its own has started in turn."""
    return [pid for pid, (_parent, member_of) in _living().items() if member_of == session]


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to each of them; those that have gone meanwhile are passed over."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def kill_descendants(pid: int, timeout: float = 2.0) -> bool:
    """SIGKILL everything below `pid` until nothing is left there; False if something still is after `timeout` s."""
    deadline = time.monotonic() + timeout
    while left := descendants(pid):
        signal_all(left, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
