"""One run, in a process of its own: ``python -m benchmarks.quality.worker FOLDER``.

The folder holds ``rows.npz`` and ``job.json``: rows, the number of clusters and what
the method is told. There are no labels in it, nor the name of the data set.
``labels.npy``, where the method gave some, and ``outcome.json`` are written there.
"""

from __future__ import annotations

import ast
import json
import math
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, issparse

from benchmarks._rows import densified
from benchmarks.quality.methods import METHODS, Method, Task

# Rows of MNIST take .2 GB, those of 20 newsgroups .15 GB.
DENSE_BYTES = 4 << 30
PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "umap": "umap-learn",
    "numba": "numba",
    "clustpy": "clustpy",
}


def main(folder: Path) -> None:
    """Run what the folder asks for; an error is an outcome, too."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    try:
        labels, outcome = run(job, load_rows(folder / "rows.npz"))
        np.save(folder / "labels.npy", labels)
    except Exception as error:
        outcome = {"error": f"{type(error).__name__}: {error}"}
    outcome["versions"] = versions()
    outcome |= on_gpu()
    (folder / "outcome.json").write_text(json.dumps(outcome), "utf-8")


def run(job: dict[str, Any], rows: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Warm up, then fit between two looks at the clock and at the memory."""
    method = METHODS[job["method"]]
    if method.dense:
        rows = densified(rows, DENSE_BYTES)
    n, n_features = rows.shape
    shape = job["input_shape"] and tuple(job["input_shape"])
    task = Task(job["n_clusters"], n, n_features, shape, job["seed"])
    estimator = method.build(task).set_params(**ast.literal_eval(job["parameters"]))
    warm_up(method)
    before = memory(reset_peak=True)
    if on_gpu():
        sys.modules["torch"].cuda.reset_peak_memory_stats()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        labels = np.asarray(estimator.fit_predict(rows))
        seconds = time.perf_counter() - start
    told = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    return labels, {
        "seconds": seconds,
        "memory_mb": max(0.0, memory() - before),
        "objective": objective(estimator),
        "estimator": " ".join(repr(estimator).split()),
        "warnings": list(dict.fromkeys(told)),
    }


def warm_up(method: Method) -> None:
    """Fit a few rows of noise: what is compiled or started once is not timed."""
    rows = np.random.default_rng(0).random((300, 8), dtype=np.float32)
    task = Task(2, len(rows), 8, None, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for brief in method.briefs:
            method.build(task).set_params(**brief).fit_predict(rows)


def objective(estimator: Any) -> float | None:
    """Return what the method minimised, which reads no labels; None where it has none.

    Of MixAEClustering its objective, of KMeans the inertia, of GaussianMixture minus
    the log-likelihood of a row.
    """
    last = getattr(estimator, "steps", [("", estimator)])[-1][1]
    for name, sign in (("objective_", 1), ("inertia_", 1), ("lower_bound_", -1)):
        if hasattr(last, name):
            value = sign * float(getattr(last, name))
            return value if math.isfinite(value) else None
    return None


def memory(reset_peak: bool = False) -> float:
    """Return the peak of resident memory, in MB, since it was last reset.

    Where the system cannot reset it (it is Linux that can), it is that since the start.
    """
    try:
        if reset_peak:
            Path("/proc/self/clear_refs").write_text("5")
        (line,) = (
            x
            for x in Path("/proc/self/status").read_text().splitlines()
            if x.startswith("VmHWM")
        )
        return int(line.split()[1]) / 1024
    except (OSError, ValueError):
        import resource  # not on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def on_gpu() -> dict[str, Any]:
    """Return the GPU that this process used, if any, and the most memory of it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    peak = torch.cuda.max_memory_allocated() / (1 << 20)
    return {"gpu": torch.cuda.get_device_name(), "gpu_memory_mb": peak}


def versions() -> dict[str, str]:
    """Return the versions of the packages that this process used."""
    return {
        package: version(package)
        for module, package in PACKAGES.items()
        if module in sys.modules
    }


def save_rows(rows: Any, path: Path) -> None:
    """Write rows, dense or CSR."""
    if issparse(rows):
        parts = {name: getattr(rows, name) for name in ("data", "indices", "indptr")}
        np.savez(path, shape=rows.shape, **parts)
    else:
        np.savez(path, dense=rows)


def load_rows(path: Path) -> Any:
    """Read what :func:`save_rows` wrote."""
    with np.load(path, allow_pickle=False) as file:
        if "dense" in file:
            return file["dense"]
        parts = (file["data"], file["indices"], file["indptr"])
        return csr_matrix(parts, shape=tuple(file["shape"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
