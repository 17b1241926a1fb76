"""The paper's tables and figures: what is made, what is kept, what is measured."""

import json
import warnings
from itertools import pairwise
from urllib.error import URLError
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits

pytest.importorskip("rich")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn.callback", reason="callbacks are of scikit-learn 1.9")

from benchmarks._rows import new_problem
from benchmarks.paper import __main__ as command
from benchmarks.paper import (
    bench,
    figures,
    fits,
    measures,
    page,
    rcv1,
    store,
    sums,
    tables,
)
from benchmarks.paper.experiments import EXPERIMENTS
from benchmarks.quality import datasets, results, runs
from benchmarks.quality.methods import Task, parse

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# A mixture that is trained in a blink.
SMALL = "paper:architecture=mlp,hidden_layer_sizes=(8,)"
BRIEF = ["--datasets", "digits", "--limit", "120", "--epochs", "3"]
FIGURES = [name for name in EXPERIMENTS if name.startswith("figure")]


def make(out, *arguments, methods=(SMALL,)):
    """Call the command in brief."""
    brief = [*BRIEF, "--out", str(out), "--methods", *methods]
    return command.main(["--experiment", *arguments, *brief])


@pytest.fixture
def performed(monkeypatch):
    """Replace fits by ones that take no time; list them."""
    done = []

    def perform(run, problem, threads):
        done.append(str(run))
        k = run.variant.parameters.get("n_clusters", problem.n_clusters)
        return recorded(problem, k)

    monkeypatch.setattr(fits, "perform", perform)
    return done


