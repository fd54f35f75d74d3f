"""Policies as bytes: what was sent comes back, and nothing malformed, hostile or unfit ever acts."""

from __future__ import annotations

import json
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces as gs
from policies import drawn
from safetensors.numpy import save

from uniros_msgs import policy as module
from uniros_msgs.errors import InvalidPolicy
from uniros_msgs.exploration import Exploration, Explorer
from uniros_msgs.policy import FORMAT, Policy

SEEN = gs.Box(-1.0, 1.0, (4,), np.float32)
ARM = gs.Box(np.array([-1.0, 0.5], np.float32), np.array([1.0, 2.0], np.float32))
CHOICE = gs.Discrete(3, start=5)


@pytest.mark.parametrize("actions", [ARM, CHOICE, gs.Box(-2, 2, (2, 3), np.float64)], ids=str)
def test_what_is_packed_comes_back_and_acts_alike(actions: gs.Space) -> None:
    policy = drawn(SEEN, actions, version="7")
    again = Policy.load(policy.pack())
    assert again.version == "7" and again.observation_space == SEEN and again.action_space == actions
    rows = np.stack([SEEN.sample() for _ in range(20)])
    np.testing.assert_array_equal(policy.act(rows), again.act(rows))
    for row in rows:
        assert actions.contains(again.act(row))
    assert again.act(rows).shape == (20, *actions.shape)


def test_actions_lie_in_the_space_whatever_is_observed() -> None:
    for value in (0.0, 1.0, -1e6, 1e30):
        assert ARM.contains(drawn(SEEN, ARM).act(np.full(4, value, np.float32)))


def test_sampling_needs_a_generator() -> None:
    with pytest.raises(ValueError, match="rng"):
        drawn(SEEN, ARM).act(np.zeros(4, np.float32), deterministic=False)


# --- what must not be loaded ----------------------------------------------------------------------------------------


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def described(changed: dict[str, Any] | None = None, tensors: dict[str, Any] | None = None, drop: str = "") -> bytes:
    """A policy with another description or other tensors."""
    good = drawn(SEEN, ARM)
    (length,) = struct.unpack_from("<Q", good.pack())
    said = json.loads(json.loads(good.pack()[8 : 8 + length])["__metadata__"]["description"]) | (changed or {})
    weights = {name: value for name, value in (good.tensors | (tensors or {})).items() if name != drop}
    return save(weights, {"format": FORMAT, "description": json.dumps(said)})


