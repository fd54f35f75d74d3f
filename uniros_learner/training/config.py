"""What a training run is told: every setting with its unit and range, read from a YAML file of `config/algorithms`."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from uniros_learner.training.catalogue import ALGORITHMS, SBX_PREFIX
from uniros_learner.training.fields import Bounds, InvalidConfig, OneOf, read, setting
from uniros_learner.training.hyperparameters import flat, resolve
from uniros_learner.training.joint.plan import JointPlan

POSITIVE = Bounds(at_least=1)
SHARE = Bounds(at_least=0.0, at_most=1.0)
SEED = Bounds(at_least=0, at_most=2**31)
SECTIONS = ("hyperparameters", "joint", "early_stop", "checkpoints", "evaluation")


@dataclasses.dataclass(frozen=True)
class EarlyStop:
    """Training ends when the last `window` episodes look good and a check without exploration agrees."""

    window: int = setting(40, "training episodes; 0 trains to the last step", Bounds(at_least=0))
    success_rate: float = setting(1.0, "share of them that must succeed", SHARE)
    check_episodes: int = setting(100, "fresh goals", POSITIVE)
    check_success_rate: float = setting(0.99, "share of them that must be reached", SHARE)


@dataclasses.dataclass(frozen=True)
class CheckpointPlan:
    """When everything is written down from which training can go on; also when it is interrupted, and at the end."""

    steps: int = setting(1000, "steps of each environment in between; 0: never for that", Bounds(at_least=0))
    seconds: float = setting(30.0, "s in between at most, if an episode ends; 0: never for that", Bounds(at_least=0.0))


@dataclasses.dataclass(frozen=True)
class EvaluationPlan:
    """How the finished policy is judged: without exploration, on goals that training has not seen."""

    episodes: int = setting(100, "fresh goals", POSITIVE)
    seed: int = setting(1_000_000, "of the goals; that of training must differ", SEED)
    target: float = setting(0.95, "share of successes that counts as solved", SHARE)
    every: int = setting(0, "steps between checks along the way, of early_stop.check_episodes; 0: none",
                         Bounds(at_least=0))


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides how a run goes."""

    algorithm: str = setting("td3", "how it learns", OneOf(tuple(ALGORITHMS)))
    env_id: str = setting("RX200ReachSim-v0", "what to serve when no running env server is named")
    env_args: dict[str, Any] = dataclasses.field(
        default_factory=dict, metadata={"meaning": "arguments of its constructor", "rule": None}
    )
    num_envs: int = setting(1, "environments stepped as one batch", POSITIVE)
    nudge: float = setting(1.0, "for algorithms with discrete actions: what one moves a joint by, in the action's unit",
                           Bounds(above=0.0, at_most=1.0))
    updates_while_waiting: int = setting(-1, "in real time, per step, while it is under way; -1: as fit, 0: none",
                                         Bounds(at_least=-1))
    normalise: str = setting("none", "what is brought to a common scale, goals all to one",
                             OneOf(("none", "observations", "rewards", "both")))
    max_episode_steps: int = setting(0, "a time limit of our own; 0: only the environment's", Bounds(at_least=0))
    steps: int = setting(30_000, "steps at most, of all environments together", POSITIVE)
    seed: int = setting(0, "of networks, exploration and goals", SEED)
    device: str = setting("cpu", "where the networks live", OneOf(("cpu", "cuda", "auto")))
    threads: int = setting(1, "threads of PyTorch; more only slow small networks down", POSITIVE)
    hyperparameters: dict[str, Any] = dataclasses.field(
        default_factory=dict, metadata={"meaning": "keywords of the algorithm and its policy", "rule": None}
    )
    joint: JointPlan = dataclasses.field(default_factory=JointPlan)
    early_stop: EarlyStop = dataclasses.field(default_factory=EarlyStop)
    checkpoints: CheckpointPlan = dataclasses.field(default_factory=CheckpointPlan)
    evaluation: EvaluationPlan = dataclasses.field(default_factory=EvaluationPlan)

    def __post_init__(self) -> None:
        first, plan = self.seed, self.evaluation
        if first == plan.seed:
            raise InvalidConfig(f"evaluation.seed: {plan.seed} is the seed of training too; expected another one")
        object.__setattr__(self, "hyperparameters", resolve(self.algorithm, self.hyperparameters))
        starts = self.hyperparameters.get("learning_starts", 0)
        if starts >= self.steps:
            raise InvalidConfig(f"steps: {self.steps} steps end before learning starts, after "
                                f"hyperparameters.learning_starts = {starts} steps")


