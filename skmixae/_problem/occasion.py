"""On which occasion parameters are resolved."""

from __future__ import annotations

from enum import Enum


class Occasion(Enum):
    """A fit or a chunk of a stream, of which more rows are to come; fresh or not."""

    FIT = "fit"
    WARM_FIT = "fit that goes on with a fitted network"
    FIRST_CHUNK = "first chunk"
    CHUNK = "chunk of a stream, or after a fit"

    @property
    def goes_on(self) -> bool:
        """Whether there is a network already, which is trained on."""
        return self in (Occasion.WARM_FIT, Occasion.CHUNK)

    @property
    def is_chunk(self) -> bool:
        """Whether more rows are to come."""
        return self in (Occasion.FIRST_CHUNK, Occasion.CHUNK)
