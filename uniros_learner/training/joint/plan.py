"""What joint training is told, beyond what every training run is: `joint` in a YAML file of `config/algorithms`."""

from __future__ import annotations

import dataclasses

from uniros_learner.training.fields import Bounds, InvalidConfig, OneOf, setting

SHARE = Bounds(at_least=0.0, at_most=1.0)
NATURAL = Bounds(at_least=0)
POSITIVE = Bounds(at_least=1)


@dataclasses.dataclass(frozen=True)
class JointPlan:
    """How one policy learns in several environments, its domains. Lists have an entry for each, in their order."""

    envs: tuple[str, ...] = setting((), "what to serve, each on a ROS master of its own, when nothing else is named")
    loop: str = setting("actors", "actors: each domain at its own pace; plain: an episode here, an episode there",
                        OneOf(("actors", "plain")))
    shares: tuple[float, ...] = setting((), "of each batch from each domain (actors), of all episodes (plain); none: "
                                        "the same from all", SHARE)
    enough: int = setting(100, "transitions that a domain must have before batches are drawn from it", POSITIVE)
    publish: float = setting(0.25, "s between two versions of the policy that the actors get", Bounds(at_least=0.0))
    most_updates_per_step: float = setting(10.0, "updates for each step of all domains after learning_starts; then the "
                                           "learner waits", Bounds(above=0.0))
    seconds: float = setting(180.0, "s of training at most", Bounds(above=0.0))
    most_steps: tuple[int, ...] = setting((), "steps in each domain at most; 0 or none: as many as come", NATURAL)
    head_start: float = setting(0.0, "share of the simulation's last episodes that must succeed before anything moves "
                                "in real time", SHARE)
    window: int = setting(10, "as early_stop.window, where time is real", NATURAL)
    check_episodes: int = setting(10, "as early_stop.check_episodes, where time is real", POSITIVE)
    niceness: int = setting(5, "by which updates stand back behind what must be in time", Bounds(0, 19))

    def __post_init__(self) -> None:
        if self.shares and not sum(self.shares) > 0:
            raise InvalidConfig(f"joint.shares: {list(self.shares)} leaves nothing to learn from; expected shares of "
                                "a batch, one above 0 at least")

    def check(self, count: int) -> None:
        """Raises InvalidConfig for lists that are not for so many domains."""
        for name in ("shares", "most_steps"):
            given = getattr(self, name)
            if given and len(given) != count:
                raise InvalidConfig(f"joint.{name}: {list(given)} has {len(given)} entries; expected {count}, one for "
                                    "each environment, or none")
