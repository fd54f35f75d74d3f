"""roslaunch in a process that takes everything it started with it: `python -m uniros_bringup.guard`.

roslaunch puts every node into a session of its own, where no signal to a process group finds it. So roslaunch runs in
here, as a child subreaper, and a thread waits for the end of a pipe whose other end only our parent holds: when the
parent dies, however it dies, that thread kills all that descends from us.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading

import roslaunch
import roslaunch.config
import roslaunch.parent
import roslaunch.pmon
import roslaunch.rlutil
import roslib.packages
import rospkg

from uniros_bringup.tree import become_subreaper, kill_descendants

SIGINT_TIMEOUT = 3.0  # s a node has to end by itself after SIGINT
SIGTERM_TIMEOUT = 1.0  # s more after SIGTERM


def end_with_parent(lifeline: int) -> None:
    """From now on, the end of the pipe `lifeline` ends this process and all that descends from it."""

    def _wait() -> None:
        os.read(lifeline, 1)
        kill_descendants(os.getpid())
        os._exit(1)

    threading.Thread(target=_wait, name="lifeline", daemon=True).start()


class _Reporter(roslaunch.pmon.ProcessListener):
    """Writes what becomes of the nodes, one JSON object per line, for our parent to read."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def report(self, **what: object) -> None:
        os.write(self._fd, (json.dumps(what) + "\n").encode())

    def process_died(self, process_name: str, exit_code: int | None) -> None:
        """roslaunch's name of a process is the node's full name, without the first slash, and a number."""
        self.report(ended="/" + process_name.rpartition("-")[0], exit_code=exit_code)


def load(file: str, arguments: list[str]) -> roslaunch.config.ROSLaunchConfig:
    """A launch file, read. Raises RLException if a node has no executable: roslaunch itself would pass over it."""
    config = roslaunch.config.load_config_default([(file, arguments)], None)
    for node in config.nodes:
        here = not node.machine_name  # what is on another machine only that machine knows
        if here and not roslib.packages.find_node(node.package, node.type):
            raise roslaunch.RLException(f"node {node.name}: package {node.package} has no executable {node.type}")
    return config


def launch(file: str, arguments: list[str], reporter: _Reporter) -> None:
    """Run a launch file to its end on the master of ROS_MASTER_URI, which must be up."""
    config = load(file, arguments)
    reporter.report(nodes=[node.namespace + node.name for node in config.nodes])
    run_id = roslaunch.rlutil.get_or_generate_uuid(None, False)
    roslaunch.configure_logging(run_id)
    parent = roslaunch.parent.ROSLaunchParent(
        run_id,
        [(file, arguments)],
        show_summary=False,
        sigint_timeout=SIGINT_TIMEOUT,
        sigterm_timeout=SIGTERM_TIMEOUT,
    )
    parent.config = config
    # Listeners given to the constructor are added after the nodes are started, and miss one that ends at once.
    parent.pm = roslaunch.pmon.start_process_monitor()
    parent.pm.add_process_listener(reporter)
    parent.start()
    parent.spin()


def main() -> int:
    parser = argparse.ArgumentParser(prog="guard", description=__doc__)
    parser.add_argument("--lifeline", type=int, required=True, help="pipe whose end ends everything")
    parser.add_argument("--report", type=int, required=True, help="pipe that takes a line for each node that ends")
    parser.add_argument("file", help="launch file")
    parser.add_argument("arguments", nargs="*", help="name:=value")
    options = parser.parse_args()
    become_subreaper()
    end_with_parent(options.lifeline)
    try:
        launch(options.file, options.arguments, _Reporter(options.report))
    except (roslaunch.RLException, rospkg.ResourceNotFound) as error:
        print(f"uniros: {options.file}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        kill_descendants(os.getpid())
    return 0


if __name__ == "__main__":
    sys.exit(main())
