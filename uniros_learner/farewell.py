"""A node that goes without the clean-up that Python would do at the end takes its name off the master first."""

from __future__ import annotations

import threading

FAREWELL = 1.0  # s that the master may take to let us go


def leave_graph() -> None:
    """Unregister this process' node, where it is one; `rosnode list` would show it for ever."""
    import rospy

    if not rospy.core.is_initialized():
        return
    farewell = threading.Thread(target=rospy.signal_shutdown, args=("done",), daemon=True)
    farewell.start()
    farewell.join(FAREWELL)
