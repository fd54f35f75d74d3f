"""Publishing something again and again, beside the work, until the node ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import rospy


def every(period: float, publish: Callable[[], None], name: str) -> None:
    """Call `publish` every `period` seconds of wall time, whatever /clock does, in a thread of its own."""

    def run() -> None:
        while not rospy.is_shutdown():
            try:
                publish()
            except rospy.ROSException:  # the topics close a moment before is_shutdown() says so
                return
            time.sleep(period)

    threading.Thread(target=run, name=name, daemon=True).start()
