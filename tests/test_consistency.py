"""The family of changes that must not change a row's assignment."""

import pickle
from dataclasses import FrozenInstanceError, dataclass, fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV

from skmixae import MixAEClustering, consistency
from skmixae._problem import resolve_problem
from skmixae.consistency import (
    MEMBERS,
    Adversarial,
    Affine,
    Consistency,
    Context,
    Jitter,
    Masking,
    Warp,
)
from skmixae.objective import LOSSES
from skmixae.objective.consistency import mask
from skmixae.training import Rows, Scaling

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = make_blobs(60, n_features=16, centers=3, random_state=0)[0] + 5
CPU = torch.device("cpu")
NOTHING = [
    Affine(rotation=0, scale=0, shear=0, shift=0),
    Jitter(0),
    Masking(0),
    Warp(shift=0, stretch=0, strength=0),
    lambda rows, generator: rows,
]


SERIES = {"input_shape": (2, 8), "architecture": "conv1d"}


def doubled(rows, generator):
    return 2 * rows


def small(**params):
    defaults = {
        "n_clusters": 3,
        "n_experts": 5,
        "latent_dim": 2,
        "hidden_layer_sizes": (6,),
        "input_shape": (4, 4),
        "max_epochs": 2,
        "n_init": 1,
        "batch_size": 20,
        "random_state": 0,
        "device": "cpu",
    }
    return MixAEClustering(**defaults | params)


def context(X=X, shape=(4, 4), scale=2.0):
    return Context(Rows(X), Scaling(X.mean(0), scale), shape, CPU)


def bound(change, **where):
    return consistency.as_member(change).view(context(**where))


def changed(change, X=X, seed=0, **where):
    """Return scaled rows, and what a change makes of them."""
    where = context(X, **where)
    x = torch.from_numpy(where.scaling.apply(X))
    view = consistency.as_member(change).view(where)
    return x, view(x, torch.arange(len(x)), torch.Generator().manual_seed(seed))


def outcome(**params):
    """Return what tells two fits apart: each term of each epoch, and the merges."""
    model = small(**params).fit(X)
    return model.history_.tobytes(), model.expert_distances_.tobytes()


# ---------------------------------------------------------------------------
# Plain objects
# ---------------------------------------------------------------------------

every_member = pytest.mark.parametrize("kind", MEMBERS.values())


@every_member
def test_a_member_is_public_documented_and_has_a_default_for_each_setting(kind):
    assert kind.__name__ in consistency.__all__
    assert getattr(consistency, kind.__name__) is kind
    for setting in fields(kind):
        assert f"{setting.name} : float, default={setting.default}" in kind.__doc__
    assert kind() == kind(*(f.default for f in fields(kind)))


@every_member
def test_a_member_is_frozen_comparable_hashable_and_survives_copies(kind):
    one = kind()
    other = kind(**{fields(kind)[0].name: 0.01})
    assert one == kind() != other
    assert hash(one) == hash(kind())
    assert eval(repr(other), vars(consistency)) == other
    assert pickle.loads(pickle.dumps(other)) == other
    model = small(consistency=[other, "jitter"])
    assert clone(model).consistency == [other, "jitter"]
    with pytest.raises(FrozenInstanceError):
        setattr(one, fields(kind)[0].name, 0.5)


BAD_SETTINGS = [
    (kind, setting.name, bad)
    for kind in MEMBERS.values()
    for setting in fields(kind)
    for bad in (-0.1, float("nan"), float("inf"), "0.1", None)
]
BAD_SETTINGS += [(Masking, "share", 1.0), (Affine, "scale", 1.0)]
BAD_SETTINGS += [(Affine, "shift", 1.1), (Affine, "rotation", 180.5)]
BAD_SETTINGS += [(Warp, "shift", 1.1), (Warp, "stretch", 1), (Warp, "strength", 1.0)]


@pytest.mark.parametrize(("kind", "name", "bad"), BAD_SETTINGS)
def test_bad_setting_is_refused_with_name_value_and_what_is_accepted(kind, name, bad):
    message = rf"'{name}' parameter of {kind.__name__} must be a float in the range "
    with pytest.raises(ValueError, match=message) as error:
        kind(**{name: bad})
    assert f"Got {bad!r} instead" in str(error.value)


# ---------------------------------------------------------------------------
# Views
# ---------------------------------------------------------------------------


