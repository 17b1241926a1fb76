"""Consistency of the assignment under small moves, and the views of rows."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from skmixae.network import NetworkSpec, build_network
from skmixae.objective import AdversarialConsistency
from skmixae.objective.consistency import (
    changed_by,
    jitter,
    local_scale,
    mask,
    moved,
    neighbour_distance,
    random_affine,
    random_warp,
    sampled,
)
from skmixae.objective.terms import divergence

NOTHING = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}
EPS = torch.finfo(torch.float32).eps


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(n=40, n_features=6, seed=0):
    return torch.randn(n, n_features, generator=generator(seed))


def smooth_assign(n_features=6, n_experts=4, seed=1):
    """Build a fixed, curved assignment without any normalisation."""
    first = torch.randn(n_features, 8, generator=generator(seed))
    last = torch.randn(8, n_experts, generator=generator(seed + 1))
    return lambda x: 2 * torch.tanh(x @ first) @ last


class Recorder:
    """Pass rows on to an assignment, and keep what was asked."""

    def __init__(self, assign):
        self.assign, self.asked = assign, []

    def __call__(self, x):
        self.asked.append(x.detach())
        return self.assign(x)


# ---------------------------------------------------------------------------
# Nearest neighbours
# ---------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 99))
def test_neighbour_distance_equals_a_loop(n, n_features, seed):
    x = rows(n, n_features, seed)
    expected = [
        min(math.dist(x[i], x[j]) for j in range(n) if j != i) for i in range(n)
    ]
    distances = neighbour_distance(x)
    assert distances.shape == (n, 1)
    # Larger batches take squares apart, |a|² + |b|² - 2ab: the square of a distance
    # is then right to some roundings of the squared lengths.
    error = 16 * EPS * float(x.square().sum(1).max())
    squares = torch.tensor(expected)[:, None].square()
    assert (distances.square() - squares).abs().max() <= error


def test_a_row_alone_has_no_neighbour_and_twins_are_at_no_distance():
    assert neighbour_distance(rows(1)).tolist() == [[0.0]]
    x = rows(3)
    assert neighbour_distance(torch.cat([x, x])).max() == 0


# ---------------------------------------------------------------------------
# Adversarial moves
# ---------------------------------------------------------------------------


def log_assignment_of(assign, x):
    return assign(x).log_softmax(-1).detach()


@pytest.mark.parametrize("radius", [0.25, 1.0])
def test_rows_move_by_the_radius_in_units_of_their_local_scale(radius):
    x, assign = rows(), Recorder(smooth_assign())
    target = log_assignment_of(assign.assign, x)
    AdversarialConsistency(radius)(assign, x, target, generator())
    expected = radius * local_scale(x)[:, 0]
    for asked in assign.asked:
        moved = (asked - x).norm(dim=1)
        # x + step is rounded at the size of x, for each of its features.
        torch.testing.assert_close(moved, expected, rtol=1e-5, atol=20 * EPS)


@pytest.mark.parametrize("seed", range(3))
def test_adversarial_moves_change_more_than_random_moves_of_the_same_length(seed):
    x, assign = rows(seed=seed), smooth_assign(seed=seed)
    target = log_assignment_of(assign, x)
    radius = 0.25 * local_scale(x)

    def random_divergence(i):
        direction = F.normalize(rows(*x.shape, seed=100 + i))
        return divergence(target, assign(x + radius * direction).log_softmax(-1))

    random = torch.stack([random_divergence(i) for i in range(30)])
    adversarial = torch.stack(
        [
            AdversarialConsistency(0.25)(assign, x, target, generator(i))
            for i in range(30)
        ]
    )
    assert adversarial.mean() > random.mean()
    # The direction of most change, and not merely a better one: of the order of the
    # number of features in which a random direction spends its length.
    assert adversarial.mean() > 2 * random.mean()


def test_adversarial_divergence_approaches_the_worst_of_many_directions():
    """In two features, all directions can be tried."""
    x, assign = rows(30, 2), smooth_assign(2)
    target = log_assignment_of(assign, x)
    radius = 0.05 * local_scale(x)
    angles = torch.linspace(0, 2 * math.pi, 181)[:-1]
    tried = []
    for angle in angles:
        step = radius * torch.tensor([angle.cos(), angle.sin()])
        log_p = assign(x + step).log_softmax(-1)
        tried.append((target.exp() * (target - log_p)).sum(-1))
    worst = torch.stack(tried).amax(0).mean() / math.log(4)
    one = AdversarialConsistency(0.05)(assign, x, target, generator())
    assert one <= worst * 1.01
    assert one >= 0.5 * worst


@pytest.mark.parametrize("x", [rows(1), rows(), torch.zeros(5, 6)])
def test_nothing_moves_where_the_radius_is_zero(x):
    radius = 0.0 if x.any() and len(x) > 1 else 0.25
    assign = smooth_assign()
    target = log_assignment_of(assign, x)
    moved = AdversarialConsistency(radius)(assign, x, target, generator())
    assert abs(moved.item()) < 1e-6


@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-30, 1e-20, 1e-4, 1e4, 1e20])
def test_length_of_the_move_does_not_depend_on_the_size_of_the_gradient(scale):
    """A sure row's gradient is so short that its square is zero in float32."""
    x = rows()

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return torch.full_like(gradient, scale)

    curved = smooth_assign()
    assign = Recorder(lambda moved: curved(Scaled.apply(moved)))
    target = log_assignment_of(curved, x)
    AdversarialConsistency(0.25)(assign, x, target, generator())
    moved = (assign.asked[-1] - x).norm(dim=1)
    expected = 0.25 * local_scale(x)[:, 0]
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=20 * EPS)


