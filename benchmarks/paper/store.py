"""What is computed once and kept: JSON files, with arrays beside some of them.

A file is written beside its place and then put there, so that it is whole or absent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.quality import results

# What a stored array file and a stored line are called.
Arrays = dict[str, np.ndarray]


class Store:
    """A folder of results.

    Parameters
    ----------
    folder : Path
        Where they are.
    any_version : bool, default=False
        Whether a result of another version of the method will do.
    """

    def __init__(self, folder: Path, any_version: bool = False):
        self.folder = folder
        self.any_version = any_version

    def find(self, name: str, line: results.Line) -> results.Line | None:
        """Return what was kept under a name, if it was of the same run.

        Parameters
        ----------
        name : str
            Its name.
        line : dict
            What tells the run from others, as `benchmarks.quality` has it.
        """
        path = self.path(name, "json")
        if not path.exists():
            return None
        found = json.loads(path.read_text("utf-8"))
        same = (results.key(x, not self.any_version) for x in (found, line))
        return found if len(set(same)) == 1 else None

    def arrays(self, name: str) -> Arrays:
        """Return the arrays that were kept under a name."""
        with np.load(self.path(name, "npz"), allow_pickle=False) as file:
            return dict(file)

    def keep(self, name: str, content: Any, arrays: Arrays | None = None) -> None:
        """Write a result. The JSON goes last: where it is, all is."""
        if arrays is not None:
            self.path(name, "json").unlink(missing_ok=True)  # is of other arrays
            whole(
                self.path(name, "npz"),
                lambda file: np.savez_compressed(file, **arrays),
            )
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        whole(self.path(name, "json"), lambda file: file.write(text.encode()))

    def path(self, name: str, suffix: str) -> Path:
        """Return where the file of a name is; names hold dots and slashes."""
        return self.folder / f"{name}.{suffix}"


def whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file beside its place, then put it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    try:
        with beside.open("wb") as file:
            write(file)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