@pytest.mark.rng_untouched
@pytest.mark.parametrize("change", [*MEMBERS, doubled])
@settings(deadline=None, max_examples=5)
@given(n=st.integers(1, 30), seed=st.integers(0, 9))
def test_a_view_keeps_shape_and_type_and_leaves_its_rows_alone(change, n, seed):
    generator = torch.Generator().manual_seed(seed)
    view, x = bound(change), torch.randn(n, 16, generator=generator)
    before = x.clone()
    moved = view(x, torch.arange(n), generator)
    assert moved.shape == x.shape
    assert moved.dtype is torch.float32
    assert torch.isfinite(moved).all()
    assert torch.equal(x, before)


@pytest.mark.parametrize("change", [*MEMBERS, doubled])
def test_a_view_makes_a_difference(change):
    x, moved = changed(change)
    assert (moved - x).abs().max() > 1e-3


@pytest.mark.parametrize("nothing", NOTHING)
def test_a_change_of_no_size_is_the_identity(nothing):
    x, same = changed(nothing)
    torch.testing.assert_close(same, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("nothing", [*NOTHING, Adversarial(0)])
def test_of_a_change_of_no_size_the_divergence_is_zero(nothing):
    where = SERIES if isinstance(nothing, Warp) else {}
    terms = small(consistency=nothing, **where).fit(X).history_["consistency"]
    np.testing.assert_allclose(terms, 0, atol=1e-5)


def test_settings_of_affine_reach_the_images():
    """Only a shift goes beyond a picture of one pixel in the middle, black around."""
    picture = np.zeros((50, 5, 5))
    picture[:, 2, 2] = 1
    rows = picture.reshape(50, 25)
    where = {"shape": (5, 5)}
    nothing = {"rotation": 0, "scale": 0, "shear": 0, "shift": 0}
    center = context(rows).center
    for name, value in (("rotation", 90), ("scale", 0.2), ("shear", 0.2)):
        _, moved = changed(Affine(**nothing | {name: value}), rows, **where)
        middle = (moved + center)[:, 12] * 2
        torch.testing.assert_close(middle, torch.ones(50), msg=name)
    _, moved = changed(Affine(**nothing | {"shift": 0.2}), rows, **where)
    assert ((moved + center)[:, 12] * 2).mean() < 0.9


@pytest.mark.parametrize("faint", [0.0, 0.02])
def test_a_border_changes_nothing_of_how_images_move_nor_does_its_noise(faint):
    """Letters of 10 pixels in images of 28 were moved by a third of their size."""
    rng = np.random.default_rng(0)
    pictures = np.zeros((40, 8, 8))
    pictures[:, 1:-1, 1:-1] = rng.uniform(size=(40, 6, 6))
    framed = faint * rng.normal(size=(40, 14, 20))
    framed[:, 5:-1, 3:-9] += pictures
    (x, alone), (y, within) = (
        changed(Affine(), rows.reshape(40, -1), shape=rows.shape[1:])
        for rows in (pictures, framed)
    )
    alone = (alone - x).view(40, 8, 8)
    within = (within - y).view(40, 14, 20)
    error = (within[:, 5:-1, 3:-9] - alone).abs().max()
    assert error < 1e-5 + 5 * faint
    assert alone.abs().max() > 0.3


def test_settings_of_warp_reach_the_series():
    """A ramp goes up or down by a shift; a stretch leaves its middle; all its mean."""
    ramp, still = np.tile(np.arange(16.0), (50, 1)), torch.zeros(50)
    nothing = {"shift": 0, "stretch": 0, "strength": 0}
    shifted, stretched, louder = (
        changed(Warp(**nothing | {name: 0.2}), ramp, shape=(16,))[1] for name in nothing
    )
    assert shifted.mean(1).std() > 0.1
    for rows in (stretched, louder):
        torch.testing.assert_close(rows.mean(1), still, rtol=0, atol=1e-5)
    # Beyond the end is the value of the end.
    assert -1e-5 < stretched[:, 0].min() < 1e-5 < 0.1 < stretched[:, 0].max()
    assert louder[:, 0].min() < -0.1 < 0.1 < louder[:, 0].max()


@pytest.mark.parametrize(
    "params",
    [{"input_shape": None}, {"input_shape": (4, 4)}, {"input_shape": (1, 4, 4)}],
)
def test_only_series_are_warped(params):
    with pytest.raises(
        ValueError, match=r"'warp' moves series: it needs the 'input_sh"
    ):
        small(consistency="warp", **params).fit(X)


def test_the_settings_change_how_far_rows_go():
    for less, more in (
        (Jitter(0.1), Jitter(0.2)),
        (Adversarial(0.1), Adversarial(0.2)),
    ):
        (x, near), (_, far) = changed(less), changed(more)
        torch.testing.assert_close(far - x, 2 * (near - x), rtol=1e-3, atol=1e-5)
    hidden = [(changed(Masking(s))[1] == 0).float().mean() for s in (0.1, 0.9)]
    assert hidden[0] < 0.2
    assert hidden[1] > 0.8


def test_what_is_masked_has_the_mean_of_its_feature():
    x, moved = changed(Masking(0.5))
    where = context()
    hidden = (moved != x).numpy()
    original = where.scaling.undo(moved.numpy())
    means = np.broadcast_to(X.mean(0), X.shape)
    np.testing.assert_allclose(original[hidden], means[hidden], rtol=1e-5)


# ---------------------------------------------------------------------------
# Functions of the user's own
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "bce", "cosine"])
@pytest.mark.parametrize("shape", [None, (16,), (2, 8), (4, 4), (1, 4, 4)])
def test_a_function_gets_rows_in_the_shape_and_the_units_of_x(shape, loss):
    low, high = (X.min(), np.ptp(X)) if loss == "bce" else (0.0, 1.0)
    data = (X - low) / high
    seen = []

    def watch(rows, generator):
        assert isinstance(generator, torch.Generator)
        assert rows.dtype is torch.float32
        assert rows.shape[1:] == (shape or (16,))
        assert not torch.is_grad_enabled()
        seen.append(rows.flatten(1).numpy().copy())
        return rows

    architecture = "conv1d" if shape == (2, 8) else "mlp"
    small(
        consistency=watch, max_epochs=1, input_shape=shape, architecture=architecture,
        n_experts=None, reconstruction_loss=loss, init="random",
    ).fit(data)  # fmt: skip
    rows = np.concatenate(seen[1:])  # the first were asked of before training
    order, wanted = np.lexsort(rows.T), np.lexsort(data.astype(np.float32).T)
    np.testing.assert_allclose(rows[order], data[wanted], rtol=1e-4, atol=1e-5)