def a_claim(header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


NAN = np.full((2, 64), np.nan, np.float32)
BOX = {"type": "Box", "dtype": "float32", "low": -1.0, "high": 1.0}
HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "safetensors"),
    "pickle": (pickle.dumps(Bomb()), "safetensors"),
    "zip": (b"PK\x03\x04" + b"\0" * 100, "safetensors"),
    "truncated": (drawn(SEEN, ARM).pack()[:-7], "safetensors"),
    "longer than it says": (drawn(SEEN, ARM).pack() + b"\0", "safetensors"),
    "a header of 2**60 bytes": (struct.pack("<Q", 2**60) + b"{}", "safetensors"),
    "a tensor beyond the end": (a_claim({"out.bias": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
                                "safetensors"),
    "huge": (b"\0" * (module.LARGEST + 1), "64 MiB"),
    "another format": (save({"out.bias": np.zeros(2, np.float32)}, {"format": "else"}), "format"),
    "no metadata": (save({"out.bias": np.zeros(2, np.float32)}), "format"),
    "no description": (save({"out.bias": np.zeros(2, np.float32)}, {"format": FORMAT}), "description"),
    "nan": (described(tensors={"out.weight": NAN}), "out.weight holds numbers that are not finite"),
    "infinite": (described(tensors={"layer0.bias": np.full(64, np.inf, np.float32)}), "layer0.bias"),
    "wrong shape": (described(tensors={"out.weight": np.zeros((3, 64), np.float32)}), r"shape \(2, 64\)"),
    "float64": (described(tensors={"out.bias": np.zeros(2)}), "F32"),
    "missing": (described(drop="layer1.bias"), "layer1"),
    "surplus": (described(tensors={"spy": np.zeros(1, np.float32)}), "spy"),
    "unknown activation": (described({"activations": ["relu", "__import__"]}), "unknown activation"),
    "unknown head": (described({"head": "pack"}), "unknown head"),
    "unhashable head": (described({"head": ["tanh"]}), "description|head"),
    "a head of another space": (described({"head": "argmax"}), "acts in a Discrete"),
    "10,000 layers": (described({"activations": ["relu"] * 10_000}), "at most 32"),
    "layers that are a dict": (described({"activations": {"relu": 1}}), "activations"),
    "half a normalisation": (described(tensors={"normalise.mean": np.zeros(4, np.float32)}), "normalise"),
    "division by zero": (described(tensors=dict.fromkeys(module.NORMALISE, np.zeros(4, np.float32))), "positive"),
    "a space of gigabytes": (described({"observation_space": json.dumps(BOX | {"shape": [2**14, 2**14]})}), "elements"),
    "a space nobody knows": (described({"observation_space": json.dumps({"type": "os.system"})}), "os.system"),
    "a space without end": (described({"observation_space": "[" * 100_000}), "description"),
    "a version that is a book": (described({"version": "x" * 10_000}), "version"),
    "a description that is a list": (save({}, {"format": FORMAT, "description": "[]"}), "description"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_malformed_or_hostile_is_refused(name: str) -> None:
    raw, reason = HOSTILE[name]
    tracemalloc.start()
    with pytest.raises(InvalidPolicy, match=reason):
        Policy.load(raw)
    assert tracemalloc.get_traced_memory()[1] < 2 * len(raw) + (16 << 20)
    tracemalloc.stop()


def test_any_flipped_byte_gives_a_policy_or_a_refusal() -> None:
    raw, rng = bytearray(drawn(SEEN, ARM, widths=(3,)).pack()), np.random.default_rng(0)
    for _ in range(400):
        at = int(rng.integers(len(raw)))
        kept, raw[at] = raw[at], int(rng.integers(256))
        with suppress(InvalidPolicy):
            assert Policy.load(bytes(raw)).act(np.zeros(4, np.float32)).shape == (2,)
        raw[at] = kept


def test_a_policy_for_another_environment_is_refused() -> None:
    policy = drawn(SEEN, ARM)
    policy.check_fits(SEEN, ARM)
    with pytest.raises(InvalidPolicy, match="observation space"):
        policy.check_fits(gs.Box(-1, 1, (5,)), ARM)
    with pytest.raises(InvalidPolicy, match="action space"):
        policy.check_fits(SEEN, CHOICE)


# --- exploration ----------------------------------------------------------------------------------------------------


def acted(exploration: Exploration, space: gs.Space = ARM, count: int = 2000, rows: int | None = None) -> Any:
    explorer, policy = Explorer(exploration, space, rows), drawn(SEEN, space)
    seen = np.zeros((rows, 4) if rows else 4, np.float32)
    return np.stack([explorer.act(policy, seen) for _ in range(count)])


def test_without_exploration_the_policy_acts() -> None:
    np.testing.assert_array_equal(acted(Exploration(), count=2)[1], drawn(SEEN, ARM).act(np.zeros(4, np.float32)))


def test_noise_is_of_scaled_actions_and_stays_in_the_space() -> None:
    made, plain = acted(Exploration("normal", sigma=0.1, seed=1)), drawn(SEEN, ARM).act(np.zeros(4, np.float32))
    np.testing.assert_allclose((made - plain).std(0), [0.1, 0.075], rtol=0.1)
    assert all(ARM.contains(action) for action in acted(Exploration("normal", sigma=(2.0, 0.0), seed=1), count=100))
    assert acted(Exploration("normal", sigma=0.1, seed=1), count=5).tolist() == made[:5].tolist()


def test_ornstein_uhlenbeck_remembers_until_the_episode_ends() -> None:
    noise = Exploration("ornstein_uhlenbeck", sigma=0.2, theta=0.5, dt=0.1, seed=3)
    moved = acted(noise)[:, 0] - drawn(SEEN, ARM).act(np.zeros(4, np.float32))[0]
    assert np.corrcoef(moved[:-1], moved[1:])[0, 1] == pytest.approx(1 - 0.5 * 0.1, abs=0.02)
    explorer = Explorer(noise, ARM)
    for _ in range(50):
        explorer.act(drawn(SEEN, ARM), np.zeros(4, np.float32))
    explorer.begin()
    assert not explorer._state.any()


def test_random_steps_and_epsilon() -> None:
    made = acted(Exploration(random_steps=1000, seed=0))
    assert made[:1000, 1].min() < 0.55 and made[:1000, 1].max() > 1.95 and np.ptp(made[1000:]) > 0
    assert len(np.unique(made[1000:], axis=0)) == 1
    chosen = acted(Exploration(epsilon=0.3, seed=0), CHOICE)
    assert np.mean(chosen != drawn(SEEN, CHOICE).act(np.zeros(4, np.float32))) == pytest.approx(0.2, abs=0.03)
    assert set(chosen.tolist()) == {5, 6, 7}
    assert acted(Exploration(random_steps=3, seed=0), CHOICE, 5, rows=4).shape == (5, 4)
    assert acted(Exploration("normal", seed=0), ARM, 5, rows=4).shape == (5, 4, 2)


NONE = [{"noise": "pink"}, {"sigma": float("nan")}, {"sigma": -1.0}, {"sigma": "0.1"}, {"sigma": [[0.1]]}, "normal",
        [1], {"random_steps": -1}, {"random_steps": 2.5}, {"epsilon": 1.5}, {"epsilon": float("nan")}, {"seed": "x"},
        {"theta": float("inf")}, {"seed": -1}, {"code": "import os"}]


@pytest.mark.parametrize("said", NONE, ids=str)
def test_explorations_that_are_none(said: Any) -> None:
    with pytest.raises(InvalidPolicy, match="exploration"):
        Exploration.read(said)


def test_explorations_must_fit_the_space() -> None:
    assert Exploration.read(Exploration("normal", seed=4).describe()) == Exploration("normal", seed=4)
    assert Exploration.read(None) == Exploration()
    with pytest.raises(InvalidPolicy, match="continuous"):
        Explorer(Exploration("normal"), CHOICE)
    with pytest.raises(InvalidPolicy, match="sigma"):
        Explorer(Exploration("normal", sigma=(0.1, 0.1, 0.1)), ARM)
    with pytest.raises(InvalidPolicy, match="bounds"):
        Explorer(Exploration(random_steps=5), gs.Box(-np.inf, np.inf, (2,)))
