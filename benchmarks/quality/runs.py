"""Plan what is to be run, run it, score it: ``python -m benchmarks.quality``."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import skmixae
from benchmarks._report import processor, score
from benchmarks._rows import Problem
from benchmarks.quality import datasets, results, worker
from benchmarks.quality.methods import Method, Variant

REPOSITORY = Path(__file__).resolve().parents[2]
PINNED = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
# The outcome of a run that had none.
NOTHING: results.Line = {
    **dict.fromkeys(("accuracy", "nmi", "ari", "seconds", "memory_mb", "objective")),
    "n_clusters_found": None,
    "warnings": [],
    "versions": {},
    "error": None,
}
# Why a run is left out without a word.
PRESENT = "in the file"
NOT_INSTALLED = "not installed"
TIMEOUT = "timeout"
# A peer that takes longer than this is run with one seed.
SLOW_PEER_SECONDS = 1800.0


@dataclass(frozen=True)
class Run:
    """A data set, a method and a seed."""

    dataset: str
    variant: Variant
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset}  {self.variant.label}  seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """What the command line asks for."""

    datasets: list[str]
    variants: list[Variant]
    n_seeds: int
    out: Path
    threads: int = 1
    limit: int | None = None
    timeout: float | None = None
    retry_errors: bool = False
    any_version: bool = False
    peers: Path = REPOSITORY / ".venv-peers"

    def runs(self) -> Iterator[Run]:
        """List all runs, those of a data set and a method next to one another."""
        for dataset in self.datasets:
            for variant in self.variants:
                for seed in range(self.n_seeds):
                    yield Run(dataset, variant, seed)

    def python(self, method: Method) -> Path:
        """Return the interpreter that a method runs in."""
        folder = "Scripts" if sys.platform == "win32" else "bin"
        return self.peers / folder / "python" if method.peer else Path(sys.executable)

    def line(self, run: Run) -> results.Line:
        """Return the line of a run as far as it is known beforehand."""
        method = run.variant.method
        return {
            "dataset": run.dataset,
            "limit": self.limit,
            "method": run.variant.name,
            "parameters": run.variant.recorded,
            "seed": run.seed,
            "version": version_of(method.package, self.python(method)),
        }


class Ledger:
    """Which runs are in the file already."""

    def __init__(self, plan: Plan):
        self.plan = plan
        present = results.read([plan.out]) if plan.out.exists() else []
        if plan.retry_errors:
            present = [line for line in present if not line.get("error")]
        self._lines = {self._key(line): line for line in present}

    def _key(self, line: results.Line) -> str:
        return results.key(line, with_version=not self.plan.any_version)

    def __contains__(self, line: results.Line) -> bool:
        return self._key(line) in self._lines

    def append(self, line: results.Line) -> None:
        results.append(line, self.plan.out)
        self._lines[self._key(line)] = line

    def is_slow(self, line: results.Line) -> bool:
        """Tell whether the run is there and took longer than a peer should."""
        present = self._lines.get(self._key(line), {})
        timed_out = (present.get("error") or "").startswith(TIMEOUT)
        return timed_out or (present.get("seconds") or 0.0) > SLOW_PEER_SECONDS


# ---------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------


def execute(plan: Plan, console: Any) -> int:
    """Run what is not in the file yet; return how many runs failed."""
    ledger = Ledger(plan)
    n_failed = 0
    with TemporaryDirectory(prefix="skmixae-quality-") as name:
        stage = Stage(plan, Path(name))
        for run in plan.runs():
            line = plan.line(run)
            try:
                reason = (
                    PRESENT if line in ledger else obstacle(run, line, ledger, stage)
                )
            except (OSError, ValueError) as error:  # from loading; nothing was run
                reason = f"no data: {error}"
                n_failed += 1
            if reason is None:
                console.start(run)
                line |= stage.run(run)
                ledger.append(line)
                n_failed += line["error"] is not None
            console.end(run, line, reason)
    return n_failed


def obstacle(run: Run, line: results.Line, ledger: Ledger, stage: Stage) -> str | None:
    """Say why a run is left out, if it is."""
    method = run.variant.method
    if line["version"].endswith(NOT_INSTALLED):
        remedy = "make peers" if method.peer else "pip install '.[benchmark]'"
        return f"{line['version']}: {remedy}"
    if method.peer and run.seed > 0 and ledger.is_slow(line | {"seed": 0}):
        return f"slower than {SLOW_PEER_SECONDS / 60:.0f} minutes: one seed"
    n_rows = stage.load(run.dataset).rows.shape[0]
    if method.max_rows is not None and n_rows > method.max_rows:
        return f"more than {method.max_rows:,} rows"
    return None


class Stage:
    """The folder in which a child finds its rows, and what it leaves there."""

    def __init__(self, plan: Plan, folder: Path):
        self.plan = plan
        self.folder = folder
        self._problem: Problem | None = None

    def load(self, dataset: str) -> Problem:
        """Load a data set, and write its rows, not its labels, for the children."""
        if self._problem is None or self._problem.name != dataset:
            self._problem = None
            problem = datasets.load(dataset, self.plan.limit)
            worker.save_rows(problem.rows, self.folder / "rows.npz")
            self._problem = problem
        return self._problem

    def run(self, run: Run) -> results.Line:
        """Run in a fresh process, then score: the first look at the labels."""
        problem = self.load(run.dataset)
        line = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **state_of_code()}
        line |= NOTHING | self.fit(run, problem)
        line["machine"] = machine(self.plan.threads)
        line["n_rows"], line["n_features"] = problem.rows.shape
        line["n_classes"] = problem.n_clusters
        if line["error"] is None:
            try:
                labels = np.load(self.folder / "labels.npy", allow_pickle=False)
                line |= score(problem.classes, labels)
                line["n_clusters_found"] = len(np.unique(labels))
            except (OSError, ValueError) as error:
                line["error"] = f"labels that cannot be scored: {error}"
        return line

    def fit(self, run: Run, problem: Problem) -> results.Line:
        """Return the outcome that the child leaves, or say how it died."""
        for name in ("labels.npy", "outcome.json"):
            (self.folder / name).unlink(missing_ok=True)
        job = {
            "method": run.variant.name,
            "parameters": repr(run.variant.parameters),
            "seed": run.seed,
            "n_clusters": problem.n_clusters,
            "input_shape": problem.input_shape,
        }
        (self.folder / "job.json").write_text(json.dumps(job), "utf-8")
        died = self.start(self.plan.python(run.variant.method))
        path = self.folder / "outcome.json"
        if died is None and path.exists():
            return json.loads(path.read_text("utf-8"))
        return {"error": died or "ended without an outcome"}

    def start(self, python: Path) -> str | None:
        """Wait for the child; say how it died, if it did."""
        command = [python, "-m", "benchmarks.quality.worker", self.folder]
        log = self.folder / "output.txt"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [str(part) for part in command],
                cwd=REPOSITORY,
                env=environment(self.plan.threads),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                code = child.wait(self.plan.timeout)
            except subprocess.TimeoutExpired:
                return f"{TIMEOUT}: no result after {self.plan.timeout:g} s"
            finally:  # of Ctrl-C, too
                child.kill()
                child.wait()
        if code == 0:
            return None
        tail = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
        return " ".join([f"died with exit code {code}:", *tail])


def environment(threads: int) -> dict[str, str]:
    """Return the child's environment: so many threads, and no word where data are."""
    kept = {k: v for k, v in os.environ.items() if k != "SKMIXAE_DATA"}
    return {**kept, **dict.fromkeys(PINNED, str(threads))}


# ---------------------------------------------------------------------------
# On what
# ---------------------------------------------------------------------------


def version_of(package: str, python: Path) -> str:
    """Return the version of what results depend on; of skmixae, that of its text."""
    if package == "skmixae":
        return f"{skmixae.__version__}+{digest_of_package()}"
    return f"{package} {_version_there(package, python)}"


@cache
def _version_there(package: str, python: Path) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    try:
        if python == Path(sys.executable):
            return version(package)
        return subprocess.check_output(
            [python, "-c", code], text=True, stderr=subprocess.DEVNULL
        ).strip()
    except (PackageNotFoundError, OSError, subprocess.CalledProcessError):
        return NOT_INSTALLED


def digest_of_package() -> str:
    """Return a few characters that any change in skmixae changes."""
    folder = Path(skmixae.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


def state_of_code() -> results.Line:
    """Return the commit, and whether the files differ from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(REPOSITORY), *arguments]
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL)

    try:
        changed = git("status", "--porcelain", "--", "skmixae", "benchmarks")
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


@cache
def machine(threads: int) -> dict[str, Any]:
    """Return what the run ran on."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "system": platform.system(),
    }
