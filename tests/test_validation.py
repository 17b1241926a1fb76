"""Bad parameters and bad rows: the right error, in plain words, and nothing lost."""

import inspect
import re

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from numpydoc.docscrape import ClassDoc
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn

from skmixae import MixAEClustering
from skmixae._parameters import (
    CONSTRAINTS,
    resolve_balance,
    resolve_device,
    resolve_precision,
)
from skmixae.consistency import Affine
from skmixae.training import TrainingPlan

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = make_blobs(40, n_features=6, centers=3, random_state=0)[0]
X = (X - X.min()) / np.ptp(X)  # in [0, 1], for all the losses
SIGNATURE = inspect.signature(MixAEClustering).parameters


def small(**params):
    defaults = {
        "n_clusters": 3,
        "n_experts": None,
        "latent_dim": 2,
        "hidden_layer_sizes": (6,),
        "conv_channels": (4,),
        "assignment_hidden_layer_sizes": (8,),
        "max_epochs": 3,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "random_state": 0,
    }
    return MixAEClustering(**defaults | params)


def fitted_part(model):
    """Return everything about a model but its parameters, as a hash of its bits."""
    parameters = model.get_params(deep=False)
    state = {k: v for k, v in model.__getstate__().items() if k not in parameters}
    training = [m.training for m in model.module_.modules()]
    return joblib.hash((state, training))


@pytest.fixture(scope="module")
def fitted():
    return small().fit(X)


@pytest.fixture
def unharmed(fitted):
    """A fitted model, compared bit by bit after the test with what it was before."""
    model = clone(fitted).fit(X)
    before, expected = fitted_part(model), fitted.predict_proba(X)
    yield model
    assert fitted_part(model) == before
    assert_array_equal(model.predict_proba(X), expected)
    assert model.n_features_in_ == X.shape[1]


# ---------------------------------------------------------------------------
# Every parameter: kept, documented, immutable, effective, validated
# ---------------------------------------------------------------------------


def test_every_parameter_has_a_constraint_and_a_default_that_satisfies_it():
    assert list(CONSTRAINTS) == list(SIGNATURE)
    MixAEClustering()._validate_params()


def test_all_but_the_number_of_clusters_are_keyword_only():
    first, *others = SIGNATURE.values()
    assert first.name == "n_clusters"
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in others)


@pytest.mark.parametrize("name", SIGNATURE)
def test_default_is_immutable_and_stored_as_it_is(name):
    default = SIGNATURE[name].default
    hash(default)
    assert getattr(MixAEClustering(), name) is default


def test_documentation_lists_each_parameter_in_order_with_its_default():
    documented = ClassDoc(MixAEClustering)["Parameters"]
    assert [p.name for p in documented] == list(SIGNATURE)
    for p in documented:
        default = SIGNATURE[p.name].default
        said = p.type.rpartition("default=")[2]
        shown = f'"{default}"' if isinstance(default, str) else str(default)
        assert said == shown, p.name
        assert p.desc, p.name


def test_documentation_lists_each_fitted_attribute(fitted):
    documented = {p.name for p in ClassDoc(MixAEClustering)["Attributes"]}
    public = {n for n in vars(fitted) if n.endswith("_") and not n.startswith("_")}
    assert public | {"feature_names_in_"} == documented


CONV = {"architecture": "conv1d"}
PATIENT = {"n_iter_no_change": 2, "max_epochs": 12}