def test_a_function_s_rows_are_scaled_again():
    x, moved = changed(lambda rows, generator: rows + 3, scale=2.0)
    torch.testing.assert_close(moved, x + 1.5)


def test_a_function_says_as_much_as_the_member_that_does_the_same():
    """Masking in units of X, by the draws that ours makes."""

    def hidden(rows, generator):
        kept = mask(torch.ones(len(rows), 16), generator, 0.3) > 0
        mean = torch.from_numpy(X.mean(0)).float()
        return torch.where(kept, rows.flatten(1), mean).view(rows.shape)

    ours = small(consistency="masking").fit(X).history_["consistency"]
    theirs = small(consistency=hidden).fit(X).history_["consistency"]
    np.testing.assert_allclose(theirs, ours, rtol=1e-2)
    assert ours[0] > 0


@pytest.mark.rng_untouched
def test_what_a_function_draws_from_torch_is_determined_by_random_state():
    def noisy(rows, generator):
        return rows + torch.randn(rows.shape)

    assert outcome(consistency=noisy) == outcome(consistency=noisy)
    assert outcome(consistency=noisy) != outcome(consistency=noisy, random_state=1)


def test_what_a_function_raises_is_raised_and_leaves_the_estimator_as_it_was():
    def broken(rows, generator):
        raise RuntimeError("no such view")

    model = small().fit(X)
    before = model.predict_proba(X)
    with pytest.raises(RuntimeError, match="no such view"):
        model.set_params(consistency=broken).fit(X)
    assert np.array_equal(model.predict_proba(X), before)


# ---------------------------------------------------------------------------
# The parameter
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("auto", ["affine", "adversarial"]),
        ("auto", ["adversarial", "affine"]),
        ("auto", (Adversarial(), Affine())),
        ("masking", Masking()),
        ("masking", [Masking(0.3)]),
        (doubled, (doubled,)),
        (None, []),
    ],
)
def test_ways_to_say_the_same(one, same):
    assert outcome(consistency=one) == outcome(consistency=same)