def load(path: Path, changed: Iterable[str] = (), algorithm: str | None = None) -> TrainingConfig:
    """The settings in a YAML file, changed as in `hyperparameters.gamma=0.9`. Raises InvalidConfig.

    What the file leaves open is as config/algorithms has it for the algorithm, which `algorithm` exchanges.
    """
    try:
        given = _parse(path)
        choice = [change for change in changed if change.startswith("algorithm=")]
        for change in [*choice, *([f"algorithm={algorithm}"] if algorithm else [])]:
            _apply(given, change)
        _flatten(given)
        for change in changed:
            if change not in choice:
                _apply(given, change)
        return of(given)
    except InvalidConfig as error:
        raise InvalidConfig(f"{path}: {error}") from None


def merged(path: Path, changes: Mapping[str, Any], algorithm: str | None = None) -> TrainingConfig:
    """The settings in a YAML file, and whole ones of `changes` instead; sections setting by setting.

    algorithm: instead of the file's. Raises InvalidConfig.
    """
    given = _parse(path) | ({"algorithm": algorithm} if algorithm else {})
    if "algorithm" in changes:
        given["algorithm"] = changes["algorithm"]
    _flatten(given)
    return of(_merged(given, changes))


def of(given: Mapping[str, Any]) -> TrainingConfig:
    """Settings from a mapping as YAML gives it, on top of config/algorithms/ALGORITHM.yaml. Raises InvalidConfig."""
    chosen = given.get("algorithm", TrainingConfig.algorithm)
    return read(TrainingConfig, _merged(_defaults(chosen) if chosen in ALGORITHMS else {}, given))


def _defaults(algorithm: str) -> dict[str, Any]:
    """What config/algorithms has for it; SBX's take the settings of the same algorithm, but not PyTorch's own."""
    given = _parse(_folder() / f"{algorithm.removeprefix(SBX_PREFIX)}.yaml")
    if ALGORITHMS[algorithm].jax:
        given["algorithm"] = algorithm
        given["hyperparameters"].pop("optimizer_kwargs", None)
    return given


def _parse(path: Path) -> dict[str, Any]:
    try:
        given = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"it cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InvalidConfig(f"it is not YAML: {error}") from error
    if not isinstance(given, dict):
        raise InvalidConfig(f"expected 'key: value' lines, got {given!r}")
    return given


def _flatten(given: dict[str, Any]) -> None:
    """Take what stands under the algorithm's name: changes shall go before it."""
    chosen = given.get("algorithm", TrainingConfig.algorithm)
    if chosen in ALGORITHMS and isinstance(given.get("hyperparameters"), dict):
        given["hyperparameters"] = flat(given["hyperparameters"], chosen)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, and where both say something what is above; sections setting by setting."""
    both = {**below, **above}
    for name in SECTIONS:
        if isinstance(below.get(name), Mapping) and isinstance(above.get(name), Mapping):
            both[name] = {**below[name], **above[name]}
    return both


def changes(given: Mapping[str, Any]) -> list[str]:
    """Options as changes for `load`; None is an option that was not given."""
    return [f"{name}={value}" for name, value in given.items() if value is not None]


def _apply(given: Any, change: str) -> None:
    key, assign, value = change.partition("=")
    if not assign:
        raise InvalidConfig(f"{change!r}: expected KEY=VALUE, for example hyperparameters.gamma=0.9")
    *path, last = key.split(".")
    for name in path:
        given = given.setdefault(name, {}) if isinstance(given, dict) else None
    if not isinstance(given, dict):
        raise InvalidConfig(f"{key!r} does not lead to a setting")
    try:
        given[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InvalidConfig(f"{change!r}: the value is not YAML: {error}") from error


def dump(config: TrainingConfig) -> str:
    """All settings as YAML, which `load` reads back to an equal config."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def find(name: str) -> tuple[Path, str | None]:
    """A YAML file, and the algorithm that the name asks for instead of the file's, if it does.

    name: a path, the name of a file in config/algorithms, or ALGORITHM_NAME: "sac_reach" is reach.yaml with SAC.
    Raises InvalidConfig, which names those there are.
    """
    if Path(name).is_file():
        return Path(name), None
    known = {path.stem: path for path in sorted(_folder().glob("*.yaml"))}
    stem = Path(name).name.removesuffix(".yaml")
    if stem in known:
        return known[stem], None
    for algorithm in ALGORITHMS:
        rest = stem.removeprefix(f"{algorithm}_")
        if rest != stem and rest in known:
            return known[rest], algorithm
    near = difflib.get_close_matches(stem, [*known, *(f"{each}_{task}" for each in ALGORITHMS for task in known)], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InvalidConfig(f"there is no file {name!r}; {hint}in {_folder()} there are {', '.join(known) or 'none'}")


def _folder() -> Path:
    return _package_folder() / "config" / "algorithms"


def _package_folder() -> Path:
    beside = Path(__file__).resolve().parents[2]
    if (beside / "config" / "algorithms").is_dir():
        return beside
    import rospkg

    return Path(rospkg.RosPack().get_path("uniros"))
