"""The demo, from the command line's words to what is told and written."""

import builtins
import dataclasses
import importlib.util
import json
import sys

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from benchmarks import demo
from skmixae.datasets import dataset_names

TINY = ["--dataset", "moons", "--max-rows", "60"]


class Short(demo.MixAEClustering):
    """Trains for two epochs: here the demo is on trial, not the clustering."""

    def __init__(self, n_clusters=8, *, random_state=None):
        super().__init__(n_clusters, max_epochs=2, random_state=random_state)


@pytest.fixture(autouse=True)
def _short_fits(monkeypatch):
    monkeypatch.setattr(demo, "MixAEClustering", Short)
    if importlib.util.find_spec("matplotlib"):
        import matplotlib

        matplotlib.use("Agg")


@pytest.fixture
def wide_problem():
    """Sparse rows, wider than a full covariance is for."""
    rng = np.random.default_rng(0)
    rows = csr_matrix(rng.random((30, 300), dtype=np.float32))
    return demo.Problem("wide", rows, rng.integers(0, 3, 30), None, 3, 30)


def test_the_demo_tells_a_table_and_writes_results_and_pictures(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    demo.main([*TINY, "--seeds", "2", "--out", str(tmp_path / "new")])
    told = capsys.readouterr().out
    for word in ("moons: 60 rows (of 1,000)", "accuracy", "NMI", "ARI", "seconds", "±"):
        assert word in told
    for method in ("MixAEClustering", "KMeans", "GaussianMixture (full)"):
        assert method in told
    for name in ("moons-samples.png", "moons-history.png", "moons.json"):
        path = tmp_path / "new" / name
        assert str(path) in told
        assert path.stat().st_size > 0
    results = json.loads((tmp_path / "new" / "moons.json").read_text("utf-8"))
    assert results["n_clusters"] == 2
    assert len(results["results"]) == 6
    assert {r["seed"] for r in results["results"]} == {0, 1}
    assert all(0 < r["accuracy"] <= 1 for r in results["results"])


def test_quiet_tells_the_table_without_the_progress(tmp_path, capsys):
    demo.main([*TINY, "--seeds", "1", "--out", str(tmp_path), "--quiet"])
    told = capsys.readouterr().out
    assert "KMeans" in told
    assert "seed 0   KMeans" not in told
    assert "±" not in told  # one seed has no spread


def test_an_unknown_data_set_is_an_error_that_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        demo.main(["--dataset", "nonesuch"])
    told = capsys.readouterr().err
    assert "nonesuch" in told
    assert all(name in told for name in dataset_names())


def test_a_data_set_that_is_not_at_hand_is_an_error_that_says_where_to_put_it(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("SKMIXAE_DATA", str(tmp_path))
    with pytest.raises(SystemExit):
        demo.main(["--dataset", "reuters"])
    assert str(tmp_path) in capsys.readouterr().err


def test_a_data_set_that_cannot_be_fetched_is_an_error_that_says_so(
    monkeypatch, capsys
):
    def unreachable(*args):
        raise ConnectionError("The data set 'usps' could not be fetched")

    monkeypatch.setattr(demo, "load", unreachable)
    with pytest.raises(SystemExit):
        demo.main(["--dataset", "usps"])
    assert "could not be fetched" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--seeds", "--max-rows"])
def test_counts_are_at_least_one(option, capsys):
    with pytest.raises(SystemExit):
        demo.main([option, "0"])
    assert "must be at least 1; got 0" in capsys.readouterr().err


def test_the_configuration_is_the_defaults_with_classes_and_shape(monkeypatch):
    monkeypatch.undo()  # the estimator itself
    for name in ("digits", "moons"):
        problem = demo.load(name)
        model = demo.methods(problem)[0].build(3)
        default = demo.MixAEClustering().get_params()
        changed = {
            name: value
            for name, value in model.get_params().items()
            if value is not default[name] and value != default[name]
        }
        n_classes = {"digits": 10, "moons": 2}[name]
        assert changed == {"n_clusters": n_classes, "random_state": 3}


def test_a_gaussian_mixture_of_wide_rows_says_that_it_is_diagonal(wide_problem):
    results, _ = demo.compare(wide_problem, 1, demo.Console(quiet=True))
    assert results[2].method == "GaussianMixture (diag)"
    assert results[2].error is None


def test_a_baseline_that_cannot_run_is_a_result(wide_problem, monkeypatch):
    monkeypatch.setattr(demo, "DENSE_BYTES", 1000)
    results, _ = demo.compare(wide_problem, 2, demo.Console(quiet=True))
    assert [bool(result.error) for result in results] == [False, False, True] * 2
    assert "not run" in demo.table(results).splitlines()[-1]
    (remark,) = [r for r in demo.remarks(results) if "GaussianMixture" in r]
    assert "not run: takes dense rows only" in remark
    assert "2 of 2 seeds" in remark


def test_an_error_of_the_estimator_itself_is_not_hidden(wide_problem, monkeypatch):
    def fail(self, X, y=None):
        raise ValueError("broken")

    monkeypatch.setattr(Short, "fit", fail)
    with pytest.raises(ValueError, match="broken"):
        demo.compare(wide_problem, 1, demo.Console(quiet=True))


def test_the_fit_that_is_pictured_has_the_lowest_objective(wide_problem):
    results, best = demo.compare(wide_problem, 3, demo.Console(quiet=True))
    objectives = [r.objective for r in results if r.objective is not None]
    assert len(objectives) == 3
    assert best.objective_ == min(objectives)


def test_labels_change_nothing_but_the_scores(wide_problem):
    console = demo.Console(quiet=True)
    shuffled = dataclasses.replace(wide_problem, classes=wide_problem.classes[::-1])
    _, model = demo.compare(wide_problem, 1, console)
    _, same = demo.compare(shuffled, 1, console)
    np.testing.assert_array_equal(model.labels_, same.labels_)


def test_the_columns_of_the_table_are_aligned():
    results = [
        demo.Result(method, seed, 0.5, 0.25, 1 / 3, seconds)
        for seed, seconds in ((0, 1.0), (1, 100.0))
        for method in ("A", "A longer name")
    ]
    header, rule, *lines = demo.table(results).splitlines()
    assert len({len(line) for line in (header, rule, *lines)}) == 1
    assert "0.500 ± 0.000" in lines[0]
    assert "50.50 ± 70.00" in lines[1]


def test_warnings_are_told_once_with_the_number_of_seeds():
    results = [
        demo.Result("A", seed, 1.0, 1.0, 1.0, 1.0, warnings=["not converged"] * 2)
        for seed in range(3)
    ]
    assert demo.remarks(results) == ["A: not converged (3 of 3 seeds)"]


def test_without_matplotlib_the_results_are_there(tmp_path, capsys, monkeypatch):
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(f"No module named {name!r}")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    demo.main([*TINY, "--seeds", "1", "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["moons.json"]
    assert "pip install 'skmixae[plot]'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("quiet", "terminal"), [(False, True), (False, False), (True, True)]
)
def test_a_bar_is_shown_on_a_terminal_only(quiet, terminal, monkeypatch):
    pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    model = Short()
    demo.Console(quiet).follow(model)
    assert hasattr(model, "_skl_callbacks") == (terminal and not quiet)
