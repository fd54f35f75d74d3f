"""A policy that can be sent to where it acts: plain tensors with a description, evaluated by numpy alone.

The bytes are a safetensors file: float32 tensors, and in its metadata a JSON text that says what they are. Loading them
executes nothing of theirs; whatever does not fit together is refused before it acts. What can be said is what the
actors of Stable-Baselines3 are: an observation flattened (keys of a Dict in the space's order, whole numbers as one-hot
vectors), a fixed normalisation, layers with an activation, and a head that makes an action of the last layer's output:

    tanh                from [-1, 1] to the action space's bounds                           TD3, DDPG
    squashed_gaussian   the same, of a mean and the logarithm of a standard deviation       SAC, TQC, CrossQ
    gaussian            clipped to the bounds; standard deviation independent of the state  PPO, A2C
    argmax              the choice of the highest value                                     DQN
    categorical         the likeliest choice, or one drawn with the probability it has      PPO, A2C
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces as gs
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from uniros_msgs import spaces
from uniros_msgs.activations import ACTIVATIONS
from uniros_msgs.errors import InvalidPolicy, UnirosError
from uniros_msgs.features import Features

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Callable

    import gymnasium

    Array = np.ndarray
    Tensors = dict[str, Array]

FORMAT = "uniros actor 1"
LARGEST = 64 << 20  # bytes
MOST_ELEMENTS = 1 << 20  # of a space's bounds
MOST_LAYERS = 32
LOG_STD = -20.0, 2.0  # bounds on a state's logarithm of the standard deviation, as Stable-Baselines3's SAC has them
NORMALISE = ("normalise.mean", "normalise.scale", "normalise.clip")


class Policy:
    """From observations to actions. Immutable; may be used by any thread."""

    def __init__(self, observation_space: gymnasium.Space, action_space: gymnasium.Space, head: str,
                 activations: list[str], tensors: Tensors, version: str = "") -> None:
        """tensors: `layer{n}.weight`, (outputs, inputs), and `layer{n}.bias` for each of the activations, then
        `out.weight` and `out.bias`; `log_std.weight` and `log_std.bias` of a squashed_gaussian, `log_std`, (A,), of a
        gaussian; perhaps `normalise.mean`, `.scale` and `.clip`, (inputs,): features become (x - mean) / scale, within
        plus or minus clip. version: what its transitions are marked with; "" takes the tensors' fingerprint.

        Raises InvalidPolicy for anything that does not fit together.
        """
        self.observation_space, self.action_space = observation_space, action_space
        self.head, self.activations, self.tensors = head, activations, tensors
        self._features = Features(observation_space)
        self._outputs = _outputs(action_space, head)
        _check_tensors(tensors, self._expected())
        self.version = version or fingerprint(tensors)
        self._layers = [(tensors[f"layer{n}.weight"].T, tensors[f"layer{n}.bias"], ACTIVATIONS[name])
                        for n, name in enumerate(activations)]
        self._out = tensors["out.weight"].T, tensors["out.bias"]
        self._normalise = [tensors[name] for name in NORMALISE if name in tensors]
        if isinstance(action_space, gs.Box):
            self._low, self._high = action_space.low.astype(np.float32), action_space.high.astype(np.float32)
        self._decide: Callable[[Array, np.random.Generator | None], Array] = getattr(self, f"_{head}")

    # --- acting -----------------------------------------------------------------------------------------------------

    def act(self, observation: Any, rng: np.random.Generator | None = None, deterministic: bool = True) -> Any:
        """The action for an observation: an element of the action space, whatever was observed but NaN.

        For observations with a leading dimension of rows, as many actions. A policy that is a distribution is sampled
        with `rng` unless deterministic, which needs one then.
        """
        if not deterministic and rng is None:
            raise ValueError("act() needs an rng to sample with, or deterministic=True")
        features, batched = self._features(observation)
        if self._normalise:
            mean, scale, clip = self._normalise
            features = np.clip((features - mean) / scale, -clip, clip)
        for weight, bias, activation in self._layers:
            features = activation(features @ weight + bias)
        actions = self._decide(features, None if deterministic else rng)
        if batched:
            return actions
        return actions[0]  # an array of a Box, a numpy integer of a Discrete

    def _tanh(self, latent: Array, rng: np.random.Generator | None) -> Array:
        return self._scaled(np.tanh(self._linear(latent)))

    def _squashed_gaussian(self, latent: Array, rng: np.random.Generator | None) -> Array:
        mean = self._linear(latent)
        if rng is not None:
            log_std = latent @ self.tensors["log_std.weight"].T + self.tensors["log_std.bias"]
            mean = mean + np.exp(np.clip(log_std, *LOG_STD)) * rng.standard_normal(mean.shape, np.float32)
        return self._scaled(np.tanh(mean))

    def _gaussian(self, latent: Array, rng: np.random.Generator | None) -> Array:
        mean = self._linear(latent)
        if rng is not None:
            mean = mean + np.exp(self.tensors["log_std"]) * rng.standard_normal(mean.shape, np.float32)
        return self._within(mean)

    def _argmax(self, latent: Array, rng: np.random.Generator | None) -> Array:
        return self._choice(self._linear(latent).argmax(-1))

    def _categorical(self, latent: Array, rng: np.random.Generator | None) -> Array:
        logits = self._linear(latent)
        if rng is not None:
            logits = logits + rng.gumbel(size=logits.shape)  # whose argmax is distributed as the softmax of the logits
        return self._choice(logits.argmax(-1))

    def _linear(self, latent: Array) -> Array:
        weight, bias = self._out
        return latent @ weight + bias

    def _scaled(self, squashed: Array) -> Array:
        """From [-1, 1] to the bounds."""
        return self._within(self._low.ravel() + 0.5 * (squashed + 1.0) * (self._high - self._low).ravel())

    def _within(self, values: Array) -> Array:
        shaped = values.reshape(-1, *self._low.shape)
        space = self.action_space
        return np.minimum(np.maximum(shaped, self._low), self._high).astype(space.dtype, copy=False)

    def _choice(self, indices: Array) -> Array:
        space: Any = self.action_space
        return (indices + space.start).astype(space.dtype)

    # --- as bytes ---------------------------------------------------------------------------------------------------

    def pack(self) -> bytes:
        """What `load` makes this policy of again."""
        description = {"version": self.version, "head": self.head, "activations": self.activations,
                       "observation_space": spaces.describe(self.observation_space),
                       "action_space": spaces.describe(self.action_space)}
        return save(self.tensors, {"format": FORMAT, "description": json.dumps(description)})

    @classmethod
    def load(cls, raw: bytes) -> Policy:
        """The policy that `pack` wrote. Raises InvalidPolicy for everything else, however it is damaged or meant."""
        raw = bytes(raw)
        if len(raw) > LARGEST:
            raise InvalidPolicy(f"a policy of {len(raw) >> 20} MiB is larger than {LARGEST >> 20} MiB")
        tensors = _read_tensors(raw)
        try:
            said = json.loads(_metadata(raw)["description"])
            for name in ("observation_space", "action_space"):
                _check_extent(json.loads(said[name]))
            return cls(spaces.build(said["observation_space"]), spaces.build(said["action_space"]), said["head"],
                       said["activations"], tensors, _text(said["version"]))
        except InvalidPolicy:
            raise
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError, struct.error, UnirosError) as error:
            raise InvalidPolicy(f"the policy's description cannot be read: {error!r:.300}") from error

    def check_fits(self, observation_space: gymnasium.Space, action_space: gymnasium.Space) -> None:
        """Raises InvalidPolicy unless the policy is meant for these spaces."""
        for name, own, other in (("observation", self.observation_space, observation_space),
                                 ("action", self.action_space, action_space)):
            if own != other:
                raise InvalidPolicy(f"the policy is meant for the {name} space {own}, but the environment has {other}")

    def _expected(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all tensors this policy must have. Widths between layers are what the tensors say."""
        if not isinstance(self.activations, list) or len(self.activations) > MOST_LAYERS:
            raise InvalidPolicy(f"activations must be at most {MOST_LAYERS} names, not {self.activations!r:.80}")
        width = self._features.size
        shapes: dict[str, tuple[int, ...]] = {}
        for n, name in enumerate(self.activations):
            if name not in ACTIVATIONS:
                raise InvalidPolicy(f"unknown activation {name!r:.60}; there are {', '.join(ACTIVATIONS)}")
            following = len(self.tensors.get(f"layer{n}.bias", ()))
            shapes |= {f"layer{n}.weight": (following, width), f"layer{n}.bias": (following,)}
            width = following
        for name in ("out", "log_std") if self.head == "squashed_gaussian" else ("out",):
            shapes |= {f"{name}.weight": (self._outputs, width), f"{name}.bias": (self._outputs,)}
        if self.head == "gaussian":
            shapes["log_std"] = (self._outputs,)
        if any(name in self.tensors for name in NORMALISE):
            shapes |= dict.fromkeys(NORMALISE, (self._features.size,))
        return shapes


