"""Draw ``reports/benchmarks.csv`` and ``reports/growth.csv`` to ``reports/figures/benchmarks.png``."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from dfutils import paths
from dfutils.plots import COLOURS

REPORTS = paths.PROJECT_ROOT / "reports"


def main() -> None:
    """Draw and save."""
    bench, growth = (pd.read_csv(REPORTS / f"{name}.csv") for name in ("benchmarks", "growth"))
    height = 0.3 * len(bench) + 4.2
    figure = plt.figure(figsize=(13, height))
    upper, lower = figure.subfigures(2, 1, height_ratios=(height - 3.6, 3.6))
    draw_ratios(upper.subplots(), bench)
    kinds = growth["what"].unique()
    for axes, what in zip(lower.subplots(1, len(kinds)), kinds):
        draw_growth(axes, growth[growth["what"] == what])
    upper.subplots_adjust(left=0.42, right=0.97, top=0.98, bottom=0.12)
    lower.subplots_adjust(left=0.05, right=0.95, wspace=1.05, bottom=0.2)
    with paths.atomic_path(REPORTS / "figures" / "benchmarks.png") as temporary:
        figure.savefig(temporary, dpi=90)


def draw_ratios(axes, table: pd.DataFrame) -> None:
    """How many times as fast as its baseline each thing is, on a logarithmic scale."""
    table = table.iloc[::-1]
    names = [f"{row.what}  |  {row.baseline}" for row in table.itertuples()]
    ratios = table["baseline_s"] / table["ours_s"]
    colours = [COLOURS[0] if ratio >= 1 else COLOURS[1] for ratio in ratios]
    bars = axes.barh(names, ratios - 1, left=1, color=colours)
    axes.bar_label(bars, [f"{ratio:.1f}" for ratio in ratios], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.axvline(1, color="black", lw=0.8)
    axes.set_xlim(0.5, 2 * ratios.max())
    axes.tick_params(axis="y", labelsize=7.5)
    axes.set_xlabel("times as fast as the baseline (right of the bar)", fontsize=9)
    axes.margins(y=0.01)


def draw_growth(axes, table: pd.DataFrame) -> None:
    """Seconds and peak memory over the size of the work."""
    axes.plot(table["size"], table["seconds"], "o-", color=COLOURS[0])
    axes.set_ylim(0, None)
    axes.set_ylabel("seconds", color=COLOURS[0], fontsize=8)
    memory = axes.twinx()
    memory.plot(table["size"], table["peak_mb"], "s--", color=COLOURS[1])
    memory.set_ylim(0, 1.3 * table["peak_mb"].max())
    memory.set_ylabel("peak memory [MB]", color=COLOURS[1], fontsize=8)
    axes.set_xscale("log")
    axes.set_xticks(table["size"], [f"{size:,}" for size in table["size"]], rotation=30)
    axes.minorticks_off()
    for each in (axes, memory):
        each.tick_params(labelsize=7.5)
    axes.set_title(table["what"].iloc[0], fontsize=8.5)
    axes.set_xlabel(table["unit"].iloc[0], fontsize=8)


if __name__ == "__main__":
    main()