@pytest.mark.parametrize(
    ("params", "changes"),
    [
        ({"input_shape": None}, ["adversarial"]),
        ({"input_shape": (16,)}, ["warp", "adversarial"]),
        (SERIES, ["warp", "adversarial"]),
        (SERIES | {"input_shape": None}, ["warp", "adversarial"]),
    ],
)
def test_auto_moves_what_has_an_order(params, changes):
    auto = outcome(consistency="auto", **params)
    assert auto == outcome(consistency=changes, **params)


def test_the_divergences_of_several_are_added():
    """By untrained networks: later, they differ. Each draws what it draws alone."""
    alone = []
    for change in (doubled, lambda rows, generator: -rows):
        alone.append((change, first_term(change)))
    together = first_term([change for change, _ in alone])
    assert together == pytest.approx(sum(term for _, term in alone), rel=1e-5)


def first_term(change):
    params = {"batch_size": len(X), "max_epochs": 1, "n_experts": None}
    return small(consistency=change, **params).fit(X).history_["consistency"][0]


@pytest.mark.parametrize(
    ("changes", "merges_by"),
    [
        ("auto", Affine()),
        ([Adversarial(0.5), "masking", "affine"], Masking()),
        ([Adversarial(0.5)], Jitter(0.5)),
        (None, Jitter(0.15)),
        ([], Jitter(0.15)),
    ],
)
def test_experts_are_merged_by_the_first_view(changes, merges_by):
    rows, model = Rows(X), small(consistency=changes)
    problem = resolve_problem(model.fit(X), rows, model._moments)
    x = torch.from_numpy(model._moments.scaling(LOSSES["mse"]).apply(X))
    view = problem.view(rows, model._moments)
    where = Context(rows, model._moments.scaling(LOSSES["mse"]), (4, 4), CPU)
    ours, theirs = (
        f(x, torch.arange(len(x)), torch.Generator().manual_seed(0))
        for f in (view, merges_by.view(where))
    )
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "params",
    [
        {"n_clusters": 1, "n_experts": None},
        {"consistency_weight": 0.0, "n_experts": None},
    ],
)
def test_without_a_weight_or_a_second_expert_nothing_is_computed(params):
    def never(rows, generator):
        raise AssertionError("called in vain")

    model = small(consistency=["adversarial", never], **params).fit(X)
    assert (model.history_["consistency"] == 0).all()


def test_none_computes_nothing():
    assert (small(consistency=None).fit(X).history_["consistency"] == 0).all()


def test_a_grid_of_changes_is_searched():
    grid = [
        "auto", None, Masking(0.1), Masking(0.5), ["affine", Jitter()], doubled
    ]  # fmt: skip
    search = GridSearchCV(small(max_epochs=1), {"consistency": grid}, cv=2).fit(X)
    assert list(search.cv_results_["param_consistency"]) == grid
    assert search.best_params_["consistency"] in grid
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# ---------------------------------------------------------------------------
# A new member
# ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Partner(Consistency):
    """Each row changed into another row of X: what needs indices and all rows."""

    ahead: int

    def view(self, context):
        partners = np.roll(np.arange(len(context.rows)), -self.ahead)

        def partner(x, index, generator):
            rows = context.rows.take(partners[index.numpy()])
            return torch.from_numpy(context.scaling.apply(rows)).to(context.device)

        return partner


def test_a_member_may_pair_rows_by_their_indices():
    x, moved = changed(Partner(1))
    assert torch.equal(moved, x.roll(-1, 0))
    assert outcome(consistency=Partner(1)) != outcome(consistency=Partner(2))
    np.testing.assert_allclose(
        small(consistency=Partner(0)).fit(X).history_["consistency"], 0, atol=1e-6
    )


@dataclass(frozen=True)
class Noisy(Consistency):
    """A member of a user's own, that draws from torch's global generator."""

    def view(self, context):
        return lambda x, index, generator: x + 0.1 * torch.randn(x.shape)


@pytest.mark.rng_untouched
def test_what_a_member_draws_from_torch_is_determined_by_random_state():
    assert outcome(consistency=Noisy()) == outcome(consistency=Noisy())
    assert outcome(consistency=Noisy()) != outcome(consistency=Noisy(), random_state=1)


def test_a_member_is_named_in_one_line(monkeypatch):
    monkeypatch.setitem(MEMBERS, "neighbour", lambda: Partner(1))
    assert consistency.as_member("neighbour") == Partner(1)
