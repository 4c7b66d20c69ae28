"""Times a training step (forward, loss, backward, Adam) of deepface-l6, alltnn-5 and the digits model: Keras 2.15, JAX, PyTorch
(eager and compiled) and this project's `train_step` bench (weights updated where their gradients are, and apart), in turns, on the CPU.

    train_step.py --ours ../../target/release/deps/train_step-… [--batch 32] [--rounds 5] [--seconds 1] [--json F]

Each framework has a process of its own per model and turn, as it would be used: Keras by `train_on_batch` (compiled with its defaults), JAX a
jitted step with `conv_general_dilated_local` and a written-out Adam, PyTorch the unfold recipe of torch_unfold.py as autograd runs it with
`torch.optim.Adam(fused=True)`, eager and compiled. All keep weights and Adam's state between steps; the batch is on the device already.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

MODELS = ("deepface-l6", "alltnn-5", "digits")
# Input, then filters and window of each layer.
LAYERS = {
    "deepface-l6": ((25, 25, 16), [(16, 5)]),
    "alltnn-5": ((8, 8, 256), [(256, 3)]),
    "digits": ((8, 8, 1), [(8, 3), (8, 3), (10, 4)]),
}


def relu_after(model: str, index: int) -> bool:
    """The digits model's first two layers."""
    return model == "digits" and index < 2


