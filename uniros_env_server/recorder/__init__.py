"""The recorder: every transition that env servers make on a ROS master, in bags."""
