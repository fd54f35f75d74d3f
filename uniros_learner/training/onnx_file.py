"""A policy as an ONNX graph: observations in, actions of the environment out, for any runtime that knows ONNX.

Inputs are `observation`, (rows, ...) float32, or one for each key of a Dict; the output is `action`. Spaces and version
stand in the file's metadata, as `uniros_msgs.spaces` describes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from gymnasium import spaces as gs
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from uniros_msgs import spaces
from uniros_msgs.errors import InvalidPolicy
from uniros_msgs.policy import Policy

OPSET = 20  # the first that knows Gelu
IR_VERSION = 10
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}), "tanh": ("Tanh", {}), "elu": ("Elu", {"alpha": 1.0}), "leaky_relu": ("LeakyRelu", {}),
    "gelu": ("Gelu", {"approximate": "none"}),
}  # fmt: skip


def to_onnx(policy: Policy, about: Mapping[str, str], table: NDArray[np.float32] | None = None) -> bytes:
    """The file's content. about: what else its metadata shall say. table: the action of each choice, (K, A).

    The graph acts deterministically. Raises InvalidPolicy for observations that are more than numbers in Boxes.
    """
    graph = _Graph()
    latent = graph.features(policy.observation_space)
    if "normalise.mean" in policy.tensors:
        mean, scale, clip = (graph.constant(policy.tensors[f"normalise.{name}"]) for name in ("mean", "scale", "clip"))
        scaled = graph.node("Div", graph.node("Sub", latent, mean), scale)
        latent = graph.node("Max", graph.node("Min", scaled, clip), graph.node("Neg", clip))
    for number, name in enumerate(policy.activations):
        latent = graph.activation(name, graph.linear(latent, policy, f"layer{number}"))
    _act(graph, policy, graph.linear(latent, policy, "out"), table)
    metadata = {"observation_space": spaces.describe(policy.observation_space),
                "action_space": spaces.describe(policy.action_space), "version": policy.version, **about}
    return graph.file(metadata)


def _act(graph: _Graph, policy: Policy, out: str, table: NDArray[np.float32] | None) -> None:
    space: Any = policy.action_space
    if policy.head in ("argmax", "categorical"):
        choice = graph.node("ArgMax", out, axis=-1, keepdims=0)
        if table is None:
            graph.output(graph.node("Add", choice, graph.constant(np.array(space.start, np.int64))), np.int64, ())
        else:
            graph.output(graph.node("Gather", graph.constant(table), choice, axis=0), np.float32, table.shape[1:])
        return
    low, high = (graph.constant(bound.ravel().astype(np.float32)) for bound in (space.low, space.high))
    if policy.head != "gaussian":
        half = graph.constant((0.5 * (space.high - space.low)).ravel().astype(np.float32))
        squashed = graph.node("Add", graph.node("Tanh", out), graph.constant(np.array(1.0, np.float32)))
        out = graph.node("Add", graph.node("Mul", squashed, half), low)
    within = graph.node("Max", graph.node("Min", out, high), low)
    shaped = graph.node("Reshape", within, graph.constant(np.array([-1, *space.shape], np.int64)))
    graph.output(shaped, np.float32, space.shape)


class _Graph:
    """Nodes one after the other, each with a name of its own."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Another node; the name of what comes out of it."""
        name = f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def features(self, space: gs.Space) -> str:
        """(rows, size) of the observation's inputs, one behind the other."""
        parts = dict(space.spaces) if isinstance(space, gs.Dict) else {"observation": space}
        flat = []
        for name, part in parts.items():
            if not isinstance(part, gs.Box):
                raise InvalidPolicy(f"the observation {name} is a {type(part).__name__}: only Boxes are exported to "
                                    "ONNX; the safetensors file holds this policy, too")
            self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", *part.shape]))
            flat.append(self.node("Flatten", name))
        return self.node("Concat", *flat, axis=1)

    def linear(self, latent: str, policy: Policy, name: str) -> str:
        weight, bias = (self.constant(policy.tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.node("Gemm", latent, weight, bias, transB=1)

    def activation(self, name: str, latent: str) -> str:
        if name == "silu":
            return self.node("Mul", latent, self.node("Sigmoid", latent))
        kind, attributes = ACTIVATIONS[name]
        return self.node(kind, latent, **attributes)

    def output(self, name: str, dtype: type, shape: tuple[int, ...]) -> None:
        self._nodes.append(helper.make_node("Identity", [name], ["action"]))
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._outputs.append(helper.make_tensor_value_info("action", kind, ["rows", *shape]))

    def file(self, metadata: Mapping[str, str]) -> bytes:
        graph = helper.make_graph(self._nodes, "policy", self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                                  producer_name="uniros")
        helper.set_model_props(model, {name: str(value) for name, value in metadata.items()})
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


def describe(found: Mapping[str, Any]) -> str:
    """Metadata as text, for what is no text."""
    return json.dumps(found)
