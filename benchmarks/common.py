"""What the benchmarks share: measuring in turns, measuring a whole command, a clip that is free to show."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd

VERSIONS = ("numpy", "opencv-python-headless", "keras", "tensorflow-cpu", "onnxruntime", "librosa")


def in_turns(baseline: Callable, ours: Callable, repeats: int) -> tuple[float, float]:
    """Median seconds of each [s], after one run of both that does not count."""
    taken = {baseline: [], ours: []}
    for number in range(repeats + 1):
        for run, times in taken.items():
            start = time.perf_counter()
            run()
            if number:
                times.append(time.perf_counter() - start)
    return statistics.median(taken[baseline]), statistics.median(taken[ours])


def run_measured(command: list[str]) -> tuple[float, float]:
    """Run a command; returns its seconds and its peak memory [MB], that of its largest process."""
    code = (
        "import json,resource,subprocess,sys,time\n"
        "s=time.perf_counter(); r=subprocess.run(sys.argv[1:],capture_output=True)\n"
        "m=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "print(json.dumps([r.returncode,time.perf_counter()-s,m,r.stderr.decode()[-500:]]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, check=True)
    status, seconds, peak, said = json.loads(done.stdout)
    if status:
        raise SystemExit(f"{' '.join(command)} failed: {said}")
    return seconds, peak / (1024 if sys.platform != "darwin" else 1024**2)


def row(what: str, baseline: str, baseline_s: float, ours_s: float, note: str = "") -> dict:
    """One line of the table."""
    return {"what": what, "baseline": baseline, "baseline_s": baseline_s, "ours_s": ours_s, "note": note}


def add_machine(table: pd.DataFrame) -> pd.DataFrame:
    """Say on how many cores and with which versions a table was measured."""
    found = []
    for name in VERSIONS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # another build of TensorFlow, or none
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return table.assign(cores=cores, versions=" ".join(found))


def draw_clip(
    path: Path, seconds: float = 10, fps: int = 25, size_hw: tuple[int, int] = (720, 1280), seed: int = 1
) -> Path:
    """Draw a clip: the astronaut, drifting and breathing before a wall, and a synthetic voice."""
    import cv2
    from skimage.data import astronaut

    from dfutils.embedded.encode import write_clip
    from dfutils.embedded.voices import draw_speaker, synthesise

    portrait, (height, width) = astronaut(), size_hw

    def frames():
        for number in range(round(seconds * fps)):
            scale = height / 720 * (1.3 + 0.05 * np.sin(number / 20 + seed))
            right = width / 4 + height / 18 * np.sin(number / 31 + seed)
            shift = [[scale, 0, right], [0, scale, height / 36 * (1 + np.cos(number / 17) / 2)]]
            yield cv2.warpAffine(portrait, np.array(shift), (width, height), borderMode=cv2.BORDER_REPLICATE)

    voice = synthesise(draw_speaker(seed, 1), seconds, np.random.default_rng(seed))
    write_clip(path, frames(), fps, 23, voice, seconds)
    return path