def test_rows_without_a_gradient_stay():
    assign = Recorder(lambda x: torch.zeros(len(x), 4) + 0 * x.sum(1, keepdim=True))
    x = rows()
    target = log_assignment_of(assign.assign, x)
    out = AdversarialConsistency(0.25)(assign, x, target, generator())
    assert torch.equal(assign.asked[-1], x)
    assert abs(out.item()) < 1e-6


def test_the_clean_assignment_is_a_fixed_target():
    """The gradient is that of the moved assignment alone, with the move held fixed."""
    weight = torch.randn(6, 4, generator=generator(1)).requires_grad_()
    x = rows()
    recorder = Recorder(lambda x: x @ weight)
    target = log_assignment_of(recorder.assign, x)
    AdversarialConsistency(0.25)(recorder, x, target, generator()).backward()
    moved = recorder.asked[-1]
    (expected,) = torch.autograd.grad(
        divergence(target, (moved @ weight).log_softmax(-1)), weight
    )
    torch.testing.assert_close(weight.grad, expected)


# ---------------------------------------------------------------------------
# Affine views
# ---------------------------------------------------------------------------


def images(n=6, channels=2, height=9, width=9, seed=0):
    return torch.rand(n, channels, height, width, generator=generator(seed))


def naive_affine(pictures, matrices, centre):
    """Look up each pixel of each image where its matrix sends it, bilinearly.

    ``matrices`` (b, 2, 3) map places (x, y, 1), in pixels from the centre, to places.
    Beyond the border lies the border's own colour.
    """
    n, channels, height, width = pictures.shape
    out = np.zeros(pictures.shape)
    for i, r, c in np.ndindex(n, height, width):
        x, y = matrices[i] @ [c - centre[0], r - centre[1], 1] + centre
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        left, top = min(int(x), width - 2), min(int(y), height - 2)
        for rr, cc in ((0, 0), (0, 1), (1, 0), (1, 1)):
            share = abs(1 - rr - (y - top)) * abs(1 - cc - (x - left))
            for channel in range(channels):
                pixel = pictures[i, channel, top + rr, left + cc]
                out[i, channel, r, c] += share * float(pixel)
    return out


