"""Runs the peers, and `locally bench` if asked, interleaved, and merges their rows into one file.

For each workload every framework gets a process of its own; for each batch all of them prepare their cases, one after
the other, and then take turns, so that drifts of the machine's speed meet all alike. One process computes at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from common import (
    PRECISION_NAMES,
    Json,
    OtherLoad,
    Workload,
    add_peer_arguments,
    add_run_arguments,
    comma_list,
    document,
    log,
    print_rows,
    select_workloads,
    some_of,
    write_json,
)

FRAMEWORKS = {"keras": "keras_tf.py", "jax": "jax_local.py", "torch": "torch_unfold.py"}
HANDED_ON = (
    "device",
    "threads",
    "max_bytes",
    "row_timeout",
    "heap",
    "max_locations",
    "max_nonzeros",
    "compile_mode",
    "cache",
)
LISTS = ("implementation", "precision")
FLAGS = ("no_compile", "only_compile", "errors")


def add_python_arguments(parser: argparse.ArgumentParser) -> None:
    """Which frameworks, and the interpreters that have them."""
    parser.add_argument(
        "--frameworks",
        type=some_of("framework", list(FRAMEWORKS)),
        default=list(FRAMEWORKS),
        metavar="NAME,…",
        help=f"default: {','.join(FRAMEWORKS)}",
    )
    parser.add_argument(
        "--keras-python",
        default="/opt/keras-venv/bin/python",
        metavar="PATH",
        help="an interpreter with TensorFlow 2.15; default: %(default)s",
    )
    parser.add_argument(
        "--peers-python",
        default="/opt/peers-venv/bin/python",
        metavar="PATH",
        help="an interpreter with JAX and PyTorch; default: %(default)s",
    )


def command(framework: str, options: argparse.Namespace) -> list[str]:
    python = options.keras_python if framework == "keras" else options.peers_python
    return [python, str(Path(__file__).with_name(FRAMEWORKS[framework]))]


class Failed(Exception):
    """A framework cannot go on with this workload."""


class Worker:
    """A framework's process."""

    def __init__(self, framework: str, options: argparse.Namespace) -> None:
        self.framework = framework
        self.timeout = options.row_timeout
        arguments = ["--serve"]
        for name in LISTS:
            if chosen := getattr(options, name):
                arguments += [f"--{name}", ",".join(chosen)]
        for name in HANDED_ON:
            if (value := getattr(options, name)) is not None:
                arguments += [f"--{name.replace('_', '-')}", str(value)]
        arguments += [f"--{name.replace('_', '-')}" for name in FLAGS if getattr(options, name)]
        self.process = subprocess.Popen(
            [*command(framework, options), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.buffer = b""
        try:
            greeting = self.reply(180)
        except Failed:
            self.close()
            raise
        self.adapter: Json = greeting["adapter"]

    def ask(self, timeout: float, **request: Any) -> Json:
        stdin = self.process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.framework}'s process ended") from None
        return self.reply(timeout)

    def reply(self, timeout: float) -> Json:
        stdout: IO[bytes] | None = self.process.stdout
        assert stdout is not None
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise Failed(f"{self.framework} did not answer within {timeout:.0f} s")
                piece = os.read(stdout.fileno(), 1 << 16)
                if not piece:
                    raise Failed(f"{self.framework}'s process ended (exit {self.process.wait()})")
                self.buffer += piece
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process: by the end of its input, else by force."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Locally:
    """`locally bench`, a process per turn; a row's median is the median of the turns' medians."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.binary: str = options.locally
        self.arguments: list[str] = options.locally_arguments.split()
        if "--cache" not in self.arguments:
            # As the peers are measured, whatever it does by itself.
            self.arguments += ["--cache", options.cache]
        self.passes: list[str] = options.locally_passes
        said = subprocess.run([self.binary, "--version"], capture_output=True, text=True, check=False)
        self.version = said.stdout.strip().rpartition(" ")[2] or "unknown"
        self.turns: list[list[Json]] = []
        self.adapter: Json | None = None

    def turn(self, workload: Workload, batches: Sequence[int]) -> None:
        # Each pass by itself, as the peers' are: in turns, one pass would push the other's weights out of the caches.
        for name in self.passes:
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder, "locally.json")
                arguments = ["bench", workload.name, "--batch", ",".join(map(str, batches)), "--pass", name]
                done = subprocess.run(
                    [self.binary, *arguments, *self.arguments, "--json", str(target)],
                    stdout=subprocess.DEVNULL,
                    check=False,
                    timeout=600,
                )
                if done.returncode != 0:
                    raise Failed(f"locally bench {workload.name}: exit {done.returncode}")
                content = json.loads(target.read_text())
            self.adapter = content["adapter"]
            self.turns.append(content["results"])

    def finish(self) -> list[Json]:
        """The turns' rows merged; `of_ceiling` stays against the device's own ceiling, measured in each turn."""
        groups: dict[tuple[Any, ...], list[Json]] = {}
        for rows in self.turns:
            for entry in rows:
                key = tuple(entry[name] for name in ("workload", "pass", "implementation", "batch", "dtype"))
                groups.setdefault(key, []).append(entry)
        self.turns.clear()
        return [self.merged(group) for group in groups.values()]

    def merged(self, group: Sequence[Json]) -> Json:
        entry = dict(group[0])
        for clock in ("wall_ms", "gpu_ms"):
            spreads = [turn[clock] for turn in group if turn[clock]]
            if spreads:
                entry[clock] = {
                    "min": min(spread["min"] for spread in spreads),
                    "median": statistics.median(spread["median"] for spread in spreads),
                    "max": max(spread["max"] for spread in spreads),
                }
        for rate in ("gb_s", "gflop_s", "of_ceiling"):
            rates = [turn[rate] for turn in group if turn.get(rate) is not None]
            entry[rate] = statistics.median(rates) if rates else None
        return entry | {"framework": "locally", "precision": "f32", "version": self.version}


def await_quiet(seconds: float) -> None:
    """Waits until others leave the processor alone, at most so long."""
    if seconds <= 0:
        return
    end = time.monotonic() + seconds
    while True:
        other = OtherLoad()
        other.begin()
        time.sleep(1.0)
        other.end()
        share = other.share() or 0.0
        if share < 0.1:
            return
        if time.monotonic() > end:
            log(f"note: going on although others use {share:.0%} of the processor")
            return


def measure_ceiling(options: argparse.Namespace) -> Json | None:
    """The device's rates, by PyTorch; none without it."""
    if "torch" not in options.frameworks or options.no_ceiling:
        return None
    try:
        worker = Worker("torch", options)
    except Failed as failure:
        log(f"note: no ceiling: {failure}")
        return None
    try:
        return worker.ask(120, do="ceiling")["ceiling"]
    except Failed as failure:
        log(f"note: no ceiling: {failure}")
        return None
    finally:
        worker.close()


class Run:
    """The whole run's state."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rows: list[Json] = []
        self.skipped: list[Json] = []
        self.adapters: list[Json] = []
        self.workers: dict[str, Worker] = {}
        self.locally = Locally(options) if options.locally else None
        self.ceiling = measure_ceiling(options)

    def give_up(self, framework: str, workload: Workload, reason: str) -> None:
        log(f"skip: {workload.name} {framework}: {reason}")
        self.skipped.append({"workload": workload.name, "case": framework, "reason": reason})
        if framework in self.workers:
            worker = self.workers.pop(framework)
            worker.process.kill()
            worker.close()

    def workload(self, workload: Workload) -> None:
        """All batches of a workload, each framework in a process that is made for it."""
        self.start_workers(workload)
        try:
            for batch in self.options.batch:
                self.batch(workload, batch)
                self.save()
        finally:
            self.close()

    def breadth_first(self, workloads: Sequence[Workload]) -> None:
        """All workloads at one batch and precision before the next: whenever it is broken off, what is there says
        something of every workload. A process of each framework for all, and of ours for all batches of a workload."""
        precisions = self.options.precision or PRECISION_NAMES[: 1 if self.options.device == "cpu" else None]
        for batch in self.options.batch:
            for precision in precisions:
                for workload in workloads:
                    if self.locally and (batch, precision) == (self.options.batch[0], precisions[0]):
                        self.locally_turn(workload, self.options.batch)
                        self.keep(self.locally.finish())
                    self.start_workers(workload)
                    self.batch(workload, batch, precision)
                self.save()
        self.close()

    def start_workers(self, workload: Workload) -> None:
        for framework in self.options.frameworks:
            if framework in self.workers:
                continue
            try:
                self.workers[framework] = Worker(framework, self.options)
                adapter = self.workers[framework].adapter
                if adapter not in self.adapters:
                    self.adapters.append(adapter)
            except (Failed, OSError) as failure:
                self.give_up(framework, workload, str(failure))

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()

    def locally_turn(self, workload: Workload, batches: Sequence[int]) -> bool:
        """Whether there can be another turn."""
        assert self.locally is not None
        try:
            self.locally.turn(workload, batches)
        except (Failed, subprocess.TimeoutExpired) as failure:
            log(f"skip: {workload.name} batch {','.join(map(str, batches))} locally: {failure}")
            return False
        return True

    def keep(self, rows: list[Json]) -> None:
        print_rows(rows)
        self.rows += rows
        if self.options.lines:
            with self.options.lines.open("a") as lines:
                lines.writelines(json.dumps(entry) + "\n" for entry in rows)

    def batch(self, workload: Workload, batch: int, precision: str | None = None) -> None:
        options = self.options
        ready: dict[str, int] = {}
        for framework, worker in list(self.workers.items()):
            cases = 6 * len(options.passes)
            try:
                prepared = worker.ask(
                    60 + cases * (options.row_timeout + 5),
                    do="prepare",
                    workload=workload.name,
                    batch=batch,
                    passes=options.passes,
                    precision=precision,
                )
            except Failed as failure:
                self.give_up(framework, workload, str(failure))
                continue
            self.skipped += prepared["skipped"]
            ready[framework] = len(prepared["cases"])
        turns = self.locally is not None and not options.brief
        for _ in range(options.rounds):
            await_quiet(options.wait_quiet)
            for framework, worker in list(self.workers.items()):
                try:
                    worker.ask(
                        60 + ready[framework] * options.row_timeout,
                        do="turn",
                        seconds=options.min_time / options.rounds,
                    )
                except Failed as failure:
                    self.give_up(framework, workload, str(failure))
            turns = turns and self.locally_turn(workload, [batch])
        rows: list[Json] = []
        for framework, worker in list(self.workers.items()):
            try:
                rows += worker.ask(60, do="finish")["rows"]
            except Failed as failure:
                self.give_up(framework, workload, str(failure))
        if self.locally and not options.brief:
            rows += self.locally.finish()
        self.keep(rows)

    def save(self) -> None:
        """Writes what there is so far: a run that is broken off leaves its finished batches."""
        if not self.options.json:
            return
        adapter = dict(self.adapters[0]) if self.adapters else {}
        if adapter:
            adapter["driver"] = "; ".join(entry["driver"] for entry in self.adapters)
        peers = [entry for entry in self.rows if entry["framework"] != "locally"]
        content = document(adapter, self.ceiling, peers, self.skipped)
        content["results"] = self.rows
        if self.locally and self.locally.adapter:
            content["locally_adapter"] = self.locally.adapter
        write_json(self.options.json, content)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_run_arguments(parser)
    add_peer_arguments(parser)
    add_python_arguments(parser)
    parser.add_argument("--lines", type=Path, metavar="F", help="append each row to F, a JSON object a line, as it comes")
    parser.add_argument("--locally", metavar="BINARY", help="let this `locally` take its turns too")
    parser.add_argument("--locally-arguments", default="", metavar="TEXT", help="more flags for `locally bench`")
    parser.add_argument("--locally-passes", type=comma_list, default=["forward", "backward"], metavar="PASS,…")
    parser.add_argument(
        "--brief",
        action="store_true",
        help="for a borrowed machine: all workloads at one batch and precision before the next, without turns",
    )
    parser.add_argument("--no-ceiling", action="store_true", help="do not measure the device's rates")
    parser.add_argument(
        "--wait-quiet",
        type=float,
        default=0.0,
        metavar="S",
        help="before each round wait up to so long until others leave the processor alone",
    )
    options = parser.parse_args()
    run = Run(options)
    workloads = select_workloads(options.workloads, options.quick)
    if options.brief:
        run.breadth_first(workloads)
    else:
        for workload in workloads:
            run.workload(workload)
    run.save()
    if not run.rows:
        sys.exit("error: no rows")


if __name__ == "__main__":
    main()
