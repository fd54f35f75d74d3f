"""Recorded transitions in other forms: arrays in a file that loads without running code, and a Minari dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uniros_learner.replay.trajectory import Trajectory
from uniros_msgs import spaces
from uniros_msgs.errors import MalformedData

if TYPE_CHECKING:
    from stable_baselines3.common.buffers import ReplayBuffer

FORMAT = "uniros transitions 1"
COLUMNS = ("observations", "next_observations", "actions", "rewards", "terminated", "truncated")


def save_arrays(path: Path, trajectories: Iterable[Trajectory], actions: str = "requested") -> int:
    """Write transitions as a compressed .npz; returns how many. They must be of one task, and of numbers.

    The file has observations, next_observations (of a Dict space one array for each key: observations/KEY), actions,
    rewards, terminated, truncated, each with a row for each transition; lengths: of the trajectories one after the
    other; and `description`, a JSON text with the spaces and where all this comes from.
    Raises MalformedData when the transitions do not fit together.
    """
    given = list(trajectories)
    description = _one_description(given)
    columns = {
        "observations": [each.observation for each in given],
        "next_observations": [each.next_observation for each in given],
        "actions": [each.action if actions == "requested" else each.executed_action for each in given],
        "rewards": [each.reward for each in given],
        "terminated": [each.terminated for each in given],
        "truncated": [each.truncated for each in given],
    }
    arrays: dict[str, Any] = {key: array for name, parts in columns.items() for key, array in _flat(name, parts)}
    about = {"format": FORMAT, "env_id": description.env_id, "domains": sorted({each.about.domain for each in given}),
             "actions": actions, "task": description.task,
             "observation_space": json.loads(spaces.describe(description.observation_space)),
             "action_space": json.loads(spaces.describe(description.action_space))}
    arrays |= {"lengths": np.array([len(each) for each in given]), "description": np.array(json.dumps(about))}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return sum(map(len, given))


def load_buffer(path: Path, device: str = "auto", **settings: Any) -> ReplayBuffer:
    """A replay buffer of Stable-Baselines3 with the transitions of such a file; `settings` go to its constructor.

    Raises MalformedData when it is not such a file. Nothing in it can make this run code.
    """
    from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer

    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["description"]))
            if about["format"] != FORMAT:
                raise ValueError(f"it is of format {about['format']!r}")
            arrays = {name: file[name] for name in file.files}
    except (ValueError, KeyError, OSError) as error:
        raise MalformedData(f"{path} is not a file that `replay --to-buffer` wrote: {error}") from error
    observation_space, action_space = (spaces.build(json.dumps(about[name]))
                                       for name in ("observation_space", "action_space"))
    count = len(arrays["rewards"])
    kind = DictReplayBuffer if hasattr(observation_space, "spaces") else ReplayBuffer
    buffer = kind(max(1, count), observation_space, action_space, device=device, **settings)
    _load(buffer, arrays, count)
    return buffer


def to_minari(name: str, trajectories: Iterable[Trajectory], actions: str = "requested") -> int:
    """Make a local Minari dataset called `name`, e.g. rx200/reach-v0; returns how many transitions it has.

    Raises ImportError, saying what to install, without the `minari` package; MalformedData as `save_arrays`;
    ValueError when there is a dataset of that name.
    """
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
    except ImportError as error:
        raise ImportError(f"Minari datasets need: pip install -r requirements/minari.txt ({error})") from error

    given = list(trajectories)
    description = _one_description(given)
    episodes = [EpisodeBuffer(
        id=number, seed=each.about.seed[0] if len(each.about.seed) == 1 else None,
        observations=_stacked(each.observation, each.next_observation),
        actions=each.action if actions == "requested" else each.executed_action, rewards=each.reward.tolist(),
        terminations=each.terminated.tolist(), truncations=_ended(each).tolist())
        for number, each in enumerate(given)]  # fmt: skip
    minari.create_dataset_from_buffers(
        dataset_id=name, buffer=episodes, observation_space=description.observation_space,
        action_space=description.action_space, algorithm_name="recorded", data_format="hdf5",
        description=f"Recorded by uniros in {description.env_id}: {sorted({each.about.domain for each in given})}")
    return sum(map(len, given))


def _one_description(given: list[Trajectory]) -> Any:
    """Raises MalformedData unless there is something, described, and with one pair of spaces."""
    if not given:
        raise MalformedData("there are no transitions to convert")
    description = given[0].description
    if description is None:
        raise MalformedData(f"{given[0].about.env_id} was recorded without env/description: its spaces are not known")
    for each in given:
        other = each.description
        if other is None or (other.observation_space, other.action_space) != (
                description.observation_space, description.action_space):
            raise MalformedData(f"{each.about.env_id} has other spaces than {description.env_id}: convert bags of one "
                                "task at a time, or choose an env server with --ns")
    return description


def _flat(name: str, parts: list[Any]) -> Iterable[tuple[str, np.ndarray]]:
    if isinstance(parts[0], dict):
        for key in parts[0]:
            yield from _flat(f"{name}/{key}", [part[key] for part in parts])
    elif isinstance(parts[0], np.ndarray):
        yield name, np.concatenate(parts)
    else:
        raise MalformedData(f"{name} are {type(parts[0]).__name__}s: expected arrays, or dicts of them")


def _load(buffer: Any, arrays: dict[str, np.ndarray], count: int) -> None:
    from uniros_learner.replay.buffers import scaled

    for name in ("observations", "next_observations"):
        into = getattr(buffer, name)
        for key, array in into.items() if isinstance(into, dict) else [("", into)]:
            array[:count, 0] = arrays[f"{name}/{key}" if key else name].reshape(count, *array.shape[2:])
    actions = scaled(arrays["actions"], buffer.action_space)
    buffer.actions[:count, 0] = actions.reshape(count, buffer.action_dim)
    ends = np.cumsum(arrays["lengths"]) - 1
    done, late = arrays["terminated"] | arrays["truncated"], arrays["truncated"] & ~arrays["terminated"]
    late[ends] |= ~done[ends]  # a trajectory that is cut off
    done[ends] = True
    buffer.rewards[:count, 0], buffer.dones[:count, 0], buffer.timeouts[:count, 0] = arrays["rewards"], done, late
    buffer.pos, buffer.full = 0, True


def _stacked(first: Any, rest: Any) -> Any:
    """T + 1 observations."""
    if isinstance(first, dict):
        return {key: _stacked(first[key], rest[key]) for key in first}
    return np.concatenate([first[:1], rest])


def _ended(trajectory: Trajectory) -> np.ndarray:
    """Truncated flags, with one more for a trajectory that is cut off: Minari's episodes end."""
    truncated = trajectory.truncated.copy()
    truncated[-1] |= not trajectory.terminated[-1]
    return truncated