def drawn_matrices(n, sides, seed, limits):
    """Repeat the draws: angle, two sizes, shear, two shifts, each even on ± limit.

    Of shifts the limit is times the ``sides``, a width and a height in pixels.
    """
    source = generator(seed)

    def draw(limit, *shape):
        return limit * (2 * torch.rand(n, *shape, generator=source).double() - 1)

    angle = draw(math.radians(limits["rotation"]))
    sizes = 1 + draw(limits["scale"], 2)
    shear, shifts = draw(limits["shear"]), draw(limits["shift"], 2)
    matrices = np.zeros((n, 2, 3))
    for i in range(n):
        cos, sin = math.cos(angle[i]), math.sin(angle[i])
        stretch = np.array([[sizes[i, 0], shear[i]], [0, sizes[i, 1]]])
        matrices[i, :, :2] = np.array([[cos, -sin], [sin, cos]]) @ stretch
        matrices[i, :, 2] = shifts[i].numpy().ravel() * sides
    return matrices


@pytest.mark.parametrize(
    "limits",
    [
        {"rotation": 90.0},
        {"scale": 0.3},
        {"shear": 0.4},
        {"shift": 0.3},
        {"rotation": 15.0, "scale": 0.15, "shear": 0.15, "shift": 0.12},
    ],
)
@pytest.mark.parametrize(("height", "width"), [(9, 9), (6, 6), (9, 5)])
@pytest.mark.parametrize("window", [None, (1, 4, 2, 5), (0, 2, 0, 5)])
def test_random_affine_equals_a_loop_over_images_and_pixels(
    limits, height, width, window
):
    limits = NOTHING | limits
    pictures = images(4, 2, height, width)
    left, right, top, bottom = window or (0, width, 0, height)
    if window is not None:
        corners = [[left / width, right / width], [top / height, bottom / height]]
        window = torch.tensor(corners)
    moved = random_affine(pictures, generator(5), window=window, **limits)
    matrices = drawn_matrices(4, [right - left, bottom - top], 5, limits)
    centre = np.array([left + right - 1, top + bottom - 1]) / 2  # of its pixels
    expected = naive_affine(pictures, matrices, centre)
    # A place is rounded at the size of the image; a pixel changes by at most one.
    np.testing.assert_allclose(moved, expected, atol=100 * EPS)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (1, 1), (8, 5), (1, 7)])
def test_affine_without_limits_is_the_identity(height, width):
    pictures = images(3, 2, height, width)
    moved = random_affine(pictures, generator(), **NOTHING)
    torch.testing.assert_close(moved, pictures, rtol=0, atol=100 * EPS)


def test_a_quarter_turn_of_an_oblong_image_keeps_its_angles():
    """A square patch in the middle stays a square patch."""
    pictures = torch.zeros(64, 1, 21, 13)
    pictures[:, :, 7:14, 3:10] = 1
    moved = random_affine(pictures, generator(), **(NOTHING | {"rotation": 180.0}))
    # A turn keeps areas; the rim of 28 pixels is blurred, and blurring keeps sums.
    torch.testing.assert_close(
        moved.sum((1, 2, 3)), torch.full((64,), 49.0), rtol=0.05, atol=0
    )
    corners = (moved > 0.5).any(1)  # the patch's bounding box, of the turned square
    heights, widths = corners.any(2).sum(1), corners.any(1).sum(1)
    assert (heights - widths).abs().max() <= 2


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7), st.integers(0, 99))
def test_affine_stays_within_the_range_of_the_image(channels, height, width, seed):
    pictures = images(3, channels, height, width, seed)
    limits = {"rotation": 40.0, "scale": 0.4, "shear": 0.4, "shift": 0.4}
    moved = random_affine(pictures, generator(seed), **limits)
    assert moved.shape == pictures.shape
    for picture, other in zip(pictures, moved, strict=True):
        for one, two in zip(picture, other, strict=True):
            assert two.min() >= one.min() - 4 * EPS
            assert two.max() <= one.max() + 4 * EPS


