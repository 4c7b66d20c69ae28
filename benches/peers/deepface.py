"""DeepFace at full size: its file with random weights as Keras writes it, and its times beside Keras 2.15's and PyTorch's on the CPU.

    deepface.py make FOLDER       # deepface.h5 (551 MB, save_weights), x.npy, y.npy (Keras's outputs of four images)
    deepface.py check BINARY      # makes them in a temporary folder, runs BINARY (`locally`) on them, compares
    deepface.py time --ours BENCH [--batch 1,32] [--rounds 5] [--seconds 1] [--json F]

`time` takes turns: for each part and batch every framework has a process of its own that stays, and turns go round. BENCH is the built bench
`deepface` (`cargo bench --features cpu --bench deepface --no-run`). Parts: `convolutions` (C1, M2, C3), `local` (L4, L5, L6), `dense`
(F7, F8) and `whole`. Keras runs as a compiled function with implementation 1, the only one that fits; PyTorch runs oneDNN's
convolutions in channels-last memory and the unfold recipe of torch_unfold.py.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PARTS = ("convolutions", "local", "dense", "whole")
INPUTS = {"convolutions": (152, 152, 3), "local": (63, 63, 16), "dense": (21, 21, 16), "whole": (152, 152, 3)}
# Filters, window, stride.
LOCAL = ((16, 9, 1), (16, 7, 2), (16, 5, 1))


def keras_model(part: str):
    """github.com/swghosh/DeepFace, with its names, or a part of it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    K = tf.keras.layers
    layers = {
        "convolutions": [
            K.Conv2D(32, 11, activation="relu", name="C1"),
            K.MaxPooling2D(3, 2, "same", name="M2"),
            K.Conv2D(16, 9, activation="relu", name="C3"),
        ],
        "local": [
            K.LocallyConnected2D(filters, size, strides=stride, activation="relu", name=f"L{number}")
            for (filters, size, stride), number in zip(LOCAL, (4, 5, 6))
        ],
        "dense": [
            K.Flatten(name="F0"),
            K.Dense(4096, activation="relu", name="F7"),
            K.Dropout(0.5, name="D0"),
            K.Dense(8631, activation="softmax", name="F8"),
        ],
    }
    chosen = [layer for name, some in layers.items() if part in (name, "whole") for layer in some]
    return tf.keras.Sequential([K.InputLayer(input_shape=INPUTS[part]), *chosen])


def make(folder: Path) -> None:
    import numpy as np

    model = keras_model("whole")
    random = np.random.default_rng(7)
    weights = []
    for value in model.get_weights():
        shape = value.shape
        # A kernel of a convolution, of a locally connected layer, of a dense one; biases have no terms to sum.
        terms = {4: lambda s: s[0] * s[1] * s[2], 2: lambda s: s[0]}.get(value.ndim, lambda s: s[1] if value.ndim == 3 and s[1] > 100 else 0)(shape)
        # Variances that keep activations of the order of one through the layers.
        scale = np.sqrt(2.0 / terms) if terms else 0.01
        weights.append((scale * random.standard_normal(shape, dtype=np.float32)).astype(np.float32))
    model.set_weights(weights)
    model.save_weights(folder / "deepface.h5")
    x = random.standard_normal((4, *INPUTS["whole"]), dtype=np.float32)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", model.predict(x, verbose=0))
    print(f"{model.count_params()} parameters, {(folder / 'deepface.h5').stat().st_size} bytes")


def check(binary: str, adapter: str) -> None:
    import numpy as np

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        command = [binary, "run", folder / "deepface.h5", "--architecture", "deepface", "--input", folder / "x.npy"]
        subprocess.run([*command, "--output", folder / "ours.npy", "--adapter", adapter], check=True)
        peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        theirs, ours = np.load(folder / "y.npy"), np.load(folder / "ours.npy")
        error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        weights = (folder / "deepface.h5").stat().st_size
        print(f"{error:.2e} of the largest value; {peak / 1e6:.0f} MB at most, weights are {weights / 1e6:.0f}")
        # C1 of four images, before and after its activation, are the most activations. On lavapipe the device's memory is the
        # process's too, so that what is ours is known on the host's threads alone.
        if adapter == "cpu" and peak > weights + 2 * 4 * 4 * 142 * 142 * 32 + (64 << 20):
            raise SystemExit("more memory than weights, activations and 64 MiB")
        if not error < 2e-5:
            raise SystemExit("they differ")


def keras_pass(part: str, batch: int) -> Callable[[], object]:
    model = keras_model(part)
    import tensorflow as tf

    function = tf.function(lambda x: model(x, training=False))
    x = tf.random.stateless_normal((batch, *INPUTS[part]), (1, 2))
    return lambda: function(x).numpy()


