"""scikit-learn's checks, on every kind of configuration, and those it leaves out."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from sklearn.utils.fixes import parse_version

from skmixae import MixAEClustering

# A mixture of a few steps tells what the checks ask for, and no more.
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    # On scikit-learn < 1.8 a skipped check warns.
    "ignore::sklearn.exceptions.SkipTestWarning",
    # The output checks pass frames to what was fitted on arrays, and back.
    "ignore:X (has|does not have valid) feature names:UserWarning",
)

# scikit-learn reads `classifier_tags.multi_class` of whatever has `predict_proba` and
# accepts sparse rows; a clusterer has no such tags, and the check fails on None. What
# the two checks mean to assert is asserted by `test_sparse_rows_of_every_format_fit`.
EXPECTED_FAILURES = {
    "check_estimator_sparse_array": "reads classifier_tags of a clusterer",
    "check_estimator_sparse_matrix": "reads classifier_tags of a clusterer",
}


class RowsAsImages(MixAEClustering):
    """Reads rows of any length as images of one line: the checks' lengths vary."""

    def _problem(self, rows, *args, **kwargs):
        asked = self.input_shape
        self.input_shape = (1, rows.n_features)
        try:
            return super()._problem(rows, *args, **kwargs)
        finally:
            self.input_shape = asked


def small(kind=MixAEClustering, **params):
    defaults = {
        "n_experts": None,
        "latent_dim": 2,
        "hidden_layer_sizes": (8,),
        "conv_channels": (4,),
        "assignment_hidden_layer_sizes": (16,),
        "max_epochs": 6,
        "learning_rate": 1e-2,
    }
    return kind(**defaults | params)


CONFIGURATIONS = {
    "mlp": small(),
    # Few of such rows are fitted four times otherwise. What starts at random, as they
    # and directions do, takes longer to find what `check_clustering` asks for.
    "conv1d": small(architecture="conv1d", n_init=1, max_epochs=20),
    "conv2d": small(RowsAsImages, architecture="conv2d", n_init=1),
    "anneal": small(entropy_schedule="anneal", consistency=None),
    "balanced": small(entropy_schedule="balanced", consistency=None),
    "kmeans": small(init="kmeans", consistency=None, n_experts="auto"),
    "experts to spare": small(n_experts="auto"),
    "cosine": small(reconstruction_loss="cosine", max_epochs=20),
}


def expected_failed_checks(estimator):
    return EXPECTED_FAILURES


# Before 1.8 `expected_failed_checks` marks without strictness.
STRICT = (
    {"xfail_strict": True}
    if parse_version(sklearn.__version__) >= parse_version("1.8")
    else {}
)


@parametrize_with_checks(
    list(CONFIGURATIONS.values()),
    expected_failed_checks=expected_failed_checks,
    **STRICT,
)
def test_scikit_learn_check_passes(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_the_defaults_pass_the_whole_suite():
    check_estimator(MixAEClustering(), expected_failed_checks=EXPECTED_FAILURES)


# ---------------------------------------------------------------------------
# Checks that the suite leaves out
# ---------------------------------------------------------------------------

LEFT_OUT = [
    "check_dataframe_column_names_consistency",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_get_feature_names_out_error",
    "check_inplace_ensure_writeable",
]


@pytest.mark.parametrize("name", LEFT_OUT)
@pytest.mark.parametrize("kind", ["mlp", "conv2d"])
def test_check_that_the_suite_leaves_out_passes(kind, name):
    if not hasattr(estimator_checks, name):
        pytest.skip(f"scikit-learn {sklearn.__version__} has no {name}")
    estimator = clone(CONFIGURATIONS[kind]).set_params(max_epochs=3)
    getattr(estimator_checks, name)(type(estimator).__name__, estimator)


ARRAY_API = """
from sklearn.utils.estimator_checks import check_array_api_input
from skmixae import MixAEClustering
check_array_api_input(
    "MixAEClustering", MixAEClustering(3, max_epochs=2, random_state=0),
    array_namespace="numpy", expect_only_array_outputs=False)
"""


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"), reason="checked from 1.9"
)
def test_dispatch_to_array_libraries_changes_nothing():
    """The check that the suite skips unless SCIPY_ARRAY_API is set from the start."""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ARRAY_API],
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
        cwd=Path(__file__).parents[1],
        check=True,
    )


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_sparse_rows_of_every_format_fit_and_predict(kind, container):
    # As check_estimator_sparse_array and _matrix mean to, with the number of clusters
    # for the number of classes.
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(40, 3))
    X[X < 0.6] = 0
    estimator = clone(CONFIGURATIONS[kind]).set_params(max_epochs=2, n_clusters=4)
    for format_ in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr"):
        rows = container(X).asformat(format_)
        estimator.fit(rows)
        assert estimator.predict(rows).shape == (40,)
        assert estimator.predict_proba(rows).shape == (40, 4)
        n_latents = 2 * len(estimator.expert_labels_)
        assert estimator.transform(rows).shape == (40, n_latents)


def test_sparse_rows_with_long_indices_are_taken():
    X = sparse.random(40, 3, density=0.4, format="csr", random_state=0)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    model = clone(CONFIGURATIONS["mlp"]).set_params(max_epochs=2, n_clusters=2)
    labels = model.fit(X).predict(X.toarray())
    np.testing.assert_array_equal(model.predict(X), labels)


def test_a_healthy_fit_of_the_checks_does_not_warn():
    """The warnings filtered above are our own findings, and nothing else is hidden."""
    X = np.random.RandomState(0).normal(size=(60, 2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clone(CONFIGURATIONS["mlp"]).set_params(n_clusters=2, random_state=0).fit(X)
    assert {w.category for w in caught} <= {ConvergenceWarning}
