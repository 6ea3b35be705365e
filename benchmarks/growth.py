"""Time and peak memory over growing work: length, resolution, rows, files. Part of `make bench`.

Every line is a process of its own, start included. The table goes to ``reports/growth.csv``. Peak memory is
of the largest process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd
from common import add_machine, draw_clip, run_measured

from dfutils import paths

MINUTES_OF_VIDEO, MINUTES_OF_SOUND = (1, 10, 120), (1, 20, 180)
SIZES_HW = ((720, 1280), (1080, 1920), (2160, 3840))
N_ROWS, N_CLIPS = (1_000, 10_000, 100_000), (4, 8, 16)
COMMON = {"label": 0, "split": "train", "method": "none", "dataset": "drawn"}


def main() -> None:
    """Measure, print, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs=2, metavar=("WHAT", "ARGUMENT"), help="the child's part of a line")
    parser.add_argument("--only", nargs="+", default=list(ROWS), choices=list(ROWS))
    options = parser.parse_args()
    if options.work:
        WORK[options.work[0]](options.work[1])
        return
    rows = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            for what, size, unit, command in ROWS[name](Path(folder)):
                print(f"{what}, {size} {unit} ...", file=sys.stderr, flush=True)
                seconds, peak_mb = run_measured([sys.executable, *command])
                rows.append(
                    {"what": what, "size": size, "unit": unit, "seconds": seconds, "peak_mb": peak_mb}
                )
    table = add_machine(pd.DataFrame(rows))
    print(table.drop(columns="versions").to_string(index=False, float_format="%.3g"))
    if set(options.only) == set(ROWS):
        with paths.atomic_path(paths.PROJECT_ROOT / "reports" / "growth.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.4g")


def detect(path: Path) -> list[str]:
    """Return the arguments that judge a file."""
    return ["-m", "dfutils", "detect", str(path)]


def long_videos(folder: Path):
    """A minute of 640 x 360 px with speech, its packets repeated."""
    minute = draw_clip(folder / "minute.mp4", 60, size_hw=(360, 640))
    for minutes in MINUTES_OF_VIDEO:
        path = repeat_packets(minute, folder / f"{minutes}.mp4", minutes)
        yield "detect: length of a video", minutes, "minutes", detect(path)
        path.unlink()


def long_sounds(folder: Path):
    """A minute of speech as MP3, its packets repeated."""
    import numpy as np
    import soundfile

    from dfutils.embedded.voices import draw_speaker, synthesise

    voice = synthesise(draw_speaker(1, 1), 60, np.random.default_rng(1))
    soundfile.write(folder / "minute.mp3", voice, 16_000)
    for minutes in MINUTES_OF_SOUND:
        path = repeat_packets(folder / "minute.mp3", folder / f"{minutes}.mp3", minutes)
        yield "detect: length of a sound", minutes, "minutes", detect(path)


def large_pictures(folder: Path):
    """Ten seconds at three sizes."""
    for size_hw in SIZES_HW:
        path = draw_clip(folder / f"{size_hw[0]}.mp4", 10, size_hw=size_hw)
        yield "detect: height of a video", size_hw[0], "px", detect(path)


def long_tables(folder: Path):
    """Read a manifest, check it for leaks, draw from it, and order an epoch."""
    for n_rows in N_ROWS:
        rows = [
            {"path": f"/x/{n}.png", "person": f"p{n // 100}", "source": f"s{n // 10}", **COMMON}
            for n in range(n_rows)
        ]
        pd.DataFrame(rows).to_csv(folder / f"{n_rows}.csv", index=False)
        yield "manifest", n_rows, "rows", [__file__, "--work", "manifest", str(folder / f"{n_rows}.csv")]


def many_clips(folder: Path):
    """Cut crops of more and more clips, two at a time."""
    clip = draw_clip(folder / "clip.mp4", 10, size_hw=(360, 640))
    for n_clips in N_CLIPS:
        of_run = folder / str(n_clips)
        of_run.mkdir()
        for number in range(n_clips):
            (of_run / f"{number}.mp4").write_bytes(clip.read_bytes())
        yield "crops: clips of 10 s", n_clips, "clips", [__file__, "--work", "crops", str(of_run)]


def work_on_manifest(path: str) -> None:
    """See `long_tables`."""
    from dfutils.leaks import find_leaks
    from dfutils.manifest import read_manifest, subset

    table = read_manifest(path)
    assert not len(find_leaks(table, check_files=False))
    assert len(subset(table, 500, 1)) == 500


def work_on_crops(folder: str) -> None:
    """See `many_clips`."""
    from dfutils.manifest import make_manifest
    from dfutils.preprocess_video import extract_crops

    clips = sorted(Path(folder).glob("*.mp4"))
    rows = [{"path": str(path), "person": path.stem, "source": path.stem, **COMMON} for path in clips]
    crops, _ = extract_crops(make_manifest(pd.DataFrame(rows), "drawn"), Path(folder) / "out", progress=False)
    assert len(crops) == 10 * len(clips)


def repeat_packets(source: Path, target: Path, times: int) -> Path:
    """Write a file that plays ``source`` many times, without coding it anew."""
    import av

    playlist = target.with_suffix(".txt")
    playlist.write_text("ffconcat version 1.0\n" + f"file '{source}'\n" * times)
    with (
        av.open(str(playlist), format="concat", options={"safe": "0"}) as all_of_it,
        av.open(str(target), "w") as output,
    ):
        streams = [output.add_stream_from_template(stream) for stream in all_of_it.streams]
        last = {}
        for packet in all_of_it.demux():
            number = packet.stream.index
            if packet.dts is None or packet.dts <= last.get(number, packet.dts - 1):
                continue  # at a seam the sound of two minutes overlaps by a packet
            last[number] = packet.dts
            packet.stream = streams[number]
            output.mux(packet)
    return target


ROWS = {
    "videos": long_videos,
    "sounds": long_sounds,
    "pictures": large_pictures,
    "tables": long_tables,
    "clips": many_clips,
}
WORK = {"manifest": work_on_manifest, "crops": work_on_crops}

if __name__ == "__main__":
    main()