def torch_pass(part: str, batch: int) -> Callable[[], object]:
    import torch
    from torch.nn import functional as F

    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return 0.02 * torch.randn(shape, generator=generator)

    def last(weight: torch.Tensor) -> torch.Tensor:
        return weight.contiguous(memory_format=torch.channels_last)

    steps = []
    if part in ("convolutions", "whole"):
        first, third = last(normal(32, 3, 11, 11)), last(normal(16, 32, 9, 9))
        b1, b3 = normal(32), normal(16)

        def convolutions(x: torch.Tensor) -> torch.Tensor:
            # (N, H, W, C) seen as (N, C, H, W) in channels-last memory.
            x = F.relu(F.conv2d(x.permute(0, 3, 1, 2), first, b1))
            # Keras's `same` of 142 by windows of 3 and steps of 2: one position after the end.
            x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2)
            return F.relu(F.conv2d(x, third, b3)).permute(0, 2, 3, 1)

        steps.append(convolutions)
    if part in ("local", "whole"):
        size, channels, layers = 63, 16, []
        for filters, window, stride in LOCAL:
            size = (size - window) // stride + 1
            locations, terms = size * size, window * window * channels
            layers.append((normal(locations, terms, filters), normal(locations, 1, filters), window, stride, size))
            channels = filters

        def local(x: torch.Tensor) -> torch.Tensor:
            for w, b, window, stride, size in layers:
                windows = x.unfold(1, window, stride).unfold(2, window, stride).permute(1, 2, 0, 4, 5, 3)
                windows = windows.reshape(size * size, x.shape[0], w.shape[1])
                x = F.relu(torch.baddbmm(b, windows, w)).reshape(size, size, x.shape[0], -1).permute(2, 0, 1, 3)
            return x

        steps.append(local)
    if part in ("dense", "whole"):
        w7, b7, w8, b8 = normal(7056, 4096), normal(4096), normal(4096, 8631), normal(8631)

        def dense(x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(torch.addmm(b7, x.reshape(x.shape[0], -1), w7))
            return torch.softmax(torch.addmm(b8, x, w8), dim=1)

        steps.append(dense)
    x = torch.randn((batch, *INPUTS[part]), generator=generator)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            y = x
            for step in steps:
                y = step(y)
            return y

    return run


PASSES = {"keras": keras_pass, "torch": torch_pass}


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


def worker(framework: str, part: str, batch: int, seconds: float) -> None:
    run = PASSES[framework](part, batch)
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        run()
        times, began = [], time.perf_counter()
        while len(times) < 3 or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps({"ms": times, "peak_mb": peak_mb()}), flush=True)


def start(framework: str, part: str, batch: int, options: argparse.Namespace) -> subprocess.Popen:
    if framework == "locally":
        command = [options.ours, part, "--turns", "--batch", str(batch), "--seconds", str(options.seconds)]
    else:
        python = options.keras_python if framework == "keras" else options.peers_python
        command = [python, __file__, "worker", framework, part, str(batch), str(options.seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline().strip() != "ready":
        raise SystemExit(f"{framework} could not start")
    return process


def compare(options: argparse.Namespace) -> None:
    rows = []
    for part in options.parts.split(","):
        for batch in map(int, options.batch.split(",")):
            # One after the other: what compiles doesn't disturb what is timed.
            processes = {name: start(name, part, batch, options) for name in ("locally", *PASSES)}
            turns: dict[str, list[dict]] = {name: [] for name in processes}
            for _ in range(options.rounds):
                for name, process in processes.items():
                    process.stdin.write("turn\n")
                    process.stdin.flush()
                    turns[name].append(json.loads(process.stdout.readline()))
            for name, process in processes.items():
                process.stdin.close()
                process.wait()
                rounds = [statistics.median(turn["ms"]) for turn in turns[name]]
                row = {"part": part, "batch": batch, "framework": name, "ms": statistics.median(rounds)}
                rows.append({**row, "rounds": rounds, "peak_mb": turns[name][-1]["peak_mb"]})
                print(f"{part:12} batch {batch:3} {name:8} {rows[-1]['ms']:10.3f} ms {rows[-1]['peak_mb']:6} MB", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps({"results": rows}, indent=1) + "\n")


def main() -> None:
    if sys.argv[1:2] == ["worker"]:
        framework, part, batch, seconds = sys.argv[2:]
        worker(framework, part, int(batch), float(seconds))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("folder", type=Path)
    checking = commands.add_parser("check")
    checking.add_argument("binary")
    checking.add_argument("--adapter", default="cpu")
    timing = commands.add_parser("time")
    timing.add_argument("--ours", required=True, help="the built bench `deepface`")
    timing.add_argument("--batch", default="1,32")
    timing.add_argument("--parts", default=",".join(PARTS))
    timing.add_argument("--rounds", type=int, default=5)
    timing.add_argument("--seconds", type=float, default=1.0)
    timing.add_argument("--keras-python", default="/opt/keras-venv/bin/python")
    timing.add_argument("--peers-python", default="/opt/peers-venv/bin/python")
    timing.add_argument("--json")
    options = parser.parse_args()
    if options.command == "make":
        make(options.folder)
    elif options.command == "check":
        check(options.binary, options.adapter)
    else:
        compare(options)


if __name__ == "__main__":
    main()