# For each parameter, another value that must make a difference, and with what else.
EFFECTS = {
    "n_clusters": (2, {}),
    "n_experts": (5, {}),
    "n_active": (2, {}),
    "latent_dim": (1, {}),
    "architecture": ("conv1d", {}),
    "expert": ("variational", {}),
    "hidden_layer_sizes": ([6, 5], {}),
    "conv_channels": ([3, 2], CONV),
    "assignment_hidden_layer_sizes": ((), {}),
    "assignment_input": ("input", {}),
    "activation": ("tanh", {}),
    "input_shape": ((2, 3), {}),
    "max_pixels": (2, {"input_shape": (2, 3)}),
    "whitening": (None, {}),
    "n_components": (2, {}),
    "directions": (True, {}),
    "input_noise": (0.5, {}),
    "reconstruction_loss": ("bce", {}),
    "sample_entropy_weight": (0.7, {}),
    "batch_entropy_weight": (0.0, {}),
    "entropy_schedule": ("anneal", {}),
    # Once assignments are sure.
    "cluster_sizes": ([0.6, 0.3, 0.1], {"max_epochs": 40}),
    "consistency": (None, {}),
    "consistency_weight": (0.0, {}),
    "start_weight": (1.0, {"init": "kmeans"}),
    "prior_weight": (3.0, {"expert": "adversarial"}),
    "distillation_weight": (1.0, {}),
    "max_epochs": (4, {}),
    "batch_size": (8, {}),
    "learning_rate": (3e-3, {}),
    "learning_rate_decay": (1.0, {}),
    "weight_decay": (0.5, {}),
    "tol": (1e3, PATIENT),
    "n_iter_no_change": (1, {"max_epochs": 12, "tol": 1e3}),
    "validation_fraction": (0.3, {}),
    "refinement": (0.0, {"n_experts": 5}),
    "n_init": (3, {"init": "random", "random_state": 1}),
    "init": ("random", {}),
    "random_state": (1, {}),
    "precision": ("bfloat16", {}),
}
# Those whose difference shows elsewhere, each in a test of its own.
ELSEWHERE = {"warm_start", "device", "verbose"}


def test_no_parameter_is_forgotten():
    assert set(EFFECTS) | ELSEWHERE == set(SIGNATURE)


@pytest.mark.parametrize("name", EFFECTS)
def test_parameter_makes_a_difference(name):
    value, others = EFFECTS[name]
    before = small(**others).fit(X)
    after = small(**others).set_params(**{name: value}).fit(X)
    assert clone(after).get_params()[name] == value
    a, b = before.history_["total"], after.history_["total"]
    assert len(a) != len(b) or not np.array_equal(a, b)


def test_warm_start_makes_a_difference():
    cold = small().fit(X).fit(X)
    warm = small(warm_start=True).fit(X).fit(X)
    assert cold.history_["objective"][0] > warm.history_["objective"][0]


def test_verbose_makes_a_difference(capsys):
    small(verbose=0).fit(X)
    assert capsys.readouterr().out == ""
    small(verbose=1, n_init=2).fit(X)
    assert capsys.readouterr().out.count("\n") == 2
    small(verbose=2).fit(X)
    out = capsys.readouterr().out
    assert out.count("epoch") - 1 == small().max_epochs
    assert "objective" in out


