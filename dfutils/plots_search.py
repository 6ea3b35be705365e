"""Figures of searches and comparisons: trials, ingredients of training."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from dfutils.plots import COLOURS


def ablation_figure(table: pd.DataFrame):
    """Draw `ablation` as a figure, high enough for all variants."""
    figure, axes = plt.subplots(figsize=(8, 0.35 * table["variant"].nunique() + 1))
    ablation(axes, table)
    figure.tight_layout()
    return figure


def ablation(axes, table: pd.DataFrame):
    """Draw a table of `dfutils.ablation.compare`: one row per variant, one mark per AUC; seeds averaged.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    table : pandas.DataFrame
        Or of `dfutils.ablation_voice.compare`.
    """
    means = table.groupby("variant", sort=False).mean(numeric_only=True)
    rows = np.arange(len(means))[::-1]
    if "auc_low" in means:
        axes.hlines(rows, means["auc_low"], means["auc_high"], COLOURS[0], lw=1.2, alpha=0.6)
    names = {
        "known_auc": "validation, methods of training",
        "held_out_auc": "validation, methods left out",
        "auc": "validation, dataset's fakes",
        "swap_auc": "validation, face swaps",
        "unseen_auc": "unseen",
    }
    shown = {column: label for column, label in names.items() if column in means}
    for (column, label), colour, marker in zip(shown.items(), COLOURS, "os^"):
        if means[column].notna().any():
            axes.plot(means[column], rows, marker, color=colour, label=label)
    axes.axvline(0.5, color="0.6", lw=0.8, ls=":")
    axes.set_yticks(rows, means.index)
    axes.set_xlabel("AUC (line: 95 % by person)" if "auc_low" in means else "mean AUC over methods")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, fontsize=8)  # never over a point
    return axes


def trials(table: pd.DataFrame):
    """Draw the trials of `dfutils.search.search_head`: AUC over each parameter; crosses are pruned ones."""
    names = ("learning_rate", "dropout", "hidden_units", "l2", "number")
    figure, axes = plt.subplots(1, len(names), figsize=(14, 3), sharey=True)
    for axis, name in zip(axes, names):
        for (head, part), colour, marker in zip(table.groupby("head"), COLOURS, "os"):
            kept, pruned = part[~part["pruned"]], part[part["pruned"]]
            axis.scatter(kept[name], kept["auc"], c=colour, marker=marker, s=16, alpha=0.7, label=head)
            axis.scatter(pruned[name], pruned["auc"], c=colour, marker="x", s=12, alpha=0.4)
        axis.set_xlabel(name)
        if name in ("learning_rate", "l2"):
            axis.set_xscale("log")
    axes[0].set_ylabel("validation AUC")
    axes[0].legend()
    return figure
