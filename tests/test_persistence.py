"""An estimator is the same after any round trip, and no file can do more than load."""

import copy
import json
import os
import pickle
import pickletools
import sys
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skmixae import MixAEClustering, __version__, _stream, persistence
from skmixae.consistency import MEMBERS, Adversarial, Consistency, Jitter, Masking

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Arrays of a memory map are read-only, and nothing of ours may want to write there.
    pytest.mark.filterwarnings("error:The given NumPy array is not writable"),
]

FACTS = np.random.default_rng(0).normal(size=(4, 40, 36)).astype(np.float32)
X = FACTS[0]


class Expert(torch.nn.Module):
    """An expert with a layer of its own and a buffer of integers."""

    def __init__(self, n_features, latent_dim):
        super().__init__()
        self.encoder = torch.nn.Linear(n_features, latent_dim)
        self.norm = torch.nn.BatchNorm1d(latent_dim)
        self.decoder = torch.nn.Linear(latent_dim, n_features)

    def encode(self, rows):
        return self.norm(self.encoder(rows.flatten(1)))

    def decode(self, latents):
        return self.decoder(latents)


def make_expert(input_shape, latent_dim):
    return Expert(int(np.prod(input_shape)), latent_dim)


@dataclass(frozen=True)
class Factory:
    """A factory with a setting of its own."""

    width: int = 1

    def __call__(self, input_shape, latent_dim):
        return make_expert(input_shape, latent_dim)


@dataclass
class Unhashable:
    """One that may be changed, and so has no hash."""

    width: int = 1

    __call__ = Factory.__call__


def halved(rows, generator):
    return rows / 2


def shifted(rows, generator):
    return rows + torch.rand(rows.shape, generator=generator, device=rows.device)


class TheirChange(Consistency):
    """A member of the family that no file may name."""

    def view(self, context):
        return lambda x, index, generator: x


class ChildOfMixAE(MixAEClustering):
    """A member of the family with the same parameters."""


ARCHITECTURES = {
    "mlp": {},
    "balanced": {"entropy_schedule": "balanced", "assignment_input": "latents"},
    "conv1d": {"architecture": "conv1d", "input_shape": (3, 12)},
    "conv2d": {"architecture": "conv2d", "input_shape": [6, 6]},
    "factory": {"architecture": make_expert},
    "changes": {"consistency": [Adversarial(0.3), "masking", halved]},
}


def new(**parameters):
    return MixAEClustering(
        **{
            "n_clusters": 2,
            "n_experts": None,
            "latent_dim": 2,
            "hidden_layer_sizes": (6,),
            "conv_channels": (3,),
            "assignment_hidden_layer_sizes": [5],
            "max_epochs": 2,
            "batch_size": 20,
            "random_state": 0,
            **parameters,
        }
    )


def streamed(**parameters):
    return new(**parameters).partial_fit(FACTS[0]).partial_fit(FACTS[1])


def by_pickle(estimator, folder):
    return pickle.loads(pickle.dumps(estimator))


def by_joblib(estimator, folder):
    joblib.dump(estimator, folder / "estimator.joblib")
    return joblib.load(folder / "estimator.joblib")


def by_mapped_joblib(estimator, folder):
    joblib.dump(estimator, folder / "mapped.joblib")
    return joblib.load(folder / "mapped.joblib", mmap_mode="r")


def by_deepcopy(estimator, folder):
    return copy.deepcopy(estimator)


def by_copy(estimator, folder):
    return copy.copy(estimator)


def by_skops(estimator, folder):
    skops = pytest.importorskip("skops.io")
    content = skops.dumps(estimator)
    return skops.loads(content, trusted=skops.get_untrusted_types(data=content))


def by_file(estimator, folder):
    pytest.importorskip("safetensors")
    path = folder / "estimator.safetensors"
    estimator.save(path)
    factory = estimator.architecture if callable(estimator.architecture) else None
    asked = estimator.consistency
    asked = asked if isinstance(asked, list | tuple) else [asked]
    functions = [change for change in asked if callable(change)]
    return type(estimator).load(path, architecture=factory, consistency=functions)


TRIPS = [
    by_pickle, by_joblib, by_mapped_joblib, by_deepcopy, by_copy, by_skops, by_file
]  # fmt: skip
every_trip = pytest.mark.parametrize("trip", TRIPS)
every_architecture = pytest.mark.parametrize("kind", ARCHITECTURES)


