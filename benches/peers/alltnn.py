"""All-TNN at full size: its weights alone as Keras writes them, random, and our outputs and gradients beside Keras 2.15's.

    alltnn.py make FOLDER       # alltnn.h5 (save_weights), x.npy, y.npy, dy.npy, grads.npz (of the sum of y * dy)
    alltnn.py check BINARY [--adapter A] [--folder FOLDER]    # makes them where they aren't, runs BINARY (`locally`) on them, compares

The model is github.com/KietzmannLab/All-TNN's with its defaults: its names, its subclass of the layer, and the variable that its subclass
of Model has beside the layers, so that the file is as its checkpoints are. Images are two, between -1 and 1, drawn until no value lies so
near 0 before its ReLU, and no two so near each other in a pooling window, that rounding decides where a gradient goes. Keras takes the
gradients with implementation 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Filters, window, stride; a pooling follows the first, third and fifth.
SHEETS = ((64, 7, 3), (81, 3, 1), (81, 3, 1), (256, 3, 1), (256, 3, 1), (2500, 3, 1))
CLASSES, BATCH = 565, 2
LEAST = 3e-7


def keras_model():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    layers = tf.keras.layers

    class Hypercolumn2D(layers.LocallyConnected2D):
        pass

    class SpatialLossModel(tf.keras.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.alpha_multiplier = tf.Variable(1.0, trainable=False)

    x = image = tf.keras.Input((150, 150, 3))
    for number, (filters, size, stride) in enumerate(SHEETS):
        x = Hypercolumn2D(filters, size, strides=stride, name=f"sheet_{number}")(x)
        x = layers.Activation("relu", name=f"relu_Layer_{number}_Time_0")(x)
        if number % 2 == 0:
            x = layers.MaxPool2D()(x)
    x = layers.Dense(CLASSES, name="ReadoutDense")(layers.Flatten()(x))
    return SpatialLossModel(inputs=image, outputs=layers.Activation("softmax", name="output_time_0")(x), name="tnn")


def nearest(model, x) -> float:
    """The least distance, in parts of a layer's largest value, of a value from 0 before a ReLU or from the largest of its window."""
    import numpy as np
    import tensorflow as tf

    sheets = [model.get_layer(f"sheet_{number}").output for number in range(len(SHEETS))]
    distances = []
    for number, value in enumerate(tf.keras.Model(model.input, sheets)(x, training=False)):
        largest = float(tf.reduce_max(value))
        distances.append(float(tf.reduce_min(tf.abs(value))) / largest)
        if number % 2 == 0:
            batch, rows, columns, filters = value.shape
            windows = value[:, : rows // 2 * 2, : columns // 2 * 2]
            windows = np.maximum(windows, 0).reshape(batch, rows // 2, 2, columns // 2, 2, filters)
            first, second = np.sort(windows.transpose(0, 1, 3, 5, 2, 4).reshape(-1, 4))[:, :1:-1].T
            distances.append(float((first - second)[first > 0].min()) / largest)
    return min(distances)


def make(folder: Path) -> None:
    import numpy as np

    model = keras_model()
    import tensorflow as tf

    random = np.random.default_rng(11)
    for weight in model.trainable_weights:
        # The second axis but one from the end are the terms of a sum, of kernels of either kind; biases have none.
        terms = weight.shape[-2] if "kernel" in weight.name else 0
        # Variances that keep activations of the order of one through the layers.
        scale = np.float32(np.sqrt(2.0 / terms) if terms else 0.01)
        weight.assign(scale * random.standard_normal(weight.shape, dtype=np.float32))
    model.save_weights(folder / "alltnn.h5")
    draw = lambda: tf.constant(random.uniform(-1, 1, (BATCH, 150, 150, 3)).astype(np.float32))  # noqa: E731
    x = draw()
    while nearest(model, x) < LEAST:
        x = draw()
    dy = tf.constant(random.standard_normal((BATCH, CLASSES), dtype=np.float32))
    start = time.monotonic()
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=False)
        loss = tf.reduce_sum(y * dy)
    grads = tape.gradient(loss, [x, *model.trainable_weights])
    for name, value in (("x", x), ("y", y), ("dy", dy)):
        np.save(folder / f"{name}.npy", value.numpy())
    names = ["input", *(weight.name.split(":")[0] for weight in model.trainable_weights)]
    np.savez(folder / "grads.npz", **{name: grad.numpy() for name, grad in zip(names, grads)})
    size = (folder / "alltnn.h5").stat().st_size
    print(f"{model.count_params()} parameters, {size} bytes; gradients took Keras {time.monotonic() - start:.1f} s")


def error(ours, theirs) -> float:
    import numpy as np

    if ours.shape != theirs.shape:
        raise SystemExit(f"shapes differ: {ours.shape}, {theirs.shape}")
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def check(binary: str, adapter: str, folder: Path) -> None:
    import numpy as np

    if not (folder / "grads.npz").exists():
        # In a process of its own, whose memory isn't ours.
        subprocess.run([sys.executable, __file__, "make", folder], check=True)
    model = [folder / "alltnn.h5", "--architecture", "alltnn", "--input", folder / "x.npy", "--adapter", adapter]
    errors = {}
    for command, output in (("run", "ours.npy"), ("grad", "ours.npz")):
        more = ["--grad-output", folder / "dy.npy"] if command == "grad" else []
        start = time.monotonic()
        subprocess.run([binary, command, *model, *more, "--output", folder / output], check=True)
        print(f"{command} took {time.monotonic() - start:.1f} s, files read and written")
    errors["output"] = error(np.load(folder / "ours.npy"), np.load(folder / "y.npy"))
    ours, theirs = np.load(folder / "ours.npz"), np.load(folder / "grads.npz")
    if sorted(ours) != sorted(theirs):
        raise SystemExit(f"gradients of {sorted(ours)}, not of {sorted(theirs)}")
    for name in sorted(theirs):
        errors[f"gradient of {name}"] = error(ours[name], theirs[name])
    for name, found in errors.items():
        print(f"{name}: {found:.2e} of the largest value")
    if not max(errors.values()) < 2e-5:
        raise SystemExit("they differ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("folder", type=Path)
    checking = commands.add_parser("check")
    checking.add_argument("binary")
    checking.add_argument("--adapter", default="cpu")
    checking.add_argument("--folder", type=Path, help="where its files are, or are made and stay")
    options = parser.parse_args()
    if options.command == "make":
        make(options.folder)
    elif options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        check(options.binary, options.adapter, options.folder)
    else:
        with tempfile.TemporaryDirectory() as name:
            check(options.binary, options.adapter, Path(name))


if __name__ == "__main__":
    main()
