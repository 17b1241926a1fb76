"""The command line of the benchmark of clustering quality."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from benchmarks._report import positive, shortened
from benchmarks.quality import runs, tables
from benchmarks.quality.datasets import DATASETS, add_file
from benchmarks.quality.methods import METHODS, Variant, parse

EPILOG = """\
A method's parameters can be changed: mixae:n_init=4 or
"mixae:n_experts=None,consistency=adversarial" (values are Python literals, or else
strings). Runs that are in the file already are skipped.

python -m benchmarks.quality tables results.jsonl turns the file into a page.

exit code: 0 all went well, 1 some run ended with an error (its line says which),
2 the arguments make no sense, 130 interrupted (the file is whole: start again)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, or write the tables."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["tables"]:
        return tables.main(arguments[1:])
    parser = new_parser()
    options = parser.parse_args(arguments)
    if options.list:
        print(listing())
        return 0
    if options.out is None:
        parser.error("where do the results go? --out FILE")
    plan = runs.Plan(
        options.datasets,
        options.methods,
        options.seeds,
        options.out,
        options.threads,
        options.limit,
        options.timeout,
        options.retry_errors,
        options.any_version,
        options.peers,
    )
    try:
        with Bar(sum(1 for _ in plan.runs())) as bar:
            return int(runs.execute(plan, bar) > 0)
    except KeyboardInterrupt:
        print(f"Interrupted; {plan.out} is whole. Start again to go on.")
        return 130


def new_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description="Cluster data sets with methods and seeds; a JSON line for each.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--datasets", nargs="+", default=["digits"], type=dataset, metavar="NAME",
        help="or files of comma-separated rows, with the class as the last value; or a "
        "folder with one of grey images for each class, or with MNIST's files",
    )  # fmt: skip
    add(
        "--methods", nargs="+", default=[parse("kmeans"), parse("mixae")], type=variant,
        metavar="NAME[:PARAMETER=VALUE,...]",
    )  # fmt: skip
    add("--seeds", type=positive, default=5, help="how many, from 0 (default: 5)")
    add("--out", type=Path, metavar="FILE", help="lines are appended to it")
    add("--threads", type=positive, default=1, help="of a run (default: 1)")
    add("--limit", type=positive, metavar="ROWS", help="so many rows, drawn at random")
    add("--timeout", type=positive, metavar="SECONDS", help="of a run")
    add("--retry-errors", action="store_true", help="run what failed again")
    add(
        "--any-version", action="store_true",
        help="skip also what is there from another version of the method",
    )  # fmt: skip
    add(
        "--peers", type=Path, default=runs.Plan.peers, metavar="DIR",
        help="the environment that make peers creates (default: %(default)s)",
    )  # fmt: skip
    add("--list", action="store_true", help="list the data sets and the methods")
    return parser


def dataset(text: str) -> str:
    """Read the name of a data set, or of a file or folder of rows."""
    if text in DATASETS:
        return text
    if Path(text).exists():
        return add_file(Path(text))
    raise argparse.ArgumentTypeError(
        f"{text!r} is no file, no folder and none of {', '.join(DATASETS)}"
    )


def variant(text: str) -> Variant:
    """Read a method; argparse wants another error than ours."""
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def listing() -> str:
    """Return the names of all data sets and methods."""
    width = max(map(len, METHODS))
    methods = [f"  {name:{width}s}  {m.about}" for name, m in METHODS.items()]
    return "\n".join(["data sets:", f"  {' '.join(DATASETS)}", "methods:", *methods])


class Bar:
    """The progress of all runs, and a line for each that ends."""

    def __init__(self, n_runs: int):
        self._progress = Progress(
            BarColumn(20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(soft_wrap=True),
        )
        self._task = self._progress.add_task("", total=n_runs)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def start(self, run: runs.Run) -> None:
        since = time.strftime("%H:%M")
        self._progress.update(self._task, description=f"{run}, since {since}")

    def end(self, run: runs.Run, line: dict[str, Any], skipped: str | None) -> None:
        self._progress.advance(self._task)
        if skipped == runs.PRESENT:
            return
        if skipped or line["error"]:
            what = f"not run: {shortened(skipped or line['error'], 100)}"
        else:
            what = f"accuracy {line['accuracy']:.3f} in {line['seconds']:.1f} s"
        self._progress.console.print(f"{run}  {what}", markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
