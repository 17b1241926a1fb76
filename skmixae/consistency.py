"""Changes of a row that must not change its assignment.

They are what keeps the assignment locally smooth. The ``consistency`` parameter of
`MixAEClustering` takes one of them, or a list of several, by name or as an object with
settings of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from numbers import Real
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from torch import Tensor

from .objective import AdversarialConsistency, Regulariser, View
from .objective.consistency import (
    changed_by,
    jitter,
    mask,
    moved,
    random_affine,
    random_warp,
)
from .training import Batches, Rows, Scaling, Whitening, varying_window

__all__ = ["Adversarial", "Affine", "Consistency", "Jitter", "Masking", "Warp"]


@dataclass(frozen=True)
class Context:
    """The rows that a change is bound to."""

    rows: Rows  # all of them, as they are in X
    scaling: Scaling  # what they have gone through where they are changed
    input_shape: tuple[int, ...]
    device: torch.device  # where batches are
    final: Scaling | None = None  # whitening, where batches have gone through it

    @property
    def plain(self) -> Batches:
        """The rows before they are whitened, in one batch."""
        return Batches(self.rows, self.scaling, len(self.rows), self.device)

    @property
    def center(self) -> Tensor:
        """What the scaling takes from each feature (features,), in scaled units."""
        center = torch.from_numpy(self.scaling.center / self.scaling.scale)
        return center.float().to(self.device)


class Consistency(ABC):
    """The base of the family: a change of rows that must not change their assignment.

    A member is a frozen dataclass of its settings, with a method `view`, and a line in
    ``MEMBERS``. For a change of your own a function is enough: see ``consistency`` of
    `MixAEClustering`.
    """

    #: Whether rows must be images.
    of_images = False
    #: Whether rows must be series.
    of_series = False
    #: Whether whitened rows are changed as they are, and not before they are whitened.
    of_whitened = False

    def __post_init__(self) -> None:
        """Refuse settings out of their range."""
        accepted = {f.name: f.metadata.get("accepted") for f in fields(self)}  # type: ignore[arg-type]
        constraints = {name: [a] for name, a in accepted.items() if a is not None}
        validate_parameter_constraints(constraints, vars(self), type(self).__name__)

    @abstractmethod
    def view(self, context: Context) -> View:
        """Return the change, as a function for batches of some rows.

        The function takes scaled rows (b, features), their indices (b,) among all rows
        and a generator, and returns changed rows. No gradient flows through it.
        """

    def view_of_scaled(self, context: Context) -> View:
        """Return the change for rows as they reach the network.

        Whitened rows, whose features are mixed, are changed before they are whitened.
        """
        view, final = self.view(context), context.final
        if self.of_whitened or not isinstance(final, Whitening):
            return view
        again = final.after(context.scaling, context.device)
        plain = context.plain.holding()

        def changed(x: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
            return again(view(plain.at(index), index, generator))

        return changed

    def is_recordable(self, context: Context) -> bool:
        """Whether the change needs nothing but what is on the device.

        Steps of training can then be recorded on a GPU and replayed. Of a class of a
        user's own that is not known.
        """
        by_rows = not self.of_whitened and isinstance(context.final, Whitening)
        known = type(self) in MEMBERS.values()
        return known and (not by_rows or context.plain.may_hold)

    def regulariser(self, context: Context) -> Regulariser | None:
        """Return the divergence itself where it is not simply that under `view`."""
        return None


def _setting(default: float, *limits: float | None, closed: str) -> Any:
    """Return the field of a number within limits."""
    accepted = Interval(Real, *limits, closed=closed)
    return field(default=default, metadata={"accepted": accepted})


def _moved(
    move: Callable[..., Tensor],
    context: Context,
    shape: tuple[int, ...],
    limits: Consistency,
    **where: Any,
) -> View:
    """Return the view that moves rows of a shape, within the limits of a member."""
    settings = {"shape": shape, "center": context.center, **vars(limits), **where}
    return lambda x, index, generator: moved(x, generator, move, **settings)


@dataclass(frozen=True)
class Adversarial(Consistency):
    """A small step in the direction that changes the assignment most.

    Virtual adversarial training [1]_: the direction is found by one step of power
    iteration, which costs a further pass forward and back.

    Parameters
    ----------
    radius : float, default=0.15
        The length of the step, from 0, in units of the spread of the rows: the root of
        their summed variances in the batch, more of it where rows are sparse and less
        where they are dense. On digits and USPS the default is a quarter of the
        distance to the tenth neighbour, as [2]_ has it.

    References
    ----------
    .. [1] T. Miyato, S. Maeda, M. Koyama, S. Ishii, "Virtual Adversarial Training",
       arXiv:1704.03976, 2017.
    .. [2] W. Hu, T. Miyato, S. Tokui, E. Matsumoto, M. Sugiyama, "Learning Discrete
       Representations via Information Maximizing Self-Augmented Training",
       arXiv:1702.08720, 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skmixae import MixAEClustering
    >>> from skmixae.consistency import Adversarial
    >>> X, _ = make_moons(200, noise=0.05, random_state=0)
    >>> model = MixAEClustering(2, consistency=Adversarial(radius=0.1), max_epochs=2)
    >>> model.fit(X).predict(X).shape
    (200,)
    """

    radius: float = _setting(0.15, 0, None, closed="left")

    of_whitened = True

    def view(self, context: Context) -> View:
        """Return a step of the same length, anywhere."""
        return Jitter(self.radius).view(context)

    def regulariser(self, context: Context) -> Regulariser:
        """Return the divergence under the step that changes most."""
        return AdversarialConsistency(self.radius)


@dataclass(frozen=True)
class Affine(Consistency):
    """A small random rotation, scaling, shear and shift of an image.

    Each is drawn evenly between minus and plus its limit, anew for each image. The
    defaults are enough to undo the slant and the place of a stroke. All are about the
    centre of the part of the images that varies, so that a border around it changes
    nothing: the pixels whose standard deviation is more than a tenth of the largest, in
    at most 1000 rows, spread over all (in `partial_fit`, over the chunk).

    Parameters
    ----------
    rotation : float, default=15.0
        The largest angle, in degrees, from 0 to 180.
    scale : float, default=0.15
        The largest relative change of height and of width, from 0 to below 1.
    shear : float, default=0.3
        The largest shear, from 0: how far a row of pixels goes sideways for each pixel
        that it lies above the centre.
    shift : float, default=0.1
        The largest shift, from 0 to 1, as a share of the sides of the part that varies.
        What comes in has the colour of the border.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skmixae import MixAEClustering
    >>> from skmixae.consistency import Adversarial, Affine
    >>> X = load_digits().data[:300]
    >>> changes = [Affine(rotation=5.0, shift=0.1), Adversarial()]
    >>> model = MixAEClustering(
    ...     10, input_shape=(8, 8), consistency=changes, max_epochs=1
    ... )
    >>> model.fit(X).predict(X).shape
    (300,)
    """

    rotation: float = _setting(15.0, 0, 180, closed="both")
    scale: float = _setting(0.15, 0, 1, closed="left")
    shear: float = _setting(0.3, 0, None, closed="left")
    shift: float = _setting(0.1, 0, 1, closed="both")

    of_images = True

    def view(self, context: Context) -> View:
        """Return the images, each moved at random on its own background."""
        shape = (1, *context.input_shape)[-3:]
        part = varying_window(context.rows, shape)
        window = torch.tensor(part, dtype=torch.float32, device=context.device)
        return _moved(random_affine, context, shape, self, window=window)


@dataclass(frozen=True)
class Jitter(Consistency):
    """A small step in a random direction.

    Cheaper than `Adversarial`, which chooses its direction, and weaker at equal length.

    Parameters
    ----------
    scale : float, default=0.3
        The length of the step, from 0, in the units of `Adversarial`'s ``radius``. As
        these are of the spread of whole rows, each feature gets noise of so many times
        its standard deviation, where rows are neither sparse nor dense and features
        vary alike.

    Examples
    --------
    >>> from skmixae.consistency import Jitter
    >>> Jitter(scale=0.2)
    Jitter(scale=0.2)
    """

    # In trials 0.15 was too little for digits, and 0.5 too much for two half moons.
    scale: float = _setting(0.3, 0, None, closed="left")

    of_whitened = True

    def view(self, context: Context) -> View:
        """Return the rows, each moved by as much, anywhere."""
        return lambda x, index, generator: jitter(x, generator, self.scale)


@dataclass(frozen=True)
class Masking(Consistency):
    """A random share of the values of a row hidden.

    A hidden value is the mean of its feature: what centred rows have as 0. Rows that
    count by their ``directions`` are not centred, nor are they with the losses "bce"
    and "cosine"; there it is 0 itself, such as a word that a text does not use.

    Parameters
    ----------
    share : float, default=0.3
        The probability that a value is hidden, from 0 to below 1.

    Examples
    --------
    >>> from skmixae.consistency import Masking
    >>> Masking() == Masking(share=0.3)
    True
    """

    share: float = _setting(0.3, 0, 1, closed="left")

    def view(self, context: Context) -> View:
        """Return the rows, each with values of its own hidden."""
        return lambda x, index, generator: mask(x, generator, self.share)


@dataclass(frozen=True)
class Warp(Consistency):
    """A small random shift, stretch and change of strength of a series.

    Each is drawn evenly between minus and plus its limit, anew for each row: what
    happens a little sooner, faster or louder is the same. All channels are changed
    together.

    Parameters
    ----------
    shift : float, default=0.1
        The largest shift, from 0 to 1, as a share of the length. What comes in has the
        value of the end.
    stretch : float, default=0.1
        The largest relative change of the length, from 0 to below 1, about the middle.
    strength : float, default=0.1
        The largest relative change, from 0 to below 1, of what is above and below the
        mean of a channel.

    Examples
    --------
    >>> import numpy as np
    >>> from skmixae import MixAEClustering
    >>> from skmixae.consistency import Adversarial, Warp
    >>> phase = np.random.default_rng(0).uniform(0, 1, size=(300, 1))
    >>> X = np.sin(np.arange(64) / 8 * np.repeat([1, 2, 3], 100)[:, None] + phase)
    >>> changes = [Warp(shift=0.2), Adversarial()]
    >>> model = MixAEClustering(
    ...     3, input_shape=(64,), consistency=changes, max_epochs=1
    ... )
    >>> model.fit(X).predict(X).shape
    (300,)
    """

    shift: float = _setting(0.1, 0, 1, closed="both")
    stretch: float = _setting(0.1, 0, 1, closed="left")
    strength: float = _setting(0.1, 0, 1, closed="left")

    of_series = True

    def view(self, context: Context) -> View:
        """Return the series, each moved and strengthened at random."""
        return _moved(random_warp, context, (1, *context.input_shape)[-2:], self)


@dataclass(frozen=True)
class OwnChange(Consistency):
    """A user's own function of rows, in the units and the shape of the data."""

    function: Callable[[Tensor, torch.Generator], Tensor]

    def view(self, context: Context) -> View:
        """Return what the function makes of rows, scaled as they were."""
        change = partial(
            changed_by, self.function, shape=context.input_shape,
            center=context.center, scale=context.scaling.scale,
        )  # fmt: skip
        # That it returns what it should is to be known before anything is trained.
        first = torch.arange(min(len(context.rows), 2))
        with torch.no_grad():
            change(context.plain.at(first), torch.Generator(context.device))
        return lambda x, index, generator: change(x, generator)


# What the parameter takes, besides "auto" and lists.
Change = str | Consistency | Callable[[Tensor, torch.Generator], Tensor]

# A new member of the family is one class and one line here.
MEMBERS: dict[str, type[Consistency]] = {
    "adversarial": Adversarial,
    "affine": Affine,
    "jitter": Jitter,
    "masking": Masking,
    "warp": Warp,
}


def as_member(change: Any) -> Consistency | None:
    """Return the member that a name, an object or a function stands for, if any."""
    if isinstance(change, str):
        return MEMBERS[change]() if change in MEMBERS else None
    if isinstance(change, Consistency):
        return change
    # Of a member's class the parentheses were forgotten.
    forgotten = isinstance(change, type) and issubclass(change, Consistency)
    return OwnChange(change) if callable(change) and not forgotten else None
