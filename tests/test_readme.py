"""The Python blocks of the README and of the documentation run, page by page."""

import ast
import re
from functools import partial
from pathlib import Path

import joblib
import pytest

from skmixae._callbacks import HAS_CALLBACKS
from skmixae._parameters import resolve_epochs
from skmixae._problem import resolution

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = {
    page.name: re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    for page in PAGES
}


# What the front page shows is the head of the README, which is run.
SHOWN = "index.md"


def test_pages_have_blocks():
    assert len(BLOCKS["README.md"]) >= 6
    assert sum(bool(blocks) for blocks in BLOCKS.values()) >= 6


def test_the_front_page_shows_the_head_of_the_readme():
    [shown] = (statements(block) for block in BLOCKS[SHOWN])
    assert shown == statements(BLOCKS["README.md"][0])[: len(shown)]


def statements(block):
    return [ast.dump(statement) for statement in ast.parse(block).body]


def few_epochs(*args, **kwargs):
    """Return as many epochs as are asked for, or a few: what runs is tested here."""
    return min(resolve_epochs(*args, **kwargs), 5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "page", [name for name, blocks in BLOCKS.items() if blocks and name != SHOWN]
)
def test_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resolution, "resolve_epochs", few_epochs)
    monkeypatch.setattr(resolution, "resolve_restarts", lambda *args, **kwargs: 1)
    # Other processes would know nothing of that.
    in_threads = partial(joblib.parallel_config, "threading")
    monkeypatch.setattr(joblib, "parallel_config", lambda *args, **kwargs: in_threads())
    namespace: dict[str, object] = {"__name__": "page"}
    for i, block in enumerate(BLOCKS[page]):
        if "sklearn.callback" in block and not HAS_CALLBACKS:  # scikit-learn < 1.9
            continue
        exec(compile(block, f"{page}, block {i + 1}", "exec"), namespace)