def shapes(model: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Weights (locations, taps·C, F) and biases (locations, F)."""
    (rows, columns, channels), layers = LAYERS[model]
    found = []
    for filters, size in layers:
        rows, columns = rows - size + 1, columns - size + 1
        found.append(((rows * columns, size * size * channels, filters), (rows * columns, filters)))
        channels = filters
    return found


def data(model: str, batch: int):
    import numpy as np

    random = np.random.default_rng(1)
    shape, layers = LAYERS[model]
    x = random.standard_normal((batch, *shape), dtype=np.float32)
    if model == "digits":
        return x, random.integers(0, 10, batch).astype(np.int64)
    (weights, _), (filters, size) = shapes(model)[0], layers[0]
    del weights
    return x, random.standard_normal((batch, shape[0] - size + 1, shape[1] - size + 1, filters), dtype=np.float32)


def timed(step, seconds: float) -> list[float]:
    """Milliseconds of steps; the first three don't count."""
    for _ in range(3):
        step()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def keras_step(model: str, batch: int):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    layer = tf.keras.layers
    shape, layers = LAYERS[model]
    stack = [layer.InputLayer(input_shape=shape)]
    # Implementation 1 is Keras's default, and its fastest here.
    for index, (filters, size) in enumerate(layers):
        stack.append(layer.LocallyConnected2D(filters, size, activation="relu" if relu_after(model, index) else None))
    if model == "digits":
        stack += [layer.Flatten(), layer.Activation("softmax")]
    net = tf.keras.Sequential(stack)
    net.compile(optimizer="adam", loss="sparse_categorical_crossentropy" if model == "digits" else "mse")
    x, y = (tf.constant(value) for value in data(model, batch))
    return lambda: net.train_on_batch(x, y)


def jax_step(model: str, batch: int):
    import jax
    import jax.numpy as jnp

    x, y = (jnp.asarray(value) for value in data(model, batch))
    key = jax.random.PRNGKey(0)
    _, layers = LAYERS[model]
    parameters = []
    for weights, bias in shapes(model):
        parameters += [0.05 * jax.random.normal(key, weights), jnp.zeros(bias)]

    def output(parameters, x):
        for index, (filters, size) in enumerate(layers):
            w, b = parameters[2 * index], parameters[2 * index + 1]
            rows, columns = x.shape[1] - size + 1, x.shape[2] - size + 1
            # XLA's patches have the channel first.
            kernel = w.reshape(rows, columns, w.shape[1], filters)
            x = jax.lax.conv_general_dilated_local(
                x, kernel, (1, 1), "VALID", (size, size), dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = x + b.reshape(rows, columns, filters)
            if relu_after(model, index):
                x = jax.nn.relu(x)
        return x

    def loss(parameters):
        z = output(parameters, x)
        if model == "digits":
            logs = jax.nn.log_softmax(z.reshape(batch, -1))
            return -jnp.take_along_axis(logs, y[:, None], axis=1).mean()
        return jnp.mean((z - y) ** 2)

    def step(parameters, m, v, t):
        _, gradients = jax.value_and_grad(loss)(parameters)
        m = [0.9 * a + 0.1 * g for a, g in zip(m, gradients)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, gradients)]
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        parameters = [p - rate * a / (jnp.sqrt(b) + 1e-7) for p, a, b in zip(parameters, m, v)]
        return parameters, m, v, t + 1

    step = jax.jit(step, donate_argnums=(0, 1, 2))
    state = [parameters, [jnp.zeros_like(p) for p in parameters], [jnp.zeros_like(p) for p in parameters], jnp.float32(1)]

    def run():
        state[:] = step(*state)
        jax.block_until_ready(state[0])

    return run


def torch_step(model: str, batch: int, compiled: bool):
    import torch

    x, y = (torch.from_numpy(value) for value in data(model, batch))
    _, layers = LAYERS[model]
    parameters = []
    for weights, bias in shapes(model):
        parameters += [torch.nn.Parameter(0.05 * torch.randn(weights)), torch.nn.Parameter(torch.zeros(bias))]
    optimizer = torch.optim.Adam(parameters, fused=True)

    def loss():
        z = x
        for index, (filters, size) in enumerate(layers):
            w, b = parameters[2 * index], parameters[2 * index + 1]
            rows, columns = z.shape[1] - size + 1, z.shape[2] - size + 1
            windows = z.unfold(1, size, 1).unfold(2, size, 1).permute(1, 2, 0, 4, 5, 3)
            windows = windows.reshape(rows * columns, batch, w.shape[1])
            z = torch.baddbmm(b.unsqueeze(1), windows, w)
            if relu_after(model, index):
                z = torch.relu(z)
            z = z.reshape(rows, columns, batch, filters).permute(2, 0, 1, 3)
        if model == "digits":
            return torch.nn.functional.cross_entropy(z.reshape(batch, -1), y)
        return torch.nn.functional.mse_loss(z, y)

    forward = torch.compile(loss) if compiled else loss

    def step():
        optimizer.zero_grad(set_to_none=True)
        forward().backward()
        optimizer.step()

    return step


STEPS = {
    "keras": keras_step,
    "jax": jax_step,
    "torch": lambda model, batch: torch_step(model, batch, False),
    "torch-compile": lambda model, batch: torch_step(model, batch, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", help="the built bench `train_step`")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--frameworks", default=",".join(STEPS))
    parser.add_argument("--keras-python", default="/opt/keras-venv/bin/python")
    parser.add_argument("--peers-python", default="/opt/peers-venv/bin/python")
    parser.add_argument("--json")
    parser.add_argument("--worker", nargs=2, metavar=("FRAMEWORK", "MODEL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        framework, model = options.worker
        times = timed(STEPS[framework](model, options.batch), options.seconds)
        print(json.dumps({"ms": times}))
        return
    samples: dict[tuple[str, str], list[float]] = {}
    common = ["--batch", str(options.batch), "--seconds", str(options.seconds)]
    for number in range(options.rounds):
        for model in options.models.split(","):
            for framework in [*options.frameworks.split(","), *(["locally"] if options.ours else [])]:
                if framework == "locally":
                    command = [options.ours, model, *common, "--json"]
                else:
                    python = options.keras_python if framework == "keras" else options.peers_python
                    command = [python, __file__, "--worker", framework, model, *common]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    print(f"skip: {model} {framework}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                    continue
                for line in done.stdout.strip().splitlines():
                    if not line.startswith("{"):
                        continue
                    result = json.loads(line)
                    # Of this project two rows: `locally`, as a training runs, and with the update apart from the gradients.
                    row = "locally-apart" if result.get("update") == "apart" else framework
                    times = result["ms"]
                    samples.setdefault((model, row), []).append(statistics.median(times))
                    print(f"round {number}: {model:12} {row:14} {statistics.median(times):9.4f} ms", flush=True)
    rows = [
        {"model": model, "framework": framework, "batch": options.batch, "ms": statistics.median(times), "rounds": times}
        for (model, framework), times in samples.items()
    ]
    for model in options.models.split(","):
        by_framework = {row["framework"]: row["ms"] for row in rows if row["model"] == model}
        ours, apart = by_framework.pop("locally", None), by_framework.pop("locally-apart", None)
        if ours and apart:
            print(f"{model:12} ours fused {ours:.4f} ms, apart {apart:.4f} ms: {apart / ours:.2f}")
        if ours and by_framework:
            best = min(by_framework, key=by_framework.get)
            print(f"{model:12} ours {ours:.4f} ms, {best} {by_framework[best]:.4f} ms: {by_framework[best] / ours:.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps({"results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