def test_every_image_moves_in_its_own_way():
    pictures = images(1).expand(5, -1, -1, -1)
    moved = random_affine(pictures, generator(), **(NOTHING | {"shift": 0.3}))
    for i in range(5):
        for j in range(i):
            assert (moved[i] - moved[j]).abs().max() > 0.01


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 5), min_size=4, max_size=4), st.integers(0, 99))
def test_a_border_of_one_colour_around_the_window_changes_nothing(border, seed):
    left, right, top, bottom = border
    pictures = F.pad(images(3, 2, 6, 8, seed), (1, 1, 1, 1), value=0.4)  # 8 x 10
    framed = F.pad(pictures, border, value=0.4)
    height, width = framed.shape[-2:]
    window = [[left / width, 1 - right / width], [top / height, 1 - bottom / height]]
    limits = {"rotation": 15.0, "scale": 0.15, "shear": 0.3, "shift": 0.1}
    alone = random_affine(pictures, generator(seed), **limits)
    within = random_affine(
        framed, generator(seed), window=torch.tensor(window), **limits
    )
    within = within[:, :, top : height - bottom, left : width - right]
    torch.testing.assert_close(within, alone, rtol=0, atol=100 * EPS)


def test_affine_moves_images_on_their_own_background():
    """Centred rows are moved as the images that they were."""
    center = torch.rand(2 * 9 * 9, generator=generator(3))
    pictures = images()
    x = pictures.flatten(1) - center
    limits = {"rotation": 15.0, "scale": 0.15, "shear": 0.15, "shift": 0.12}
    out = moved(
        x, generator(5), random_affine, shape=(2, 9, 9), center=center, **limits
    )
    expected = random_affine(pictures, generator(5), **limits).flatten(1) - center
    torch.testing.assert_close(out, expected, rtol=0, atol=100 * EPS)


# ---------------------------------------------------------------------------
# Warps
# ---------------------------------------------------------------------------

STILL = {"shift": 0.0, "stretch": 0.0, "strength": 0.0}
EACH_WARP = [{"shift": 0.3}, {"stretch": 0.4}, {"strength": 0.5}]


def some_series(n=6, channels=2, length=12, seed=0):
    return torch.randn(n, channels, length, generator=generator(seed))


def naive_warp(series, seed, limits):
    """Repeat the draws, and look up each value of each series where it comes from."""
    source, (n, channels, length) = generator(seed), series.shape

    def draw(limit):
        return limit * (2 * torch.rand(n, generator=source).double().numpy() - 1)

    stretch, shift = 1 + draw(limits["stretch"]), draw(limits["shift"]) * length
    strength, middle = 1 + draw(limits["strength"]), (length - 1) / 2
    series = series.numpy()
    out = np.zeros(series.shape)
    for i, c in np.ndindex(n, channels):
        places = middle + stretch[i] * (np.arange(length) - middle) + shift[i]
        moved = np.interp(places, np.arange(length), series[i, c])
        out[i, c] = moved.mean() + strength[i] * (moved - moved.mean())
    return out


@pytest.mark.parametrize(
    "limits", [*EACH_WARP, {"shift": 0.1, "stretch": 0.1, "strength": 0.1}]
)
@pytest.mark.parametrize(("channels", "length"), [(1, 20), (3, 7), (2, 1)])
def test_random_warp_equals_a_loop_over_series(limits, channels, length):
    limits, series = STILL | limits, some_series(4, channels, length)
    moved = random_warp(series, generator(5), **limits)
    expected = naive_warp(series, 5, limits)
    np.testing.assert_allclose(moved, expected, atol=100 * EPS)


@pytest.mark.parametrize("length", [1, 2, 30])
def test_a_warp_without_limits_is_the_identity(length):
    series = some_series(length=length)
    moved = random_warp(series, generator(), **STILL)
    torch.testing.assert_close(moved, series, rtol=0, atol=100 * EPS)


@pytest.mark.parametrize("limits", EACH_WARP)
def test_every_series_is_warped_in_its_own_way_and_its_channels_alike(limits):
    series = some_series(1, 1).expand(5, 2, -1)
    moved = random_warp(series, generator(), **STILL | limits)
    torch.testing.assert_close(moved[:, 0], moved[:, 1])
    for i in range(5):
        for j in range(i):
            assert (moved[i] - moved[j]).abs().max() > 0.01


