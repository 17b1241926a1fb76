"""The paper's figures, drawn of recorded fits; the first seed of each method.

Colours and sizes are those of skmixae.plotting. Classes are read to tell what a
picture shows, when all is decided.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from benchmarks._report import counted
from benchmarks.paper.bench import Made, Recorded
from benchmarks.paper.fits import KEPT
from benchmarks.paper.measures import (
    batch_entropy,
    one_hot,
    sample_entropy,
    second_moment,
)
from benchmarks.quality.results import Line
from benchmarks.quality.tables import dataset_label, label
from skmixae.metrics import cluster_class_matrix
from skmixae.plotting import (
    ClusterSamplesDisplay,
    LatentMapDisplay,
    TrainingHistoryDisplay,
)
from skmixae.plotting.figure import BLUE, FAINT, FONT, INK, VERMILION

# Line styles of numbers of clusters, beside which colours are not needed.
_STYLES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))
_WIDE = 10.5  # inches
# What a probability must be to count as one of several that a row has.
SIGNIFICANT = 0.1


def figure3(gathered: list[Recorded]) -> Made:
    """Draw samples of each cluster, above what its expert makes of them."""
    recorded = gathered[0]
    arrays, line = recorded.arrays(), recorded.line
    ends = np.cumsum(arrays["n_shown"])[:-1]
    sizes = _sizes(arrays["probabilities"])
    display = ClusterSamplesDisplay(
        samples=np.split(arrays["samples"], ends),
        reconstructions=np.split(arrays["reconstructions"], ends),
        certainties=np.split(arrays["certainties"], ends),
        counts=sizes,
        input_shape=tuple(line["input_shape"]),
        image=line["image"],
    ).plot()
    _entitle(display.figure_, _fitted(line))
    return Made({"cluster_sizes": sizes.tolist(), **_told(line)}, display.figure_)


def figure4(gathered: list[Recorded]) -> Made:
    """Draw latents over training on the principal axes of those of the last epoch."""
    recorded = gathered[0]
    arrays, line = recorded.arrays(), recorded.line
    epochs, latents = arrays["snapshots"], arrays["latents"]  # (s, n, d)
    points = principal_points(latents)
    clusters = arrays["probabilities"][arrays["watched"]].argmax(axis=1)
    classes = arrays["classes"][arrays["watched"]]
    rows = [
        (clusters, line["n_clusters"], "by cluster, of the last epoch"),
        (classes, line["n_classes"], "by class"),
    ]
    figure, grid = plt.subplots(
        2, len(epochs), figsize=(2.2 * len(epochs), 4.9), squeeze=False,
        sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    for (labels, n, what), panels in zip(rows, grid, strict=True):
        for ax, there in zip(panels, points, strict=True):
            display = LatentMapDisplay(points=there, labels=labels, n_clusters=n)
            display.plot(ax=ax)
            ax.set_title("", loc="left")
        panels[0].set_ylabel(what, fontsize=FONT)
    for limit, axis in ((ax.set_xlim, 0), (ax.set_ylim, 1)):
        limit(_bulk(points[..., axis]))
    for ax, epoch in zip(grid[0], epochs, strict=True):
        ax.set_title(f"epoch {epoch}", fontsize=FONT, loc="left")
    _entitle(figure, _fitted(line))
    shares = [separation(there, clusters) for there in latents]
    return Made(
        {"epochs": epochs.tolist(), "separation": shares, **_told(line)}, figure
    )


def figure5(gathered: list[Recorded]) -> Made:
    """Draw the second moment of the classes beside those of the assignments."""
    firsts = first_seeds(gathered)
    line, arrays = firsts[0].line, firsts[0].arrays()
    truth = second_moment(one_hot(arrays["classes"], line["n_classes"]))
    panels = [("the classes", truth)]
    for recorded in firsts:
        panels.append((label(recorded.line), matched_moment(recorded.arrays())))
    accuracy = {label(x.line): x.line["accuracy"] for x in firsts}
    titles = [f"{name}, accuracy {value:.3f}" for name, value in accuracy.items()]
    figure = _row_of_matrices([panels[0][0], *titles], [matrix for _, matrix in panels])
    _entitle(figure, _subject(line))
    content = {
        "moments": {name: np.round(m, 6).tolist() for name, m in panels},
        "accuracy": accuracy,
    }
    return Made(content, figure)


def figure6(gathered: list[Recorded]) -> Made:
    """Draw the terms, the accuracy and the second moments of one fit."""
    recorded = gathered[0]
    arrays, line = recorded.arrays(), recorded.line
    truth = second_moment(one_hot(arrays["classes"], line["n_classes"]))
    moment = matched_moment(arrays)
    figure = plt.figure(figsize=(_WIDE, 7.2))
    above = figure.add_axes((0.06, 0.55, 0.91, 0.39))
    TrainingHistoryDisplay(history=_history(line)).plot(ax=above)
    ax = figure.add_axes((0.06, 0.08, 0.36, 0.35))
    _draw_epochs(ax, line, "accuracy", "-", "accuracy")
    _draw_epochs(ax, line, "purity", _STYLES[1], "purity", color=VERMILION)
    ax.legend(frameon=False, fontsize=FONT, handlelength=3)
    highest = max(truth.max(), moment.max())
    panels = (("second moment of the classes", truth), ("of the assignments", moment))
    for left, (name, matrix) in zip((0.48, 0.74), panels, strict=True):
        panel = figure.add_axes((left, 0.08, 0.23, 0.35))
        _draw_matrix(panel, name, matrix, highest)
    _entitle(figure, _fitted(line))
    return Made({"epochs": line["epochs"], **_told(line)}, figure)


def figure7(gathered: list[Recorded]) -> Made:
    """Draw more clusters than classes: accuracy, purity, and how unevenly used."""
    firsts = first_seeds(gathered)[:3]  # as many as there is room for
    figure = plt.figure(figsize=(_WIDE, 7.2))
    lefts = (0.05, 0.38, 0.71)
    panels = [figure.add_axes((left, 0.55, 0.27, 0.36)) for left in lefts]
    for recorded, style in zip(firsts, _STYLES, strict=False):
        k, assignment = recorded.line["n_clusters"], recorded.arrays()["probabilities"]
        for ax, name in zip(panels, ("accuracy", "purity"), strict=False):
            _draw_epochs(ax, recorded.line, name, style, f"K = {k}")
        _draw_shares(panels[2], np.diag(second_moment(assignment)), style, k)
    titles = (
        "Hungarian accuracy: one cluster for each class",
        "purity: clusters may share a class",
        "diagonal of the second moment, times K",
    )
    for ax, title in zip(panels, titles, strict=True):
        ax.set_title(title, fontsize=FONT, loc="left")
        ax.legend(frameon=False, fontsize=FONT, handlelength=3)
        ax.set_ylim(bottom=0)
    for left, recorded in zip(lefts, firsts, strict=False):
        matrix = matched_moment(recorded.arrays())
        name = f"second moment, K = {recorded.line['n_clusters']}"
        ax = figure.add_axes((left, 0.04, 0.27, 0.38))
        _draw_matrix(ax, f"{name}, black: {matrix.max():.3f}", matrix, matrix.max())
    _entitle(figure, f"{_subject(firsts[0].line)}  ·  {firsts[0].line['method']}")
    return Made({"rows": [_spare(recorded) for recorded in gathered]}, figure)


# ---------------------------------------------------------------------------
# Numbers of figures
# ---------------------------------------------------------------------------


def first_seeds(gathered: list[Recorded]) -> list[Recorded]:
    """Return one fit of each method."""
    firsts: dict[str, Recorded] = {}
    for recorded in gathered:
        firsts.setdefault(label(recorded.line), recorded)
    return list(firsts.values())


def principal_points(latents: np.ndarray) -> np.ndarray:
    """Bring latents (s, n, d) to (s, n, 2) on the axes of the last of them."""
    basis = PCA(2, random_state=0).fit(latents[-1])
    return np.stack([basis.transform(there) for there in latents])


def matched_moment(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the second moment with each cluster where its class is, to look at."""
    assignment, classes = arrays["probabilities"], arrays["classes"]
    order = matched_order(classes, assignment.argmax(axis=1), assignment.shape[1])
    return second_moment(assignment[:, order])


