"""Activation functions between the layers of a policy, as PyTorch computes them with its default settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    from collections.abc import Callable

Array = np.ndarray

_ERF = 0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429  # Abramowitz & Stegun 7.1.26, error < 1.5e-7
_ERF_SCALE = 0.3275911


def _elu(x: Array) -> Array:
    return np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0)))


def _silu(x: Array) -> Array:
    return x * (0.5 + 0.5 * np.tanh(0.5 * x))


def _leaky_relu(x: Array) -> Array:
    return np.maximum(x, np.float32(0.01) * x)


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1.0 + _erf(x * np.float32(np.sqrt(0.5))))


def _erf(x: Array) -> Array:
    t = 1.0 / (1.0 + np.float32(_ERF_SCALE) * np.abs(x))
    total = np.zeros_like(x)
    for factor in reversed(_ERF):
        total = (total + np.float32(factor)) * t
    return np.sign(x) * (1.0 - total * np.exp(-x * x))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0.0),
    "tanh": np.tanh,
    "elu": _elu,
    "silu": _silu,
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
}
