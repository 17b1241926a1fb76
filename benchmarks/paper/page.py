"""From the JSON files of experiments to tables in Markdown, and to a page of them."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks._report import counted, shortened, spread
from benchmarks.paper import sums
from benchmarks.paper.bench import SCORES
from benchmarks.paper.experiments import EXPERIMENTS, SETS
from benchmarks.quality import results
from benchmarks.quality.results import Line
from benchmarks.quality.tables import (
    ENOUGH_SEEDS,
    dataset_label,
    distinct,
    grouped,
    latest,
    markdown,
    provenance,
    remarks,
    section,
)

Content = dict[str, Any]
# The lines of benchmarks.paper.sums, in the folder of results.
SUMS = "sums.jsonl"
# Where the pictures are, beside the page.
PICTURES = "paper"
# What the paper says of its data: rows, features and classes.
IN_THE_PAPER = {
    "mnist": "70,000 of 784, 10",
    "rcv1": "685,071 of 2,000, 4",
    "har": "10,299 of 561, 6",
}

INTRODUCTION = """\
# The paper's tables and figures

Written by `python -m benchmarks.paper page`; no number is entered by hand.

`python -m benchmarks.paper --experiment all --out DIR` makes the tables and figures of
[the paper](https://arxiv.org/abs/1712.07788) again, with the method as the package has
it. `--experiment table3 figure5` makes some of them, `--datasets` takes other data,
`--limit 1000` some rows for a first look. Every mixture is fitted once and kept in
DIR: a second call runs what is missing and draws again, and an interrupted one is gone
on with. Figures are PNG and SVG, numbers JSON, with seeds, machine and versions.

## What the paper leaves open

- **Its recipe.** Layer sizes, latent dimensions, learning rate, size of a batch, number
  of epochs, and how the weights move are not in its text. `paper` below is
  {func}`skmixae.presets.paper`: its objective, its assignment network on the
  latents, an expert for each cluster, a random start, and our choice for the rest.
  `mixae` is the package's default, which is another method: it adds consistency
  and more. A result here is one of this package, and neither confirms nor refutes
  a number of the paper's.
- **Its data.** What it calls HHAR is *UCI HAR*, smartphone signals of 10,299 windows of
  561 features: the set that it cites under that name has other classes and no such
  features. Its Reuters is RCV1, the documents that have exactly one of four
  roots, 2,000 terms. `rcv1` is that as far as scikit-learn's copy of RCV1 allows:
  that copy holds weights, not counts, so the terms in most documents are taken and
  rows brought to length 1 again. scikit-learn fetches it; on a machine without a
  network the command says that it is left out. `reuters4`, the four largest
  classes of Reuters-21578, is a smaller collection that stands beside it.
- **Its score.** It says that accuracy, of one cluster for each class (Hungarian), and
  purity are the same. They are not: purity lets several clusters have one class,
  and rises with K by itself. Both are here, under their names.
- **Its covariance.** We take the second moment, the mean of p pᵀ over rows, without
  centring: its diagonal then says how much each cluster is used.

Labels are read to score and to arrange pictures, after the fit; nothing is chosen by
them. Seeds count from 0, and none is picked: pictures show seed 0. Batch entropies are
of all rows as one batch, and all entropies of tables in nats.

Of MNIST, table 3 and the figures are of all rows and of the convolutional experts that
the preset gives images, as the paper's, on a GPU; the rest is of one thread of a
processor that other work shared. The same seed draws other noise on a GPU: seed 0 of
`paper` has one accuracy in table 2 and another in table 3, as two seeds would."""

ABOUT = {
    "table1": """\
Rows, features and classes, the shares of the largest and the smallest class, and the
entropy of the classes. "In the paper" is what its Table 1 says.""",
    "table2": """\
Hungarian accuracy, mean ± standard deviation over the seeds that were run. The paper's
own cells are not repeated: methods here have this package's or ClustPy's defaults.""",
    "table3": """\
log K is the highest batch entropy there is; that of the classes is what a perfect
clustering would have. The paper finds its assignments close to log K also where the
classes are not, and says that balance then puts rows of large classes into
wrong clusters.""",
    "figure3": """\
Samples of each cluster, above what its expert makes of them; from the most certain of
the cluster, on the left, to the least.""",
    "figure4": """\
Latents of all experts side by side, of at most 1,000 rows, on the two principal axes of
those of the last epoch: the same axes in all panels. Above, rows are marked by
the cluster that they end in; below, by their class. "Separation" is the share of the
latents' whole variance that is between the final clusters.""",
    "figure5": """\
The second moment of the classes, and of the assignments, with each cluster at the place
of the class that it matches best. Grey beside the diagonal is rows that two clusters
share. The diagonal tells how even clusters are, not whether their rows are right.""",
    "figure6": """\
The paper's three terms, in the units of `history_`; the shares of the experts; accuracy
and purity; the second moments. A dot is the score of the weights that the fit keeps,
those of the epoch with the lowest objective.""",
    "figure7": """\
As many clusters as classes, and more. The paper reports an accuracy that rises with K
and calls it purity as well. Purity rises with K by itself, as clusters are split, so
that of different K cannot be compared; with more clusters than classes the Hungarian
accuracy counts all rows of the clusters left over as wrong. "Several" is the share of
rows with two or more probabilities above 0.1; a dot is the score of the weights
that the fit keeps, those of the epoch with the lowest objective.""",
}


