"""Memory, and seconds a row, as data grow; each fit in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from benchmarks.speed.clock import Result

MANY, FEW, MAP_FEATURES = 10_000_000, 100_000, 64
CSR_SHAPE, CSR_IN_ROW = (685_071, 2000), 40
BLOCK = 100_000


def run(repeats: int, shrink: int = 1) -> Iterator[Result]:
    """Fit an epoch on dense, mapped and sparse rows, ``shrink`` times fewer of them."""
    del repeats  # a fit of minutes is not repeated
    dense = child("dense", 70_000 // shrink)
    yield Result(
        "scale", f"memory over the data, {70_000 // shrink:,} x 784", dense["memory"],
        "MB", 300, higher_is_better=False, details=dense,
    )  # fmt: skip
    few, many = (child("mapped", n // shrink) for n in (FEW, MANY))
    size = f"{MANY // shrink:,} rows x {MAP_FEATURES} against {FEW // shrink:,}, mapped"
    yield Result(
        "scale", f"memory, {size}", many["memory"] / few["memory"], "x", 1.1,
        higher_is_better=False, details={"few": few, "many": many},
    )  # fmt: skip
    yield Result(
        "scale", f"seconds a row, {size}",
        (many["seconds"] / MANY) / (few["seconds"] / FEW), "x", 1.1,
        higher_is_better=False, details={"few": few, "many": many},
    )  # fmt: skip
    n_rows = CSR_SHAPE[0] // shrink
    sparse = child("csr", n_rows)
    yield Result(
        "scale", f"memory over the CSR, {n_rows:,} x {CSR_SHAPE[1]}, "
        f"{CSR_IN_ROW} words in a row", sparse["memory"], "MB", 500,
        higher_is_better=False, details=sparse,
    )  # fmt: skip


def child(kind: str, n_rows: int) -> dict[str, float]:
    """Run this file for one kind of rows; return the seconds and MB of its fit."""
    command = [sys.executable, "-m", "benchmarks.speed.scale", kind, str(n_rows)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


# ---------------------------------------------------------------------------
# In the child
# ---------------------------------------------------------------------------


def dense_rows(n: int, folder: Path) -> np.ndarray:
    return np.random.default_rng(0).random((n, 784), dtype=np.float32)


def mapped_rows(n: int, folder: Path) -> np.ndarray:
    path = folder / "rows.npy"
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (n, MAP_FEATURES))
    rng = np.random.default_rng(0)
    for start in range(0, n, BLOCK):
        rows[start : start + BLOCK] = rng.normal(size=rows[start : start + BLOCK].shape)
    rows.flush()
    del rows
    return np.load(path, mmap_mode="r")


def csr_rows(n: int, folder: Path) -> csr_array:
    rng = np.random.default_rng(0)
    words = rng.integers(0, CSR_SHAPE[1], (n, CSR_IN_ROW), dtype=np.int32)
    values = rng.random(words.size, dtype=np.float32)
    starts = np.arange(0, words.size + 1, CSR_IN_ROW, dtype=np.int32)
    rows = csr_array((values, words.ravel(), starts), shape=(n, CSR_SHAPE[1]))
    rows.sum_duplicates()
    return rows


# Rows, and what is not the default. Of ten million the default, with 40 experts and an
# adversary, would take hours; the way of the rows to the step is the same.
KINDS: dict[str, tuple[Callable[[int, Path], Any], dict[str, Any]]] = {
    "dense": (dense_rows, {}),
    "mapped": (mapped_rows, {"n_experts": None, "consistency": None}),
    "csr": (csr_rows, {}),
}


class Peak:
    """The most memory of our own in a while: pages of a mapped file are not counted."""

    def __enter__(self) -> Peak:
        self.before = self.highest = anonymous_mb()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.highest = max(self.highest, anonymous_mb())

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def mb(self) -> float:
        """By how much it was above that at the start."""
        return self.highest - self.before


def anonymous_mb() -> float:
    """Return the memory of this process that no file lies behind; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise OSError("this system does not tell the anonymous memory of a process")


def fit(kind: str, n_rows: int) -> dict[str, float]:
    """Fit an epoch of one start."""
    from skmixae import MixAEClustering

    make, params = KINDS[kind]
    model = MixAEClustering(10, n_init=1, max_epochs=1, random_state=0, **params)
    with TemporaryDirectory(prefix="skmixae-speed-") as folder:
        rows = make(n_rows, Path(folder))
        with warnings.catch_warnings(), Peak() as peak:
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            model.fit(rows)
            seconds = time.perf_counter() - start
    return {"seconds": seconds, "memory": peak.mb}


if __name__ == "__main__":
    print(json.dumps(fit(sys.argv[1], int(sys.argv[2]))))
