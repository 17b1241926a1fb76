"""The command line of the paper's tables and figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks._report import positive
from benchmarks.paper import page, rcv1
from benchmarks.paper.bench import (
    ROWS,
    SCORES,
    Bench,
    Made,
    NotAtHand,
    Order,
    lines_of,
)
from benchmarks.paper.experiments import EXPERIMENTS
from benchmarks.paper.store import whole
from benchmarks.quality import runs
from benchmarks.quality.__main__ import Bar, dataset, variant
from benchmarks.quality.results import Line
from skmixae._callbacks import HAS_CALLBACKS

ALL = "all"
DPI = 96
EPILOG = """\
Every mixture is fitted once, into DIR/fits, and every run of Table 2 is a line of
DIR/table2.jsonl: what is there of the same settings is not run again. Tables (JSON) and
figures (JSON, PNG, SVG) are then made of these, each time.

python -m benchmarks.paper page DIR turns the JSON files of a folder into a page.

exit code: 0 all went well, 1 some run ended with an error, 2 the arguments make no
sense, 130 interrupted (all files are whole: start again)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is asked for, or write the page."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["page"]:
        return page.main(arguments[1:])
    matplotlib.use("Agg")
    rcv1.add()
    parser = new_parser()
    options = parser.parse_args(arguments)
    if not HAS_CALLBACKS:
        parser.error("fits are followed by callbacks, which need scikit-learn 1.9")
    order = new_order(options)
    names = list(EXPERIMENTS) if ALL in options.experiment else options.experiment
    try:
        return make_all(names, order)
    except KeyboardInterrupt:
        print(f"Interrupted; all files in {order.out} are whole. Start again to go on.")
        return 130


def new_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    width = max(map(len, EXPERIMENTS))
    known = "\n".join(
        f"  {name:{width}s}  {e.about}" for name, e in EXPERIMENTS.items()
    )
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper",
        description=f"Make the paper's tables and figures again:\n{known}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--experiment", nargs="+", required=True, metavar="NAME",
        choices=[*EXPERIMENTS, ALL], help=f"one or several of the above, or {ALL}",
    )  # fmt: skip
    add("--out", type=Path, required=True, metavar="DIR", help="where results go")
    add(
        "--datasets", nargs="+", type=dataset, metavar="NAME",
        help="those of benchmarks.quality, or rcv1 (default: the paper's)",
    )  # fmt: skip
    add(
        "--methods", nargs="+", type=variant, metavar="NAME[:PARAMETER=VALUE,...]",
        help="those of benchmarks.quality (default: the experiment's)",
    )  # fmt: skip
    add("--seeds", type=positive, default=1, help="how many, from 0 (default: 1)")
    add("--limit", type=positive, metavar="ROWS", help="few rows, for a smoke test")
    add("--epochs", type=positive, help="of MixAEClustering (default: its own)")
    add(
        "--clusters", nargs="+", type=positive, metavar="K",
        help="of figure7, up to three (default: as many as classes, 20 and 30)",
    )  # fmt: skip
    add("--threads", type=positive, default=1, help="of a run (default: 1)")
    add("--timeout", type=positive, metavar="SECONDS", help="of a run of table2")
    add(
        "--lines", nargs="+", type=existing, default=[], metavar="FILE",
        help="take table2's runs from these lines of benchmarks.quality, as they are",
    )  # fmt: skip
    add("--retry-errors", action="store_true", help="run what failed in table2 again")
    add("--no-runs", action="store_true", help="make all of what is there, run nothing")
    add(
        "--any-version", action="store_true",
        help="take also what is there from another version of the method",
    )  # fmt: skip
    add(
        "--peers", type=Path, default=runs.Plan.peers, metavar="DIR",
        help="the environment that make peers creates (default: %(default)s)",
    )  # fmt: skip
    return parser