def test_warps_move_series_as_they_are_in_the_data():
    center, series = torch.randn(2 * 12, generator=generator(3)), some_series()
    limits = {"shift": 0.1, "stretch": 0.1, "strength": 0.1}
    x = series.flatten(1) - center
    out = moved(x, generator(5), random_warp, shape=(2, 12), center=center, **limits)
    expected = random_warp(series, generator(5), **limits).flatten(1) - center
    torch.testing.assert_close(out, expected, rtol=0, atol=100 * EPS)


# ---------------------------------------------------------------------------
# Other views
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, 0.15, 2.0])
def test_jitter_moves_rows_by_so_many_times_their_local_scale(scale):
    x = rows()
    moved = (jitter(x, generator(), scale) - x).norm(dim=1)
    expected = scale * local_scale(x)[:, 0]
    torch.testing.assert_close(moved, expected, rtol=1e-5, atol=20 * EPS)


def test_jitter_goes_in_no_direction_more_than_in_another():
    x = rows(4000, 3)
    step = F.normalize(jitter(x, generator(), 0.5) - x)
    # Unit steps in three features: covariance I / 3, within four standard errors.
    assert step.mean(0).abs().max() < 4 / math.sqrt(3 * 4000)
    covariance = step.T @ step / 4000
    assert (covariance - torch.eye(3) / 3).abs().max() < 4 * 0.3 / math.sqrt(4000)


@settings(deadline=None, max_examples=20)
@given(st.floats(0, 0.99), st.integers(0, 99))
def test_mask_hides_the_share_in_expectation_and_leaves_the_rest(share, seed):
    x = rows(200, 50)
    masked = mask(x, generator(seed), share)
    hidden = masked == 0
    assert torch.equal(masked[~hidden], x[~hidden])
    # Of 10 000 draws, within five standard errors.
    error = math.sqrt(share * (1 - share) / 10_000)
    assert abs(hidden.float().mean() - share) <= 5 * error + 1e-9


def test_mask_hides_nearly_all_where_it_is_to():
    """Also a share that is rounded to the whole."""
    assert mask(torch.ones(200, 50), generator(), 1 - 1e-9).mean() < 0.01


@pytest.mark.parametrize("n_features", [1, 3, 8])
def test_mask_hides_values_one_by_one(n_features):
    """Four come from one draw, and know nothing of one another all the same."""
    hidden = mask(torch.ones(4000, n_features), generator(), 0.5) == 0
    pairs = torch.corrcoef(hidden.flatten().view(-1, 4).T.float())
    # Of 1000 pairs or more, within five standard errors.
    others = pairs - torch.eye(4)
    assert others.abs().max() < 5 / math.sqrt(1000 * n_features)


def test_a_function_reads_and_returns_rows_as_they_are_in_the_data():
    original = 7 + 3 * rows(5, 6)
    center, seen = torch.linspace(1, 2, 6), []

    def doubled(images, generator):
        seen.append(images.flatten(1).clone())
        assert images.shape == (5, 2, 3)
        return images.mul_(2)  # in place, too

    x = original / 3 - center
    before = x.clone()
    moved = changed_by(doubled, x, generator(), shape=(2, 3), center=center, scale=3.0)
    torch.testing.assert_close(seen[0], original)
    torch.testing.assert_close(moved, 2 * original / 3 - center)
    assert torch.equal(x, before)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
def test_of_a_function_that_changes_nothing_not_a_bit_is_changed(offset):
    x, center = rows(), torch.full((6,), offset)
    same = changed_by(
        lambda rows, generator: rows, x, generator(), shape=(6,), center=center,
        scale=0.1,
    )  # fmt: skip
    assert torch.equal(same, x)


def test_whatever_type_a_function_computes_in_rows_stay_float32():
    moved = changed_by(
        lambda rows, generator: rows.double() + 1, rows(), generator(), shape=(6,),
        center=torch.zeros(6), scale=1.0,
    )  # fmt: skip
    assert moved.dtype is torch.float32


