"""What others published, beside what was measured here: falls to unseen material, confusion matrices."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from dfutils.plots import COLOURS, confusion, confusion_of_counts

# Home: persons of validation or test, methods and datasets that training saw. Away: others.
# "accuracy" and "AUC" are better higher, "EER" lower; AUC of hard verdicts where a source computed that.
COLUMNS = ("part", "what", "home", "away", "metric", "at_home", "away_from_home", "source")
PUBLISHED = (
    ("picture", "thesis, EfficientNetV2-S", "FF++, Celeb-DF, DFDC, TIMIT (val)", "DeeperForensics",
     "accuracy", 0.9235, 0.776, "the thesis this study follows"),
    ("picture", "thesis, EfficientNetV2-S", "FF++, Celeb-DF, DFDC, TIMIT (val)", "DeeperForensics",
     "AUC", 0.88, 0.75, "the thesis this study follows; of hard verdicts"),
    ("picture", "best that the thesis cites", "several", "another dataset",
     "accuracy", 0.968, 0.6806, "the thesis' own comparison"),
    ("picture", "lab report, landmarks + SVM", "UADFV (dev)", "Celeb-DF",
     "AUC", 1.0, 0.64, "lab report on intra- and inter-database tests"),
    ("picture", "MesoNet", "FF++", "Celeb-DF", "AUC", 0.847, 0.548, "Li et al., Celeb-DF, CVPR 2020"),
    ("picture", "Xception", "FF++ (c23)", "Celeb-DF", "AUC", 0.997, 0.653, "Li et al., Celeb-DF, CVPR 2020"),
    ("voice", "thesis, LFCC + MobileNetV2", "ASVspoof 2019 LA (dev)", "its eval: 13 unseen attacks",
     "AUC", 0.86, 0.77, "the thesis this study follows; of hard verdicts"),
    ("voice", "AASIST", "ASVspoof 2019 LA (eval)", "synthetic speech of other laboratories",
     "EER", 0.0083, 0.42, "Jung et al., AASIST, ICASSP 2022; away: its weights, tried for this project"),
)  # fmt: skip
# Rows are the truth, columns the verdict; fake, then real.
THESIS_CONFUSIONS = {
    ("picture", "validation"): [[28_788, 663], [2_276, 8_336]],
    ("picture", "unseen"): [[17_945, 10_977], [6_098, 41_446]],
    ("voice", "validation"): [[8_570, 1_622], [331, 2_217]],
    ("voice", "unseen"): [[53_386, 10_496], [2_180, 5_175]],
}
SPLITS = ("val", "test", "unseen")  # in the order of reading
HOMES = ("test", "val")  # of ours: the test where it was read, else validation


def compare_falls(summary: pd.DataFrame) -> pd.DataFrame:
    """Put our fall from known to unseen material beside the published ones.

    Parameters
    ----------
    summary : pandas.DataFrame
        `dfutils.evaluation.summarise`: ``part``, ``split``, ``auc``, ``eer``.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS` and ``fall`` (home minus away, or for error rates away minus home: positive is
        worse); ours first, where both splits were scored. Datasets differ from row to row: the falls
        can be compared in kind, not to the decimal.
    """
    rows = []
    for part, of_part in summary.groupby("part", sort=False):
        scored = of_part.set_index("split")
        home = next((split for split in HOMES if split in scored.index), None)
        if home is None or "unseen" not in scored.index:
            continue
        names = (part, "ours", f"this corpus ({home})", "this corpus (unseen)")
        for column, metric in (("auc", "AUC"), ("eer", "EER")):
            values = scored.loc[home, column], scored.loc["unseen", column]
            rows.append((*names, metric, *values, "this run"))
    parts = set(summary["part"])
    rows += [row for row in PUBLISHED if row[0] in parts]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    sign = np.where(table["metric"] == "EER", -1, 1)
    return table.assign(fall=sign * (table["at_home"] - table["away_from_home"]))


def draw_falls(table: pd.DataFrame):
    """Draw `compare_falls`: a line from home to away for every row.

    Returns
    -------
    matplotlib.figure.Figure
        Error rates as what is left of 1, so that up is better everywhere.
    """
    parts = list(dict.fromkeys(table["part"]))
    figure, axes = plt.subplots(1, len(parts), figsize=(5.6 * len(parts), 5.4), sharey=True, squeeze=False)
    for axis, part in zip(axes.flat, parts):
        rows = table[table["part"] == part]
        for number, row in enumerate(rows.itertuples()):
            is_ours, is_error = row.what == "ours", row.metric == "EER"
            ends = [1 - end if is_error else end for end in (row.at_home, row.away_from_home)]
            name = "1 - EER" if is_error else row.metric
            style = {"AUC": "o-", "EER": "^--", "accuracy": "s:"}[row.metric]
            axis.plot([0, 1], ends, style, color=COLOURS[number % len(COLOURS)], lw=2.6 if is_ours else 1.2,
                      label=f"{row.what}: {name} {ends[0]:.2f} to {ends[1]:.2f}")  # fmt: skip
        axis.axhline(0.5, color="0.6", lw=0.7)
        axis.set_xticks([0, 1], ["home", "unseen"])
        axis.set_xlim(-0.1, 1.1)
        axis.set_ylim(0.48, 1.02)
        axis.set_title(part)
        axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.08), frameon=False)
    figure.tight_layout()
    return figure


def draw_confusions(scored: dict[str, pd.DataFrame]):
    """Draw the confusion matrix of every split, and below it the thesis' own in the same layout.

    Parameters
    ----------
    scored : dict of str to pandas.DataFrame
        Part to scores (`dfutils.evaluation.score`): ``split``, ``label``, ``called_fake``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    ours = [
        (kind, split) for kind, table in scored.items() for split in SPLITS if split in set(table["split"])
    ]
    thesis = [key for key in THESIS_CONFUSIONS if key[0] in scored]
    n_columns = max(len(ours), len(thesis))
    figure, axes = plt.subplots(2, n_columns, figsize=(3.1 * n_columns, 6.6), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (kind, split) in zip(axes[0], ours):
        part = scored[kind][scored[kind]["split"] == split]
        axis.axis("on")
        confusion(axis, part["label"], part["called_fake"], f"{kind}, {split}")
    for axis, (kind, split) in zip(axes[1], thesis):
        axis.axis("on")
        confusion_of_counts(axis, THESIS_CONFUSIONS[kind, split], f"thesis: {kind}, {split}")
    figure.tight_layout()
    return figure
