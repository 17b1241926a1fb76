"""The file of results: one JSON line a run, appended as soon as the run ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def key(line: Line, with_version: bool = True) -> str:
    """Return what tells one run from another."""
    names = ["dataset", "limit", "method", "parameters", "seed"]
    if with_version:
        names.append("version")
    return json.dumps([line[name] for name in names], sort_keys=True)


def read(paths: Iterable[Path]) -> list[Line]:
    """Read the lines of all files, without what was cut short and is no whole line."""
    lines = []
    for path in paths:
        for text in path.read_bytes().splitlines():
            try:
                line = json.loads(text)
                key(line)
            except (ValueError, KeyError, TypeError):
                continue
            lines.append(line)
    return lines


def append(line: Line, path: Path) -> None:
    """Write a line whole and at once; after half a line, on a line of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        start = b"\n" if file.read(1) not in (b"", b"\n") else b""
        file.write(start + json.dumps(line, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