@pytest.mark.parametrize(
    ("bad", "got"),
    [
        (lambda rows, generator: rows[1:], r"shape \(39, 6\)"),
        (lambda rows, generator: rows.numpy(), "numpy.ndarray"),
        (lambda rows, generator: None, "NoneType"),
    ],
)
def test_a_function_that_returns_something_else_is_told_what_to_return(bad, got):
    with pytest.raises(ValueError, match=rf"'consistency'.*\(40, 6\).*{got}.*lambda"):
        changed_by(
            bad, rows(), generator(), shape=(6,), center=torch.zeros(6), scale=1.0
        )


# ---------------------------------------------------------------------------
# All
# ---------------------------------------------------------------------------

SMALL = {"rotation": 15.0, "scale": 0.15, "shear": 0.15, "shift": 0.12}
MODEST = {"shift": 0.1, "stretch": 0.1, "strength": 0.1}
VIEWS = {
    "affine": lambda x, generator: moved(
        x, generator, random_affine, shape=(1, 6, 6), center=torch.zeros(36), **SMALL
    ),
    "warp": lambda x, generator: moved(
        x, generator, random_warp, shape=(2, 18), center=torch.zeros(36), **MODEST
    ),
    "jitter": lambda x, generator: jitter(x, generator, 0.25),
    "mask": lambda x, generator: mask(x, generator, 0.3),
}


@pytest.mark.rng_untouched
@pytest.mark.parametrize("kind", VIEWS)
def test_views_keep_shape_and_type_and_draw_from_their_generator_alone(kind):
    view, x = VIEWS[kind], rows(20, 36)
    before = x.clone()
    moved = view(x, generator(0))
    assert moved.shape == x.shape
    assert moved.dtype is x.dtype
    assert torch.equal(x, before)
    assert torch.equal(view(x, generator(0)), moved)
    assert not torch.equal(view(x, generator(1)), moved)


@pytest.mark.rng_untouched
def test_equal_generators_give_equal_bits():
    regulariser = AdversarialConsistency(0.25)
    assign, x = smooth_assign(36), rows(20, 36)
    target = log_assignment_of(assign, x)

    def value(seed):
        return regulariser(assign, x, target, generator(seed)).item()

    assert value(0) == value(0)
    assert value(0) != value(1)


class NormedExpert(torch.nn.Module):
    def __init__(self, input_shape, latent_dim):
        super().__init__()
        n_features = math.prod(input_shape)
        self.norm = torch.nn.BatchNorm1d(n_features)
        self.linear = torch.nn.Linear(n_features, latent_dim)
        self.back = torch.nn.Linear(latent_dim, n_features)

    def encode(self, x):
        return self.linear(self.norm(x.flatten(1)))

    def decode(self, z):
        return self.back(z)


@pytest.mark.parametrize("architecture", ["mlp", "conv2d", NormedExpert])
def test_the_adversary_touches_neither_the_input_nor_gradients(architecture):
    spec = NetworkSpec(3, (6, 6), 2, architecture, (5,), (2,), (4,), "hidden", "relu")
    network = build_network(spec, generator())
    x = rows(20, 36)
    before = x.clone()
    target = network.assign(x).log_softmax(-1).detach()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with network.statistics_held():
        value = AdversarialConsistency(0.25)(network.assign, x, target, generator())
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert all(p.grad is None for p in network.parameters())
    for name, values in network.state_dict().items():
        assert torch.equal(values, state[name]), name
    value.backward()
    assert all(p.grad is not None for p in network.assignment.parameters())


@pytest.mark.parametrize("size", [(8, 8), (5, 9), (1, 12), (7, 1), (1, 1)])
def test_pixels_come_from_where_torch_has_them(size):
    images = torch.rand(4, 2, *size, generator=generator(1))
    matrix = torch.randn(4, 2, 3, generator=generator(2))
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    expected = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    assert torch.equal(sampled(images, matrix), expected)
