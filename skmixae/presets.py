"""Named configurations of `MixAEClustering`."""

from __future__ import annotations

from typing import Any

from ._mixae import MixAEClustering

__all__ = ["paper"]


def paper(n_clusters: int = 8, **parameters: Any) -> MixAEClustering:
    """Return the estimator as the paper has it: an expert a cluster, a random start.

    The objective is the paper's equation (5) and nothing else: the reconstruction
    error weighted by the assignment, and the two entropies. The assignment network
    reads the latents, side by side; images of an ``input_shape`` have convolutional
    experts, as its MNIST; the weights move as it advises, balance first, then
    reconstruction. What it leaves open is our choice: the sizes of the layers, the
    learning rate, the size of a batch and the weights, which are those of
    `MixAEClustering`, but for an assignment network with a hidden layer of 128 units.

    Parameters
    ----------
    n_clusters : int, default=8
        The number of clusters, and of experts.
    **parameters
        Further parameters of `MixAEClustering`, in place of those above.

    Returns
    -------
    estimator : MixAEClustering
        Not fitted.

    References
    ----------
    D. Zhang, Y. Sun, B. Eriksson, L. Balzano, "Deep Unsupervised Clustering Using
    Mixture of Autoencoders", arXiv:1712.07788, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skmixae import presets
    >>> X = load_digits().data
    >>> model = presets.paper(10, input_shape=(8, 8), max_epochs=2, random_state=0)
    >>> model.fit_predict(X).shape
    (1797,)
    """
    shape = parameters.get("input_shape")
    is_image = not (shape is None or isinstance(shape, str)) and len(shape) > 1
    settings: dict[str, Any] = {
        "input_shape": None,
        "max_pixels": None,
        "n_experts": None,
        "whitening": None,
        "init": "random",
        "n_init": 1,
        "consistency": None,
        "assignment_input": "latents",
        "entropy_schedule": "anneal",
        "architecture": "conv2d" if is_image else "mlp",
    }
    return MixAEClustering(n_clusters, **(settings | parameters))
