"""From lines of results to a page of tables."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks._report import counted, shortened, spread
from benchmarks.quality import results
from benchmarks.quality.datasets import DATASETS
from benchmarks.quality.methods import METHODS, written
from benchmarks.quality.results import Line

# Fewer than this many seeds are told beside a mean; a rank correlation needs as many.
ENOUGH_SEEDS = 5

PROTOCOL = Path(__file__).with_name("protocol.md").read_text(encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality tables",
        description="Turn lines of results into a page of tables.",
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: print")
    options = parser.parse_args(arguments)
    try:
        lines = latest(results.read(options.results))
    except OSError as error:
        parser.error(str(error))
    if not lines:
        parser.error("there is no result in these files")
    text = page(lines)
    if options.out is None:
        print(text)
    else:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", "utf-8")
    return 0


def page(lines: list[Line]) -> str:
    """Return the whole page."""
    on_gpus = [line for line in lines if on_gpu(line)]
    lines = [line for line in lines if not on_gpu(line)]
    plain = [line for line in lines if not line["parameters"]]
    parts = [PROTOCOL, "\n".join(provenance(lines))]
    if plain:
        parts += ["## Accuracy of all", accuracies(plain)]
    for name, there in grouped(plain, dataset_label).items():
        parts += [f"## {name}", describe(there), scores(there)]
    parts += section("Ablations", ABLATIONS, ablations(lines))
    parts += section("On a GPU", ON_A_GPU, gpu_scores(on_gpus))
    parts += section("Objective and accuracy", CORRELATIONS, correlations(lines))
    parts += section("What went wrong", None, remarks(lines))
    return "\n\n".join(parts)


def section(title: str, introduction: str | None, body: str) -> list[str]:
    """Return a section, or nothing where it would be empty."""
    if not body:
        return []
    return [part for part in (f"## {title}", introduction, body) if part]


# ---------------------------------------------------------------------------
# Lines
# ---------------------------------------------------------------------------


def latest(lines: Iterable[Line]) -> list[Line]:
    """Keep the newest line of each run, in the order of data sets and methods."""
    newest = {
        (results.key(line, with_version=False), on_gpu(line)): line for line in lines
    }

    def place(name: str, known: Iterable[str]) -> tuple[int, str]:
        known = list(known)  # others, files of rows, come last
        return (known.index(name) if name in known else len(known)), name

    return sorted(
        newest.values(),
        key=lambda x: (
            place(x["dataset"], DATASETS), place(x["method"], METHODS), label(x),
            x["seed"],
        ),
    )  # fmt: skip


def on_gpu(line: Line) -> bool:
    """Tell whether a run used a GPU."""
    return line.get("gpu") is not None


def label(line: Line) -> str:
    """Write the method and its parameters."""
    return written(line["method"], line["parameters"])


def dataset_label(line: Line) -> str:
    """Write the data set, and how many of its rows were taken."""
    limit = line["limit"]
    return line["dataset"] + (f", {limit:,} rows of it" if limit else "")


def grouped(
    lines: Iterable[Line], by: Callable[[Line], Any] = label
) -> dict[Any, list[Line]]:
    """Group lines, in the order in which they come."""
    groups: dict[Any, list[Line]] = {}
    for line in lines:
        groups.setdefault(by(line), []).append(line)
    return groups


def done(lines: Iterable[Line]) -> list[Line]:
    """Leave out the runs that ended with an error."""
    return [line for line in lines if line["error"] is None]


# ---------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its first column is of words, the others of numbers."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def cell(lines: list[Line], name: str, digits: int) -> str:
    """Return mean ± standard deviation of what is there."""
    values = [line[name] for line in done(lines) if line[name] is not None]
    return spread(values, digits) if values else "–"


def measures(lines: list[Line], digits: dict[str, int]) -> list[str]:
    """Return a cell for each name, with so many digits, and the number of seeds."""
    cells = [cell(lines, name, n) for name, n in digits.items()]
    return [*cells, str(len(done(lines)))]


def few(lines: list[Line]) -> str:
    """Say how many seeds, where they are few."""
    n = len(done(lines))
    return f" ({counted(n, 'seed')})" if 0 < n < ENOUGH_SEEDS else ""


def accuracies(lines: list[Line]) -> str:
    """Return the accuracy of every method on every data set."""
    present = grouped(lines)
    methods = [name for name in METHODS if name in present]
    rows = []
    for name, there in grouped(lines, dataset_label).items():
        found = grouped(there)
        cells = (found.get(method, []) for method in methods)
        rows.append([name, *(cell(x, "accuracy", 3) + few(x) for x in cells)])
    return markdown(["ACC", *(f"`{m}`" for m in methods)], rows)


def describe(lines: list[Line]) -> str:
    """Say what is clustered."""
    line = lines[0]
    rows, features = (line[f"n_{what}s"] for what in ("row", "feature"))
    return (
        f"{counted(rows, 'row')} of {counted(features, 'feature')}, "
        f"{line['n_classes']} classes."
    )


def scores(lines: list[Line]) -> str:
    """Return the table of a data set, all metrics."""
    digits = {
        "accuracy": 3, "nmi": 3, "ari": 3, "n_clusters_found": 1, "seconds": 2,
        "memory_mb": 0,
    }  # fmt: skip
    rows = [
        [f"`{name}`", *measures(there, digits)]
        for name, there in grouped(lines).items()
    ]
    header = ["", "ACC", "NMI", "ARI", "clusters", "seconds", "memory, MB", "seeds"]
    return markdown(header, rows)


ABLATIONS = """\
A method with some parameter changed. The difference is that of the same seeds with and
without the change, mean ± standard deviation."""


def ablations(lines: list[Line]) -> str:
    """Return what changed parameters change."""
    rows = []
    for (name, _), there in grouped(
        lines, lambda x: (dataset_label(x), x["method"])
    ).items():
        plain = {x["seed"]: x for x in done(there) if not x["parameters"]}
        for changed, those in grouped(x for x in there if x["parameters"]).items():
            pairs = [(x, plain[x["seed"]]) for x in done(those) if x["seed"] in plain]
            rows.append(
                [
                    f"{name}, `{changed}`",
                    cell(those, "accuracy", 3),
                    *(difference(pairs, metric) for metric in ("accuracy", "nmi")),
                    cell(those, "seconds", 2),
                    str(len(done(those))),
                ]
            )
    header = ["", "ACC", "ACC, difference", "NMI, difference", "seconds", "seeds"]
    return markdown(header, rows) if rows else ""


def difference(pairs: list[tuple[Line, Line]], metric: str) -> str:
    """Return by how much the first of each pair is better, with its sign."""
    gains = [changed[metric] - plain[metric] for changed, plain in pairs]
    if not gains:
        return "–"
    return ("+" if np.mean(gains) >= 0 else "") + spread(gains, 3)


ON_A_GPU = """\
The same on a machine with a GPU, on which experts are trained there, and other noise is
drawn. Starts from k-means or the graph of neighbours are found on the processor."""


def gpu_scores(lines: list[Line]) -> str:
    """Return what was found on a GPU and how fast, and on which."""
    if not lines:
        return ""
    groups = grouped(lines, lambda x: (dataset_label(x), label(x)))
    digits = {"accuracy": 3, "nmi": 3, "seconds": 1, "gpu_memory_mb": 0}
    rows = [
        [f"{name}, `{method}`", *measures(there, digits)]
        for (name, method), there in groups.items()
    ]
    header = ["", "ACC", "NMI", "seconds", "memory of the GPU, MB", "seeds"]
    return "\n\n".join([markdown(header, rows), "\n".join(provenance(lines))])


CORRELATIONS = f"""\
Does the objective, which reads no labels, know the better seed? Spearman's rank
correlation over seeds between accuracy and *minus* the objective (1: the lowest
objective is always the most accurate; 0: it says nothing), and the accuracy of the seed
with the lowest objective, which is the one that `n_init` would choose, but of images
and series. From {ENOUGH_SEEDS} seeds up."""


def correlations(lines: list[Line]) -> str:
    """Return how the label-free objective goes with accuracy over seeds."""
    ours = (
        line
        for line in done(lines)
        if METHODS.get(line["method"], METHODS["kmeans"]).package == "skmixae"
        and line["objective"] is not None
    )
    rows = []
    for (name, method), there in grouped(
        ours, lambda x: (dataset_label(x), label(x))
    ).items():
        if len(there) < ENOUGH_SEEDS:
            continue
        lowest = min(there, key=lambda x: x["objective"])
        rows.append(
            [
                f"{name}, `{method}`",
                rank_correlation(there),
                f"{lowest['accuracy']:.3f}",
                cell(there, "accuracy", 3),
                str(len(there)),
            ]
        )
    header = ["", "correlation", "ACC, lowest objective", "ACC, mean", "seeds"]
    return markdown(header, rows) if rows else ""


def rank_correlation(lines: list[Line]) -> str:
    """Return Spearman's correlation of accuracy and minus the objective."""
    objectives = [-line["objective"] for line in lines]
    accuracy = [line["accuracy"] for line in lines]
    if min(len(set(objectives)), len(set(accuracy))) < 2:
        return "–"  # all seeds alike
    return f"{spearmanr(objectives, accuracy).statistic:+.2f}"


