"""Checks that every framework and formulation computes the same y, dx, dw and db, so that equal work is compared.

Small random layers are computed by loops over locations in f64 and by each framework; the measure is the largest error
over the largest value of an array. Exit 1 if one is over tolerance.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import PASSES, Workload, comma_list
from run_all import add_python_arguments, command

TOLERANCE = {"f32": 1e-4, "tf32": 5e-3}

# Workload, batch, whether to compile it too (seconds each).
CASES = [
    (Workload("2d", (7, 6, 3), (3, 3), (1, 1), "valid", 4), 3, True),
    (Workload("2d-one", (5, 5, 2), (3, 3), (1, 1), "valid", 5), 1, False),
    (Workload("2d-strides", (9, 8, 2), (3, 2), (2, 3), "valid", 3), 2, False),
    (Workload("2d-blocks", (7, 9, 2), (2, 3), (2, 3), "valid", 3), 2, False),
    (Workload("2d-same", (6, 6, 4), (3, 3), (1, 1), "same", 4), 3, True),
    (Workload("2d-same-even", (6, 7, 2), (4, 2), (2, 2), "same", 3), 2, False),
    (Workload("2d-pointwise", (4, 5, 3), (1, 1), (1, 1), "valid", 2), 2, False),
    (Workload("2d-strides-gaps", (9, 9, 2), (2, 2), (3, 3), "valid", 3), 2, False),
    (Workload("1d", (10, 4), (3,), (1,), "valid", 6), 4, False),
    (Workload("1d-single", (16, 1), (3,), (1,), "valid", 1), 3, True),
    (Workload("1d-blocks", (23, 1), (5,), (5,), "valid", 1), 3, True),
    (Workload("1d-pointwise", (12, 3), (1,), (1,), "valid", 1), 2, False),
    (Workload("1d-same", (9, 2), (5,), (1,), "same", 3), 2, False),
]


def reference(workload: Workload, x: np.ndarray, w: np.ndarray, b: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
    """y, dx, dw and db by loops, in f64."""
    x, w, b, dy = (array.astype(np.float64) for array in (x, w, b, dy))
    batch, channels = x.shape[0], workload.channels
    flat = x.reshape(batch, -1, channels)
    outward = dy.reshape(batch, workload.locations, workload.filters)
    y = np.broadcast_to(b, outward.shape).copy()
    dx, dw = np.zeros_like(flat), np.zeros_like(w)
    for location, row in enumerate(workload.tap_positions()):
        for tap, position in enumerate(row):
            if position < 0:
                continue
            y[:, location] += flat[:, position] @ w[location, tap]
            dx[:, position] += outward[:, location] @ w[location, tap].T
            dw[location, tap] = flat[:, position].T @ outward[:, location]
    return {"y": y.reshape(dy.shape), "dx": dx.reshape(x.shape), "dw": dw, "db": outward.sum(0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_python_arguments(parser)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--cases", type=comma_list, default=[], metavar="NAME,…", help="default: all")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args()

    random = np.random.default_rng(20150315)
    inputs: dict[str, np.ndarray] = {}
    expected: dict[str, dict[str, np.ndarray]] = {}
    described = []
    for workload, batch, compiled in CASES:
        if options.cases and workload.name not in options.cases:
            continue
        shapes = {
            "x": (batch, *workload.input),
            "w": (workload.locations, workload.taps, workload.channels, workload.filters),
            "b": (workload.locations, workload.filters),
            "dy": (batch, *workload.output, workload.filters),
        }
        arrays = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        inputs |= {f"{workload.name}/{name}": array for name, array in arrays.items()}
        expected[workload.name] = reference(workload, **arrays)
        compiled = compiled and not options.no_compile
        described.append({"id": workload.name, "workload": workload.to_json(), "batch": batch, "compiled": compiled})

    worst: dict[str, tuple[float, str]] = {}
    failures = checked = 0
    with tempfile.TemporaryDirectory() as folder:
        given, results = Path(folder, "given.npz"), Path(folder, "results.npz")
        np.savez(given, cases=np.array(json.dumps(described)), **inputs)  # type: ignore[arg-type]
        for framework in options.frameworks:
            arguments = ["--device", options.device, "--check-in", str(given), "--check-out", str(results)]
            done = subprocess.run([*command(framework, options), *arguments], check=False)
            if done.returncode != 0:
                print(f"FAILED {framework}: exit {done.returncode}")
                failures += 1
                continue
            seen = set()
            for key, value in np.load(results).items():
                case, name, _, precision, pass_, formulation, array = key.split("/")
                seen.add((case, name, pass_))
                want = expected[case][array]
                checked += 1
                shape_right = value.shape == want.shape
                error = float(np.abs(value - want).max() / np.abs(want).max()) if shape_right else float("inf")
                if not error <= TOLERANCE[precision]:
                    failures += 1
                    print(f"WRONG {key}: error {error:.1e}, shape {value.shape}, should be {want.shape}")
                group = f"{name} {precision}"
                worst[group] = max(worst.get(group, (0.0, "")), (error, f"{case} {pass_} {formulation} {array}"))
            for name in {name for _, name, _ in seen}:
                cases = {case for case, of, _ in seen if of == name}
                passes = {pass_ for _, of, pass_ in seen if of == name}
                print(f"{name}: {len(cases)} of {len(described)} cases; passes {', '.join(sorted(passes))}")
                wanted = {entry["id"] for entry in described if entry["compiled"] or name != "torch-compile"}
                if passes != set(PASSES) or cases != wanted:
                    failures += 1
                    print(f"FAILED {name}: not every case and pass was checked")
    for group, (error, where) in sorted(worst.items()):
        print(f"{group:24} largest error {error:.1e} ({where})")
    print(f"{checked} arrays checked, {failures} failures")
    sys.exit(1 if failures or not checked else 0)


if __name__ == "__main__":
    main()
