"""Scores, and the words and numbers in which benchmarks tell of them."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from skmixae.metrics import hungarian_accuracy_score


def score(classes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Compare a clustering with the classes. Nothing else reads these."""
    return {
        "accuracy": float(hungarian_accuracy_score(classes, labels)),
        "nmi": float(normalized_mutual_info_score(classes, labels)),
        "ari": float(adjusted_rand_score(classes, labels)),
    }


def spread(values: Sequence[float], digits: int) -> str:
    """Return mean ± standard deviation."""
    if not values:
        return "not run"
    mean = f"{np.mean(values):.{digits}f}"
    return mean + (f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else "")


def counted(n: int, noun: str) -> str:
    """Return a number and what is counted."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def shortened(text: str, length: int = 160) -> str:
    """Return the first line of a message."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= length else line[: length - 3] + "..."


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {number}")
    return number


def processor() -> str:
    """Return the name of the processor."""
    try:
        if sys.platform == "darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.check_output(command, text=True).strip()
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        (name, *_) = (x.partition(":")[2] for x in lines if x.startswith("model name"))
        return name.strip()
    except (OSError, ValueError, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()
