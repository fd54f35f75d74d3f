"""Real-time priority: the loop runs when it is due, whatever else the computer is busy with."""

from __future__ import annotations

import os


def elevate(priority: int) -> str:
    """Give all threads of this process, and those they start, a real-time priority; why not, if that is impossible.

    The driver needs less than 10 % of a core; the kernel keeps 5 % of every core for others even if it ran wild.
    """
    if not priority:
        return "it was not asked for"
    try:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
    except (OSError, ValueError) as error:
        return f"{error}: permit it with 'rtprio {priority}' for this user in /etc/security/limits.d"
    return ""