OF_SUMS = """\
## Sums of two digits

The paper's outlook has rows that several experts make together. Here each row is the
pixelwise sum of two images of scikit-learn's digits, which show different ones of as
many digits as the column says. Each seed draws the digits, and 4,000 rows. A row counts
as right if both of its digits are, under the best one-to-one map of clusters and
digits: mean ± standard deviation over the seeds. With four digits the two that are not
in a row have the same sum as the two that are, up to its sign and a constant: centres
that are wrong come as near to the rows, and many starts end at such.

```console
$ python -m benchmarks.paper.sums --out DIR/sums.jsonl
```"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and copy its pictures, or print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper page",
        description="Turn the JSON files of a folder into a page.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="what --out was")
    add("--out", type=Path, metavar="FILE", help="default: print")
    add(
        "--pictures", nargs="+", default=[], metavar="NAME",
        help="figures to show, such as figure5-har, copied beside the page",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    contents = read(options.folder)
    if not contents:
        parser.error(f"there is no result in {options.folder}")
    text = page(contents, options.pictures, lines_of_sums(options.folder))
    if options.out is None:
        print(text)
        return 0
    beside = options.out.parent / PICTURES
    beside.mkdir(parents=True, exist_ok=True)
    for name in options.pictures:
        shutil.copy(options.folder / f"{name}.png", beside)
    options.out.write_text(text + "\n", "utf-8")
    return 0


def read(folder: Path) -> list[Content]:
    """Read the experiments of a folder, in the order of data sets."""
    contents = []
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        if content.get("experiment") in EXPERIMENTS:
            contents.append(content | {"name": path.stem})
    return sorted(contents, key=_place)


def lines_of_sums(folder: Path) -> list[Line]:
    """Read the runs on sums of digits, of which there may be none."""
    return results.read(path for path in [folder / SUMS] if path.exists())


def _place(content: Content) -> tuple[int, str]:
    known = content["dataset"] in SETS
    place = SETS.index(content["dataset"]) if known else len(SETS)
    return place, content["name"]


def page(
    contents: list[Content], pictures: Sequence[str], sum_lines: list[Line]
) -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for name, experiment in EXPERIMENTS.items():
        there = [x for x in contents if x["experiment"] == name]
        if there:
            kind, number = name[:-1].capitalize(), name[-1]
            parts += [f"## {kind} {number}: {experiment.about}", ABOUT[name]]
            parts += [table(there), *shown(there, pictures), commands(there)]
    if sum_lines:
        parts += [OF_SUMS, sums.table(sum_lines)]
    # Table 2 may be of lines from other versions of the code: it is told apart.
    scored = [x for x in contents if EXPERIMENTS[x["experiment"]].source == SCORES]
    others = [x for x in contents if x not in scored]
    made = {
        "Table 2": runs_of(scored),
        "Tables 1 and 3, and figures": runs_of(others),
        "Sums of two digits": sum_lines,
    }
    for title, lines in made.items():
        parts += section(f"{title}: made on", None, made_on(lines))
        parts += section(f"{title}: what went wrong", None, remarks(lines))
    return "\n\n".join(part for part in parts if part)


def runs_of(contents: list[Content]) -> list[Line]:
    """Return the lines of experiments, those that several are made of once."""
    return latest(line for content in contents for line in content["lines"])


def made_on(lines: list[Line]) -> str:
    """Say on what machine and by what code, where anything was made."""
    return "\n".join(provenance(lines)) if lines else ""


def shown(contents: list[Content], pictures: Sequence[str]) -> list[str]:
    """Return the pictures among those of an experiment."""
    names = [content["name"] for content in contents]
    return [
        f"![{name}]({PICTURES}/{name}.png)" for name in names if name in set(pictures)
    ]


def commands(contents: list[Content]) -> str:
    """Return the commands that make them."""
    made = distinct(content["command"] for content in contents)
    return "\n".join(["```console", *(f"$ {command}" for command in made), "```"])


def printed(contents: list[Content]) -> list[str]:
    """Return the tables for the console, under the names of their experiments."""
    found = grouped(contents, lambda content: content["experiment"])
    tables = ((name, table(there)) for name, there in found.items())
    return [f"{name}\n\n{text}" for name, text in tables if text]


# ---------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------


def table(contents: list[Content]) -> str:
    """Return the table of an experiment on several data sets, where it has one."""
    make = TABLES.get(contents[0]["experiment"])
    return make(contents) if make else ""


def _table1(contents: list[Content]) -> str:
    rows = [
        [
            dataset_label(x),
            f"{x['n_rows']:,}",
            f"{x['n_features']:,}",
            str(x["n_classes"]),
            f"{x['largest']:.2%}",
            f"{x['smallest']:.2%}",
            f"{x['entropy']:.4f}",
            IN_THE_PAPER.get(x["dataset"], "–"),
        ]
        for x in contents
    ]
    header = ["", "rows", "features", "K", "largest", "smallest", "entropy"]
    return markdown([*header, "in the paper"], rows)


def _table2(contents: list[Content]) -> str:
    methods = distinct(row["method"] for x in contents for row in x["rows"])
    rows = []
    for method in methods:
        found = [
            [row for row in content["rows"] if row["method"] == method]
            for content in contents
        ]
        rows.append([f"`{method}`", *(_accuracy(x[0] if x else None) for x in found)])
    return markdown(["", *map(dataset_label, contents)], rows)


def _accuracy(row: dict[str, Any] | None) -> str:
    """Return an accuracy and of how few seeds it is, or why there is none."""
    if row is None or not row["accuracy"]:
        error = row and row["error"]
        return f"failed: {shortened(error, 60)}" if error else "not run"
    n = len(row["accuracy"])
    few = f" ({counted(n, 'seed')})" if n < ENOUGH_SEEDS else ""
    return spread(row["accuracy"], 3) + few


def _table3(contents: list[Content]) -> str:
    names = ("highest", "classes", "batch", "sample", "accuracy")
    rows = []
    for content in contents:
        for method, there in grouped(content["rows"], lambda x: x["method"]).items():
            numbers = [[row[name] for row in there] for name in names]
            digits = (4, 4, 4, 4, 3)
            cells = map(spread, numbers, digits)
            rows.append([f"{dataset_label(content)}, `{method}`", *cells])
    header = ["", "log K", "classes", "batch entropy", "sample entropy", "ACC"]
    return markdown(header, rows)


def _figure4(contents: list[Content]) -> str:
    rows = [
        [
            dataset_label(content),
            ", ".join(map(str, content["epochs"])),
            ", ".join(f"{value:.3f}" for value in content["separation"]),
        ]
        for content in contents
    ]
    return markdown(["", "epochs", "separation"], rows)


def _figure7(contents: list[Content]) -> str:
    names = ("accuracy", "purity", "highest", "batch", "sample", "largest", "smallest")
    rows = [
        [
            f"{dataset_label(content)}, K = {k}",
            *(spread([row[name] for row in there], 3) for name in (*names, "several")),
        ]
        for content in contents
        for k, there in grouped(content["rows"], lambda x: x["n_clusters"]).items()
    ]
    header = ["", "ACC", "purity", "log K", "batch entropy", "sample entropy"]
    return markdown(
        [*header, "largest cluster", "smallest", "several"],
        rows,
    )


TABLES: dict[str, Callable[[list[Content]], str]] = {
    "table1": _table1,
    "table2": _table2,
    "table3": _table3,
    "figure4": _figure4,
    "figure7": _figure7,
}
