"""PyTorch, which has no such layer: unfold and batched matrix products over locations, eager and compiled.

Data is channels last, weights are (locations, taps·C, F), patches (locations, N, taps·C): of the recipes in use this is
the fastest on the CPU by far (`F.unfold` on channels-first data takes 2 to 10 times as long). y and dx are returned in
whatever memory order the formulation leaves. The backward pass is written out, from x, w and dy, as autograd would do
it or better: autograd spreads patches' gradients with `unfold_backward`, which loses to sums over taps for many shapes.
Where there are several formulations, the fastest is measured and named in the row:

* `bmm`: `baddbmm` over locations. `mulsum`, for one filter: products summed over the patch.
* the gradient of x from that of patches: `unfold_backward`; `taps`, one dimension after the other; `reshape`, where
  windows do not overlap.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
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
from torch import Tensor

# How f32 matrix products are computed, in the words of PyTorch from 2.9 on and before; bf16 is a type of the arrays.
PRECISIONS = {"f32": ("ieee", "highest"), "tf32": ("tf32", "high"), "bf16": ("ieee", "highest")}


def set_precision(precision: str) -> None:
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        matmul.fp32_precision = PRECISIONS[precision][0]
    else:
        torch.set_float32_matmul_precision(PRECISIONS[precision][1])


# --- Formulations ---------------------------------------------------------------------------------------------------


def pad(x: Tensor, workload: Workload) -> Tensor:
    if not any(any(pair) for pair in workload.pads):
        return x
    # From the last dimension to the first: channels, then spatial ones.
    return torch.nn.functional.pad(x, [0, 0, *(side for pair in reversed(workload.pads) for side in pair)])


def patches(x: Tensor, workload: Workload) -> Tensor:
    """(locations, N, taps·C), a view where there is one."""
    rank = workload.rank
    windows = pad(x, workload)
    for dim, (size, step) in enumerate(zip(workload.kernel, workload.strides)):
        windows = windows.unfold(1 + dim, size, step)
    # N, output…, C, kernel… -> output…, N, kernel…, C
    order = (*range(1, 1 + rank), 0, *range(2 + rank, 2 + 2 * rank), 1 + rank)
    return windows.permute(order).reshape(workload.locations, x.shape[0], workload.taps * workload.channels)


def by_location(dy: Tensor, workload: Workload) -> Tensor:
    """dy as (locations, N, F)."""
    return dy.reshape(dy.shape[0], workload.locations, workload.filters).transpose(0, 1)


def product_bmm(windows: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return torch.baddbmm(b.unsqueeze(1), windows, w)


def product_mulsum(windows: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return (windows * w.transpose(1, 2)).sum(-1, keepdim=True) + b.unsqueeze(1)


def gradients_bmm(windows: Tensor, w: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """Of patches and of weights."""
    return torch.bmm(dy, w.transpose(1, 2)), torch.bmm(windows.transpose(1, 2), dy)


def gradients_mulsum(windows: Tensor, w: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    return dy * w.transpose(1, 2), (windows * dy).sum(1).unsqueeze(2)


def spread_out(gradient: Tensor, workload: Workload) -> Tensor:
    """Gradients of patches as (output…, N, kernel…, C)."""
    return gradient.reshape(*workload.output, gradient.shape[1], *workload.kernel, workload.channels)


def padded_spatial(workload: Workload) -> list[int]:
    return [n + before + after for n, (before, after) in zip(workload.spatial, workload.pads)]


def crop(dx: Tensor, workload: Workload) -> Tensor:
    """Undoes the padding, negative padding included."""
    if not any(any(pair) for pair in workload.pads):
        return dx
    return torch.nn.functional.pad(dx, [0, 0, *(-side for pair in reversed(workload.pads) for side in pair)])


def fold_unfold_backward(gradient: Tensor, workload: Workload) -> Tensor:
    """What autograd does for `unfold`."""
    rank, spatial = workload.rank, padded_spatial(workload)
    folded = spread_out(gradient, workload)
    # -> N, output…, C, kernel…
    folded = folded.permute(rank, *range(rank), 2 * rank + 1, *range(rank + 1, 2 * rank + 1))
    for dim in reversed(range(rank)):
        size = [folded.shape[0], *workload.output[:dim], *spatial[dim:], workload.channels, *workload.kernel[:dim]]
        folded = torch.ops.aten.unfold_backward(folded, size, 1 + dim, workload.kernel[dim], workload.strides[dim])
    return crop(folded, workload)


def fold_taps(gradient: Tensor, workload: Workload) -> Tensor:
    """Sums over the taps of one dimension after the other."""
    rank, spatial = workload.rank, padded_spatial(workload)
    folded = spread_out(gradient, workload)
    for dim in range(rank):
        taps_axis = rank + 1
        shape = list(folded.shape)
        shape[dim] = spatial[dim]
        del shape[taps_axis]
        total = folded.new_zeros(shape)
        span = workload.strides[dim] * (workload.output[dim] - 1) + 1
        for tap in range(workload.kernel[dim]):
            at = (slice(None),) * dim + (slice(tap, tap + span, workload.strides[dim]),)
            total[at] += folded.select(taps_axis, tap)
        folded = total
    return crop(folded.permute(rank, *range(rank), rank + 1), workload)


def fold_reshape(gradient: Tensor, workload: Workload) -> Tensor:
    """For windows side by side, in which each input element has one place at most."""
    rank, spatial = workload.rank, padded_spatial(workload)
    folded = spread_out(gradient, workload)
    pairs = [axis for dim in range(rank) for axis in (dim, rank + 1 + dim)]
    folded = folded.permute(rank, *pairs, 2 * rank + 1)
    covered = [o * k for o, k in zip(workload.output, workload.kernel)]
    folded = folded.reshape(gradient.shape[1], *covered, workload.channels)
    rest = [n - c for n, c in zip(spatial, covered)]
    if any(rest):
        folded = torch.nn.functional.pad(folded, [0, 0, *(side for r in reversed(rest) for side in (0, r))])
    return crop(folded, workload)


PRODUCTS: dict[str, tuple[Callable[..., Tensor], Callable[..., tuple[Tensor, Tensor]]]] = {
    "bmm": (product_bmm, gradients_bmm),
    "mulsum": (product_mulsum, gradients_mulsum),
}
FOLDS: dict[str, Callable[[Tensor, Workload], Tensor]] = {
    "unfold_backward": fold_unfold_backward,
    "taps": fold_taps,
    "reshape": fold_reshape,
}


def output(by_locations: Tensor, workload: Workload) -> Tensor:
    """(locations, N, F) as (N, output…, F), without a copy."""
    return by_locations.transpose(0, 1).unflatten(1, workload.output)


def forward_function(workload: Workload, product: str) -> Callable[..., Tensor]:
    multiply, _ = PRODUCTS[product]

    def forward(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return output(multiply(patches(x, workload), w, b), workload)

    return forward


def backward_function(workload: Workload, product: str, fold: str) -> Callable[..., tuple[Tensor, ...]]:
    _, differentiate = PRODUCTS[product]

    def backward(x: Tensor, w: Tensor, dy: Tensor) -> tuple[Tensor, ...]:
        dy = by_location(dy, workload)
        dpatches, dw = differentiate(patches(x, workload), w, dy)
        return FOLDS[fold](dpatches, workload), dw, dy.sum(1)

    return backward


def both_function(workload: Workload, product: str, fold: str) -> Callable[..., tuple[Tensor, ...]]:
    multiply, differentiate = PRODUCTS[product]

    def both(x: Tensor, w: Tensor, b: Tensor, dy: Tensor) -> tuple[Tensor, ...]:
        dy = by_location(dy, workload)
        windows = patches(x, workload)
        y = output(multiply(windows, w, b), workload)
        dpatches, dw = differentiate(windows, w, dy)
        return y, FOLDS[fold](dpatches, workload), dw, dy.sum(1)

    return both


# --- The framework --------------------------------------------------------------------------------------------------


class Torch(Peer):
    version = torch.__version__

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.device = torch.device(options.device)
        if options.device == "cuda" and not torch.cuda.is_available():
            raise SystemExit("error: PyTorch sees no CUDA device")
        torch.set_num_threads(options.threads)
        torch.set_grad_enabled(False)
        self.tensors: dict[tuple[str, torch.dtype], Tensor] = {}
        self.precision: str | None = None

    def adapter(self) -> Json:
        driver = f"torch {torch.__version__}"
        if self.options.device == "cpu":
            return cpu_adapter(driver)
        return {
            "name": torch.cuda.get_device_name(),
            "backend": "cuda",
            "driver": f"{driver}, CUDA {torch.version.cuda}",
            "device_type": "DiscreteGpu",
        }

    def specs(self, passes: Sequence[str]) -> list[Spec]:
        precisions = self.options.precision or (["f32"] if self.options.device == "cpu" else list(PRECISIONS))
        frameworks = [] if self.options.only_compile else ["torch"]
        if not self.options.no_compile:
            frameworks.append("torch-compile")
        return [
            Spec(framework, "loop", precision, pass_)
            for framework in frameworks
            for precision in precisions
            for pass_ in passes
        ]

    def working_set(self, spec: Spec, workload: Workload, batch: int) -> int:
        return patches_working_set(spec, workload, batch)

    def memory_limit(self) -> int:
        if self.options.device == "cpu":
            return super().memory_limit()
        return torch.cuda.mem_get_info()[1] // 2

    def load(self, data: Data) -> None:
        self.data = data
        self.tensors.clear()

    def tensor(self, name: str, precision: str) -> Tensor:
        key = (name, torch.bfloat16 if precision == "bf16" else torch.float32)
        if key not in self.tensors:
            value = self.data.get(name)
            if name == "w":
                value = value.reshape(value.shape[0], -1, value.shape[3])
            self.tensors[key] = torch.from_numpy(np.ascontiguousarray(value)).to(self.device, key[1])
        return self.tensors[key]

    def products(self, compiled: bool) -> list[str]:
        if self.data.workload.filters > 1:
            return ["bmm"]
        return ["mulsum"] if compiled else ["bmm", "mulsum"]

    def folds(self, compiled: bool) -> list[str]:
        workload = self.data.workload
        if workload.kernel == workload.strides:
            return ["reshape"]
        # Compiling takes seconds; on the CPU the compiled `taps` was never seen to win by much.
        return ["unfold_backward"] if compiled and self.options.device == "cpu" else ["unfold_backward", "taps"]

    def candidates(self, spec: Spec) -> Iterator[tuple[str, Callable[[], Any]]]:
        workload, compiled = self.data.workload, spec.framework == "torch-compile"
        names = {"forward": ("x", "w", "b"), "backward": ("x", "w", "dy"), "both": ("x", "w", "b", "dy")}[spec.pass_]
        arguments = [self.tensor(name, spec.precision) for name in names]
        for product in self.products(compiled):
            if spec.pass_ == "forward":
                yield product, self.runner(forward_function(workload, product), arguments, spec)
                continue
            make = backward_function if spec.pass_ == "backward" else both_function
            for fold in self.folds(compiled):
                yield f"{product}, {fold}", self.runner(make(workload, product, fold), arguments, spec)

    def runner(self, function: Callable[..., Any], arguments: list[Tensor], spec: Spec) -> Callable[[], Any]:
        if spec.framework == "torch-compile":
            function = torch.compile(function, dynamic=False, mode=self.options.compile_mode)
        if self.options.device == "cpu":
            return lambda: function(*arguments)

        def run() -> Any:
            if self.precision != spec.precision:
                set_precision(spec.precision)
                self.precision = spec.precision
            return function(*arguments)

        return run

    def canonical(self, spec: Spec, result: Any) -> dict[str, Tensor]:
        workload = self.data.workload
        names = {"forward": ("y",), "backward": ("dx", "dw", "db"), "both": ("y", "dx", "dw", "db")}[spec.pass_]
        values = (result,) if spec.pass_ == "forward" else result
        arrays = dict(zip(names, values))
        if "dw" in arrays:
            shape = (workload.locations, workload.taps, workload.channels, workload.filters)
            arrays["dw"] = arrays["dw"].reshape(shape)
        return arrays

    def host(self, array: Tensor) -> np.ndarray:
        return array.float().cpu().numpy()

    def fill_caches(self) -> None:
        if self.options.device == "cpu":
            return super().fill_caches()
        if not hasattr(self, "on_device"):
            self.on_device = torch.zeros(CACHES // 4, device=self.device)
        self.on_device.sum()
        torch.cuda.synchronize()

    def wait(self, result: Any) -> None:
        if self.options.device == "cuda":
            torch.cuda.synchronize()

    def timed(self, run: Callable[[], Any]) -> tuple[float, float | None]:
        if self.options.device == "cpu":
            return super().timed(run)
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start = time.perf_counter()
        begin.record()
        result = run()
        end.record()
        torch.cuda.synchronize()
        wall = (time.perf_counter() - start) * 1e3
        del result
        return wall, begin.elapsed_time(end)

    def release(self) -> None:
        self.tensors.clear()
        if not self.options.no_compile:
            torch._dynamo.reset()
        if self.options.device == "cuda":
            torch.cuda.empty_cache()

    def ceiling(self) -> Json:
        """Copy: bytes read and written, of arrays larger than caches. Arithmetic: an f32 matrix product."""
        set_precision("f32")
        self.precision = "f32"
        length, size = (1 << 27, 2048) if self.options.device == "cpu" else (1 << 29, 8192)
        copy_ms = self.copy_ms(length)
        a, b = (torch.rand(size, size, device=self.device) for _ in range(2))
        c = torch.empty_like(a)
        product_ms = self.fewest_ms(lambda: torch.mm(a, b, out=c))
        return {
            "copy_gb_s": round(2 * 4 * length / copy_ms * 1e-6, 2),
            "f32_gflop_s": round(2 * math.pow(size, 3) / product_ms * 1e-6, 2),
        }

    def copy_ms(self, length: int) -> float:
        source = torch.ones(length, device=self.device)
        target = torch.empty_like(source)
        return self.fewest_ms(lambda: target.copy_(source))

    def fewest_ms(self, run: Callable[[], Any]) -> float:
        """The least device or wall milliseconds of some runs."""
        self.wait(run())
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < 5 or time.perf_counter() - start < 0.5:
            wall, gpu = self.timed(run)
            times.append(wall if gpu is None else gpu)
        return min(times)


if __name__ == "__main__":
    main(Torch, (__doc__ or "").partition("\n")[0])