HEADS: dict[str, Any] = {"tanh": gs.Box, "squashed_gaussian": gs.Box, "gaussian": gs.Box, "argmax": gs.Discrete,
                          "categorical": gs.Discrete}


def fingerprint(tensors: Tensors) -> str:
    """Twelve hex digits of all the numbers."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    return digest.hexdigest()[:12]


def _outputs(space: Any, head: str) -> int:
    """Numbers that the last layer must give. Raises InvalidPolicy where the head is not one for the space."""
    if head not in HEADS:
        raise InvalidPolicy(f"unknown head {head!r:.60}; there are {', '.join(HEADS)}")
    if not isinstance(space, HEADS[head]):
        raise InvalidPolicy(f"the head {head} acts in a {HEADS[head].__name__}, not in {space}")
    if isinstance(space, gs.Discrete):
        return int(space.n)
    if head != "gaussian" and not space.is_bounded():
        raise InvalidPolicy(f"the head {head} needs an action space with bounds, not {space}")
    return math.prod(space.shape)


def _check_tensors(tensors: Tensors, expected: dict[str, tuple[int, ...]]) -> None:
    if tensors.keys() != expected.keys():
        odd = sorted(tensors.keys() ^ expected.keys())
        raise InvalidPolicy(f"these tensors are missing, or nobody knows them: {', '.join(odd)[:300]}")
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32 or tensor.shape != expected[name]:
            raise InvalidPolicy(f"{name} must be float32 of shape {expected[name]}, "
                                f"not {tensor.dtype} of {tensor.shape}")
        if not np.isfinite(tensor).all():
            raise InvalidPolicy(f"{name} holds numbers that are not finite: has training diverged?")
    if "normalise.scale" in tensors and not (min(tensors[name].min() for name in NORMALISE[1:]) > 0.0):
        raise InvalidPolicy("normalise.scale and normalise.clip must be positive")


def _read_tensors(raw: bytes) -> Tensors:
    try:
        found = dict(deserialize(raw))
    except SafetensorError as error:
        raise InvalidPolicy(f"expected a policy as uniros_msgs.policy packs it (safetensors): {error}") from error
    for name, view in found.items():
        if view["dtype"] != "F32":
            raise InvalidPolicy(f"{name:.60} must be of float32 (F32), not {view['dtype']}")
    return {name: np.frombuffer(view["data"], "<f4").reshape(view["shape"]) for name, view in found.items()}


def _metadata(raw: bytes) -> dict[str, str]:
    """Of a safetensors file that is known to be sound."""
    (length,) = struct.unpack_from("<Q", raw)
    metadata = json.loads(raw[8 : 8 + length]).get("__metadata__", {})
    if metadata.get("format") != FORMAT:
        raise InvalidPolicy(f"the format is {metadata.get('format')!r:.60}; expected {FORMAT!r}")
    return metadata


def _check_extent(tree: Any) -> None:
    """A few characters can describe a space of gigabytes."""
    shapes = [tree["shape"]] if isinstance(tree, dict) and "shape" in tree else []
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    if any(math.prod(shape) > MOST_ELEMENTS for shape in shapes):
        raise InvalidPolicy(f"a space of shape {shapes[0]} is larger than {MOST_ELEMENTS} elements")
    for each in inner:
        _check_extent(each)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise InvalidPolicy(f"a version is a text of at most 200 characters, not {value!r:.60}")
    return value