def existing(text: str) -> Path:
    """Read the name of a file that is there."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


def new_order(options: argparse.Namespace) -> Order:
    """Return what the command line asks for."""
    return Order(
        out=options.out,
        datasets=options.datasets,
        variants=options.methods,
        n_seeds=options.seeds,
        limit=options.limit,
        epochs=options.epochs,
        clusters=tuple(options.clusters) if options.clusters else None,
        threads=options.threads,
        timeout=options.timeout,
        peers=options.peers,
        lines=tuple(options.lines),
        retry_errors=options.retry_errors,
        any_version=options.any_version,
        no_runs=options.no_runs,
    )


def make_all(names: list[str], order: Order) -> int:
    """Make experiments, a data set after the other; return the exit code."""
    units = [
        (name, data)
        for data in order.datasets or _datasets_of(names)
        for name in EXPERIMENTS
        if name in names and (order.datasets or data in EXPERIMENTS[name].datasets)
    ]
    n_runs = sum(len(EXPERIMENTS[name].runs(order, data)) for name, data in units)
    told = []
    with Bar(n_runs) as bar:
        bench = Bench(order, bar)
        for name, data in units:
            told.append(make(name, data, bench))
    contents = [content for content in told if isinstance(content, dict)]
    print("", *page.printed(contents), sep="\n")
    for text in dict.fromkeys(x for x in told if isinstance(x, str)):
        print(text)
    return int(bench.n_failed > 0)


def _datasets_of(names: list[str]) -> list[str]:
    """Return the data sets of experiments, each once."""
    return list(dict.fromkeys(d for name in names for d in EXPERIMENTS[name].datasets))


def make(name: str, data: str, bench: Bench) -> dict[str, Any] | str:
    """Make one experiment on one data set; return its content, or why there is none."""
    experiment = EXPERIMENTS[name]
    try:
        gathered = bench.gather(experiment, data)
    except NotAtHand as error:
        return f"{name} of {data} is left out: {error}."
    made = experiment.make(gathered)
    content = {
        "experiment": name,
        "dataset": data,
        "limit": bench.order.limit,
        "command": command_of(name, data, bench.order),
        **made.content,
        "lines": [_provenance(line) for line in lines_of(gathered)],
    }
    stem = bench.named(name, data)
    if made.figure is not None:
        save(made, bench, stem)
    bench.store.keep(stem, content)
    return content


def command_of(name: str, data: str, order: Order) -> str:
    """Write the command that makes one experiment on one data set again."""
    options: dict[str, Any] = {
        "experiment": name,
        "datasets": data,
        "methods": " ".join(f'"{x.label}"' for x in order.variants or ()),
        "seeds": order.n_seeds if order.n_seeds > 1 else None,
        "limit": order.limit,
        "epochs": order.epochs,
        "clusters": " ".join(map(str, order.clusters or ())),
        "lines": " ".join(map(str, order.lines)),
        "out": "DIR",
    }
    source = EXPERIMENTS[name].source
    unused = {ROWS: ["methods", "seeds", "epochs"]}.get(source, [])
    unused += ["lines"] * (source != SCORES)
    unused += ["clusters"] * (len(EXPERIMENTS[name].clusters) == 1)
    given = (
        f"--{x} {value}" for x, value in options.items() if value and x not in unused
    )
    return " ".join(["python -m benchmarks.paper", *given])


def _provenance(line: Line) -> Line:
    """Return a line without what is told elsewhere."""
    return {name: value for name, value in line.items() if name != "epochs"}


def save(made: Made, bench: Bench, stem: str) -> None:
    """Write a figure as PNG and as SVG, the same bytes for the same numbers."""
    import matplotlib.pyplot as plt

    with matplotlib.rc_context({"svg.hashsalt": stem}):
        for suffix, dated in (("png", {"Software": None}), ("svg", {"Date": None})):
            whole(
                bench.store.path(stem, suffix),
                lambda file, suffix=suffix, dated=dated: made.figure.savefig(
                    file, format=suffix, dpi=DPI, metadata=dated
                ),
            )
    plt.close(made.figure)


if __name__ == "__main__":
    sys.exit(main())
