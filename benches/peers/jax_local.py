"""JAX: `jax.lax.conv_general_dilated_local` under `jit`, channels last; backward by `jax.vjp`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common import (
    CACHES,
    Data,
    Json,
    Peer,
    Spec,
    Workload,
    cpu_adapter,
    main,
    patches_working_set,
)

# Names of JAX's default matmul precision, on a CPU all plain f32; bf16 is a type of the arrays.
PRECISIONS = {"f32": "highest", "tf32": "tensorfloat32", "bf16": "highest"}


class Jax(Peer):
    version = jax.__version__

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        jax.config.update("jax_platforms", options.device)
        self.device = jax.devices()[0]
        self.arrays: dict[tuple[str, str], jax.Array] = {}

    def adapter(self) -> Json:
        driver = f"jax {jax.__version__}"
        if self.options.device == "cpu":
            return cpu_adapter(driver)
        return {
            "name": self.device.device_kind,
            "backend": "cuda",
            "driver": f"{driver}, {self.device.client.platform_version}",
            "device_type": "DiscreteGpu",
        }

    def specs(self, passes: Sequence[str]) -> list[Spec]:
        precisions = self.options.precision or (["f32"] if self.options.device == "cpu" else list(PRECISIONS))
        return [Spec("jax", "loop", precision, pass_) for precision in precisions for pass_ in passes]

    def working_set(self, spec: Spec, workload: Workload, batch: int) -> int:
        return patches_working_set(spec, workload, batch)

    def memory_limit(self) -> int:
        if self.options.device == "cpu":
            return super().memory_limit()
        return (self.device.memory_stats() or {}).get("bytes_limit", 1 << 33) // 2

    def load(self, data: Data) -> None:
        self.data = data
        self.arrays.clear()

    def array(self, name: str, precision: str) -> jax.Array:
        dtype = "bfloat16" if precision == "bf16" else "float32"
        if (name, dtype) not in self.arrays:
            value = self.data.get(name)
            workload = self.data.workload
            if name == "w":
                value = value.transpose(0, 2, 1, 3)  # JAX's patches are channel-major
            if name == "w":
                value = value.reshape(*workload.output, workload.channels * workload.taps, workload.filters)
            elif name == "b":
                value = value.reshape(*workload.output, workload.filters)
            self.arrays[name, dtype] = jax.device_put(jnp.asarray(value, dtype), self.device)
        return self.arrays[name, dtype]

    def functions(self) -> dict[str, tuple[Callable[..., Any], tuple[str, ...]]]:
        """Each pass's function with the names of its arguments."""
        workload = self.data.workload
        numbers = ("NHWC", "HWIO", "NHWC") if workload.rank == 2 else ("NWC", "WIO", "NWC")

        def forward(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
            y = jax.lax.conv_general_dilated_local(
                x,
                w,
                window_strides=workload.strides,
                padding=workload.pads,
                filter_shape=workload.kernel,
                dimension_numbers=numbers,
            )
            return y + b

        def both(x: jax.Array, w: jax.Array, b: jax.Array, dy: jax.Array) -> tuple[jax.Array, Any]:
            y, pull_back = jax.vjp(forward, x, w, b)
            return y, pull_back(dy)

        def backward(x: jax.Array, w: jax.Array, dy: jax.Array) -> Any:
            return both(x, w, jnp.zeros((*workload.output, workload.filters), x.dtype), dy)[1]

        return {
            "forward": (forward, ("x", "w", "b")),
            "backward": (backward, ("x", "w", "dy")),
            "both": (both, ("x", "w", "b", "dy")),
        }

    def candidates(self, spec: Spec) -> Iterator[tuple[str, Callable[[], Any]]]:
        function, names = self.functions()[spec.pass_]
        arguments = [self.array(name, spec.precision) for name in names]
        with jax.default_matmul_precision(PRECISIONS[spec.precision]):
            compiled = jax.jit(function).lower(*arguments).compile()
        yield "jit", lambda: compiled(*arguments)

    def canonical(self, spec: Spec, result: Any) -> dict[str, jax.Array]:
        workload = self.data.workload
        if spec.pass_ == "forward":
            return {"y": result}
        arrays: dict[str, jax.Array] = {}
        if spec.pass_ == "both":
            arrays["y"], result = result
        dx, dw, db = result
        arrays["dx"] = dx
        dw = dw.reshape(workload.locations, workload.channels, workload.taps, workload.filters)
        arrays["dw"] = dw.transpose(0, 2, 1, 3)
        arrays["db"] = db.reshape(workload.locations, workload.filters)
        return arrays

    def host(self, array: jax.Array) -> np.ndarray:
        return np.asarray(array, np.float32)

    def fill_caches(self) -> None:
        if self.options.device == "cpu":
            return super().fill_caches()
        if not hasattr(self, "on_device"):
            self.on_device = jnp.zeros(CACHES // 4, jnp.float32)
        jax.block_until_ready(self.on_device.sum())

    def wait(self, result: Any) -> None:
        jax.block_until_ready(result)

    def release(self) -> None:
        self.arrays.clear()
        jax.clear_caches()


if __name__ == "__main__":
    main(Jax, (__doc__ or "").partition("\n")[0])
