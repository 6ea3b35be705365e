"""`make bench`: how long things take here, beside the way the thesis did them, in one run.

Each row measures a baseline and ours in turns, several times, and prints the medians and their ratio.
The table goes to ``reports/benchmarks.csv``. The clip is drawn for this, 10 s of 1280 x 720 px with speech;
``--clip FILE`` takes another. No row reads data that is not free.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from dfutils import paths

HERE = Path(__file__).parent
VERSIONS = ("numpy", "opencv-python-headless", "keras", "tensorflow-cpu", "onnxruntime", "librosa")


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
    table["cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    table["versions"] = " ".join(f"{name} {version(name)}" for name in VERSIONS)
    print(table.drop(columns="versions").to_string(index=False, float_format="%.3g"))
    if set(options.only) == set(ROWS) and not options.clip:
        with paths.atomic_path(paths.PROJECT_ROOT / "reports" / "benchmarks.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.4g")


def draw_clip(path: Path, seconds: int = 10, fps: int = 25) -> Path:
    """Draw a clip: the astronaut, drifting and breathing before a wall, and a synthetic voice."""
    import cv2
    from skimage.data import astronaut

    from dfutils.embedded.encode import write_clip
    from dfutils.embedded.voices import draw_speaker, synthesise

    portrait = astronaut()

    def frames():
        for number in range(seconds * fps):
            scale = 1.3 + 0.05 * np.sin(number / 20)
            shift = [[scale, 0, 320 + 40 * np.sin(number / 31)], [0, scale, 20 + 10 * np.cos(number / 17)]]
            yield cv2.warpAffine(portrait, np.array(shift), (1280, 720), borderMode=cv2.BORDER_REPLICATE)

    voice = synthesise(draw_speaker(1, 1), seconds, np.random.default_rng(1))
    write_clip(path, frames(), fps, 23, voice, seconds)
    return path


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


def bench_frames(clip: Path, repeats: int) -> list[dict]:
    """Twenty frames of a clip: a seek to each, in random order, against decoding on."""
    import cv2

    from dfutils.video import plan_frames, probe_video, read_frames

    wanted = np.random.default_rng(0).permutation(plan_frames(probe_video(clip).n_frames, 20))

    def seek():
        capture = cv2.VideoCapture(str(clip))
        for index in wanted:
            capture.set(cv2.CAP_PROP_POS_FRAMES, int(index))
            capture.read()

    baseline, ours = in_turns(seek, lambda: list(read_frames(clip, 20)), repeats)
    return [row("20 frames of the clip", "a seek to each", baseline, ours)]


def bench_lfcc(clip: Path, repeats: int) -> list[dict]:
    """60 LFCC of 3.2 s: a loop over frames and filters, and librosa's MFCC, against ours."""
    import librosa
    from scipy.fft import dct

    from dfutils.lfcc import linear_filter_bank, voice_features

    audio = np.random.default_rng(0).standard_normal(51_200).astype(np.float32) * 0.1
    bank, window = linear_filter_bank(20, 512, 16_000), np.hanning(512)

    def loop():
        rows = []
        for start in range(0, audio.size - 512, 160):
            power = np.abs(np.fft.rfft(audio[start : start + 512] * window, 512)) ** 2
            rows.append(dct([np.log(np.sum(power * weights) + 1e-10) for weights in bank], norm="ortho"))
        static = np.array(rows).T
        first = librosa.feature.delta(static, width=9)
        return np.vstack([static, first, librosa.feature.delta(first, width=9)])

    def mfcc():
        return librosa.feature.mfcc(y=audio, sr=16_000, n_mfcc=20, n_fft=512, hop_length=160)

    def ours():
        return voice_features(audio, 16_000, "all")

    assert loop().shape[0] == ours().shape[0] == 60
    return [
        row("60 LFCC of 3.2 s", "a loop over frames and filters", *in_turns(loop, ours, 5 * repeats)),
        row("60 LFCC of 3.2 s", "librosa's 20 MFCC", *in_turns(mfcc, ours, 5 * repeats)),
    ]


def bench_cached(clip: Path, repeats: int) -> list[dict]:
    """An epoch of the head on a frozen EfficientNetV2-B0: features computed anew against cached."""
    from dfutils import models
    from dfutils.backend import keras

    config = models.ModelConfig("video", "EfficientNetV2B0", (224, 224))
    model = models.compile_model(models.build_model(config, None), config, 1e-3)
    images = np.random.default_rng(0).uniform(0, 255, (128, 224, 224, 3)).astype(np.float32)
    labels = np.arange(128) % 2
    features = models.get_backbone(model).predict(images, batch_size=32, verbose=0)
    head = models.compile_model(models.build_head_model(config, features.shape[1]), config, 1e-3)
    assert isinstance(head, keras.Model)
    times = in_turns(
        lambda: model.fit(images, labels, batch_size=32, verbose=0),
        lambda: head.fit(features, labels, batch_size=32, verbose=0),
        repeats,
    )
    return [row("epoch of a frozen backbone, 128 faces", "features anew", *times)]


def bench_detector(clip: Path, repeats: int) -> list[dict]:
    """A clip from the command line to the verdict, start included: see `thesis_detector.py`."""
    commands = {
        "baseline": [sys.executable, str(HERE / "thesis_detector.py"), str(clip)],
        "ours": [sys.executable, "-m", "dfutils", "detect", str(clip)],
    }
    taken: dict[str, list] = {name: [] for name in commands}
    for number in range(repeats + 1):
        for name, command in commands.items():
            seconds, peak_mb = run_measured(command)
            if number:  # the first run warms the disk's cache
                taken[name].append((seconds, peak_mb))
    (base_s, base_mb), (ours_s, ours_mb) = ([*map(statistics.median, zip(*t))] for t in taken.values())
    note = f"peak memory {base_mb:.0f} against {ours_mb:.0f} MB"
    way = "random seeks, Keras frame by frame, MoviePy's sound"
    return [row("verdict on the clip, start included", way, base_s, ours_s, note)]


def run_measured(command: list[str]) -> tuple[float, float]:
    """Run a command; returns its seconds and its peak memory [MB], children included."""
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


ROWS = {"frames": bench_frames, "lfcc": bench_lfcc, "cached": bench_cached, "detector": bench_detector}

if __name__ == "__main__":
    main()