def same(a, b):
    """Tell whether two values are of one type and equal, arrays to the last bit."""
    if isinstance(a, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return (
            a.tolist() == b.tolist()
            if a.dtype == object
            else a.tobytes() == b.tobytes()
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def assert_same_parameters(a, b):
    ours, theirs = a.get_params(), b.get_params()
    assert ours.keys() == theirs.keys()
    assert [n for n in ours if not same(ours[n], theirs[n])] == []


def assert_same(a, b, rows=X):
    assert type(a) is type(b)
    assert_same_parameters(a, b)
    for method in ("predict", "predict_proba", "transform", "reconstruction_errors"):
        assert same(getattr(a, method)(rows), getattr(b, method)(rows)), method
    names = [n for n in vars(a) if n.endswith("_") and n != "module_"]
    assert {"labels_", "history_", "objective_", "n_iter_"} <= set(names)
    assert [n for n in names if not same(getattr(a, n), getattr(b, n))] == []
    assert not b.module_.training


# -- round trips ---------------------------------------------------------------


@every_trip
@every_architecture
def test_a_round_trip_changes_no_bit(trip, kind, tmp_path):
    estimator = new(**ARCHITECTURES[kind]).fit(X)
    assert_same(estimator, trip(estimator, tmp_path))


@every_trip
@every_architecture
def test_a_stream_goes_on_after_a_round_trip_as_without(trip, kind, tmp_path):
    straight = streamed(**ARCHITECTURES[kind])
    broken = trip(streamed(**ARCHITECTURES[kind]), tmp_path)
    for chunk in FACTS[2:]:
        straight.partial_fit(chunk)
        broken = trip(broken.partial_fit(chunk), tmp_path)
        assert_same(straight, broken)


@every_trip
@pytest.mark.parametrize(
    "changed",
    [{"learning_rate": 0.05}, {"entropy_schedule": "balanced"}, {"weight_decay": 0.5}],
    ids=str,
)
def test_a_parameter_set_within_a_stream_counts_the_same(changed, trip, tmp_path):
    straight = streamed()
    broken = trip(streamed(), tmp_path).set_params(**changed).partial_fit(FACTS[2])
    assert_same(straight.set_params(**changed).partial_fit(FACTS[2]), broken)
    unchanged = streamed().partial_fit(FACTS[2])
    assert not same(unchanged.predict_proba(X), broken.predict_proba(X))


def test_an_interrupted_chunk_leaves_the_stream_as_it_was(monkeypatch):
    estimator, reference = streamed(), streamed()

    def interrupt(*args, **options):
        train_epoch(*args, **options)
        raise KeyboardInterrupt

    train_epoch = _stream.train_epoch
    with monkeypatch.context() as patch:
        patch.setattr(_stream, "train_epoch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            estimator.partial_fit(FACTS[3])
    assert_same(reference, estimator)
    assert_same(reference.partial_fit(FACTS[2]), estimator.partial_fit(FACTS[2]))


@every_trip
def test_a_stream_draws_from_a_random_state_once(trip, tmp_path):
    straight = new(random_state=np.random.RandomState(3)).partial_fit(X)
    if trip is by_file:
        straight.set_params(random_state=3)
    broken = trip(straight, tmp_path)
    straight.partial_fit(FACTS[1])
    broken.partial_fit(FACTS[1])
    assert same(straight.predict_proba(X), broken.predict_proba(X))


@every_trip
def test_partial_fit_after_fit_goes_on_the_same(trip, tmp_path):
    straight = new().fit(X)
    broken = trip(straight, tmp_path).partial_fit(FACTS[1])
    assert_same(straight.partial_fit(FACTS[1]), broken)


@every_trip
def test_training_a_copy_leaves_the_original_alone(trip, tmp_path):
    estimator, reference = streamed(), streamed()
    trip(estimator, tmp_path).partial_fit(FACTS[2])
    assert_same(reference, estimator)
    assert_same(reference.partial_fit(FACTS[2]), estimator.partial_fit(FACTS[2]))


@every_trip
def test_warm_start_goes_on_the_same(trip, tmp_path):
    straight = new(warm_start=True).fit(X)
    broken = trip(straight, tmp_path).fit(X)
    assert_same(straight.fit(X), broken)


@every_trip
def test_parameters_set_after_fit_do_not_disturb_the_network(trip, tmp_path):
    estimator = new().fit(X)
    estimator.set_params(
        hidden_layer_sizes=[9, 9], n_clusters=5, latent_dim=7, architecture="conv2d"
    )
    again = trip(estimator, tmp_path)
    assert_same(estimator, again)
    assert again.module_.n_experts == 2


@every_trip
def test_names_of_features_and_the_choice_of_output_are_kept(trip, tmp_path):
    table = pd.DataFrame(X, columns=[f"größe {i}" for i in range(X.shape[1])])
    estimator = new().set_output(transform="pandas").fit(table)
    again = trip(estimator, tmp_path)
    assert same(estimator.feature_names_in_, again.feature_names_in_)
    pd.testing.assert_frame_equal(estimator.transform(table), again.transform(table))
    with pytest.raises(ValueError, match="feature names"):
        again.predict(table.rename(columns={"größe 0": "x"}))


@pytest.mark.parametrize("trip", TRIPS[:-1])
def test_an_unfitted_estimator_makes_the_trip_and_can_be_fitted(trip, tmp_path):
    estimator = new(init=np.arange(40) % 2)
    again = trip(estimator, tmp_path)
    assert_same_parameters(estimator, again)
    assert_same(estimator.fit(X), again.fit(X))


@every_architecture
def test_clone_takes_the_parameters_only(kind):
    estimator = new(**ARCHITECTURES[kind]).fit(X)
    again = clone(estimator)
    assert_same_parameters(estimator, again)
    assert not hasattr(again, "module_")
    assert_same(estimator, again.fit(X))


def globals_of(content):
    """Return the names that a pickle of protocol 2 refers to."""
    return {a for op, a, _ in pickletools.genops(content) if op.name == "GLOBAL"}


@every_architecture
def test_a_pickle_holds_numpy_arrays_and_nothing_of_torch(kind):
    own = {f"{f.__module__} {f.__name__}" for f in (make_expert, halved)}
    own |= {f"{m.__module__} {m.__name__}" for m in MEMBERS.values()}
    names = globals_of(pickle.dumps(streamed(**ARCHITECTURES[kind]), 2)) - own
    roots = {name.split()[0].split(".")[0] for name in names}
    assert roots <= {
        "skmixae",
        "numpy",
        "copy_reg",
        "copyreg",
        "_codecs",
        "__builtin__",
    }
    assert {n for n in names if n.startswith("skmixae")} == {
        "skmixae._mixae MixAEClustering"
    }


def test_skops_needs_trust_in_the_estimator_alone():
    skops = pytest.importorskip("skops.io")
    table = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    estimator = new(entropy_schedule="balanced").partial_fit(table)
    untrusted = skops.get_untrusted_types(data=skops.dumps(estimator))
    assert untrusted == ["skmixae._mixae.MixAEClustering"]


@every_trip
def test_a_device_that_is_not_here_is_replaced_by_the_processor(trip, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("cuda is here")
    estimator = streamed().set_params(device="cuda")
    again = trip(estimator, tmp_path)
    assert_same(estimator, again)
    assert {p.device.type for p in again.module_.parameters()} == {"cpu"}
    with pytest.raises(ValueError, match="device='cuda' is not available"):
        again.partial_fit(FACTS[2])
    again.set_params(device="cpu").partial_fit(FACTS[2])
    assert_same(streamed().partial_fit(FACTS[2]).set_params(device="cpu"), again)


@every_trip
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_trained_on_a_gpu_and_loaded_on_the_processor(trip, tmp_path):
    estimator = streamed(device="cuda")
    assert_same(estimator, trip(estimator, tmp_path))
    here = trip(estimator, tmp_path).partial_fit(FACTS[2])
    assert_same(estimator.partial_fit(FACTS[2]), here)
    state = estimator.__getstate__()
    on_processor = MixAEClustering()
    on_processor.__setstate__({**state, "device": "cpu"})
    np.testing.assert_allclose(
        on_processor.predict_proba(X), estimator.predict_proba(X), atol=1e-4
    )
    on_processor.partial_fit(FACTS[3])


# -- files ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file, its content, and the estimator in it."""
    pytest.importorskip("safetensors")
    path = tmp_path_factory.mktemp("saved") / "estimator.safetensors"
    estimator = streamed(entropy_schedule="balanced", conv_channels=np.array([3]))
    estimator.save(path)
    return path, path.read_bytes(), estimator


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A path to write altered files to."""
    return tmp_path_factory.mktemp("scratch") / "altered.safetensors"


def opened(path):
    safetensors = pytest.importorskip("safetensors")
    with safetensors.safe_open(path, framework="np") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}


def altered(saved, scratch, change, *, renew=True):
    """Write a changed copy of a file, with a checksum that is right all the same."""
    metadata, tensors = opened(saved[0])
    content = json.loads(metadata["content"])
    change(metadata, content, tensors)
    metadata["content"] = json.dumps(content)
    if renew:
        metadata["sha256"] = persistence._digest(metadata, tensors)
    persistence._write(scratch, metadata, tensors)
    return scratch


PARAMETERS = {
    "n_clusters": [np.int64(2), np.uint8(2)],
    "hidden_layer_sizes": [(6,), [6], np.array([6]), (np.int32(6),)],
    "input_shape": [None, (36,), [6, 6], np.array([3, 12])],
    "cluster_sizes": [None, "start", [0.25, 0.75], (np.float32(0.5), 0.5),
                      np.array([0.4, 0.6], "f4")],
    "sample_entropy_weight": [1 / 3, np.float32(0.1), np.float64(0.1), 1],
    "init": ["kmeans", np.arange(40) % 2, (np.arange(40) % 2).tolist(),
             np.full((40, 2), 0.5)[:, ::-1], np.eye(2, dtype=">f4")[np.arange(40) % 2]],
    "warm_start": [np.True_, True],
    "random_state": [np.int64(3), 2**32 - 1],
    "consistency": [
        None, "adversarial", Masking(), Jitter(np.float32(0.1)), Jitter(1), halved,
        ["jitter", Adversarial(0.2), Masking(0.5)], (halved, "jitter", shifted), []],
    "verbose": [False, 0],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in PARAMETERS.items() for v in values]
)
def test_a_file_keeps_each_parameter_with_its_type(name, value, tmp_path):
    estimator = new(**{name: value}).fit(X)
    again = by_file(estimator, tmp_path)
    if getattr(value, "dtype", None) == np.dtype(">f4"):
        assert np.array_equal(again.init, value)
        again.init = value  # bytes are in this machine's order; numbers are the same
    assert_same(estimator, again)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_file_keeps_each_member_of_the_family_with_its_settings(name, tmp_path):
    settings = {n: (v + 0.5) / 2 for n, v in vars(MEMBERS[name]()).items()}
    change = MEMBERS[name](**settings)
    shape = (36,) if change.of_series else (6, 6)
    estimator = new(input_shape=shape, consistency=change).fit(X)
    again = by_file(estimator, tmp_path)
    assert again.consistency == change != MEMBERS[name]()
    assert_same(estimator, again)


def test_all_parameters_are_in_the_file(saved):
    content = json.loads(opened(saved[0])[0]["content"])
    assert content["parameters"].keys() == MixAEClustering().get_params().keys()


def test_a_file_tells_who_wrote_it(saved):
    metadata, tensors = opened(saved[0])
    assert metadata["format"] == "skmixae"
    assert metadata["format_version"] == "1"
    assert metadata["skmixae_version"] == __version__
    assert metadata["class"] == "MixAEClustering"
    weights = {k for k in tensors if k.startswith("_module_arrays/")}
    assert weights == {f"_module_arrays/{k}" for k in saved[2].module_.state_dict()}
    assert same(tensors["history_/total"], saved[2].history_["total"])


def test_a_path_is_text_or_a_path(tmp_path):
    pytest.importorskip("safetensors")
    estimator = new().fit(X)
    estimator.save(str(tmp_path / "a"))
    assert_same(estimator, MixAEClustering.load(tmp_path / "a"))
    assert_same(estimator, MixAEClustering.load(str(tmp_path / "a")))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_saving_to_a_link_replaces_what_it_points_to(tmp_path):
    pytest.importorskip("safetensors")
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    estimator = new().fit(X)
    estimator.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert_same(estimator, MixAEClustering.load(tmp_path / "target"))


def test_an_unfitted_estimator_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        new().save(tmp_path / "file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("random_state", np.random.RandomState(0), "RandomState"),
        ("init", pd.Series(np.arange(40) % 2), "an object of Series,"),
        ("init", np.array([None, 1]), "array of object"),
        ("hidden_layer_sizes", np.array([1j]), "array of complex128"),
        ("verbose", print, "function print"),
        ("consistency", [TheirChange()], "TheirChange"),
    ],
)
def test_a_parameter_for_pickle_alone_is_named(name, value, kind, tmp_path):
    pytest.importorskip("safetensors")
    estimator = new().fit(X).set_params(**{name: value})
    (tmp_path / "file").write_text("old")
    with pytest.raises(TypeError, match=rf"'{name}' parameter is [\s\S]*{kind}"):
        estimator.save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    estimator.set_params(**{name: getattr(new(), name)}).save(tmp_path / "file")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such.*nowhere'$"):
        new().fit(X).save(tmp_path / "nowhere" / "file")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    step, saved, tmp_path, monkeypatch
):
    path = tmp_path / "file"
    path.write_bytes(saved[1])

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        new().fit(X).save(path)
    assert path.read_bytes() == saved[1]
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_replaces_the_old_file(saved, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(saved[1])
    estimator = new().fit(X)
    estimator.save(path)
    assert_same(estimator, MixAEClustering.load(path))
    assert list(tmp_path.iterdir()) == [path]


def test_without_safetensors_the_error_says_what_to_install(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install skmixae\[safetensors\]"):
        new().fit(X).save(saved[0])
    with pytest.raises(ImportError, match=r"pip install skmixae\[safetensors\]"):
        MixAEClustering.load(saved[0])
    assert saved[0].read_bytes() == saved[1]


def test_another_class_is_told_which_it_is(saved, tmp_path):
    with pytest.raises(
        ValueError, match=r"holds a MixAEClustering. Load it with MixAE"
    ):
        ChildOfMixAE.load(saved[0])
    child = ChildOfMixAE(2, max_epochs=1, random_state=0).fit(X)
    assert_same(child, by_file(child, tmp_path))


# -- custom experts ------------------------------------------------------------


@pytest.fixture(scope="module")
def custom(tmp_path_factory):
    """A file of custom experts."""
    pytest.importorskip("safetensors")
    path = tmp_path_factory.mktemp("custom") / "custom.safetensors"
    new(architecture=make_expert).fit(X).save(path)
    return (path,)


def test_a_factory_is_asked_for_by_its_name(custom):
    with pytest.raises(
        ValueError, match=r"factory '[\w.]*test_persistence.make_expert'"
    ):
        MixAEClustering.load(custom[0])


def test_another_factory_is_told_which_weight_does_not_fit(custom):
    def narrow(input_shape, latent_dim):
        expert = make_expert(input_shape, latent_dim)
        expert.norm = torch.nn.Identity()
        return expert

    with pytest.raises(ValueError, match=r"experts.experts.0.norm.bias.*factory"):
        MixAEClustering.load(custom[0], architecture=narrow)


def test_a_factory_that_fails_is_reported(custom):
    def broken(input_shape, latent_dim):
        raise RuntimeError("no such layer")

    with pytest.raises(ValueError, match="no such layer"):
        MixAEClustering.load(custom[0], architecture=broken)


def test_a_factory_for_experts_of_ours_is_refused(saved):
    with pytest.raises(ValueError, match="no custom experts"):
        MixAEClustering.load(saved[0], architecture=make_expert)
    with pytest.raises(TypeError, match="callable"):
        MixAEClustering.load(saved[0], architecture="mlp")


# -- functions in consistency ----------------------------------------------------


@pytest.fixture(scope="module")
def changes(tmp_path_factory):
    """A file of an estimator with two functions of its own."""
    pytest.importorskip("safetensors")
    path = tmp_path_factory.mktemp("changes") / "changes.safetensors"
    new(consistency=[halved, "jitter", shifted]).fit(X).save(path)
    return (path,)


@pytest.mark.parametrize(
    ("given", "name"), [(None, "halved"), ([], "halved"), (halved, "shifted")]
)
def test_a_function_is_asked_for_by_its_name(given, name, changes):
    message = rf"function '[\w.]*test_persistence.{name}'.*load\(path, consistency="
    with pytest.raises(ValueError, match=message):
        MixAEClustering.load(changes[0], consistency=given)


def test_functions_return_to_their_places(changes):
    again = MixAEClustering.load(changes[0], consistency=[halved, shifted])
    assert again.consistency == [halved, "jitter", shifted]


def test_functions_without_a_place_are_refused(changes, saved):
    for path, more in ((changes[0], [halved, shifted, halved]), (saved[0], halved)):
        with pytest.raises(ValueError, match=r"no place for <function halved"):
            MixAEClustering.load(path, consistency=more)
    with pytest.raises(TypeError, match="consistency must be the function"):
        MixAEClustering.load(changes[0], consistency="halved")


def test_a_list_of_given_functions_is_left_as_it_is(changes):
    given = [halved, shifted]
    MixAEClustering.load(changes[0], consistency=given)
    assert given == [halved, shifted]


def test_loading_draws_no_global_random_numbers(custom):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    MixAEClustering.load(custom[0], architecture=make_expert)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.mark.parametrize("name", ["antigravity.fly", "os.system", "this"])
def test_nothing_that_a_file_names_is_imported(name, custom, scratch):
    def rename(metadata, content, tensors):
        content["fitted"]["_network_spec"]["dict"]["architecture"] = {"factory": name}
        content["parameters"]["architecture"] = {"factory": name}

    path = altered(custom, scratch, rename)
    modules = set(sys.modules)
    with pytest.raises(ValueError, match=f"factory '{name}'"):
        MixAEClustering.load(path)
    assert set(sys.modules) == modules


RUNNING = {"import", "exec", "compile", "os.system", "os.exec", "subprocess.Popen"}
RUNNING |= {"pickle.find_class", "marshal.loads", "socket.connect"}
AUDITED = []
_auditing = False


def _audit(event, args):
    if _auditing and event in RUNNING:
        AUDITED.append((event, args))


def test_loading_executes_and_imports_nothing(saved):
    global _auditing
    MixAEClustering.load(saved[0])  # torch and safetensors import some parts late
    sys.addaudithook(_audit)
    try:
        _auditing = True
        MixAEClustering.load(saved[0])
    finally:
        _auditing = False
    assert AUDITED == []


# -- damaged and foreign files -------------------------------------------------


def load_or_refuse(path, estimator):
    """Load the very same estimator, or say that the file is not as it should be."""
    try:
        again = MixAEClustering.load(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert_same(estimator, again)


many = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@many
@given(data=st.data())
def test_a_file_with_any_byte_flipped_is_refused_or_the_same(saved, scratch, data):
    content = bytearray(saved[1])
    # Most of a file is tensors: the header, half of the trials, is where words change.
    header = int.from_bytes(content[:8], "little") + 8
    ends = data.draw(st.sampled_from([header, len(content)]))
    place = data.draw(st.integers(0, ends - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    scratch.write_bytes(content)
    load_or_refuse(scratch, saved[2])


@many
@given(length=st.integers(min_value=0))
def test_a_file_cut_off_anywhere_is_refused(saved, scratch, length):
    scratch.write_bytes(saved[1][: length % len(saved[1])])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        MixAEClustering.load(scratch)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, -1])
def test_a_file_cut_off_at_its_seams_is_refused(saved, scratch, length):
    scratch.write_bytes(saved[1][:length])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        MixAEClustering.load(scratch)


def test_a_missing_file_and_a_folder_give_the_system_s_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        MixAEClustering.load(tmp_path / "nowhere")
    with pytest.raises(OSError, match=tmp_path.name):
        MixAEClustering.load(tmp_path)


@pytest.mark.parametrize("content", [b"text", b"\x00" * 100, pickle.dumps({"a": 1})])
def test_what_is_no_safetensors_file_is_refused(content, scratch):
    pytest.importorskip("safetensors")
    scratch.write_bytes(content)
    with pytest.raises(ValueError, match="no whole safetensors file"):
        MixAEClustering.load(scratch)


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_a_file_of_another_library_is_refused(metadata, scratch):
    numpy_files = pytest.importorskip("safetensors.numpy")
    numpy_files.save_file({"weight": np.ones(3)}, scratch, metadata=metadata)
    with pytest.raises(ValueError, match="not written by skmixae"):
        MixAEClustering.load(scratch)


@pytest.mark.parametrize(
    ("dtype", "size"), [("BF16", 2), ("F8_E4M3", 1), ("C64", 8), ("F4", 1)]
)
def test_types_that_numpy_lacks_are_refused(dtype, size, saved, scratch):
    metadata, _ = opened(saved[0])
    header = {"__metadata__": metadata}
    header["a"] = {"dtype": dtype, "shape": [1], "data_offsets": [0, size]}
    text = json.dumps(header).encode()
    scratch.write_bytes(len(text).to_bytes(8, "little") + text + b"\x00" * size)
    with pytest.raises(ValueError, match="Cannot load"):
        MixAEClustering.load(scratch)


@pytest.mark.parametrize("version", ["2", "10", "99999"])
def test_a_file_of_the_future_says_to_upgrade(version, saved, scratch):
    def later(metadata, content, tensors):
        metadata.update(format_version=version, skmixae_version="7.0", sha256="other")

    path = altered(saved, scratch, later, renew=False)
    with pytest.raises(ValueError, match=r"by skmixae 7.0.*Upgrade skmixae"):
        MixAEClustering.load(path)


def test_an_altered_parameter_is_noticed(saved, scratch):
    def turn(metadata, content, tensors):
        content["parameters"]["learning_rate"] = 0.1

    path = altered(saved, scratch, turn, renew=False)
    with pytest.raises(ValueError, match="damaged or altered"):
        MixAEClustering.load(path)


def put(part, name, value):
    def change(metadata, content, tensors):
        content[part][name] = value

    return change


def drop_weight(metadata, content, tensors):
    del tensors["_module_arrays/assignment.last.bias"]


def drop_weight_everywhere(metadata, content, tensors):
    name = "assignment.last.bias"
    del tensors[f"_module_arrays/{name}"]
    del content["fitted"]["_module_arrays"]["dict"][name]


def reshape_weight(metadata, content, tensors):
    tensors["_module_arrays/assignment.last.bias"] = np.zeros((1, 3), np.float32)


def retype_weight(metadata, content, tensors):
    name = "_module_arrays/assignment.last.bias"
    tensors[name] = tensors[name].astype(np.float64)


def add_tensor(metadata, content, tensors):
    tensors["stowaway"] = np.zeros(3)


def shorten_mean(metadata, content, tensors):
    tensors["_moments/mean"] = tensors["_moments/mean"][:-1]


def recognise_others(metadata, content, tensors):
    content["fitted"]["_moments"]["dict"]["image"] = {"tuple": [5, 5]}


def shorten_column(metadata, content, tensors):
    tensors["history_/total"] = tensors["history_/total"][:-1]


def retype_labels(metadata, content, tensors):
    tensors["labels_"] = tensors["labels_"].astype(np.float64)


def reshape_stream(metadata, content, tensors):
    tensors["_stream/optimizer/0.exp_avg"] = np.zeros(3, np.float32)


def halve_stream(metadata, content, tensors):
    del tensors["_stream/optimizer/0.exp_avg"]
    del content["fitted"]["_stream"]["dict"]["optimizer"]["dict"]["0.exp_avg"]


def enlarge_network(metadata, content, tensors):
    sizes = {"tuple": [10**9, 10**9]}
    content["fitted"]["_network_spec"]["dict"]["hidden_layer_sizes"] = sizes


def multiply_experts(metadata, content, tensors):
    content["fitted"]["_network_spec"]["dict"]["n_experts"] = 10**12


def unknown_architecture(metadata, content, tensors):
    content["fitted"]["_network_spec"]["dict"]["architecture"] = "transformer"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_weight, "'_module_arrays/assignment.last.bias' is missing"),
        (drop_weight_everywhere, "'assignment.last.bias' is missing"),
        (reshape_weight, r"'assignment.last.bias' is \(\(1, 3\), 'torch.float32'\)"),
        (retype_weight, "'assignment.last.bias' is .*float64"),
        (add_tensor, "stowaway"),
        (shorten_mean, "_moments"),
        (shorten_column, "differ in length"),
        (retype_labels, "labels_"),
        (reshape_stream, "0.exp_avg"),
        (halve_stream, "_stream"),
        (enlarge_network, "2000000000"),
        (multiply_experts, "expert_labels_"),
        (unknown_architecture, "transformer"),
        (put("parameters", "colour", "red"), "no parameters named colour"),
        (put("parameters", "fit", 1), "no parameters named fit"),
        (put("parameters", "__class__", 1), "no parameters named __class__"),
        (put("fitted", "predict", 1), "no fitted named predict"),
        (put("fitted", "__dict__", {"dict": {}}), "no fitted named __dict__"),
        (put("fitted", "module_", 1), "no fitted named module_"),
        (put("fitted", "_fitted_loss", "huber"), "_fitted_loss"),
        (put("fitted", "n_features_in_", 35), "n_features_in_|features"),
        (put("fitted", "input_shape_", {"tuple": [5, 5]}), "input_shape_ has not 36"),
        (put("fitted", "input_shape_", {"tuple": [6, 6]}), "input_shape_ is of no vec"),
        (put("fitted", "input_shape_", [6, 6]), "input_shape_ is not as it should be"),
        (recognise_others, "_moments"),
        (put("parameters", "device", [1]), "makes no estimator"),
        (put("parameters", "tol", {"pickle": "gASV"}), "'pickle' is no kind of value"),
        (put("parameters", "tol", {"scalar": ["object", 1]}), "no kind of value"),
        *(
            (put("parameters", "consistency", {"change": change}), message)
            for change, message in (
                (["os.system", {"dict": {}}], "'change' is no kind of value"),
                (["masking", {"dict": {"share": 2.0}}], r"'share'.*\[0.0, 1.0\)"),
                (["masking", {"dict": {"share": "half"}}], "'share'"),
                (["masking", {"dict": {"part": 0.5}}], "part"),
                (["masking", [0.5]], "makes no estimator"),
                (["masking"], "makes no estimator"),
                (3, "makes no estimator"),
            )
        ),
    ],
)
def test_an_altered_file_is_refused_even_with_its_checksum_renewed(
    change, message, saved, scratch
):
    path = altered(saved, scratch, change)
    with pytest.raises(ValueError, match=rf"Cannot load [\s\S]*({message})"):
        MixAEClustering.load(path)


def test_a_file_of_images_that_are_larger_in_the_file_than_in_x_is_refused(tmp_path):
    path = tmp_path / "images.safetensors"
    new(input_shape=(6, 6), max_pixels=9).fit(X).save(path)
    change = put("fitted", "input_shape_", {"tuple": [2, 18]})
    with pytest.raises(ValueError, match=r"input_shape_ is not read as \(3, 3\)"):
        MixAEClustering.load(altered((path,), tmp_path / "altered", change))


def test_a_value_nested_deeply_is_refused(saved, scratch):
    depth = 10**5
    metadata, tensors = opened(saved[0])
    content = metadata["content"].replace('"tol": 0.0001', '"tol": ' + "[" * depth)
    metadata["content"] = content.replace("[" * depth, "[" * depth + "0" + "]" * depth)
    metadata["sha256"] = persistence._digest(metadata, tensors)
    persistence._write(scratch, metadata, tensors)
    with pytest.raises(ValueError, match="RecursionError"):
        MixAEClustering.load(scratch)


def leaves(value, path=()):
    """Yield the path of each value in nested dicts and lists, containers included."""
    yield path
    for key, item in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from leaves(item, (*path, key))


odd_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "tuple",
                    "dict",
                    "array",
                    "scalar",
                    "columns",
                    "texts",
                    "x",
                    "change",
                    "function",
                    "factory",
                ]
            ),
            inner,
            max_size=2,
        )
    ),
    max_leaves=5,
)


@many
@given(data=st.data())
def test_a_stranger_s_content_never_raises_but_value_errors(saved, scratch, data):
    def scramble(metadata, content, tensors):
        *path, last = data.draw(st.sampled_from(list(leaves(content))[1:]))
        place = content
        for key in path:
            place = place[key]
        place[last] = data.draw(odd_values)

    path = altered(saved, scratch, scramble)
    try:
        MixAEClustering.load(path)
    except ValueError as error:
        assert "Cannot load" in str(error)  # noqa: PT017


@pytest.mark.parametrize("factory", [Factory(3), Unhashable(3)])
def test_a_factory_may_be_a_dataclass(factory, tmp_path):
    model = new(architecture=factory).fit(X)
    model.save(tmp_path / "model.zip")
    loaded = MixAEClustering.load(tmp_path / "model.zip", architecture=factory)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), loaded):
        assert other._network_spec.architecture == factory
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
