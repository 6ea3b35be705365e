"""Figures of robustness: curves over levels, a table of colours, shifts of the scores."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from dfutils.plots import COLOURS, FAKE_COLOUR, REAL_COLOUR

LINES = (
    ("auc", "AUC", COLOURS[2], "o-"),
    ("sensitivity", "fakes found", FAKE_COLOUR, "^--"),
    ("specificity", "reals left in peace", REAL_COLOUR, "s:"),
)


def curves(table: pd.DataFrame, n_columns: int = 6):
    """Draw AUC and both rates at the frozen threshold over the levels, one small panel per perturbation.

    Parameters
    ----------
    table : pandas.DataFrame
        From `dfutils.robustness.measure`.
    n_columns : int

    Returns
    -------
    matplotlib.figure.Figure
        Shaded: 95 % intervals by person.
    """
    clean, groups = table[table["level"] == 0], table[table["level"] > 0].groupby("perturbation", sort=False)
    n_columns = min(n_columns, len(groups))
    n_rows = -(-len(groups) // n_columns)
    size = (2.2 * n_columns + 0.6, 1.9 * n_rows + 0.7)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[len(groups) :]:
        axis.axis("off")
    for axis, (name, part) in zip(axes.flat, groups):
        part = pd.concat([clean, part]).sort_values("level")
        for column, label, colour, style in LINES:
            low, high = part[f"{column}_low"], part[f"{column}_high"]
            axis.fill_between(part["level"], low, high, color=colour, alpha=0.15, lw=0)
            axis.plot(part["level"], part[column], style, color=colour, ms=3.5, lw=1.3, label=label)
        axis.axhline(0.5, color="0.6", lw=0.7)
        axis.set_title(name, fontsize=9)
        axis.set_xticks(part["level"])
        axis.set_ylim(-0.03, 1.03)
    figure.supxlabel("level (0: unperturbed)", fontsize=9)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(LINES), frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.35 / size[1]))
    return figure


def heat(axes, table: pd.DataFrame, column: str = "auc", low: float = 0.5, high: float = 1.0):
    """Draw one number over perturbation and level as a table of colours, the lowest row first.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    table : pandas.DataFrame
        From `dfutils.robustness.measure`.
    column : str
    low, high : float
        Ends of the scale.
    """
    levels = table[table["level"] > 0]
    values = levels.pivot_table(column, "perturbation", "level", dropna=False)
    values = values.loc[values.mean(axis=1).sort_values().index]
    values.insert(0, 0, table.loc[table["level"] == 0, column].iloc[0])
    axes.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect="auto")
    for (row, place), value in np.ndenumerate(values.to_numpy(float)):
        is_dark = value < (low + high) / 2
        text = f"{value:.2f}" if np.isfinite(value) else "–"
        colour = "white" if is_dark else "black"
        axes.text(place, row, text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(values.shape[1]), values.columns)
    axes.set_yticks(range(len(values)), values.index)
    axes.set_xlabel("level (0: unperturbed)")
    axes.set_title(column.replace("_", " ").replace("auc", "AUC"))
    return axes


def shifts(axes, table: pd.DataFrame):
    """Draw how far the strongest level moves the mean logit of each class.

    Both to the same side: the threshold breaks. Towards each other: the ranking does.
    """
    strongest = table.loc[table[table["level"] > 0].groupby("perturbation")["level"].idxmax()]
    strongest = strongest.sort_values("shift_real", kind="stable")
    rows = np.arange(len(strongest))
    axes.hlines(rows, strongest["shift_real"], strongest["shift_fake"], "0.7", lw=1.5)
    for column, label, colour, marker in (
        ("shift_real", "reals", REAL_COLOUR, "s"),
        ("shift_fake", "fakes", FAKE_COLOUR, "^"),
    ):
        axes.plot(strongest[column], rows, marker, color=colour, label=label)
    axes.axvline(0, color="0.4", lw=0.8, ls=":")
    axes.set_yticks(rows, strongest["perturbation"])
    axes.set_xlabel("shift of the mean logit (right: towards fake)")
    axes.legend(fontsize=8)
    return axes


def attacks(tables: dict[str, pd.DataFrame]):
    """Draw the AUC over the strength of attacks, one panel per attack, one line per model.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        Name of a model to what `dfutils.robustness_attacks.measure_attacks` says of it.

    Returns
    -------
    matplotlib.figure.Figure
        Shaded: 95 % intervals by person.
    """
    names = next(iter(tables.values())).query("level > 0")["perturbation"].unique()
    figure, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.4), sharey=True, squeeze=False)
    for axis, name in zip(axes.flat, names):
        for (model, table), colour, marker in zip(tables.items(), COLOURS, "os^D"):
            part = table[(table["perturbation"] == name) | (table["level"] == 0)].sort_values("level")
            strength = [float(value.split(",")[0] or 0) for value in part["value"]]
            axis.fill_between(strength, part["auc_low"], part["auc_high"], color=colour, alpha=0.15, lw=0)
            axis.plot(strength, part["auc"], marker=marker, color=colour, ms=4, lw=1.4, label=model)
        axis.axhline(0.5, color="0.6", lw=0.7)
        axis.set_title(name.upper(), fontsize=10)
        axis.set_xlabel("largest change of a pixel, of 255")
        axis.set_ylim(-0.03, 1.03)
    axes.flat[0].set_ylabel("AUC")
    axes.flat[0].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    return figure