# ---------------------------------------------------------------------------
# Words
# ---------------------------------------------------------------------------


def provenance(lines: list[Line]) -> list[str]:
    """Return the machines, the versions and the state of the code."""
    machines = distinct(
        f"{m['processor']}, {counted(m['cores'], 'core')}, "
        f"{counted(m['threads'], 'thread')} a run, "
        + (f"{line['gpu']}, " if on_gpu(line) else "")
        + f"Python {m['python']}"
        for line, m in ((line, line["machine"]) for line in lines)
    )
    packages = distinct(
        f"{name} {version}"
        for line in lines
        for name, version in line["versions"].items()
    )
    commits = distinct(
        f"{str(line['commit'])[:10]}{' with changes' if line['dirty'] else ''}"
        for line in lines
    )
    told = [
        f"- Machine: {'; '.join(machines)}.",
        f"- Packages: {', '.join(sorted(packages))}.",
        f"- Code: {', '.join(commits)}.",
    ]
    return told + [f"- **Mixed versions:** {text}." for text in mixtures(lines)]


def mixtures(lines: list[Line]) -> list[str]:
    """Name the rows whose seeds come from different versions of a method."""
    groups = grouped(done(lines), lambda x: (dataset_label(x), label(x)))
    return [
        f"{name}, `{method}`"
        for (name, method), there in groups.items()
        if len({line["version"] for line in there}) > 1
    ]


def remarks(lines: list[Line]) -> str:
    """Return errors and warnings, with the number of their seeds."""
    told = Counter(
        f"{dataset_label(line)}, `{label(line)}`: {verb}{shortened(text)}"
        for line in lines
        for verb, text in (
            [("not run: ", line["error"])]
            if line["error"]
            else [("", text) for text in line["warnings"]]
        )
    )
    return "\n".join(f"- {text} ({counted(n, 'seed')})" for text, n in told.items())


def distinct(texts: Iterable[str]) -> list[str]:
    """Drop repetitions."""
    return list(dict.fromkeys(texts))
