"""The paper's configuration minimises the paper's objective, and nothing else."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from skmixae import MixAEClustering, presets
from skmixae.network.convolutional import ConvolutionalExperts
from skmixae.objective.terms import batch_entropy_ceiling

X = load_digits().data[:300]
BRIEF = {"max_epochs": 3, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_total_is_reconstruction_and_two_entropies_in_every_epoch():
    history = presets.paper(4, batch_size=300, **BRIEF).fit(X).history_
    balance = np.minimum(history["batch_entropy"], batch_entropy_ceiling(4, 300))
    total = (
        history["reconstruction_weight"] * history["reconstruction"]
        + history["sample_entropy_weight"] * history["sample_entropy"]
        - history["batch_entropy_weight"] * balance
    )
    np.testing.assert_allclose(history["total"], total, rtol=1e-5)
    assert not history["consistency"].any()


def test_balance_fades_and_reconstruction_gains():
    history = presets.paper(4, **BRIEF).fit(X).history_
    assert (np.diff(history["batch_entropy_weight"]) < 0).all()
    assert (np.diff(history["reconstruction_weight"]) > 0).all()


def test_rows_are_read_as_they_are_from_one_random_start():
    wide = np.tile(X, 2)  # of rows this wide the default makes other choices
    model = presets.paper(4, verbose=0, **BRIEF).fit(wide)
    assert model._network_spec.input_shape == (128,)
    assert (model.n_init, model.init) == (1, "random")


def test_there_is_one_expert_a_cluster_whose_latents_are_read():
    model = presets.paper(4, **BRIEF).fit(X)
    assert model.module_.n_experts == 4
    assert model.module_.assignment_input == "latents"


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8)])
def test_images_have_convolutional_experts(shape):
    model = presets.paper(4, input_shape=shape, **BRIEF).fit(X)
    assert isinstance(model.module_.experts, ConvolutionalExperts)


@pytest.mark.parametrize("shape", [None, "auto", (64,)])
def test_what_is_not_said_to_be_an_image_has_none(shape):
    model = presets.paper(4, input_shape=shape, **BRIEF).fit(X)
    assert not isinstance(model.module_.experts, ConvolutionalExperts)


def test_distilled_assignments_are_those_of_the_best_expert():
    def agreement(weight):
        model = presets.paper(
            4, distillation_weight=weight, max_epochs=20, random_state=0
        ).fit(X)
        best = model.reconstruction_errors(X).argmin(1)
        return (best == model.labels_).mean()

    assert agreement(1.0) > agreement(0.0) + 0.2


def test_parameters_replace_those_of_the_preset():
    model = presets.paper(3, consistency="adversarial", n_experts=6, tol=0.5)
    assert (model.consistency, model.n_experts, model.tol) == ("adversarial", 6, 0.5)
    assert isinstance(clone(model), MixAEClustering)
