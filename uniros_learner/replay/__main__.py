"""`python -m uniros_learner.replay BAG...`, the same as `rosrun uniros replay`, where there is no ROS."""

from uniros_learner.replay.command import run as replay
from uniros_learner.training.command import run

run(replay)