def test_device_makes_a_difference(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.undo()  # a torch built for CUDA would believe it
    model = small(device="cpu").fit(X)
    assert next(model.module_.parameters()).device.type == "cpu"


CPU_HAS_BFLOAT16 = ["_is_amx_tile_supported", "_is_avx512_bf16_supported"]


@pytest.mark.parametrize("name", CPU_HAS_BFLOAT16)
@pytest.mark.parametrize(
    ("device", "n_features", "expected"),
    [
        ("cuda", 51, torch.bfloat16),
        ("cuda", 50, torch.float32),
        ("cpu", 51, torch.bfloat16),
        ("cpu", 50, torch.float32),
        ("mps", 51, torch.float32),
    ],
)
def test_auto_precision_is_half_where_that_is_faster(
    name, device, n_features, expected, monkeypatch
):
    device = torch.device(device)
    for other in CPU_HAS_BFLOAT16:  # of older releases
        monkeypatch.delattr(torch.cpu, other, raising=False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert resolve_precision("auto", device, n_features) is torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, name, lambda: True, raising=False)
    assert resolve_precision("auto", device, n_features) is expected
    for asked in ("bfloat16", "float32"):
        assert resolve_precision(asked, device, n_features) is getattr(torch, asked)


def test_precision_is_of_the_features_that_the_network_reads(monkeypatch):
    """Of many that are brought down to few, or the other way round, those few."""
    monkeypatch.setattr(torch.cpu, CPU_HAS_BFLOAT16[0], lambda: True, raising=False)
    wide = np.random.default_rng(0).normal(size=(60, 80))
    given = {"device": "cpu", "max_epochs": 1, "whitening": 0.5}

    def precision(n_components):
        seen = []
        monkeypatch.setattr(
            "skmixae._problem.resolution.TrainingPlan",
            lambda **plan: seen.append(plan["precision"]) or TrainingPlan(**plan),
        )
        small(n_components=n_components, **given).fit(wide)
        return seen[0]

    assert precision(55) is torch.bfloat16
    assert precision(10) is torch.float32


@pytest.mark.parametrize("batch_size", [18, 40])
def test_balance_counts_less_where_there_are_many_clusters(batch_size):
    assert resolve_balance("auto", 21) == 8.0
    assert resolve_balance("auto", 64) == pytest.approx(8.0 / 3)
    assert resolve_balance("auto", 64, ordered=True) == 8.0
    for ordered in (True, False):
        assert resolve_balance(5.0, 64, ordered=ordered) == 5.0
    # Whatever a batch has of each.
    model = small(batch_size=batch_size).fit(X)
    assert model.history_["batch_entropy_weight"][0] == 8.0


NUMBERS_FROM_ZERO = ["input_noise", "sample_entropy_weight", "batch_entropy_weight",
                     "consistency_weight", "start_weight", "prior_weight",
                     "distillation_weight", "weight_decay", "tol"]  # fmt: skip
POSITIVE_INTEGERS = ["n_clusters", "n_experts", "n_active", "latent_dim", "batch_size",
                     "n_init", "max_epochs", "n_iter_no_change"]  # fmt: skip
CHOICES = ["architecture", "expert", "assignment_input", "activation",
           "reconstruction_loss", "entropy_schedule", "consistency", "init",
           "precision", "max_epochs", "latent_dim",
           "assignment_hidden_layer_sizes"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("batch_size", kind(100)) for kind in (np.uint8, np.int16, np.uint32)),
        *(("n_clusters", kind(3)) for kind in (np.int8, np.uint8)),
        *(("n_active", kind(2)) for kind in (np.int8, np.uint8)),
        ("n_experts", np.uint8(6)),
        ("latent_dim", np.int8(3)),
        ("max_epochs", np.int8(4)),
        ("n_init", np.uint8(2)),
    ],
)
def test_numbers_of_small_types_mean_what_they_say(name, value):
    rows = np.concatenate([X] * 10)
    short = {"max_epochs": 2, "n_init": 1}
    expected = small(**short | {name: int(value)}).fit(rows)
    model = small(**short | {name: value}).fit(rows)
    assert_array_equal(model.predict_proba(rows), expected.predict_proba(rows))


