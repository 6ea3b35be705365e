"""`make bench`: how long things take here, beside the way the thesis did them, in one run.

Each row measures a baseline and ours in turns, several times, and prints the medians and their ratio.
The table goes to ``reports/benchmarks.csv``; `growth.py` then measures time and memory over growing work,
and `plot.py` draws both. The clip is drawn for this, 10 s of 1280 x 720 px with speech; ``--clip FILE``
takes another. No row reads data that is not free.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd
from common import add_machine, draw_clip
from learning import bench_cached, bench_detector, bench_loader, bench_precision, bench_runtime, bench_warm
from media import bench_crops, bench_detectors, bench_frames, bench_lfcc

from dfutils import paths

ROWS = {
    "frames": bench_frames,
    "detectors": bench_detectors,
    "crops": bench_crops,
    "lfcc": bench_lfcc,
    "cached": bench_cached,
    "loader": bench_loader,
    "precision": bench_precision,
    "runtime": bench_runtime,
    "detector": bench_detector,
    "warm": bench_warm,
}


def main() -> None:
    """Measure, print, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", help="another clip to judge")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(ROWS), choices=list(ROWS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(options.clip) if options.clip else draw_clip(Path(folder) / "drawn.mp4")
        rows = []
        for name in options.only:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows += ROWS[name](clip, options.repeats)
    table = pd.DataFrame(rows)
    table["ratio"] = (table["baseline_s"] / table["ours_s"]).round(1)
    table = add_machine(table)
    print(table.drop(columns="versions").to_string(index=False, float_format="%.3g"))
    if set(options.only) == set(ROWS) and not options.clip:
        with paths.atomic_path(paths.PROJECT_ROOT / "reports" / "benchmarks.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