def matched_order(classes: np.ndarray, labels: np.ndarray, k: int) -> list[int]:
    """Return k clusters in the order of the classes that they match, spare ones last.

    A class that no cluster matches has a spare one, such as an empty one, at its place.
    """
    found = cluster_class_matrix(classes, labels)
    cluster_of = {name: cluster for cluster, name in found.matching.items()}
    known = found.clusters.tolist()
    empty = [cluster for cluster in range(k) if cluster not in known]
    matched = set(cluster_of.values())
    spare = iter([x for x in known + empty if x not in matched])
    places = [
        cluster_of[name] if name in cluster_of else next(spare, None)
        for name in np.unique(classes).tolist()
    ]
    return [x for x in places if x is not None] + list(spare)


def _spare(recorded: Recorded) -> dict[str, Any]:
    """Return how certain and how even the assignments to K clusters are."""
    line, assignment = recorded.line, recorded.arrays()["probabilities"]
    usage = assignment.mean(axis=0, dtype=np.float64)
    several = (assignment > SIGNIFICANT).sum(axis=1) > 1
    return {
        "n_clusters": line["n_clusters"],
        "seed": line["seed"],
        "accuracy": line["accuracy"],
        "purity": line["purity"],
        "highest": float(np.log(line["n_clusters"])),
        "batch": batch_entropy(assignment),
        "sample": sample_entropy(assignment),
        "largest": float(usage.max()),
        "smallest": float(usage.min()),
        "several": float(several.mean()),
    }


