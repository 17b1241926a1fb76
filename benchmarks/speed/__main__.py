"""The command line of the benchmark of speed: ``python -m benchmarks.speed``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks._report import positive
from benchmarks.quality.runs import PINNED, machine, state_of_code
from benchmarks.speed import fit, predict, scale, search, step
from benchmarks.speed.clock import Result
from skmixae._parameters import resolve_device

SUITES: dict[str, Callable[..., Iterator[Result]]] = {
    "step": step.run,
    "fit": fit.run,
    "predict": predict.run,
    "scale": scale.run,
    "search": search.run,
}
# What makes each suite short, to see that it runs; its figures mean nothing.
BRIEF: dict[str, dict[str, Any]] = {
    "step": {"times": 1},
    "fit": {"n_rows": 600, "dataset": None},
    "predict": {"n_rows": 1000, "n_features": 64},
    "scale": {"shrink": 1000},
    "search": {"n_rows": 120, "max_epochs": 1},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run suites, print each figure beside its target, and append it to a file."""
    options = new_parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    for name in PINNED:  # of the processes that are started
        os.environ[name] = str(options.threads)
    if options.device == "cpu":  # neither here nor in a process that is started
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    device = resolve_device(options.device).type
    about = {**machine(options.threads), "torch": torch.__version__, **state_of_code()}
    if device == "cuda":
        about["gpu"] = torch.cuda.get_device_name()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    repeats = 1 if options.brief else options.repeats
    for suite in options.suite:
        settings = dict(BRIEF[suite]) if options.brief else {}
        if suite == "step":  # the others fit on the fastest device that is left
            settings["device"] = device
        for result in SUITES[suite](repeats, **settings):
            print(told(result), flush=True)
            if options.out is not None:
                line = asdict(result) | {
                    "machine": about, "repeats": repeats, "brief": options.brief,
                    "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                }  # fmt: skip
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    return 0


def told(result: Result) -> str:
    """Return a line that a person reads."""
    wish = "at least" if result.higher_is_better else "at most"
    digits = 0 if result.unit == "MB" else 2
    value, target = (
        f"{number:.{digits}f} {result.unit}".strip()
        for number in (result.value, result.target)
    )
    mark = "met" if result.is_met else "MISSED"
    return f"{result.suite:8s} {value:>9s}  ({wish} {target}: {mark})  {result.name}"


def new_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description="Time the package beside other ways, in one run. "
        "A figure is a ratio of medians, a share or a memory.",
    )
    add = parser.add_argument
    add("--suite", nargs="+", default=list(SUITES), choices=SUITES, metavar="SUITE",
        help=f"among {', '.join(SUITES)}; default: all")  # fmt: skip
    add("--out", type=Path, metavar="FILE", help="JSON lines are appended to it")
    add("--repeats", type=positive, default=7, help="of each timing (default: 7)")
    add("--threads", type=positive, default=2, help="of all that is timed (default: 2)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto",
        help="what trains (default: a GPU of CUDA's where there is one)")  # fmt: skip
    add("--brief", action="store_true", help="tiny sizes, to see that it runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
