"""The robustness card: one page that says what breaks a model's ranking, and what only its threshold."""

from __future__ import annotations

import numpy as np
import pandas as pd

RANKING_FALL = 0.05  # of the AUC, and its interval must not hold 0
RATE_FALL = 0.10  # of the share of fakes found, or of reals left in peace, at the frozen threshold


def judge(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise each perturbation, the worst first.

    Parameters
    ----------
    table : pandas.DataFrame
        From `dfutils.robustness.measure`.

    Returns
    -------
    pandas.DataFrame
        Index ``perturbation``; ``level``, ``value``, ``auc``, ``auc_low``, ``auc_high``, ``auc_change``,
        ``sensitivity``, ``specificity`` at the level of the lowest AUC; ``ranking_from`` and
        ``threshold_from``, the mildest level at which each breaks, NaN for none; ``missed`` and
        ``accused``, the largest falls of the two rates; ``n_lost``, the largest number of samples that
        could not be judged; ``verdict``: "ranking", "threshold" (alone) or "holds".
    """
    clean = table[table["level"] == 0].iloc[0]
    rows = []
    for name, part in table[table["level"] > 0].groupby("perturbation", sort=False):
        falls = {
            "missed": clean["sensitivity"] - part["sensitivity"],
            "accused": clean["specificity"] - part["specificity"],
        }
        # without an interval (few persons) the fall itself has to do
        is_sure = ~(part["auc_change_high"] >= 0)
        has_fallen = (part["auc_change"] <= -RANKING_FALL) & is_sure
        ranking = part["level"][has_fallen | part["auc"].isna()].min()  # equal scores rank nothing
        threshold = part["level"][np.maximum(*falls.values()) >= RATE_FALL].min()
        worst = part.loc[part["auc"].fillna(-1).idxmin()]
        columns = ["level", "value", "unit", "auc", "auc_low", "auc_high", "auc_change", "sensitivity",
                   "specificity"]  # fmt: skip
        row = {"perturbation": name, **worst[columns], "ranking_from": ranking, "threshold_from": threshold}
        row |= {which: fall.max() for which, fall in falls.items()}
        row |= {"n_lost": int(part["n_lost"].max())}
        row["verdict"] = (
            "ranking" if np.isfinite(ranking) else "threshold" if np.isfinite(threshold) else "holds"
        )
        rows.append(row)
    return (
        pd.DataFrame(rows)
        .set_index("perturbation")
        .sort_values("auc_change", kind="stable", na_position="first")
    )


def card(table: pd.DataFrame, title: str = "model", about: str = "") -> str:
    """Write the card.

    Parameters
    ----------
    table : pandas.DataFrame
        From `dfutils.robustness.measure`.
    title : str
        What was measured, such as ``"picture"``.
    about : str
        A sentence on the samples: which split, which corpus.

    Returns
    -------
    str
        Markdown, one page.
    """
    clean, judged = table[table["level"] == 0].iloc[0], judge(table)
    worst, mildest = judged.iloc[0], judged.iloc[-1]
    lines = [
        f"# Robustness card: {title}",
        "",
        f"{clean['n']} samples, {clean['n_fake']} of them fake. {about}".strip(),
        "",
        f"- **Unperturbed**: AUC {_range(clean)}, {clean['sensitivity']:.0%} of the fakes found, "
        f"{clean['specificity']:.0%} of the reals left in peace.",
        f"- **Worst**: {worst.name}, AUC {_range(worst)} at level {worst['level']}.",
        f"- **Mildest**: {mildest.name}, AUC {_range(mildest)} at level {mildest['level']}.",
        f"- **Breaks the ranking** (AUC falls by {RANKING_FALL} or more, by persons not chance): "
        f"{_names(judged, 'ranking')}. No other threshold helps against these.",
        f"- **Breaks only the threshold** (a rate falls by {RATE_FALL:.0%} or more, the ranking holds): "
        f"{_names(judged, 'threshold')}. Calibrating on such material helps there.",
        f"- **Does neither**: {_names(judged, 'holds')}.",
        "",
        "| perturbation | AUC at its worst level (95 %) | change | fakes found | reals in peace "
        "| ranking breaks from | threshold breaks from |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in judged.iterrows():
        lost = f", {row['n_lost']} could not be judged" if row["n_lost"] else ""
        lines.append(
            f"| {name}{lost} | {_range(row)}, level {row['level']} | {row['auc_change']:+.3f} "
            f"| {row['sensitivity']:.0%} | {row['specificity']:.0%} "
            f"| {_level(row['ranking_from'])} | {_level(row['threshold_from'])} |"
        )
    lines += [
        "",
        "Levels 1 to 5, mild to strong; intervals from drawing whole persons; threshold as frozen.",
    ]
    return "\n".join(lines) + "\n"


def _range(row: pd.Series) -> str:
    if not np.isfinite(row["auc"]):
        return "not to be had (scores are all equal, or a class is missing)"
    if not np.isfinite(row["auc_low"]):
        return f"{row['auc']:.3f} (too few persons for an interval)"
    return f"{row['auc']:.3f} ({row['auc_low']:.3f} to {row['auc_high']:.3f})"


def _level(level: float) -> str:
    return f"level {level:.0f}" if np.isfinite(level) else "–"


def _names(judged: pd.DataFrame, verdict: str) -> str:
    chosen = judged[judged["verdict"] == verdict]
    if verdict != "threshold":
        return ", ".join(chosen.index) or "none"
    ways = {
        name: "fakes missed" if row["missed"] >= row["accused"] else "reals accused"
        for name, row in chosen.iterrows()
    }
    return ", ".join(f"{name} ({way})" for name, way in ways.items()) or "none"
