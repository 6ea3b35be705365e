"""`make fuzz`: broken media through preprocessing and the detector, in processes with limits.

Every file gets a verdict, an abstention or a reason; none gets a traceback, an endless wait, or a verdict on
what cannot be decoded. Work that crashes, hangs and eats memory is planted among good work. The table goes to
``reports/fuzz.csv``; the exit status is 1 where something of this did not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from broken_media import Broken, make_corpus
from fuzz_work import call, count_decodable, crash, grow, hang
from tqdm import tqdm

from dfutils import paths
from dfutils.detector import DeepfakeDetector
from dfutils.errors import InputError
from dfutils.guard import GuardError, Limits, run_guarded
from dfutils.jobs import run_jobs
from dfutils.judge_files import FileJudge
from dfutils.manifest import make_manifest
from dfutils.media_files import find_media
from dfutils.preprocess_audio import extract_clips
from dfutils.preprocess_video import CropSettings, extract_crops

CHUNK = 50  # files that are preprocessed at a time
REASONS = {  # how reasons of `dfutils.guard` begin
    "crashed": "the decoder crashed",
    "timed_out": "took longer than",
    "out_of_memory": ("needed more than", "its process was killed"),
}
UNFORESEEN = "could not be judged ("  # how `FileJudge` begins where something else than `InputError` came up
OUTCOMES = ("judged", "abstained", "refused", "passed_over")
COUNTS = (*OUTCOMES, *REASONS, "tracebacks", "silent_verdicts", "with_crops", "with_clips")


def main(arguments: list[str] | None = None) -> int:
    """Make the media, run everything, write the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=600, help="of broken files (600)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="begin no more files after so long")
    parser.add_argument("--seconds", type=float, default=60.0, help="limit for one file (60)")
    parser.add_argument("--memory", type=int, default=3000, help="limit for one file, in MB (3000)")
    parser.add_argument("--jobs", type=int, default=1, help="processes for preprocessing (1)")
    parser.add_argument("--out", default=str(paths.PROJECT_ROOT / "reports" / "fuzz.csv"))
    options = parser.parse_args(arguments)
    limits = Limits(options.seconds, options.memory)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        corpus = make_corpus(Path(folder), options.number, options.seed)
        with _inside(Path(folder) / "clips"):
            files = fuzz(corpus, Path(folder) / "out", limits, options.jobs, options.minutes)
    table = summarise([*files, *plant(Limits(4, 600), options.jobs)])
    with paths.atomic_path(options.out) as temporary:
        table.to_csv(temporary, index=False)
    print(table.to_string(index=False))
    print("\n" + table.drop(columns=["mutation", "kind"]).pipe(_total).to_string())
    return int(table[["tracebacks", "silent_verdicts"]].to_numpy().sum() > 0 or _n_lost(table) > 0)


def fuzz(corpus: list[Broken], out: Path, limits: Limits, n_jobs: int, minutes: float | None) -> list[dict]:
    """Judge and preprocess the files, which lie in the working directory; one row for each."""
    stop = time.monotonic() + 60 * (minutes or 1e9)
    found, rows = set(find_media(["."])), []
    detector = DeepfakeDetector()
    names = [one.path for one in corpus]
    with FileJudge(detector, names, 4, 2, limits=limits) as judge:
        for one in tqdm(corpus, unit="file", disable=None):
            if time.monotonic() > stop:
                break
            row = {"path": one.path, "mutation": one.mutation, "kind": one.kind, **dict.fromkeys(COUNTS, 0)}
            if one.path not in found and one.kind in (
                "out",
                "out by a folder",
            ):  # given by name, it is judged
                rows.append(row | {"passed_over": 1})
                continue
            _forget_peaks(judge.guard.pids())
            start = time.monotonic()
            finding = judge.judge(one.path)
            row["seconds_max"], row["peak_mb"] = time.monotonic() - start, _read_peak(judge.guard.pids())
            _note(row, finding.get("error", ""))
            parts = [part for part in ("picture", "voice") if finding[part].get("verdict")]
            outcome = "refused" if finding.get("error") else "judged" if parts else "abstained"
            row[outcome] = 1
            if parts:
                there = run_guarded(count_decodable, (one.path,), limits)
                row["silent_verdicts"] = int(one.hopeless or any(not there[part] for part in parts))
            if row["silent_verdicts"]:
                print(f"verdict on {one.path!r} ({one.mutation}, {one.kind}): {there}", file=sys.stderr)
            rows.append(row)
    usable = [row for row in rows if row["path"] in found]
    for start in range(0, len(usable), CHUNK):
        _preprocess(usable[start : start + CHUNK], out / str(start), limits, n_jobs)
    return rows


