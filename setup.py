"""Python packages of uniros: read by catkin for the devel and install space, by pip for the venv."""

from setuptools import find_packages, setup

setup(
    name="uniros",
    version="0.1.0",
    license="BSD-3-Clause",
    description="Reinforcement learning for robots through ROS actions",
    packages=find_packages(include=["uniros_bringup*", "uniros_env_server*", "uniros_learner*"]),
    python_requires=">=3.11",
    entry_points={"gymnasium.envs": ["uniros = uniros_learner.registration:register_envs"]},
)
