"""`rosrun uniros rx200_driver _port:=/dev/ttyDXL`: drive the RX200's servos on a serial port.

Without ROS, and without moving anything:
  --check      compare the servos' settings with what they must be, and say how the servos are
  --configure  write the settings (EEPROM) that differ; torque must be off

Private parameters:
  ~port             serial device (default: the robot's, in config/robots/<robot>/servos.yaml: /dev/ttyDXL)
  ~port_from        name of a parameter to wait for that holds the device (the emulated bus sets one)
  ~robot            folder in config/robots (default rx200)
  ~torque_on_start  hold the arm where it is from the start (default false: it stays limp until driver/torque)
  ~on_exit          hold (default): leave torque on; sleep: lower the arm, then turn torque off
  ~tuning           dict of values that replace those in driver.yaml
The namespace is rx200 unless another one is given (__ns:=, roslaunch).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any

from uniros_env_server.driver import eeprom
from uniros_env_server.driver.arm import Arm
from uniros_env_server.driver.bus import Bus, BusError
from uniros_env_server.driver.config import Setup, load_setup
from uniros_env_server.driver.logs import Lines
from uniros_env_server.driver.port import Port, PortLost, slow_adapter

DEFAULT_NAMESPACE = "rx200"
PORT_TIMEOUT = 20.0  # s
PATIENT = 0.05  # s


def connect(setup: Setup, device: str) -> Arm:
    """The arm on a serial device, with time to answer: nothing is urgent yet.

    Raises PortLost, or BusError when another dynamixel-sdk is installed.
    """
    port = Port(device or setup.device, setup.baud_rate, PATIENT)
    port.open()
    return Arm(setup, Bus(port))


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="rx200_driver", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="look at the servos, without ROS")
    what.add_argument("--configure", action="store_true", help="write the servos' settings, without ROS")
    options, words = parser.parse_known_args(argv)
    remaps = dict(word.split(":=", 1) for word in words if ":=" in word)
    surplus = [word for word in words if ":=" not in word]
    if surplus:
        parser.error(f"unknown: {' '.join(surplus)}")
    if options.check or options.configure:
        return service(options.configure, remaps.get("_robot", "rx200"), remaps.get("_port", ""))
    return drive(argv)


def service(write: bool, robot: str, device: str) -> int:
    """--check and --configure."""
    try:
        arm = connect(load_setup(robot), device)
        if write:
            written = eeprom.configure(arm)
            _say(f"{len(written)} settings written:\n{eeprom.table(written)}" if written else "nothing to write")
        else:
            eeprom.verify(arm)
        arm.look_at_all()
        _say("\n".join(filter(None, [eeprom.report(arm), slow_adapter(arm.bus.port)])))
    except (BusError, PortLost, eeprom.SettingsDiffer) as error:
        sys.stderr.write(f"rx200_driver: {error}\n")
        return 1
    return 0


def drive(argv: list[str]) -> int:
    """The node."""
    if not any(word.startswith("__ns:=") for word in argv):
        os.environ.setdefault("ROS_NAMESPACE", DEFAULT_NAMESPACE)  # read when rospy is imported
    import rospy

    from uniros_env_server.driver.node import Node

    try:
        rospy.init_node("rx200_driver", disable_signals=True)
    except ConnectionError:
        sys.stderr.write(f"rx200_driver: no ROS master answers at {os.environ.get('ROS_MASTER_URI')}: start roscore, or"
                         " use roslaunch uniros driver.launch\n")
        return 1
    lines = Lines()
    try:
        tuning: dict[str, Any] = rospy.get_param("~tuning", {})
        arm = connect(load_setup(rospy.get_param("~robot", "rx200"), **tuning), device())
        eeprom.verify(arm)
        return Node(arm).run()
    except (BusError, PortLost, eeprom.SettingsDiffer, ValueError, OSError) as error:
        rospy.logfatal("%s", error)
        return 1
    finally:
        lines.flush()


def device() -> str:
    """The serial device to open, empty for the robot's own. Raises PortLost when ~port_from is not set in time."""
    import rospy

    name = rospy.get_param("~port_from", "")
    end = time.monotonic() + PORT_TIMEOUT
    while name and not rospy.get_param(name, ""):
        if time.monotonic() > end or rospy.is_shutdown():
            raise PortLost(f"parameter {rospy.resolve_name(name)} was not set within {PORT_TIMEOUT:g} s: does the"
                           " emulated bus run?")
        time.sleep(0.05)
    return str(rospy.get_param(name if name else "~port", ""))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def run() -> None:
    """main(), then leave at once: rospy keeps threads that would hold the process for seconds."""
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
