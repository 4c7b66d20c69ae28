"""What the peers' benchmarks share: workloads, least bytes and flops, the timing protocol, rows, the command line.

A framework is a subclass of `Peer`; `main` runs it alone, as a worker of `run_all.py` (`--serve`), or over the cases of
`verify_peers.py` (`--check-in`). What is timed is what is checked: the same `candidates`.

Canonical arrays, in which results are compared: x and dx (N, *input), y and dy (N, *output, F), bias and db
(locations, F), weights and dw (locations, taps, C, F), locations and taps row-major. A tap that falls into the padding
is not connected: its weight has no effect and its gradient is zero.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import os
import resource
import signal
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

Json = dict[str, Any]

# Bytes beyond the last cache of any GPU, and of most processors; `locally bench --cache cold` reads as many.
CACHES = 256 << 20

PASSES = ("forward", "backward", "both")
QUICK = ("keras-doc-1", "cifar-local3", "deepface-l6", "snp-blocks")
PRECISION_NAMES = ("f32", "tf32", "bf16")
IMPLEMENTATIONS = {"loop": 1, "dense": 2, "sparse": 3}
WORKLOADS_FILE = Path(__file__).with_name("workloads.json")


# --- Workloads ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workload:
    """One locally connected layer, channels last, with a bias per location and a linear activation."""

    name: str
    input: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str
    filters: int

    @classmethod
    def from_json(cls, entry: Json) -> Workload:
        return cls(
            name=entry["name"],
            input=tuple(entry["input"]),
            kernel=tuple(entry["kernel"]),
            strides=tuple(entry["strides"]),
            padding=entry["padding"],
            filters=entry["filters"],
        )

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "input": list(self.input),
            "kernel": list(self.kernel),
            "strides": list(self.strides),
            "padding": self.padding,
            "filters": self.filters,
        }

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def channels(self) -> int:
        return self.input[-1]

    @property
    def spatial(self) -> tuple[int, ...]:
        return self.input[:-1]

    @property
    def output(self) -> tuple[int, ...]:
        """Output positions along each dimension."""
        if self.padding == "same":
            return tuple(-(-n // s) for n, s in zip(self.spatial, self.strides))
        return tuple((n - k) // s + 1 for n, k, s in zip(self.spatial, self.kernel, self.strides))

    @property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """Padding (before, after) whose windows are those of Keras's locally connected layers; `after` may be negative.

        Keras's own `same` windows begin kernel // 2 before the centre; only for odd kernels and stride 1 is that the
        SAME of TensorFlow and XLA.
        """
        if self.padding == "valid":
            return ((0, 0),) * self.rank
        return tuple(
            (k // 2, (o - 1) * s + k - k // 2 - n)
            for n, k, s, o in zip(self.spatial, self.kernel, self.strides, self.output)
        )

    @property
    def locations(self) -> int:
        return math.prod(self.output)

    @property
    def taps(self) -> int:
        return math.prod(self.kernel)

    @property
    def inputs(self) -> int:
        """Elements of one sample of x."""
        return math.prod(self.input)

    @property
    def outputs(self) -> int:
        """Elements of one sample of y."""
        return self.locations * self.filters

    def tap_positions(self) -> np.ndarray:
        """(locations, taps): the flat spatial input position that each tap reads, -1 in the padding."""
        flat = np.zeros((1, 1), np.int64)
        inside = np.ones((1, 1), bool)
        for n, k, s, o, (before, _) in zip(self.spatial, self.kernel, self.strides, self.output, self.pads):
            at = np.arange(o)[:, None] * s + np.arange(k)[None, :] - before
            flat = flat[:, None, :, None] * n + at[None, :, None, :]
            inside = inside[:, None, :, None] & ((at >= 0) & (at < n))[None, :, None, :]
            flat = flat.reshape(flat.shape[0] * o, -1)
            inside = inside.reshape(flat.shape)
        return np.where(inside, flat, -1)

    @property
    def connected_weights(self) -> int:
        """Weights that touch an input element: clipped taps of `same` do not count."""
        pairs = 1
        for n, k, s, o, (before, _) in zip(self.spatial, self.kernel, self.strides, self.output, self.pads):
            starts = [i * s - before for i in range(o)]
            pairs *= sum(max(0, min(n, start + k) - max(0, start)) for start in starts)
        return pairs * self.channels * self.filters

    @property
    def stored_weights(self) -> int:
        """Weights of the (locations, taps·C, F) layout, clipped taps included."""
        return self.locations * self.taps * self.channels * self.filters

    def least_bytes(self, pass_: str, batch: int) -> int:
        """Bytes that any f32 kernel must move: each operand once."""
        x, y = batch * self.inputs, batch * self.outputs
        w, b = self.connected_weights, self.outputs
        forward = 4 * (x + w + b + y)
        backward = 4 * (x + w + y + x + w + b)  # reads x, w and dy; writes dx, dw and db
        return {"forward": forward, "backward": backward, "both": forward + backward}[pass_]

    def flops(self, pass_: str, batch: int) -> int:
        return {"forward": 2, "backward": 4, "both": 6}[pass_] * batch * self.connected_weights


def load_workloads(path: Path = WORKLOADS_FILE) -> list[Workload]:
    return [Workload.from_json(entry) for entry in json.loads(path.read_text())]


def select_workloads(names: Sequence[str], quick: bool) -> list[Workload]:
    """The named workloads in their own order; those of `--quick`, or all, without names."""
    known = {workload.name: workload for workload in load_workloads()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"error: unknown workload {', '.join(unknown)}\nhelp: one of {', '.join(known)}")
    return [known[name] for name in (names or (QUICK if quick else known))]


# --- What a framework provides --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """What a row measures, apart from workload and batch."""

    framework: str
    implementation: str
    precision: str
    pass_: str

    def __str__(self) -> str:
        return f"{self.framework} {self.implementation} {self.precision} {self.pass_}"


class OtherLoad:
    """The share of the machine's processor time that other processes take while this one is measured."""

    def __init__(self) -> None:
        self.begun = (0.0, 0.0, 0.0)
        self.taken = (0.0, 0.0, 0.0)

    @staticmethod
    def read() -> tuple[float, float, float]:
        """Seconds: of all cores, busy ones, this process's."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        try:
            ticks = [int(value) for value in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
        except OSError:
            return 0.0, 0.0, 0.0
        second = os.sysconf("SC_CLK_TCK")
        total, idle = sum(ticks) / second, (ticks[3] + ticks[4]) / second
        return total, total - idle, own.ru_utime + own.ru_stime

    def begin(self) -> None:
        self.begun = self.read()

    def end(self) -> None:
        total, busy, own = (so_far + now - then for so_far, now, then in zip(self.taken, self.read(), self.begun))
        self.taken = (total, busy, own)

    def share(self) -> float | None:
        """None when too little was measured: the kernel counts in hundredths of a second."""
        total, busy, own = self.taken
        return max(0.0, (busy - own) / total) if total >= 0.2 else None


@dataclass
class Case:
    """A built spec with its samples."""

    spec: Spec
    formulation: str
    run: Callable[[], Any]
    build_s: float
    wall_ms: list[float] = field(default_factory=list)
    gpu_ms: list[float] = field(default_factory=list)
    other: OtherLoad = field(default_factory=OtherLoad)
    error: float | None = None


class Skip(Exception):
    """This row cannot be had; the text says why."""


class OutOfTime(Skip):
    """Building took too long."""


@dataclass
class Data:
    """Canonical inputs of one case; for a benchmark random ones, made when first asked for."""

    workload: Workload
    batch: int
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def shape(self, name: str) -> tuple[int, ...]:
        workload = self.workload
        return {
            "x": (self.batch, *workload.input),
            "dy": (self.batch, *workload.output, workload.filters),
            "w": (workload.locations, workload.taps, workload.channels, workload.filters),
            "b": (workload.locations, workload.filters),
        }[name]

    def get(self, name: str) -> np.ndarray:
        """Random arrays are made anew each time, but for weights and bias: those are every batch's, and large."""
        if name in self.arrays:
            return self.arrays[name]
        key = (self.workload, name)
        if key in KEPT:
            return KEPT[key]
        # A seed of its own for each, or x and w would be the same numbers.
        values = np.random.default_rng("x dy w b".split().index(name)).random(self.shape(name), np.float32)
        values -= np.float32(0.5)
        if name in ("w", "b"):
            for other in [other for other in KEPT if other[0] != self.workload]:
                del KEPT[other]
            KEPT[key] = values
        return values


