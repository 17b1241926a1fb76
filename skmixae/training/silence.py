"""Warnings of libraries that say nothing to who fits a mixture."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_warnings(category: type[Warning]) -> Iterator[None]:
    """Silence a kind of warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield
