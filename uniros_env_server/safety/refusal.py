"""Why a well-formed command was not carried out."""

from __future__ import annotations

from enum import IntEnum


class Refusal(IntEnum):
    """One code per row of a batch; `str()` gives the name used in info["refusal"], empty when nothing was refused."""

    NONE = 0
    JOINT_LIMIT = 1  # a joint would leave its range
    WORKSPACE = 2  # the tool would leave the task's box
    TABLE = 3  # a link would come too near to the table
    SELF_COLLISION = 4  # two links would come too near to each other
    VELOCITY = 5  # a joint would have to move too fast
    STATE = 6  # the measured state is stale or not finite
    ESTOP = 7  # the emergency stop is in force

    def __str__(self) -> str:
        return self.name.lower() if self else ""


NAMES = tuple(str(refusal) for refusal in Refusal)
CODES = {name: code for code, name in enumerate(NAMES)}