# Weights and bias of the last workload.
KEPT: dict[tuple[Workload, str], np.ndarray] = {}


class Peer(ABC):
    """A framework. `load` comes before `candidates`; `release` drops everything that `load` and `candidates` made."""

    version: str
    data: Data

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    @abstractmethod
    def adapter(self) -> Json:
        """The device: name, backend, driver, device_type."""

    @abstractmethod
    def specs(self, passes: Sequence[str]) -> list[Spec]:
        """What this framework has, in the order in which it is measured."""

    @abstractmethod
    def working_set(self, spec: Spec, workload: Workload, batch: int) -> int:
        """An estimate of the bytes that a case needs at once."""

    def refuse(self, spec: Spec, workload: Workload, batch: int) -> str | None:
        """Why a case is not even tried."""
        return None

    @abstractmethod
    def load(self, data: Data) -> None:
        """Takes the inputs of the next cases; arrays go to the device when a case asks for them."""

    @abstractmethod
    def candidates(self, spec: Spec) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Ways to compute a case, each named and ready to run; the fastest is measured."""

    @abstractmethod
    def canonical(self, spec: Spec, result: Any) -> dict[str, Any]:
        """A result in canonical arrays of the framework: y, dx, dw, db, as the pass has them."""

    def host(self, array: Any) -> np.ndarray:
        """A framework's array, or a part of one, as numpy's."""
        return np.asarray(array)

    def fill_caches(self) -> None:
        """Reads more than the device's caches hold, so that the next run finds nothing of its own there."""
        if not hasattr(self, "filling"):
            self.filling = np.zeros(CACHES // 4, np.float32)
        self.filling.sum()

    def wake(self) -> None:
        """Brings a GPU to its speed: it lowers its clock while the host compiles, and takes long to raise it again."""
        start = time.perf_counter()
        while self.options.device != "cpu" and time.perf_counter() - start < 0.3:
            self.fill_caches()

    @abstractmethod
    def wait(self, result: Any) -> None:
        """Returns when the device has computed the result, which stays there."""

    @abstractmethod
    def release(self) -> None: ...

    def timed(self, run: Callable[[], Any]) -> tuple[float, float | None]:
        """Wall-clock and device milliseconds of one run."""
        start = time.perf_counter()
        self.wait(run())
        return (time.perf_counter() - start) * 1e3, None

    def ceiling(self) -> Json | None:
        """The device's copy and arithmetic rates, where the framework measures them."""
        return None

    def memory_limit(self) -> int:
        """Bytes that a case may need when `--max-bytes` is not given."""
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return pages // 4


def patches_working_set(spec: Spec, workload: Workload, batch: int) -> int:
    """Bytes of a computation that materialises patches (N, locations, taps·C)."""
    x, y = batch * workload.inputs, batch * workload.outputs
    patches = batch * workload.locations * workload.taps * workload.channels
    forward = x + workload.stored_weights + 2 * y + patches
    return 4 * (forward if spec.pass_ == "forward" else forward + x + workload.stored_weights + y + patches)


# --- The process ----------------------------------------------------------------------------------------------------


def limit_threads(options: argparse.Namespace) -> None:
    """Binds the process to as many cores as threads are wanted: every framework's pool then has that size."""
    if options.threads and options.device == "cpu":
        allowed = sorted(os.sched_getaffinity(0))[: options.threads]
        os.sched_setaffinity(0, allowed)
    options.threads = len(os.sched_getaffinity(0))


def keep_heap() -> None:
    """Keeps freed memory in the heap, in the peers' favour.

    glibc maps large arrays anew for each allocation; the page faults of a fresh result then cost as much as computing
    it. Applications get the same with a caching allocator.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        print("note: no glibc; the heap is left as it is", file=sys.stderr)


def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {len(os.sched_getaffinity(0))} cores"
    except OSError:
        pass
    return "CPU"


def cpu_adapter(driver: str) -> Json:
    return {"name": cpu_name(), "backend": "cpu", "driver": driver, "device_type": "Cpu"}


@contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """Raises `OutOfTime` in Python code that runs longer; a call that does not return to Python is not interrupted."""

    def expire(_signal: int, _frame: object) -> None:
        raise OutOfTime(f"{what} took more than {seconds:.0f} s")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- Timing ---------------------------------------------------------------------------------------------------------


class Session:
    """Cases of one workload and batch: prepared together, measured in turns, finished into rows."""

    def __init__(
        self, peer: Peer, workload: Workload, batch: int, passes: Sequence[str], precision: str | None = None
    ) -> None:
        self.peer = peer
        self.workload = workload
        self.batch = batch
        self.cases: list[Case] = []
        self.skipped: list[Json] = []
        peer.load(Data(workload, batch))
        for spec in peer.specs(passes):
            if precision and spec.precision != precision:
                continue
            try:
                self.cases.append(self.build(spec))
            except Skip as reason:
                self.skip(spec, str(reason))
            except MemoryError:
                self.skip(spec, "out of memory")
            except Exception as error:  # a framework's own failure is one row's, not the run's
                self.skip(spec, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")

    def skip(self, spec: Spec, reason: str) -> None:
        log(f"skip: {self.workload.name} batch {self.batch} {spec}: {reason}")
        self.skipped.append({"workload": self.workload.name, "batch": self.batch, "case": str(spec), "reason": reason})

    def build(self, spec: Spec) -> Case:
        """The fastest candidate, after its first run."""
        options = self.peer.options
        limit = options.max_bytes or self.peer.memory_limit()
        needed = self.peer.working_set(spec, self.workload, self.batch)
        if needed > limit:
            raise Skip(f"needs about {needed / 1e9:.1f} GB; the limit is {limit / 1e9:.1f} GB (--max-bytes)")
        if reason := self.peer.refuse(spec, self.workload, self.batch):
            raise Skip(reason)
        built: list[Case] = []
        with time_limit(options.row_timeout, "building"):
            candidates = self.peer.candidates(spec)
            while True:
                start = time.perf_counter()
                if (found := next(candidates, None)) is None:
                    break
                formulation, run = found
                self.peer.wait(run())
                built.append(Case(spec, formulation, run, time.perf_counter() - start))
            if not built:
                raise Skip("no formulation")
            case = built[0] if len(built) == 1 else min(built, key=self.quickest)
            case.error = self.error(case)
            return case

    def error(self, case: Case) -> float | None:
        """The largest difference from sums in f64, in parts of the largest value, over some elements of each result."""
        if not self.peer.options.errors:
            return None
        results = self.peer.canonical(case.spec, case.run())
        worst = 0.0
        for name, value in results.items():
            at, expected = sampled(self.peer.data, name)
            found = self.peer.host(value[at]).astype(np.float64)
            difference = np.abs(found.reshape(expected.shape) - expected).max()
            if not np.isfinite(difference):
                return 1e9  # JSON has no NaN, and a result that is none is as far off as can be
            worst = max(worst, float(difference / np.abs(expected).max()))
        return worst

    def quickest(self, case: Case) -> float:
        """The least time of a few runs, by which formulations are compared."""
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < 4 or (time.perf_counter() - start < 0.05 and len(times) < 100):
            times.append(self.peer.timed(case.run)[0])
        return min(times)

    def turn(self, seconds: float) -> None:
        """A warm-up and then timed runs for `seconds`, at least one, of each case."""
        gc.collect()
        gc.disable()
        try:
            self.peer.wake()
            for case in self.cases:
                # What others left in the caches matters to short runs only.
                if not case.wall_ms or case.wall_ms[-1] < 300:
                    self.peer.wait(case.run())
                case.other.begin()
                start = time.perf_counter()
                while True:
                    if self.peer.options.cache == "cold":
                        self.peer.fill_caches()
                    wall, gpu = self.peer.timed(case.run)
                    case.wall_ms.append(wall)
                    if gpu is not None:
                        case.gpu_ms.append(gpu)
                    if time.perf_counter() - start >= seconds:
                        break
                case.other.end()
        finally:
            gc.enable()

    def finish(self) -> list[Json]:
        device = self.peer.adapter()["name"]
        rows = [
            row(case, self.workload, self.batch, self.peer.version) | {"device": device}
            for case in self.cases
            if case.wall_ms
        ]
        self.cases.clear()
        self.peer.release()
        gc.collect()
        return rows


# --- What results should be ------------------------------------------------------------------------------------------


def sampled(data: Data, name: str) -> tuple[Any, np.ndarray]:
    """An index into a canonical result, and what stands there by sums in f64: whole locations of y, dw and db, whole
    input positions of dx, first, last and some between."""
    workload, batch = data.workload, data.batch
    positions = workload.tap_positions()
    key = (workload, batch, name)
    if key in SAMPLED:
        return SAMPLED[key]
    count = workload.locations if name != "dx" else math.prod(workload.spatial)
    chosen = np.unique(np.linspace(0, count - 1, min(count, 8)).astype(np.int64))
    x = data.get("x").reshape(batch, -1, workload.channels)

    def window(location: int) -> np.ndarray:
        """(N, taps, C), zeroes in the padding."""
        taps = x[:, positions[location].clip(0)].astype(np.float64)
        return taps * (positions[location] >= 0)[None, :, None]

    def grad_output(location: int) -> np.ndarray:
        return dy[:, location].astype(np.float64)

    dy = data.get("dy").reshape(batch, workload.locations, workload.filters) if name != "y" else x
    if name == "y":
        w, b = data.get("w"), data.get("b")
        sums = [np.einsum("ntc,tcf->nf", window(p), w[p].astype(np.float64)) + b[p] for p in chosen]
        expected = np.stack(sums, 1)
        at = (slice(None), *np.unravel_index(chosen, workload.output))
    elif name == "db":
        expected = np.stack([grad_output(p).sum(0) for p in chosen])
        at = (chosen,)
    elif name == "dw":
        expected = np.stack([np.einsum("ntc,nf->tcf", window(p), grad_output(p)) for p in chosen])
        at = (chosen,)
    else:
        w = data.get("w")
        sums = []
        for position in chosen:
            total = np.zeros((batch, workload.channels))
            for p, tap in zip(*np.nonzero(positions == position)):
                total += np.einsum("nf,cf->nc", grad_output(p), w[p, tap].astype(np.float64))
            sums.append(total)
        expected = np.stack(sums, 1)
        at = (slice(None), *np.unravel_index(chosen, workload.spatial))
    if any(other[0] != workload for other in SAMPLED):
        SAMPLED.clear()
    SAMPLED[key] = (at, expected)
    return at, expected


SAMPLED: dict[tuple[Workload, int, str], tuple[Any, np.ndarray]] = {}


# --- Rows and files -------------------------------------------------------------------------------------------------


def spread(samples: Sequence[float]) -> Json | None:
    if not samples:
        return None
    return {
        "min": round(min(samples), 6),
        "median": round(statistics.median(samples), 6),
        "max": round(max(samples), 6),
    }


def row(case: Case, workload: Workload, batch: int, version: str) -> Json:
    """A row of the contract's benchmark JSON, and what only peers have."""
    spec = case.spec
    gpu = spread(case.gpu_ms)
    wall = spread(case.wall_ms)
    assert wall is not None
    other = case.other.share()
    seconds = (gpu or wall)["median"] * 1e-3
    moved, flops = workload.least_bytes(spec.pass_, batch), workload.flops(spec.pass_, batch)
    return {
        "workload": workload.name,
        "pass": spec.pass_,
        "implementation": spec.implementation,
        "auto": False,
        "batch": batch,
        "dtype": "f32",
        "wall_ms": wall,
        "gpu_ms": gpu,
        "bytes": moved,
        "flops": flops,
        "gb_s": round(moved / seconds * 1e-9, 3),
        "gflop_s": round(flops / seconds * 1e-9, 3),
        "of_ceiling": None,
        "framework": spec.framework,
        "precision": spec.precision,
        "version": version,
        "formulation": case.formulation,
        "error": case.error,
        "build_s": round(case.build_s, 3),
        "samples": len(case.wall_ms),
        "other_cpu": None if other is None else round(other, 3),
    }


def document(adapter: Json, ceiling: Json | None, rows: list[Json], skipped: list[Json]) -> Json:
    """The whole file; fills in each row's share of the roofline."""
    if ceiling:
        for entry in rows:
            roof = max(
                entry["bytes"] / (ceiling["copy_gb_s"] * 1e9),
                entry["flops"] / (ceiling["f32_gflop_s"] * 1e9),
            )
            entry["of_ceiling"] = round(roof / ((entry["gpu_ms"] or entry["wall_ms"])["median"] * 1e-3), 4)
    return {"adapter": adapter, "ceiling": ceiling, "results": rows, "skipped": skipped}


def write_json(path: Path, content: Json) -> None:
    """Writes whole or not at all; one row a line."""
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items() if key not in lists]
    for key, entries in lists.items():
        body = ",\n".join(json.dumps(entry) for entry in entries)
        parts.append(f"{json.dumps(key)}: [\n{body}\n]" if entries else f"{json.dumps(key)}: []")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text("{" + ",\n".join(parts) + "}\n")
    temporary.replace(path)


