"""`python -m uniros_env_server.emulation --link /tmp/rx200`: the emulated bus without ROS, until it is interrupted."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading

from uniros_env_server.emulation.bus import EmulatedBus


def main() -> int:
    """Serve until SIGINT or SIGTERM; prints the device to open."""
    parser = argparse.ArgumentParser(prog="python -m uniros_env_server.emulation", description=__doc__)
    parser.add_argument("--link", default="", help="path for a symbolic link to the pty")
    parser.add_argument("--robot", default="rx200", help="folder in config/robots")
    parser.add_argument("--start", help="pose that the arm lies in when the power comes on")
    parser.add_argument("--seed", type=int, help="another arm of the same make")
    arguments = parser.parse_args()
    changes = {name: value for name in ("start", "seed") if (value := getattr(arguments, name)) is not None}
    logging.basicConfig(format="%(message)s")
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    try:
        arm = EmulatedBus(arguments.robot, arguments.link, **changes)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    with arm as bus:
        sys.stdout.write(bus.port + "\n")
        sys.stdout.flush()
        done.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
