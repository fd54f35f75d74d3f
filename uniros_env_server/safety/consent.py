"""Whether an arm may be moved without somebody's consent: only one that is known to exist in software alone."""

from __future__ import annotations

import os

import rosgraph
import rospy

from uniros_bringup.xmlrpc import CallFailed, call

ADVICE = ("nothing shows that this arm is an emulated one. Clear its surroundings, have the power switch at hand, and "
          "say allow_motion=True (real.launch: allow_motion:=true)")


def forbidden(allow_motion: bool) -> str:
    """Why the arm in this node's namespace must not be moved; empty when it may."""
    return "" if allow_motion is True or emulated() else ADVICE


def emulated() -> bool:
    """Whether the driver here is on a pty that an emulator in this namespace, which answers, has made."""
    port = str(rospy.get_param("emulator/port", ""))
    source = str(rospy.get_param("rx200_driver/port_from", ""))
    if not port or rospy.resolve_name(source) != rospy.resolve_name("emulator/port"):
        return False
    try:
        uri = call(rosgraph.get_master_uri(), "lookupNode", rospy.resolve_name("emulator"))
        call(uri, "getPid")
    except CallFailed:
        return False
    return os.path.realpath(port).startswith("/dev/pts/") or not os.path.exists(port)