BAD_VALUES = [
    *((name, bad) for name in NUMBERS_FROM_ZERO
      for bad in (-0.5, float("nan"), float("inf"), "1", None)),
    *((name, bad) for name in POSITIVE_INTEGERS for bad in (0, -1, 2.5, "two")),
    *((name, "nonsense") for name in CHOICES),
    *((name, bad) for name in ("learning_rate", "learning_rate_decay")
      for bad in (0, -1e-3, float("nan"))),
    ("learning_rate_decay", 1.5),
    *(("validation_fraction", bad) for bad in (0, 1, -0.1, 1.5, "half")),
    *((name, bad)
      for name in ("hidden_layer_sizes", "conv_channels", "input_shape")
      for bad in (8, (8, 0), (8, -1), (2.5,), (), "88", (True,), np.array(8))),
    *(("assignment_hidden_layer_sizes", bad) for bad in (8, (0,), (2.5,), None)),
    ("input_shape", (1, 1, 1, 6)),
    ("random_state", -1),
    ("random_state", "seed"),
    ("warm_start", "yes"),
    ("verbose", -1),
    ("device", None),
    ("device", 0),
    *(("device", bad) for bad in ("tpu", "gpu", "cpux", "", "meta", "cuda:-1")),
    *(("cluster_sizes", bad) for bad in
      ([0.5, 0.6, 0.1], [0.5, 0.5], [1.5, -0.5, 0.0], [[0.2, 0.3, 0.5]], 0.3,
       [0.5, 0.5, float("nan")], "even", {0.5, 0.3, 0.2})),
    *(("consistency", bad) for bad in
      (3, "both", Affine, {"affine": 1}, ["jitter", "nonsense"], ["jitter", None],
       ["auto"], ("jitter", 0.1), [["jitter"]])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_bad_value_is_refused_with_name_value_and_what_is_accepted(
    unharmed, name, value
):
    unharmed.set_params(**{name: value})
    params = {"architecture": "conv1d"} if name == "conv_channels" else {}
    unharmed.set_params(**params)
    with pytest.raises(ValueError, match=rf"\b{name}\b") as error:
        unharmed.fit(X)
    message = str(error.value)
    assert "must" in message
    if "contains NaN" not in message:
        assert repr(value) in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_unavailable_device_is_refused(unharmed, device):
    unharmed.set_params(device=device)
    with pytest.raises(ValueError, match=f"device='{device}' is not available"):
        unharmed.fit(X)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_device_number_that_is_not_there_is_refused(unharmed):
    unharmed.set_params(device=f"cuda:{torch.cuda.device_count()}")
    with pytest.raises(ValueError, match="is not available"):
        unharmed.fit(X)


# ---------------------------------------------------------------------------
# Parameters that do not go together, or not with the rows
# ---------------------------------------------------------------------------

BAD_TOGETHER = {
    "shape does not multiply out": ({"input_shape": (2, 2)}, r"4 features.*X has 6"),
    "images without a shape": ({"architecture": "conv2d"}, r"input_shape.*Got None"),
    "series as images": (
        {"architecture": "conv2d", "input_shape": (6,)},
        r"'conv2d' needs.*\(height, width\)",
    ),
    "images as series": (
        {"architecture": "conv1d", "input_shape": (1, 2, 3)},
        r"'conv1d' needs.*\(length,\)",
    ),
    "moved vectors": ({"consistency": "affine"}, r"'affine' moves images.*input_shape"),
    "moved series": (
        {
            "consistency": ["jitter", Affine(shear=0.0)],
            "architecture": "conv1d",
            "input_shape": (2, 3),
        },
        r"'jitter', Affine\(.*shear=0.0, .*\] moves images",
    ),
    "fewer experts than clusters": ({"n_experts": 2}, r"n_experts.*n_clusters=3.*2"),
    "fewer rows than experts": ({"n_experts": 41}, r"n_samples=40.*n_experts=41"),
    "fewer rows than clusters": ({"n_clusters": 41}, r"n_samples=40.*n_clusters=41"),
    "labels too few": ({"init": [0, 1, 2]}, r"init.*\(40,\).*\(3,\)"),
    "labels too high": ({"init": np.arange(40) % 4}, "init.*0 to 2, one.*expert"),
    "labels too high for experts to spare": (
        {"init": np.arange(40) % 7, "n_experts": 6},
        "init.*0 to 5, one for each expert",
    ),
    "labels too low": ({"init": -np.ones(40, int)}, "init.*from 0"),
    "labels between": ({"init": np.full(40, 0.5)}, "init.*integers"),
    "labels missing": ({"init": np.full(40, np.nan)}, "init.*NaN"),
    "changes of another number of rows": (
        {"consistency": lambda rows, generator: rows[:-1]},
        r"consistency.*the shape of the rows",
    ),
    "a start that is no array": ({"init": {0: 1}}, "init.*must hold finite numbers"),
    "labels of text": ({"init": np.full(40, "a")}, "init.*must hold finite numbers"),
    "probabilities of too many": (
        {"init": np.full((40, 4), 0.25)},
        r"init.*\(40, 3\).*\(40, 4\)",
    ),
    "probabilities not summing": ({"init": np.full((40, 3), 0.5)}, "init.*sum to 1"),
    "negative probabilities": (
        {"init": np.tile([2.0, -1.0, 0.0], (40, 1))},
        "init.*negative",
    ),
    "three-dimensional start": ({"init": np.zeros((40, 3, 1))}, r"init.*dim"),
}


@pytest.mark.parametrize("case", BAD_TOGETHER)
def test_parameters_that_do_not_fit_are_refused(unharmed, case):
    params, message = BAD_TOGETHER[case]
    unharmed.set_params(**params)
    with pytest.raises(ValueError, match=message):
        unharmed.fit(X)


@pytest.mark.parametrize("offset", [0.5, -0.5])
def test_bce_refuses_rows_outside_its_range(unharmed, offset):
    unharmed.set_params(reconstruction_loss="bce")
    with pytest.raises(ValueError, match=r"'bce' needs features from 0 to 1.*'mse'"):
        unharmed.fit(X + offset)
    with pytest.raises(ValueError, match="reconstruction_loss"):  # rows were whitened
        unharmed.partial_fit(X + offset)
    stream = small(reconstruction_loss="bce").fit(X)
    with pytest.raises(ValueError, match=r"'bce' needs features from 0 to 1"):
        stream.partial_fit(X + offset)


def test_bce_takes_what_rounding_leaves_beyond_its_range(unharmed):
    """As MinMaxScaler does, and means of pixels."""
    X = MinMaxScaler().fit_transform(load_breast_cancer().data)
    assert X.max() > 1
    small(n_clusters=2, reconstruction_loss="bce").fit(X)
    white = np.zeros((20, 48, 64))
    white[::2, :24], white[1::2, 24:] = 1, 1
    params = {"reconstruction_loss": "bce", "input_shape": (48, 64)}
    small(n_clusters=2, **params).fit(white.reshape(20, -1))
    unharmed.set_params(reconstruction_loss="bce")
    X[0, 0] = 1 + 1e-4
    with pytest.raises(ValueError, match=r"'bce' needs features from 0 to 1"):
        unharmed.fit(X)


def test_bce_asks_for_its_range_of_the_rows_at_hand():
    model = small(reconstruction_loss="bce", warm_start=True).fit(X)
    with pytest.raises(ValueError, match=r"'bce' needs features.*from -.* to "):
        model.fit(100 * X - 5)


# ---------------------------------------------------------------------------
# Rows
# ---------------------------------------------------------------------------


def damaged(value, dtype=np.float64):
    rows = X.astype(dtype)
    rows[7, 2] = value
    return rows


BAD_ROWS = {
    "NaN": (damaged(np.nan), ValueError, "NaN"),
    "NaN in float32": (damaged(np.nan, np.float32), ValueError, "NaN"),
    "infinity": (damaged(np.inf), ValueError, "infinity"),
    "infinity in float16": (damaged(-np.inf, np.float16), ValueError, "infinity"),
    "NaN in sparse rows": (sparse.csr_array(damaged(np.nan)), ValueError, "NaN"),
    "text": (X.astype(str).astype(object) + "x", ValueError, "could not convert"),
    "complex": (X + 1j, ValueError, "Complex data not supported"),
    "one dimension": (X[0], ValueError, "Expected 2D array, got 1D array"),
    "three dimensions": (X[None], ValueError, "dim 3|Found array with dim"),
    "no rows": (X[:0], ValueError, "0 sample"),
    "no features": (X[:, :0], ValueError, r"0 feature|X has 0 features"),
    "nothing": (None, ValueError, "None|array"),
    "dictionaries": ([{"a": 1}] * 5, (TypeError, ValueError), "argument|convert"),
    "ragged": ([[1, 2], [3]], ValueError, "inhomogeneous|sequence"),
    "NaN in a tensor": (torch.from_numpy(damaged(np.nan)), ValueError, "NaN"),
    "a sparse tensor": (torch.from_numpy(X).to_sparse(), TypeError, "to_dense"),
}
METHODS = ["predict", "predict_proba", "transform", "reconstruct",
           "reconstruction_errors", "score_samples", "score"]  # fmt: skip


@pytest.mark.parametrize("method", ["fit", "partial_fit", "fit_predict", *METHODS])
@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_refused(unharmed, method, case):
    rows, error, message = BAD_ROWS[case]
    with pytest.raises(error, match=message):
        getattr(unharmed, method)(rows)


def test_rows_that_scikit_learn_does_not_look_at_are_not_called_too_large():
    with config_context(assume_finite=True):
        for rows in (damaged(np.nan), np.vstack([np.tile(X, (3000, 1)), X * np.nan])):
            with pytest.raises(ValueError, match="X contains NaN"):
                small().fit(rows)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_parameters_are_not_checked_where_scikit_learn_is_asked_not_to(method):
    model = small(tol=-1.0)
    with pytest.raises(InvalidParameterError, match="tol"):
        getattr(model, method)(X)
    with config_context(skip_parameter_validation=True):
        getattr(model, method)(X)
        getattr(model, method)(X)


@pytest.mark.parametrize("method", ["partial_fit", *METHODS])
def test_rows_of_another_width_are_refused(unharmed, method):
    message = "X has 5 features, but MixAEClustering is expecting 6 features"
    with pytest.raises(ValueError, match=message):
        getattr(unharmed, method)(X[:, :5])


def test_codes_of_another_width_are_refused(unharmed):
    with pytest.raises(ValueError, match=r"X has 5 features.*expecting 6"):
        unharmed.inverse_transform(X[:, :5])
    with pytest.raises(ValueError, match="NaN"):
        unharmed.inverse_transform(damaged(np.nan))


def test_first_chunk_with_fewer_rows_than_clusters_is_refused():
    model = small()
    with pytest.raises(ValueError, match=r"n_samples=2.*n_clusters=3"):
        model.partial_fit(X[:2])
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("method", [*METHODS, "inverse_transform"])
def test_everything_that_needs_a_fit_says_so(method):
    with pytest.raises(NotFittedError, match="MixAEClustering instance is not fitted"):
        getattr(small(), method)(X)
    with pytest.raises(NotFittedError):
        small().get_feature_names_out()


def test_a_failed_fit_keeps_the_names_and_number_of_features():
    pd = pytest.importorskip("pandas")
    model = small().fit(pd.DataFrame(X, columns=list("abcdef")))
    before = fitted_part(model)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((40, 4), np.nan))
    with pytest.raises(ValueError, match="n_samples=2"):
        model.fit(pd.DataFrame(X[:2, :3], columns=list("xyz")))
    assert fitted_part(model) == before
    assert list(model.feature_names_in_) == list("abcdef")
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(pd.DataFrame(X, columns=list("uvwxyz")))


def test_a_failed_first_fit_leaves_nothing():
    model = small(input_shape=(5,))
    with pytest.raises(ValueError, match="multiplies out"):
        model.fit(X)
    assert set(vars(model)) == set(model.get_params())


# ---------------------------------------------------------------------------
# A factory of experts that does not keep its promise
# ---------------------------------------------------------------------------


class Expert(nn.Module):
    def __init__(self, n_in, n_latent, n_out=None):
        super().__init__()
        self.down = nn.Linear(n_in, n_latent)
        self.up = nn.Linear(n_latent, n_out or n_in)

    def encode(self, rows):
        return self.down(rows)

    def decode(self, latents):
        return self.up(latents)


class OnlyForward(nn.Module):
    def forward(self, rows):
        return rows


class PairExpert(Expert):
    def encode(self, rows):
        return self.down(rows), rows


def good(shape, d):
    return Expert(*shape, d)


ONE_FOR_ALL = Expert(6, 2)


def first_good_then_bad():
    made = []

    def factory(shape, d):
        made.append(1)
        return Expert(*shape, d if len(made) == 1 else d + 1)

    return factory


def raising(shape, d):
    raise RuntimeError("no experts today")


BAD_FACTORIES = {
    "not a module": (lambda shape, d: "expert", TypeError, "return a torch.nn.Module"),
    "no methods": (lambda shape, d: OnlyForward(), TypeError, "no method 'encode'"),
    "latents": (lambda s, d: Expert(*s, d + 1), ValueError, r"\(\d+, 3\) from encode"),
    "rows": (lambda s, d: Expert(*s, d, 5), ValueError, r"\(\d+, 5\) from decode"),
    "pairs": (lambda s, d: PairExpert(*s, d), ValueError, "tuple from encode"),
    "raises": (raising, RuntimeError, "no experts today"),
    "wrong input": (lambda s, d: Expert(7, d), RuntimeError, "shapes cannot be"),
    "takes nothing": (lambda: None, TypeError, "argument"),
    "latents of the second": (first_good_then_bad(), ValueError, "from encode"),
}


def test_a_factory_that_keeps_its_promise_is_used():
    model = small(architecture=good).fit(X)
    assert sum(isinstance(m, Expert) for m in model.module_.modules()) == 3
    assert model.predict(X).shape == (40,)


@pytest.mark.parametrize("case", BAD_FACTORIES)
def test_bad_factory_is_refused(unharmed, case):
    factory, error, message = BAD_FACTORIES[case]
    unharmed.set_params(architecture=factory)
    with pytest.raises(error, match=message):
        unharmed.fit(X)


def test_one_expert_given_twice_is_refused(unharmed):
    unharmed.set_params(architecture=lambda *_: ONE_FOR_ALL)
    with pytest.raises(ValueError, match="build a new module"):
        unharmed.fit(X)


# ---------------------------------------------------------------------------
# Messages read well
# ---------------------------------------------------------------------------


def test_messages_are_sentences_without_internals():
    for params, _ in BAD_TOGETHER.values():
        with pytest.raises(ValueError) as error:  # noqa: PT011
            small(**params).fit(X)
        assert not re.search(r"<(class|function|object)|Tensor\(", str(error.value))
