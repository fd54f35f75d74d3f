"""The RX200's driver: Dynamixel servos on a serial port behind the usual ROS topics.

It also runs on a robot computer with Python 3.8 (ROS Noetic), so everything imported from here keeps to that version.
"""
