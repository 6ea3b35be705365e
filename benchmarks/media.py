"""Benchmarks of reading media, finding faces, cutting crops, and of LFCC."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from common import draw_clip, in_turns, row

N_FRAMES = 20
SIZES_HW = ((540, 960), (720, 1280), (1080, 1920))  # of the study's own benchmark of detectors


def bench_frames(clip: Path, repeats: int) -> list[dict]:
    """Twenty frames of a clip: a seek to each in random order, or PyAV to the end, against decoding on."""
    import av
    import cv2

    from dfutils.video import plan_frames, probe_video, read_frames

    wanted = plan_frames(probe_video(clip).n_frames, N_FRAMES)

    def seek():
        capture = cv2.VideoCapture(str(clip))
        for index in np.random.default_rng(0).permutation(wanted):
            capture.set(cv2.CAP_PROP_POS_FRAMES, int(index))
            capture.read()

    def decode_all():
        with av.open(str(clip)) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][:: len(wanted)]

    def ours():
        return list(read_frames(clip, N_FRAMES))

    ways = (("a seek to each", seek), ("PyAV, every frame to RGB", decode_all))
    return [row(f"{N_FRAMES} frames of the clip", name, *in_turns(way, ours, repeats)) for name, way in ways]


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


def bench_detectors(clip: Path, repeats: int) -> list[dict]:
    """Faces in a frame at three resolutions: MTCNN, frame by frame and four at once, against YuNet."""
    from mtcnn import MTCNN

    from dfutils.faces import make_detector
    from dfutils.video import read_frames

    mtcnn, whole, yunet, rows = make_detector("mtcnn"), MTCNN(), make_detector("yunet"), []
    with tempfile.TemporaryDirectory() as folder:
        for size_hw in SIZES_HW:
            drawn = draw_clip(Path(folder) / f"{size_hw[0]}.mp4", 2, size_hw=size_hw)
            frames = [frame for _, frame in read_frames(drawn, 4)]
            assert all(yunet.detect(frame) and mtcnn.detect(frame) for frame in frames)
            ways = {
                "MTCNN": lambda: [mtcnn.detect(frame) for frame in frames],  # noqa: B023
                "MTCNN, 4 frames at once": lambda: whole.detect_faces(frames),  # noqa: B023
            }
            for name, way in ways.items():
                times = in_turns(way, lambda: [yunet.detect(frame) for frame in frames], repeats)  # noqa: B023
                per_frame = [taken / len(frames) for taken in times]
                rows.append(row(f"faces in a frame, {size_hw[0]} x {size_hw[1]} px", name, *per_frame))
    return rows


def bench_crops(clip: Path, repeats: int) -> list[dict]:
    """Four clips of 1080p to crops on disk: seeks and MTCNN one after the other, against ours."""
    import cv2

    from dfutils.faces import make_detector
    from dfutils.images import write_image
    from dfutils.manifest import make_manifest
    from dfutils.preprocess_video import CropSettings, extract_crops

    mtcnn = make_detector("mtcnn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [draw_clip(folder / f"{n}.mp4", 10, 30, SIZES_HW[2], seed=n) for n in range(4)]
        common = {"label": 0, "split": "train", "method": "none", "dataset": "drawn"}
        rows = [{"path": str(p), "person": p.stem, "source": p.stem, **common} for p in clips]
        table = make_manifest(pd.DataFrame(rows), "drawn")

        def thesis():
            for path in clips:
                capture = cv2.VideoCapture(str(path))
                chosen = np.random.default_rng(0).choice(300, N_FRAMES, replace=False)
                for index in chosen:
                    capture.set(cv2.CAP_PROP_POS_FRAMES, int(index))
                    frame = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
                    x, y, width, height = (max(0, round(v)) for v in mtcnn.detect(frame)[0].box)
                    part = frame[max(0, y - 25) : y + height + 25, max(0, x - 25) : x + width + 25]
                    write_image(folder / "thesis" / path.stem / f"{index}.png", part)

        def ours():
            shutil.rmtree(folder / "ours", ignore_errors=True)  # or what is done would be taken up
            settings = CropSettings(n_per_real=N_FRAMES)
            crops, _ = extract_crops(table, folder / "ours", settings, progress=False)
            assert len(crops) == N_FRAMES * len(clips)

        seconds = in_turns(thesis, ours, max(1, repeats - 1))
        note = f"{N_FRAMES * len(clips) / seconds[1]:.1f} crops a second"
    return [row("80 crops of four 1080p clips", "seeks, MTCNN, one process", *seconds, note)]
