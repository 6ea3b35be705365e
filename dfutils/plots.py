"""Figures: every function draws on given axes and returns them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from dfutils import asv_metrics
from dfutils.metrics import auc, validate_scores

# Okabe and Ito's colours, distinct for colour-blind readers; fakes are also hatched or dashed
REAL_COLOUR, FAKE_COLOUR = "#0072B2", "#D55E00"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def contact_sheet(images: Sequence[np.ndarray], titles: Sequence[str], n_columns: int = 8):
    """Lay out pictures in rows.

    Parameters
    ----------
    images : sequence of numpy.ndarray, shape=(height, width, 3), uint8, RGB
    titles : sequence of str
    n_columns : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_rows = -(-len(images) // n_columns)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=(1.5 * n_columns, 1.75 * n_rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles):
        axis.imshow(image)
        axis.set_title(title, fontsize=8)
    figure.tight_layout()
    return figure


def class_histogram(axes, table: pd.DataFrame, column: str, label: str, bins: int = 30):
    """Draw the distribution of a column for real and fake over each other."""
    edges = np.histogram_bin_edges(table[column].astype(float), bins=bins)
    for value, name, colour, style in ((0, "real", REAL_COLOUR, None), (1, "fake", FAKE_COLOUR, "//")):
        part = table.loc[table["label"] == value, column]
        axes.hist(part, edges, alpha=0.55, label=f"{name} ({len(part)})", color=colour, hatch=style)
    axes.set_xlabel(label)
    axes.set_ylabel("count")
    axes.legend()
    return axes


def history(axes, table: pd.DataFrame, quantity: str = "loss"):
    """Draw a quantity over the epochs, training and validation, and mark the best validation epoch."""
    epochs = table["epoch"] + 1
    if quantity in table:
        axes.plot(epochs, table[quantity], "o-", ms=3, color=COLOURS[0], label="training")
    validation = table[f"val_{quantity}"]
    axes.plot(epochs, validation, "s--", ms=3, color=COLOURS[1], label="validation")
    best = validation.idxmin() if quantity == "loss" else validation.idxmax()
    axes.plot(epochs[best], validation[best], "*", ms=13, color=COLOURS[1], mec="black", label="best")
    axes.set_xlabel("epoch")
    axes.set_ylabel(quantity)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    return axes


def validation(labels, p_fake, threshold: float):
    """Draw what validation shows: the scores of both classes, their calibration, the confusion matrix.

    Parameters
    ----------
    labels, p_fake : array_like, shape=(n,)
        See `dfutils.metrics.evaluate`.
    threshold : float
        Of ``p_fake``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6))
    score_distribution(axes[0], labels, p_fake, threshold)
    calibration(axes[1], labels, p_fake)
    confusion(axes[2], labels, np.asarray(p_fake >= threshold, int), "validation")
    figure.tight_layout()
    return figure


def optuna_view(study, view: str):
    """Draw one of Optuna's views of a study.

    Parameters
    ----------
    study : optuna.Study
    view : str
        What ``optuna.visualization.matplotlib`` has as ``plot_<view>``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import optuna

    with warnings.catch_warnings(), plt.rc_context():  # Optuna changes the style of all later figures
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # stable for years
        draw = getattr(optuna.visualization.matplotlib, f"plot_{view}")
        axes = draw(study, target_name="validation AUC")
    axes.figure.set_size_inches(9, 4.2)
    axes.figure.tight_layout()
    return axes.figure


def confusion(axes, labels, called, title: str = ""):
    """Draw a confusion matrix in the thesis' layout: rows true, columns predicted, FAKE then REAL."""
    labels, called = np.asarray(labels), np.asarray(called)
    matrix = [[np.sum((labels == t) & (called == p)) for p in (1, 0)] for t in (1, 0)]
    return confusion_of_counts(axes, matrix, title)


def confusion_of_counts(axes, matrix, title: str = ""):
    """Draw a confusion matrix from its counts, shape=(2, 2), rows true, columns predicted, FAKE then REAL."""
    matrix = np.asarray(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(2):
        for column in range(2):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{matrix[row, column]:,}\n{shares[row, column]:.1%}"
            axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks([0, 1], ["FAKE", "REAL"])
    axes.set_yticks([0, 1], ["FAKE", "REAL"])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    return axes


def methods(table: pd.DataFrame):
    """Draw the AUC of each method as a bar, the splits told apart by colour and name.

    Parameters
    ----------
    table : pandas.DataFrame
        `dfutils.evaluation.per_method` with the column ``part``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = table.iloc[::-1]  # bars grow upwards, tables are read downwards
    figure, axes = plt.subplots(figsize=(8, 0.3 * len(table) + 1.2))
    names = [f"{row.part}, {row.split}: {row.method} ({row.n_fake})" for row in table.itertuples()]
    colours = [COLOURS[("val", "test", "unseen").index(split)] for split in table["split"]]
    bars = axes.barh(names, table["auc"], color=colours)
    axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    axes.axvline(0.5, color="black", ls=":", lw=1)
    axes.set_xlabel("AUC against the reals of the split (dotted: chance; in brackets: fakes)")
    axes.set_xlim(0, 1.08)
    axes.margins(y=0.01)
    figure.tight_layout()
    return figure


def roc(axes, curves: dict[str, tuple[np.ndarray, np.ndarray]]):
    """Draw ROC curves with the equal-error line.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    curves : dict
        Name to ``(labels, scores)``.
    """
    from sklearn.metrics import roc_curve

    styles = ("-", "--", "-.", ":")
    for index, (name, (labels, scores)) in enumerate(curves.items()):
        false_alarm, hit, _ = roc_curve(*validate_scores(labels, scores))
        text = f"{name}, AUC {auc(labels, scores):.3f}"
        axes.plot(false_alarm, hit, styles[index % 4], color=COLOURS[index % 6], label=text)
    axes.plot([0, 1], [1, 0], color="grey", lw=0.7, label="equal error")
    axes.plot([0, 1], [0, 1], ":", color="grey", lw=0.7, label="chance")
    axes.set_xlabel("false-alarm rate (reals called fake)")
    axes.set_ylabel("detection rate (fakes called fake)")
    axes.set_aspect("equal")
    axes.legend(loc="lower right", fontsize=8)
    return axes


def det(axes, curves: dict[str, tuple[np.ndarray, np.ndarray]]):
    """Draw detection error trade-offs on normal-deviate axes, with the line of equal errors.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    curves : dict
        Name to (labels, scores); see `roc`.
    """
    for (name, (labels, scores)), colour, style in zip(curves.items(), COLOURS, ("-", "--", "-.", ":")):
        accepted, rejected, _ = asv_metrics.det_curve(labels, scores)
        eer, _ = asv_metrics.official_eer(labels, scores)
        axes.plot(accepted, rejected, style, color=colour, label=f"{name}, official EER {eer:.3f}")
    asv_metrics.set_probit_axes(axes)
    axes.plot([0.001, 0.6], [0.001, 0.6], color="0.6", lw=0.8, ls=":")
    axes.set_xlabel("fakes accepted")
    axes.set_ylabel("reals called fake")
    axes.legend(loc="best", fontsize=8)
    return axes


def score_distribution(axes, labels, p_fake, threshold: float):
    """Draw the distribution of ``p_fake`` for both classes, with the decision threshold."""
    table = pd.DataFrame({"label": np.asarray(labels), "p_fake": np.asarray(p_fake)})
    class_histogram(axes, table, "p_fake", "p_fake", bins=25)
    axes.axvline(threshold, color="black", ls=":", label=f"threshold {threshold:.2f}")
    axes.set_xlim(0, 1)
    axes.legend()
    return axes


def calibration(axes, labels, p_fake, n_bins: int = 10):
    """Draw the observed share of fakes against the predicted probability (reliability diagram)."""
    from sklearn.calibration import calibration_curve

    labels, p_fake = validate_scores(labels, p_fake)
    observed, predicted = calibration_curve(labels, p_fake, n_bins=n_bins, strategy="quantile")
    axes.plot([0, 1], [0, 1], ":", color="grey", label="perfect")
    axes.plot(predicted, observed, "o-", color=COLOURS[0], label="model")
    axes.set_xlabel("predicted p_fake")
    axes.set_ylabel("observed share of fakes")
    axes.set_aspect("equal")
    axes.legend()
    return axes


def cepstrogram(axes, features: np.ndarray, title: str, hop_ms: float = 10.0):
    """Draw coefficients over time; shape=(n_rows, n_frames)."""
    seconds = features.shape[1] * hop_ms / 1000
    low, high = np.percentile(features, [2, 98])
    picture = axes.imshow(
        features, aspect="auto", origin="lower", extent=(0, seconds, 0, len(features)), vmin=low, vmax=high
    )
    axes.set_title(title)
    axes.set_xlabel("time [s]")
    axes.set_ylabel("coefficient")
    axes.figure.colorbar(picture, ax=axes)
    return axes
