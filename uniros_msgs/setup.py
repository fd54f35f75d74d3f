"""The codec beside the generated messages: read by catkin."""

from setuptools import setup

setup(
    name="uniros_msgs",
    version="0.1.0",
    license="BSD-3-Clause",
    packages=["uniros_msgs"],
    package_dir={"": "src"},
)
