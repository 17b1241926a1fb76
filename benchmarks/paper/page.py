"""From the JSON files of experiments to tables in Markdown, and to a page of them."""

from __future__ import annotations

from typing import Any


def main(arguments):
    return 0


def printed(contents: list[dict[str, Any]]) -> list[str]:
    return []