def _bulk(values: np.ndarray) -> tuple[float, float]:
    """Return limits that leave out the farthest rows, and some room."""
    low, high = np.percentile(values, (2, 98))
    room = 0.15 * (high - low) + 1e-9
    return low - room, high + room


def separation(latents: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of the variance that is between clusters: 1 is all of it."""
    centred = latents - latents.mean(axis=0)
    between = sum(
        (labels == k).sum() * (centred[labels == k].mean(axis=0) ** 2).sum()
        for k in np.unique(labels)
    )
    return float(between / (centred**2).sum())


# ---------------------------------------------------------------------------
# Pieces of pictures
# ---------------------------------------------------------------------------


def _draw_epochs(
    ax: Any, line: Line, score: str, style: Any, name: str, color: str = BLUE
) -> None:
    """Draw a score over the epochs, and a dot for that of the weights that are kept."""
    values = line["epochs"][score]
    ax.plot(np.arange(1, len(values) + 1), values, color=color, ls=style, label=name)
    ax.plot(len(values) * 1.03, line[score], color=color, marker="o", ms=4)
    ax.set_ylim(0, 1.02)
    ax.xaxis.get_major_locator().set_params(integer=True)
    _finish(ax, "epoch")


def _draw_shares(ax: Any, diagonal: np.ndarray, style: Any, k: int) -> None:
    """Draw the diagonal of a second moment; even and certain clusters are at 1."""
    x = (np.arange(k) + 0.5) / k
    ax.axhline(1, color=FAINT, lw=0.8, zorder=0)
    ax.plot(
        x, np.sort(diagonal)[::-1] * k, color=INK, ls=style, lw=1.4, marker=".",
        label=f"K = {k}",
    )  # fmt: skip
    _finish(ax, "clusters, as a share of K")


def _row_of_matrices(titles: list[str], matrices: list[np.ndarray]) -> Any:
    """Return a figure of matrices on one scale, with the scale beside them."""
    highest = max(float(matrix.max()) for matrix in matrices)
    figure, axes = plt.subplots(
        1, len(matrices), figsize=(3.1 * len(matrices) + 0.9, 3.6), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, title, matrix in zip(axes[0], titles, matrices, strict=True):
        image = _draw_matrix(ax, title, matrix, highest)
    bar = figure.colorbar(image, ax=axes[0], shrink=0.75, aspect=30)
    bar.ax.tick_params(labelsize=FONT)
    return figure


def _draw_matrix(ax: Any, name: str, matrix: np.ndarray, highest: float) -> Any:
    """Draw a second moment in greys, with the numbers of the diagonal in it."""
    k = len(matrix)
    image = ax.imshow(matrix, cmap="Greys", vmin=0, vmax=highest)
    ax.set(xticks=[], yticks=[])
    ax.set_title(name, fontsize=FONT, loc="left")
    for i in range(k if k <= 10 else 0):
        value = matrix[i, i]
        ax.text(
            i, i, f"{value:.2f}"[1:], ha="center", va="center", fontsize=FONT - 1,
            color="white" if value > highest / 2 else INK,
        )  # fmt: skip
    return image


def _finish(ax: Any, xlabel: str) -> None:
    """Give axes the looks of the package's."""
    ax.set_xlabel(xlabel, fontsize=FONT)
    ax.tick_params(labelsize=FONT)
    ax.spines[["top", "right"]].set_visible(False)


def _history(line: Line) -> np.ndarray:
    """Return the terms and the shares as the display of the package takes them."""
    kept = {name: np.array(line["epochs"][name]) for name in KEPT}
    table = np.empty(
        len(kept["expert_share"]),
        dtype=[(name, float, values.shape[1:]) for name, values in kept.items()],
    )
    for name, values in kept.items():
        table[name] = values
    return table


def _sizes(assignment: np.ndarray) -> np.ndarray:
    """Return how many rows each cluster has."""
    return np.bincount(assignment.argmax(axis=1), minlength=assignment.shape[1])


def _subject(line: Line) -> str:
    """Write what is clustered."""
    in_all = "" if line["limit"] else f", {counted(line['n_rows'], 'row')}"
    return dataset_label(line) + in_all


def _fitted(line: Line) -> str:
    """Write what was fitted to what, and its accuracy."""
    return f"{_subject(line)}  ·  {label(line)}  ·  accuracy {line['accuracy']:.3f}"


def _entitle(figure: Any, text: str) -> None:
    """Write a line above a figure."""
    figure.suptitle(text, fontsize=FONT + 1, x=0.01, ha="left")


def _told(line: Line) -> dict[str, Any]:
    """Return what is told beside a figure of one fit."""
    return {name: line[name] for name in ("accuracy", "purity", "n_clusters")}
