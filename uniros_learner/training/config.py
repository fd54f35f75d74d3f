"""What a training run is told: every setting with its unit and range, read from a YAML file of `config/algorithms`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from uniros_learner.training.fields import Bounds, InvalidConfig, OneOf, read, setting

POSITIVE = Bounds(at_least=1)
SHARE = Bounds(at_least=0.0, at_most=1.0)
SOME = Bounds(above=0.0, at_most=1.0)
NOISE = Bounds(at_least=0.0)
SEED = Bounds(at_least=0, at_most=2**31)
ACTIVATIONS = {"relu": "ReLU", "tanh": "Tanh", "elu": "ELU", "silu": "SiLU"}  # ours: the class in torch.nn


@dataclasses.dataclass(frozen=True)
class TD3:
    """Twin Delayed DDPG (Fujimoto et al. 2018); names as Stable-Baselines3 has them."""

    learning_rate: float = setting(1e-3, "step size of Adam", SOME)
    gamma: float = setting(0.95, "discount of a reward one step later", SHARE)
    batch_size: int = setting(128, "transitions per update", POSITIVE)
    buffer_size: int = setting(100_000, "transitions kept", POSITIVE)
    learning_starts: int = setting(300, "steps of random actions before the first update", Bounds(at_least=0))
    train_freq: int = setting(1, "steps between updates", POSITIVE)
    gradient_steps: int = setting(1, "updates each time", POSITIVE)
    tau: float = setting(0.005, "share of the networks that goes into their targets per update", SOME)
    policy_delay: int = setting(2, "critic updates per actor update", POSITIVE)
    target_policy_noise: float = setting(0.2, "standard deviation, action scaled to [-1, 1]", NOISE)
    target_noise_clip: float = setting(0.5, "largest such noise, action scaled to [-1, 1]", NOISE)
    action_noise: float = setting(0.1, "standard deviation of exploration, action scaled to [-1, 1]", NOISE)
    net_arch: tuple[int, ...] = setting((64, 64), "units in each hidden layer, of actor and critics alike", POSITIVE)
    activation_fn: str = setting("relu", "between the layers", OneOf(tuple(ACTIVATIONS)))

    def __post_init__(self) -> None:
        if self.batch_size > self.buffer_size:
            raise InvalidConfig(
                f"hyperparameters.batch_size: {self.batch_size} transitions cannot be drawn from a buffer of "
                f"{self.buffer_size}; expected at most buffer_size"
            )


@dataclasses.dataclass(frozen=True)
class EarlyStop:
    """Training ends when the last `window` episodes look good and a check without exploration agrees."""

    window: int = setting(40, "training episodes; 0 trains to the last step", Bounds(at_least=0))
    success_rate: float = setting(1.0, "share of them that must succeed", SHARE)
    check_episodes: int = setting(100, "fresh goals", POSITIVE)
    check_success_rate: float = setting(0.99, "share of them that must be reached", SHARE)


@dataclasses.dataclass(frozen=True)
class EvaluationPlan:
    """How the finished policy is judged: without exploration, on goals that training has not seen."""

    episodes: int = setting(100, "fresh goals", POSITIVE)
    seed: int = setting(1_000_000, "of the goals; that of training must differ", SEED)
    target: float = setting(0.95, "share of successes that counts as solved", SHARE)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides how a run goes."""

    algorithm: str = setting("td3", "how it learns", OneOf(("td3",)))
    env_id: str = setting("RX200ReachSim-v0", "what to serve when no running env server is named")
    env_args: dict[str, Any] = dataclasses.field(
        default_factory=dict, metadata={"meaning": "arguments of its constructor", "rule": None}
    )
    steps: int = setting(30_000, "steps at most", POSITIVE)
    seed: int = setting(0, "of networks, exploration and goals", SEED)
    device: str = setting("cpu", "where the networks live", OneOf(("cpu", "cuda", "auto")))
    threads: int = setting(1, "threads of PyTorch; more only slow small networks down", POSITIVE)
    hyperparameters: TD3 = dataclasses.field(default_factory=TD3)
    early_stop: EarlyStop = dataclasses.field(default_factory=EarlyStop)
    evaluation: EvaluationPlan = dataclasses.field(default_factory=EvaluationPlan)

    def __post_init__(self) -> None:
        first, plan = self.seed, self.evaluation
        if first == plan.seed:
            raise InvalidConfig(f"evaluation.seed: {plan.seed} is the seed of training too; expected another one")
        if self.hyperparameters.learning_starts >= self.steps:
            raise InvalidConfig(
                f"steps: {self.steps} steps end before learning starts, after "
                f"hyperparameters.learning_starts = {self.hyperparameters.learning_starts} steps"
            )


def load(path: Path, changed: Iterable[str] = ()) -> TrainingConfig:
    """The settings in a YAML file, changed as in `hyperparameters.gamma=0.9`. Raises InvalidConfig."""
    try:
        given = yaml.safe_load(path.read_text()) or {}
        for change in changed:
            _apply(given, change)
        return read(TrainingConfig, given)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InvalidConfig(f"{path} is not YAML: {error}") from error
    except InvalidConfig as error:
        raise InvalidConfig(f"{path}: {error}") from None


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


def find(name: str) -> Path:
    """A YAML file by path, or by its name in config/algorithms. Raises InvalidConfig, which names those there are."""
    if Path(name).is_file():
        return Path(name)
    folder = _package_folder() / "config" / "algorithms"
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    stem = Path(name).name.removesuffix(".yaml")
    if stem not in known:
        raise InvalidConfig(f"there is no file {name!r}, and in {folder} there are only {', '.join(known) or 'none'}")
    return known[stem]


def _package_folder() -> Path:
    beside = Path(__file__).resolve().parents[2]
    if (beside / "config" / "algorithms").is_dir():
        return beside
    import rospkg

    return Path(rospkg.RosPack().get_path("uniros"))