def print_rows(rows: Sequence[Json]) -> None:
    for entry in rows:
        wall = entry["wall_ms"]
        gpu = f" gpu {entry['gpu_ms']['median']:.3f}" if entry.get("gpu_ms") else ""
        build = f" build {entry['build_s']:.1f} s" if "build_s" in entry else ""
        other = f" other CPU {entry['other_cpu']:.0%}" if entry.get("other_cpu") is not None else ""
        how = f" [{entry['formulation']}]" if entry.get("formulation") else ""
        print(
            f"{entry['workload']:13} b{entry['batch']:<4} {entry['pass']:8} {entry['framework']:16}"
            f" {entry['implementation'] or '':6} {entry['precision']:4} {wall['median']:10.3f} ms"
            f" ({wall['min']:.3f} … {wall['max']:.3f}){gpu} {entry['gflop_s']:8.1f} GFLOP/s"
            f"{build}{other}{how}",
            flush=True,
        )


# --- Command line ---------------------------------------------------------------------------------------------------


def comma_list(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def batches(text: str) -> list[int]:
    return [int(part) for part in comma_list(text)]


def some_of(kind: str, known: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads a list of names, each of which must be known."""

    def read(text: str) -> list[str]:
        chosen = comma_list(text)
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown {kind} {name}; one of {', '.join(known)}")
        return chosen

    return read


def byte_count(text: str) -> int:
    return int(float(text))


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What is run and for how long."""
    parser.add_argument("--workloads", type=comma_list, default=[], metavar="NAME,…", help="default: all")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--batch", type=batches, default=[1, 8, 32, 128], metavar="N,…", help="default: 1,8,32,128")
    parser.add_argument(
        "--pass",
        dest="passes",
        type=some_of("pass", PASSES),
        default=list(PASSES),
        metavar="PASS,…",
        help="forward, backward, both (forward and backward in one step); default: all",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="where the rows go")
    parser.add_argument(
        "--min-time",
        type=float,
        default=0.5,
        metavar="S",
        help="seconds of timed runs of each row; default: %(default)s",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=5,
        metavar="R",
        help="turns into which the timed runs are cut, all rows in each; default: %(default)s",
    )


def add_peer_arguments(parser: argparse.ArgumentParser) -> None:
    """What a worker must know; `run_all.py` hands these on."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads; default: all cores")
    parser.add_argument(
        "--max-bytes",
        type=byte_count,
        metavar="B",
        help="skip a row that needs more; default: a quarter of the machine's memory, half of a GPU's",
    )
    parser.add_argument(
        "--row-timeout",
        type=float,
        default=120.0,
        metavar="S",
        help="give a row up when building it takes longer; default: %(default)s",
    )
    parser.add_argument(
        "--heap",
        choices=("keep", "default"),
        default="keep",
        help="keep freed memory in the process (favours peers), or glibc's default",
    )
    parser.add_argument(
        "--implementation",
        type=some_of("implementation", list(IMPLEMENTATIONS)),
        default=list(IMPLEMENTATIONS),
        metavar="NAME,…",
        help="Keras's: loop, dense, sparse; default: all",
    )
    parser.add_argument(
        "--precision",
        type=some_of("precision", PRECISION_NAMES),
        default=[],
        metavar="NAME,…",
        help="f32, tf32, bf16 (JAX and PyTorch); default: all on CUDA, f32 on a processor",
    )
    parser.add_argument(
        "--max-locations",
        type=int,
        default=4096,
        metavar="P",
        help="Keras's loop (implementation 1) only up to so many locations; default: %(default)s",
    )
    parser.add_argument(
        "--max-nonzeros",
        type=int,
        default=2_000_000,
        metavar="Z",
        help="Keras's sparse (implementation 3) only up to so many weights; default: %(default)s",
    )
    parser.add_argument(
        "--cache",
        choices=("cold", "hot"),
        default="hot",
        help="what a run finds in the caches: what the last one left, or something else",
    )
    parser.add_argument("--errors", action="store_true", help="give each row its largest error against sums in f64")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--only-compile", action="store_true", help="leave PyTorch without torch.compile out")
    parser.add_argument("--compile-mode", default="default", metavar="MODE", help="torch.compile's mode")


def parse_arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    add_run_arguments(parser)
    add_peer_arguments(parser)
    parser.add_argument("--check-in", type=Path, metavar="F.npz", help="cases of verify_peers.py")
    parser.add_argument("--check-out", type=Path, metavar="F.npz", help="where their results go")
    parser.add_argument("--serve", action="store_true", help="take requests from standard input (run_all.py)")
    return parser.parse_args()


def main(make_peer: Callable[[argparse.Namespace], Peer], description: str) -> None:
    options = parse_arguments(description)
    limit_threads(options)
    if options.heap == "keep" and options.device == "cpu":
        keep_heap()
    if options.serve:
        serve(make_peer, options)
    elif options.check_in:
        check(make_peer(options), options)
    else:
        run(make_peer(options), options)


def run(peer: Peer, options: argparse.Namespace) -> None:
    """The benchmark of one framework alone."""
    rows: list[Json] = []
    skipped: list[Json] = []
    for workload in select_workloads(options.workloads, options.quick):
        for batch in options.batch:
            session = Session(peer, workload, batch, options.passes)
            for _ in range(options.rounds):
                session.turn(options.min_time / options.rounds)
            skipped += session.skipped
            done = session.finish()
            print_rows(done)
            rows += done
    if options.json:
        write_json(options.json, document(peer.adapter(), peer.ceiling(), rows, skipped))


def serve(make_peer: Callable[[argparse.Namespace], Peer], options: argparse.Namespace) -> None:
    """Answers `run_all.py`, a JSON object a line; what frameworks print goes to standard error."""
    replies: IO[str] = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    known = {workload.name: workload for workload in load_workloads()}
    peer = make_peer(options)
    session: Session | None = None

    def reply(content: Json) -> None:
        replies.write(json.dumps(content) + "\n")
        replies.flush()

    reply({"adapter": peer.adapter(), "version": peer.version})
    for line in sys.stdin:
        request = json.loads(line)
        match request["do"]:
            case "ceiling":
                reply({"ceiling": peer.ceiling()})
            case "prepare":
                session = Session(
                    peer, known[request["workload"]], request["batch"], request["passes"], request.get("precision")
                )
                reply({"cases": [str(case.spec) for case in session.cases], "skipped": session.skipped})
            case "turn":
                assert session is not None
                session.turn(request["seconds"])
                reply({})
            case "finish":
                assert session is not None
                reply({"rows": session.finish()})
                session = None


def check(peer: Peer, options: argparse.Namespace) -> None:
    """Runs every candidate of every spec on given inputs and writes the canonical results."""
    given = np.load(options.check_in)
    results: dict[str, np.ndarray] = {}
    for entry in json.loads(str(given["cases"])):
        workload, batch = Workload.from_json(entry["workload"]), entry["batch"]
        arrays = {name: given[f"{entry['id']}/{name}"] for name in ("x", "w", "b", "dy")}
        peer.load(Data(workload, batch, arrays))
        for spec in peer.specs(PASSES):
            if spec.framework == "torch-compile" and not entry["compiled"]:
                continue
            if reason := peer.refuse(spec, workload, batch):
                log(f"skip: {entry['id']} {spec}: {reason}")
                continue
            for formulation, compute in peer.candidates(spec):
                for name, value in peer.canonical(spec, compute()).items():
                    key = "/".join((entry["id"], spec.framework, spec.implementation, spec.precision, spec.pass_))
                    results[f"{key}/{formulation}/{name}"] = peer.host(value)
        peer.release()
    np.savez(options.check_out, **results)  # type: ignore[arg-type]