def _note(row: dict, reason: str) -> None:
    for name, beginning in REASONS.items():
        row[name] |= int(reason.startswith(beginning))
    if reason.startswith(UNFORESEEN):
        row["tracebacks"] = 1
        print(f"{row['path']!r} ({row['mutation']}, {row['kind']}): {reason}", file=sys.stderr)


def _preprocess(rows: list[dict], out: Path, limits: Limits, n_jobs: int) -> None:
    """Cut faces and voices out of some files, and note in their rows what became of them."""
    settings = CropSettings(n_per_real=2, n_per_fake=2)
    by_path = {row["path"]: row for row in rows}
    samples = [
        {"path": row["path"], "label": 0, "split": "train", "person": f"p{number}", "source": f"s{number}",
         "method": "none", "dataset": "fuzz"}
        for number, row in enumerate(rows)
    ]  # fmt: skip
    steps: dict[str, Callable] = {
        "with_crops": lambda table, folder: extract_crops(table, folder, settings, n_jobs, False, limits),
        "with_clips": lambda table, folder: extract_clips(
            table, folder, n_jobs=n_jobs, progress=False, limits=limits
        ),
    }
    for name, step in steps.items():
        done, rejects = _try_step(step, make_manifest(samples), out / name, by_path)
        for path in done:
            by_path[path][name] = 1
        for path, reason in rejects:
            _note(by_path[path], reason)


def _try_step(
    step: Callable, table: pd.DataFrame, folder: Path, by_path: dict[str, dict]
) -> tuple[list, list]:
    try:
        done, rejects = step(table, folder)
        return list(done["video" if "video" in done else "original"].unique()), list(
            zip(rejects["path"], rejects["reason"])
        )
    except InputError as error:
        if "not one" not in error.reason:
            raise
        rejects = pd.read_csv(next(folder.glob("*-rejects.csv")))
        return [], list(zip(rejects["path"], rejects["reason"]))
    except Exception:  # a fault of ours: which file is it?
        if len(table) == 1:
            path = table["path"].iloc[0]
            by_path[path]["tracebacks"] = 1
            print(f"{path!r}:\n{traceback.format_exc()}", file=sys.stderr)
            return [], []
        parts = [_try_step(step, table.iloc[[k]], folder / str(k), by_path) for k in range(len(table))]
        return [path for done, _ in parts for path in done], [row for _, rejects in parts for row in rejects]


# ------------------------------------------------------------------ planted


def plant(limits: Limits, n_jobs: int, n_each: int = 2) -> list[dict]:
    """Put work that crashes, hangs and grows among good work; one row for each piece of it."""
    rows = []
    for name, work in (("crashed", crash), ("timed_out", hang), ("out_of_memory", grow)):
        jobs = [(f"{name} {k}", work if k % 2 else len) for k in range(2 * n_each)]
        results = run_jobs(call, jobs, n_jobs, True, limits, lambda job, failure: failure)
        for (path, task), result in zip(jobs, results, strict=True):
            if task is len:
                if result != len(path):
                    raise AssertionError(f"{name} took {path} with it: {result!r}")
                continue
            row = {"path": path, "mutation": "planted", "kind": work.__name__, **dict.fromkeys(COUNTS, 0)}
            reason = result.reason if isinstance(result, GuardError) else ""
            _note(row, reason)
            rows.append(row | {"refused": row[name]})  # 0 where it did not end as it should
    return rows


# ------------------------------------------------------------------ memory, tables


def _forget_peaks(pids: list[int]) -> None:
    for pid in pids:
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:  # not Linux
            return


def _read_peak(pids: list[int]) -> float:
    """Return the most memory that one of some processes held since `_forget_peaks` [MB]."""
    peaks = [0.0]
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        peaks += [int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")]
    return max(peaks)


def summarise(rows: list[dict]) -> pd.DataFrame:
    """Count outcomes by mutation and kind."""
    table = pd.DataFrame(rows)
    groups = table.groupby(["mutation", "kind"], sort=False)
    counted = groups[list(COUNTS)].sum()
    counted.insert(0, "files", groups.size())
    for name, digits in (("seconds_max", 2), ("peak_mb", 0)):
        counted[name] = groups[name].max().round(digits)
    return counted.reset_index()


def _total(table: pd.DataFrame) -> pd.Series:
    return pd.concat(
        [table.drop(columns=["seconds_max", "peak_mb"]).sum(), table[["seconds_max", "peak_mb"]].max()]
    )


def _n_lost(table: pd.DataFrame) -> int:
    """How many files have no outcome at all."""
    return int((table["files"] - table[list(OUTCOMES)].sum(axis=1)).abs().sum())


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    sys.exit(main())
