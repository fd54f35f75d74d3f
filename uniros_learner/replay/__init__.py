"""Back from the bag: what was recorded as trajectories, replay buffers, tables and pictures.

    from uniros_learner.replay import fill, trajectories
    for trajectory in trajectories("bags"): ...
    fill(model.replay_buffer, "bags")

Reading needs no ROS installation.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uniros_learner.replay.bags import Bags
    from uniros_learner.replay.buffers import fill
    from uniros_learner.replay.offline import warm_start
    from uniros_learner.replay.trajectory import Trajectory, trajectories

__all__ = ["Bags", "Trajectory", "fill", "trajectories", "warm_start"]

_HOMES = {"Bags": "bags", "Trajectory": "trajectory", "fill": "buffers", "trajectories": "trajectory",
          "warm_start": "offline"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
