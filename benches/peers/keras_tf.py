"""Keras 2.15 on TensorFlow: LocallyConnected1D/2D, implementations 1, 2 and 3, under `tf.function`.

The gradients are those of the sum of y·dy by `tf.GradientTape`, which takes dy as the output's gradient. `both` returns
y as well, so that the forward pass is not pruned. Functions are traced once per workload, for any batch; `build_s` is
from the layer's constructor to the first result, for the batch that came first.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from common import (
    IMPLEMENTATIONS,
    Data,
    Json,
    Peer,
    Skip,
    Spec,
    Workload,
    cpu_adapter,
    main,
    patches_working_set,
)


class Keras(Peer):
    version = tf.__version__

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        if options.device != "cpu":
            raise SystemExit("error: tensorflow-cpu has no CUDA\nhelp: leave Keras out with --frameworks jax,torch")
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
        self.workload: Workload | None = None
        self.layers: dict[str, Any] = {}
        self.functions: dict[tuple[str, str], Callable[..., Any]] = {}
        self.tensors: dict[str, tf.Tensor] = {}

    def adapter(self) -> Json:
        return cpu_adapter(f"tensorflow {tf.__version__}, keras {version('keras')}")

    def specs(self, passes: Sequence[str]) -> list[Spec]:
        return [
            Spec("tensorflow-keras", implementation, "f32", pass_)
            for implementation in self.options.implementation
            for pass_ in passes
        ]

    def working_set(self, spec: Spec, workload: Workload, batch: int) -> int:
        forward = spec.pass_ == "forward"
        x, y = batch * workload.inputs, batch * workload.outputs
        match spec.implementation:
            case "loop":
                # The gradient of each location's slice is a whole x.
                slices = 0 if forward else 4 * workload.locations * x
                return patches_working_set(spec, workload, batch) + slices
            case "dense":
                dense = workload.inputs * workload.outputs
                return 4 * ((2 if forward else 4) * dense + 2 * (x + y))
            case _:
                nonzeros = workload.connected_weights
                per_nonzero = 200 + (0 if forward else 8 * batch)  # index tuples; gathered rows of x and dy
                return nonzeros * per_nonzero + 8 * (x + y)

    def refuse(self, spec: Spec, workload: Workload, batch: int) -> str | None:
        match spec.implementation:
            case "loop" if workload.padding != "valid":
                return "implementation 1 has no same padding"
            case "loop" if workload.locations > self.options.max_locations:
                return (
                    f"implementation 1 would trace {workload.locations} slices;"
                    f" the limit is {self.options.max_locations} (--max-locations)"
                )
            case "sparse" if workload.connected_weights > self.options.max_nonzeros:
                return (
                    f"implementation 3 would list {workload.connected_weights} indices in Python;"
                    f" the limit is {self.options.max_nonzeros} (--max-nonzeros)"
                )
        return None

    def load(self, data: Data) -> None:
        self.data = data
        if data.workload != self.workload or data.arrays:
            self.workload = data.workload
            self.layers.clear()
            self.functions.clear()
        self.tensors.clear()

    def tensor(self, name: str) -> tf.Tensor:
        if name not in self.tensors:
            self.tensors[name] = tf.constant(self.data.get(name))
        return self.tensors[name]

    def layer(self, implementation: str) -> Any:
        """The built layer; on a check, with the given weights, else with the initialiser's."""
        if implementation in self.layers:
            return self.layers[implementation]
        workload = self.data.workload
        kind = tf.keras.layers.LocallyConnected1D if workload.rank == 1 else tf.keras.layers.LocallyConnected2D
        layer = kind(
            workload.filters,
            workload.kernel,
            strides=workload.strides,
            padding=workload.padding,
            implementation=IMPLEMENTATIONS[implementation],
        )
        layer.build((None, *workload.input))
        if "w" in self.data.arrays or self.options.errors:
            kernel = kernel_from_canonical(self.data.get("w"), workload, implementation)
            layer.set_weights([kernel, self.data.get("b").reshape(layer.bias.shape)])
        self.layers[implementation] = layer
        return layer

    def function(self, spec: Spec) -> Callable[..., Any]:
        """The traced function of x (forward) or of x and dy."""
        key = (spec.implementation, spec.pass_)
        if key in self.functions:
            return self.functions[key]
        layer = self.layer(spec.implementation)
        workload = self.data.workload
        x_spec = tf.TensorSpec((None, *workload.input), tf.float32)
        y_spec = tf.TensorSpec((None, *workload.output, workload.filters), tf.float32)

        def gradients(x: tf.Tensor, dy: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
            return y, tape.gradient(y, [x, layer.kernel, layer.bias], output_gradients=dy)

        match spec.pass_:
            case "forward":
                traced = tf.function(layer.call).get_concrete_function(x_spec)
            case "backward":
                traced = tf.function(lambda x, dy: gradients(x, dy)[1]).get_concrete_function(x_spec, y_spec)
            case _:
                traced = tf.function(gradients).get_concrete_function(x_spec, y_spec)
        self.functions[key] = traced
        return traced

    def candidates(self, spec: Spec) -> Iterator[tuple[str, Callable[[], Any]]]:
        if spec.implementation == "loop" and self.data.workload.padding != "valid":
            raise Skip("implementation 1 has no same padding")
        function = self.function(spec)
        x = self.tensor("x")
        if spec.pass_ == "forward":
            yield "tf.function", lambda: function(x)
        else:
            dy = self.tensor("dy")
            yield "tf.function", lambda: function(x, dy)

    def canonical(self, spec: Spec, result: Any) -> dict[str, np.ndarray]:
        workload = self.data.workload
        arrays: dict[str, np.ndarray] = {}
        if spec.pass_ == "forward":
            return {"y": result.numpy()}
        if spec.pass_ == "both":
            arrays["y"] = result[0].numpy()
            result = result[1]
        dx, dkernel, dbias = (tf.convert_to_tensor(value).numpy() for value in result)
        arrays["dx"] = dx
        arrays["dw"] = kernel_to_canonical(dkernel, workload, spec.implementation)
        arrays["db"] = dbias.reshape(workload.locations, workload.filters)
        return arrays

    def wait(self, result: Any) -> None:
        """A function on the CPU returns when it is done."""

    def release(self) -> None:
        self.tensors.clear()


def connected(workload: Workload) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Location, tap and input position of every connected pair."""
    positions = workload.tap_positions()
    location, tap = np.nonzero(positions >= 0)
    return location, tap, positions[location, tap]


def sparse_order(workload: Workload) -> np.ndarray:
    """(locations, F, taps, C): which weights implementation 3 has, in its order (by output, then by input)."""
    shape = (workload.locations, workload.filters, workload.taps, workload.channels)
    return np.broadcast_to((workload.tap_positions() >= 0)[:, None, :, None], shape)


def kernel_from_canonical(weights: np.ndarray, workload: Workload, implementation: str) -> np.ndarray:
    """Weights (locations, taps, C, F) as the variable of a Keras implementation."""
    positions, (locations, _, channels, filters) = int(np.prod(workload.spatial)), weights.shape
    match implementation:
        case "loop":
            return weights.reshape(locations, -1, filters)
        case "dense":
            location, tap, position = connected(workload)
            dense = np.zeros((positions, channels, locations, filters), np.float32)
            dense[position, :, location] = weights[location, tap]
            return dense.reshape(*workload.spatial, channels, *workload.output, filters)
        case _:
            return weights.transpose(0, 3, 1, 2)[sparse_order(workload)]


def kernel_to_canonical(kernel: np.ndarray, workload: Workload, implementation: str) -> np.ndarray:
    """The inverse; unconnected taps are zero."""
    shape = (workload.locations, workload.taps, workload.channels, workload.filters)
    match implementation:
        case "loop":
            return kernel.reshape(shape)
        case "dense":
            location, tap, position = connected(workload)
            dense = kernel.reshape(-1, workload.channels, workload.locations, workload.filters)
            weights = np.zeros(shape, np.float32)
            weights[location, tap] = dense[position, :, location]
            return weights
        case _:
            weights = np.zeros((shape[0], shape[3], shape[1], shape[2]), np.float32)
            weights[sparse_order(workload)] = kernel
            return weights.transpose(0, 2, 3, 1)


if __name__ == "__main__":
    main(Keras, (__doc__ or "").partition("\n")[0])