def recorded(problem, k):
    """Make up the outcome of a fit."""
    n = len(problem.rows)
    assignment = np.full((n, k), 0.1 / k, np.float32)
    assignment[np.arange(n), np.arange(n) % k] += 0.9
    _, classes = np.unique(problem.classes, return_inverse=True)
    epochs = {name: [0.5, 0.5] for name in (*fits.KEPT, "accuracy", "purity")}
    line = runs.NOTHING | {
        "machine": runs.machine(1),
        **runs.state_of_code(),
        **measures.counts(problem),
        **{"n_clusters": k, "accuracy": 0.5, "purity": 0.6, "seconds": 0.0},
        "epochs": epochs | {"expert_share": [[1 / k] * k] * 2},
    }
    return line, {"probabilities": assignment, "classes": classes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All experiments, run in brief."""
    out = tmp_path_factory.mktemp("paper")
    clusters = ["--clusters", "10", "12"]
    assert make(out, "all", *clusters, methods=("kmeans", SMALL)) == 0
    return out


# ---------------------------------------------------------------------------
# From the command line to the files
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_experiment_leaves_its_files_with_all_that_they_depend_on(folder, name):
    content = json.loads((folder / f"{name}-digits-120.json").read_text("utf-8"))
    assert content["experiment"] == name
    assert content["command"].startswith(
        f"python -m benchmarks.paper --experiment {name}"
    )
    assert "--limit 120" in content["command"]
    assert content["lines"]
    for line in content["lines"]:
        assert {"seed", "commit", "version", "parameters"} <= set(line)
        assert line["machine"]["threads"] == 1
        assert "numpy" in line["versions"]
    pictures = [folder / f"{name}-digits-120.{x}" for x in ("png", "svg")]
    assert [path.exists() for path in pictures] == [name in FIGURES] * 2
    if name in FIGURES:
        assert pictures[0].read_bytes().startswith(b"\x89PNG")
        assert ElementTree.parse(pictures[1]).getroot().tag.endswith("svg")


def test_a_second_call_runs_nothing_and_draws_the_same(folder, monkeypatch, capsys):
    def again(*arguments):
        raise AssertionError("run again")

    before = {path: path.read_bytes() for path in folder.glob("*.*")}
    for owner, name in ((fits, "perform"), (runs.Stage, "run"), (bench, "counts")):
        monkeypatch.setattr(owner, name, again)
    clusters = ["--clusters", "10", "12"]
    assert make(folder, "all", *clusters, methods=("kmeans", SMALL)) == 0
    assert {path: path.read_bytes() for path in folder.glob("*.*")} == before
    assert "| `kmeans` | 0." in capsys.readouterr().out


def test_one_fit_serves_several_experiments(tmp_path, performed):
    assert make(tmp_path, "table3", "figure5", "figure6") == 0
    assert len(performed) == 1


def test_an_interrupted_call_leaves_whole_files_and_is_gone_on_with(
    tmp_path, performed, monkeypatch, capsys
):
    perform = fits.perform

    def interrupted(run, problem, threads):
        if run.seed == 1:
            raise KeyboardInterrupt
        return perform(run, problem, threads)

    monkeypatch.setattr(fits, "perform", interrupted)
    assert make(tmp_path, "table3", "--seeds", "3") == 130
    assert "Start again to go on" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.setattr(fits, "perform", perform)
    assert make(tmp_path, "table3", "--seeds", "3") == 0
    assert [text[-1] for text in performed] == ["0", "1", "2"]


def test_a_fit_that_fails_is_told_and_tried_again(tmp_path, monkeypatch, capsys):
    methods = (f"{SMALL},latent_dim=-1", SMALL)
    assert make(tmp_path, "table3", methods=methods) == 1
    assert "InvalidParameterError" in capsys.readouterr().out
    content = json.loads((tmp_path / "table3-digits-120.json").read_text("utf-8"))
    assert len(content["rows"]) == 1
    assert make(tmp_path, "table3", methods=methods) == 1


def test_another_version_or_seed_is_another_fit(tmp_path, performed, monkeypatch):
    make(tmp_path, "table3")
    make(tmp_path, "table3", "--seeds", "2")
    assert len(performed) == 2
    monkeypatch.setattr(runs, "version_of", lambda package, python: "newer")
    make(tmp_path, "table3", "--any-version")
    assert len(performed) == 2
    make(tmp_path, "table3")
    assert len(performed) == 3


def test_no_runs_makes_what_is_there_and_names_the_rest(tmp_path, performed, capsys):
    make(tmp_path, "table3")
    assert make(tmp_path, "table1", "table2", "table3", "--no-runs") == 0
    told = capsys.readouterr().out
    assert "table1 of digits is left out: it was not run" in told
    assert "table2 of digits is left out: it was not run" in told
    assert "table3 of digits is left out" not in told
    assert len(performed) == 1


def test_figures_are_of_mixtures_alone(tmp_path, capsys):
    assert make(tmp_path, "figure5", methods=("kmeans",)) == 0
    assert "figure5 of digits is left out: there is no fit of it" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--experiment", "table9", "--out", "x"], "invalid choice: 'table9'"),
        (["--experiment", "table1"], "--out"),
        (["--experiment", "table2", "--out", "x", "--lines", "none"], "no file none"),
        (["page", "nowhere"], "no result in nowhere"),
    ],
)
def test_arguments_without_sense_end_with_2(arguments, told, capsys):
    with pytest.raises(SystemExit) as error:
        command.main(arguments)
    assert error.value.code == 2
    assert told in capsys.readouterr().err


def test_a_file_is_whole_or_as_it_was(tmp_path):
    def half(file):
        file.write(b"new, but")
        raise OSError("disk full")

    path = tmp_path / "content.json"
    store.whole(path, lambda file: file.write(b"old"))
    with pytest.raises(OSError, match="disk full"):
        store.whole(path, half)
    assert [x.read_bytes() for x in tmp_path.iterdir()] == [b"old"]


# ---------------------------------------------------------------------------
# What is recorded of a fit
# ---------------------------------------------------------------------------


def digits(classes=None):
    problem = datasets.load("digits", 120)
    if classes is None:
        classes = problem.classes
    return new_problem("digits", problem.rows, classes, problem.input_shape)


def fit(text, problem=None):
    return fits.perform(runs.Run("digits", parse(text), 0), problem or digits(), 1)


def test_what_is_recorded_does_not_depend_on_the_classes():
    problem = digits()
    shuffled = np.random.default_rng(0).permutation(problem.classes)
    (line, arrays), (other, same) = (
        fit(f"{SMALL},max_epochs=3", digits(x)) for x in (problem.classes, shuffled)
    )
    for name in set(arrays) - {"classes"}:
        assert_array_equal(arrays[name], same[name], err_msg=name)
    assert line["objective"] == other["objective"]
    assert line["accuracy"] != other["accuracy"]  # which are read to score


def test_of_several_restarts_that_is_recorded_which_the_estimator_kept():
    problem = digits()
    # In bfloat16 training sees some rows otherwise than the recorder does.
    settings = "n_experts=10,n_init=3,max_epochs=6,consistency=None"
    variant = parse(f"mixae:{settings},precision='float32'")
    task = Task(10, *problem.rows.shape, problem.input_shape, 0)
    estimator = variant.method.build(task).set_params(**variant.parameters)
    recorder = fits.Recorder(problem.rows, problem.rows[:7])
    estimator.set_callbacks(recorder).fit(problem.rows)
    labels, latents = recorder.of(estimator.labels_)
    changes = [np.mean(a != b) for a, b in pairwise(labels)]
    # An epoch is one step here: what the history has of it is of how it began.
    noted = estimator.history_["label_change"][2:]
    assert_allclose(changes[:-1], noted, atol=0.02)
    assert [x.shape for x in latents] == [(7, 10 * 10)] * 6


def test_a_line_tells_of_every_epoch():
    line, arrays = fit(f"{SMALL},max_epochs=6")
    assert {name: len(values) for name, values in line["epochs"].items()} == (
        dict.fromkeys((*fits.KEPT, "accuracy", "purity"), 6)
    )
    assert line["accuracy"] in line["epochs"]["accuracy"]
    assert arrays["latents"].shape == (4, 120, 100)
    assert arrays["snapshots"].tolist() == [1, 2, 4, 6]


def test_snapshots_are_closest_at_the_start():
    latents = [np.full((2, 3), epoch) for epoch in range(1, 41)]
    found = fits.snapshots(latents)
    assert found["snapshots"].tolist() == [1, 3, 6, 16, 40]
    assert_array_equal(found["latents"][:, 0, 0], found["snapshots"])
    assert fits.snapshots(latents[:1])["snapshots"].tolist() == [1]


# ---------------------------------------------------------------------------
# What is measured
# ---------------------------------------------------------------------------


def test_table1_counts_what_a_hand_counts():
    rows = np.zeros((8, 3))
    problem = new_problem("toy", rows, np.array(list("aaaabbbc")), None)
    content = tables.table1([measures.counts(problem)]).content
    assert content == {
        "n_rows": 8,
        "n_features": 3,
        "n_classes": 3,
        "largest": 0.5,
        "smallest": 0.125,
        # 1/2, 3/8 and 1/8
        "entropy": pytest.approx(
            0.5 * np.log(2) + 0.375 * np.log(8 / 3) + np.log(8) / 8
        ),
    }


def test_table3_has_the_entropies_that_a_hand_computes():
    arrays = {
        "probabilities": np.array([[1, 0], [1, 0], [0.5, 0.5], [0.5, 0.5]]),
        "classes": np.array([0, 0, 0, 1]),
    }
    line = {"method": "paper", "parameters": {}, "seed": 0, "n_classes": 2}
    found = bench.Recorded(line | {"accuracy": 0.75}, lambda: arrays)
    (row,) = tables.table3([found]).content["rows"]
    quarter = 0.25 * np.log(4) + 0.75 * np.log(4 / 3)
    assert row["highest"] == pytest.approx(np.log(2))
    assert row["classes"] == pytest.approx(quarter)
    assert row["batch"] == pytest.approx(quarter)  # the mean is (3/4, 1/4)
    assert row["sample"] == pytest.approx(np.log(2) / 2)


def test_second_moments_are_those_of_a_loop():
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=30).astype(np.float32)
    expected = np.zeros((4, 4))
    for row in p:
        for i in range(4):
            for j in range(4):
                expected[i, j] += float(row[i]) * float(row[j]) / len(p)
    assert_allclose(measures.second_moment(p), expected, rtol=1e-6)
    shares = measures.second_moment(measures.one_hot(np.array([0, 0, 2, 2]), 3))
    assert_allclose(shares, np.diag([0.5, 0, 0.5]))


@pytest.mark.parametrize(
    ("labels", "k", "expected"),
    [
        ([2, 2, 2, 0, 0, 1], 3, [2, 0, 1]),
        ([3, 3, 3, 0, 0, 1], 4, [3, 0, 1, 2]),  # cluster 2 is spare
        ([1, 1, 1, 1, 1, 0], 3, [1, 2, 0]),  # class 1 has none: an empty one
        ([1, 1, 1, 0, 0, 0], 2, [1, 0]),  # fewer clusters than classes
    ],
)
def test_clusters_are_drawn_in_the_order_of_their_classes(labels, k, expected):
    classes = np.array([0, 0, 0, 1, 1, 2])
    assert figures.matched_order(classes, np.array(labels), k) == expected


def test_all_epochs_are_projected_on_the_same_axes():
    rng = np.random.default_rng(0)
    last = rng.normal(size=(50, 6)) * [9, 5, 1, 1, 1, 1]
    moved = last + 3 * np.eye(6)[0]
    first, same, third = figures.principal_points(np.stack([moved, last, last]))
    assert_array_equal(same, third)
    assert_allclose(first - same, np.tile((first - same)[0], (50, 1)), atol=1e-9)
    assert np.linalg.norm((first - same)[0]) == pytest.approx(3, rel=0.05)
    assert_allclose(same.var(axis=0), np.sort(last.var(axis=0))[:-3:-1], rtol=0.1)


def test_separation_is_all_of_the_variance_of_points_and_none_of_one_cloud():
    apart = np.repeat(np.eye(3), 5, axis=0)
    labels = np.repeat([0, 1, 2], 5)
    assert figures.separation(apart, labels) == pytest.approx(1)
    assert figures.separation(apart, np.tile([0, 1, 2, 3, 4], 3)) == pytest.approx(0)


# ---------------------------------------------------------------------------
# Table 2, of lines that are there
# ---------------------------------------------------------------------------


def quality_line(seed, accuracy, **other):
    plan = runs.Plan(["digits"], [parse("kmeans")], 1, "none", limit=120)
    line = plan.line(runs.Run("digits", parse("kmeans"), seed))
    about = {"machine": runs.machine(1), **runs.state_of_code()}
    return line | runs.NOTHING | about | {"accuracy": accuracy, "seconds": 1.0} | other


def test_lines_that_are_named_are_taken_and_nothing_is_run(tmp_path, capsys):
    source = tmp_path / "measured.jsonl"
    lines = [quality_line(seed, 0.25 + seed / 4, version="older") for seed in (0, 1)]
    lines += [quality_line(2, 0.9, limit=None), quality_line(2, 0.9, dataset="usps")]
    for line in lines:
        results.append(line, source)
    arguments = ["table2", "--lines", str(source), "--no-runs"]
    for _ in range(2):
        assert make(tmp_path / "out", *arguments, methods=("kmeans", "gmm")) == 0
    assert len(results.read([tmp_path / "out" / bench.LINES])) == 2
    told = capsys.readouterr().out
    assert "| `kmeans` | 0.375 ± 0.177 (2 seeds) |" in told
    assert "| `gmm` | not run |" in told


def test_what_is_missing_is_run_and_what_was_taken_is_not(tmp_path, monkeypatch):
    source = tmp_path / "measured.jsonl"
    results.append(quality_line(0, 0.5, version="older"), source)
    error = quality_line(1, None, version="older", error="broken")
    results.append(error, source)
    ran = []

    def run(self, run):
        ran.append(run.seed)
        return runs.NOTHING | {"accuracy": 1.0, "seconds": 1.0}

    monkeypatch.setattr(runs.Stage, "run", run)
    arguments = ["table2", "--lines", str(source), "--seeds", "3"]
    assert make(tmp_path, *arguments, methods=("kmeans",)) == 0
    assert make(tmp_path, *arguments, methods=("kmeans",)) == 0
    assert ran == [2]
    assert make(tmp_path, *arguments, "--retry-errors", methods=("kmeans",)) == 0
    assert ran == [2, 1]


def test_an_error_is_a_cell_of_table2(tmp_path):
    source = tmp_path / "measured.jsonl"
    results.append(quality_line(0, None, error="ValueError: negative"), source)
    arguments = ["table2", "--lines", str(source), "--no-runs"]
    assert make(tmp_path, *arguments, methods=("kmeans",)) == 0
    (content,) = page.read(tmp_path)
    assert "| `kmeans` | failed: ValueError: negative |" in page.table([content])
    assert "not run: ValueError: negative" in page.page([content], [], [])


# ---------------------------------------------------------------------------
# The paper's Reuters
# ---------------------------------------------------------------------------

TOPICS = ["C11", "CCAT", "ECAT", "GCAT", "M11", "MCAT"]


def test_documents_of_exactly_one_root_are_kept():
    target = [
        "C11 CCAT".split(),
        "CCAT GCAT".split(),  # two roots
        "C11".split(),  # none
        "MCAT M11".split(),
        "GCAT".split(),
        "ECAT".split(),
    ]
    indicator = csr_matrix(
        [[int(t in document) for t in TOPICS] for document in target]
    )
    tfidf = csr_matrix(np.eye(6) + 0.1)
    rows, classes = rcv1.documents_of_one_root(tfidf, indicator, np.array(TOPICS))
    assert classes.tolist() == ["CCAT", "MCAT", "GCAT", "ECAT"]
    expected = (np.eye(6) + 0.1)[[0, 3, 4, 5]]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert_allclose(rows.toarray(), expected, rtol=1e-6)


def test_the_terms_in_most_documents_are_kept_and_rows_have_length_1():
    weights = np.array(
        [
            # in 1, 3, 2 and 3 of the documents that are kept, and 4 in all
            [0.9, 0.1, 0.0, 0.3],
            [0.0, 0.2, 0.5, 0.4],
            [0.0, 0.3, 0.5, 0.4],
            [0.5, 0.0, 0.0, 0.0],  # keeps none of its terms
            [0.9, 0.0, 0.9, 0.0],  # of two roots
        ]
    )
    indicator = np.zeros((5, 6), int)
    indicator[:, 1] = 1
    indicator[4, 2] = 1
    rows, _ = rcv1.documents_of_one_root(
        csr_matrix(weights), csr_matrix(indicator), TOPICS, n_terms=2
    )
    assert rows.dtype == np.float32
    expected = weights[:4, [1, 3]]
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = expected / np.where(lengths > 0, lengths, 1)
    assert_allclose(rows.toarray(), expected, rtol=1e-6)


def test_without_a_network_rcv1_is_left_out_in_one_line(tmp_path, monkeypatch, capsys):
    asked = []

    def fetch():
        asked.append(1)
        warnings.warn("Retry downloading from url: nowhere", stacklevel=1)
        raise URLError("no network")

    monkeypatch.setattr(rcv1, "fetch_rcv1", fetch)
    arguments = ["--experiment", "table1", "table2", "--datasets", "rcv1"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert command.main([*arguments, "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out.strip().splitlines()[-2:]
    reason = "RCV1 is not in scikit-learn's data folder and cannot be fetched"
    for name, text in zip(("table1", "table2"), told, strict=True):
        assert text.startswith(f"{name} of rcv1 is left out: {reason}")
        assert "no network" in text
    assert len(asked) == 1


def test_the_collection_is_a_data_set_of_the_recipe(monkeypatch):
    bunch = type("Bunch", (), {})
    bunch.data = csr_matrix(np.eye(2))
    bunch.target = csr_matrix(np.eye(6, dtype=int)[[1, 3]])
    bunch.target_names = np.array(TOPICS)
    monkeypatch.setattr(rcv1, "fetch_rcv1", lambda: bunch)
    monkeypatch.setattr(datasets, "DATASETS", datasets.DATASETS | {"rcv1": rcv1.load})
    problem = datasets.load("rcv1")
    assert problem.classes.tolist() == ["CCAT", "GCAT"]
    assert problem.input_shape is None


# ---------------------------------------------------------------------------
# The page
# ---------------------------------------------------------------------------


def test_a_page_has_the_tables_the_commands_and_the_pictures_asked_for(
    folder, tmp_path
):
    out = tmp_path / "docs" / "page.md"
    arguments = ["page", str(folder), "--out", str(out)]
    assert command.main([*arguments, "--pictures", "figure6-digits-120"]) == 0
    text = out.read_text("utf-8")
    for name in EXPERIMENTS:
        assert f"## {name[:-1].capitalize()} {name[-1]}: " in text
        assert f"$ python -m benchmarks.paper --experiment {name} " in text
    assert text.count("![") == 1
    assert (out.parent / page.PICTURES / "figure6-digits-120.png").exists()
    assert "| digits, 120 rows of it | 120 | 64 | 10 | " in text


def test_means_are_over_seeds():
    rows = [
        {
            **{"method": "paper", "highest": 1.0, "classes": 0.5, "accuracy": 0.5},
            **{"batch": 0.8 + seed / 10, "sample": 0.1},
        }
        for seed in (0, 1, 2)
    ]
    content = {"experiment": "table3", "dataset": "har", "limit": None, "rows": rows}
    assert "| har, `paper` | 1.0000 ± 0.0000 | 0.5000 ± 0.0000 | 0.9000 ± 0.1000 |" in (
        page.table([content])
    )


def test_the_page_of_the_docs_is_made_of_the_results_in_the_repository():
    docs = runs.REPOSITORY / "docs"
    folder = runs.REPOSITORY / "benchmarks" / "paper" / "measured"
    contents = page.read(folder)
    pictures = [path.stem for path in (docs / page.PICTURES).glob("*.png")]
    written = (docs / "paper.md").read_text("utf-8")
    sum_lines = results.read([folder / page.SUMS])
    assert sum_lines
    assert written == page.page(contents, pictures, sum_lines) + "\n"
    assert pictures
    assert not any(line["dirty"] for x in contents for line in x["lines"])


# ---------------------------------------------------------------------------
# Sums of two digits
# ---------------------------------------------------------------------------


def test_sums_are_of_two_images_of_the_digits_that_they_say():
    images, digits = load_digits(return_X_y=True)
    rows, members = sums.digit_sums(3, 20, seed=0)
    assert_array_equal(members.sum(1), 2)
    assert len(np.unique(members, axis=0)) == 3
    again, _ = sums.digit_sums(3, 20, seed=0)
    assert_array_equal(rows, again)
    assert not np.array_equal(rows, sums.digit_sums(3, 20, seed=1)[0])
    # What is left of a sum without one image is an image of another digit.
    known = {
        image.tobytes(): digit for image, digit in zip(images, digits, strict=True)
    }
    for row in rows[:3]:
        found = {
            frozenset((digit, known[rest.tobytes()]))
            for rest, digit in zip(row - images, digits, strict=True)
            if rest.tobytes() in known
        }
        assert any(len(pair) == 2 for pair in found)


def test_two_most_active_are_marked():
    found = sums.most_active(np.array([[0.1, 3.0, 2.0], [5.0, 0.0, 0.2]]))
    assert_array_equal(found, [[0, 1, 1], [1, 0, 1]])


def test_runs_of_sums_go_on_where_they_were(tmp_path, capsys, monkeypatch):
    out = tmp_path / "sums.jsonl"
    arguments = ["--out", str(out), "--classes", "4", "--rows", "200", "--seeds"]
    assert sums.main([*arguments, "1", "--methods", "nmf", "start"]) == 0
    first = results.read([out])
    assert [line["method"] for line in first] == ["nmf", "start"]
    assert all(0 < line["accuracy"] <= 1 for line in first)

    def interrupt(line, threads):
        raise KeyboardInterrupt

    monkeypatch.setattr(sums, "run", interrupt)
    assert sums.main([*arguments, "1", "--methods", "nmf", "start"]) == 0
    assert sums.main([*arguments, "2", "--methods", "nmf"]) == 130
    assert results.read([out]) == first
    assert "Start again" in capsys.readouterr().out
    assert f"{first[0]['accuracy']:.3f}" in sums.table(first)
