"""From a manifest of videos to a table of face crops: parallel, resumable, with a table of rejects."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import pandas as pd
from tqdm.auto import tqdm

from dfutils.crops import CropGeometry, crop_face, resize_image
from dfutils.errors import InputError, StorageError
from dfutils.faces import Face, make_detector
from dfutils.guard import GuardError, Limits
from dfutils.images import write_image
from dfutils.jobs import run_jobs
from dfutils.manifest import COLUMNS, make_manifest, write_manifest
from dfutils.paths import atomic_path
from dfutils.video import probe_video, read_frames, read_frames_at

REJECT_COLUMNS = ("path", "frame_index", "reason")


@dataclass(frozen=True)
class CropSettings:
    """What to cut out of each video.

    Parameters
    ----------
    n_per_real, n_per_fake : int
        Frames per video; a different number balances the classes (study D: 40 and 8).
    sampling : {"even", "random"}
        See `dfutils.video.plan_frames`.
    detector : str
        See `dfutils.faces.make_detector`.
    min_confidence : float
        0..1, of the detection.
    min_face_px : int
        Least width of the detected box [px].
    geometry : CropGeometry
    max_crop_px : int
        Larger crops are scaled down to this long side [px].
    reuse_boxes : bool
        Cut a fake where its real video (same dataset and source) was cut, same frames and boxes;
        such pairs differ in nothing but the manipulation (study E).
    seed : int
    """

    n_per_real: int = 10
    n_per_fake: int = 10
    sampling: str = "random"
    detector: str = "yunet"
    min_confidence: float = 0.6
    min_face_px: int = 40
    geometry: CropGeometry = field(default_factory=CropGeometry)
    max_crop_px: int = 320
    reuse_boxes: bool = False
    seed: int = 42


def extract_crops(
    videos: pd.DataFrame,
    folder: str | os.PathLike,
    settings: CropSettings | None = None,
    n_jobs: int = 2,
    progress: bool = True,
    limits: Limits | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut the largest face out of sampled frames of every video.

    Each finished video leaves a small JSON record beside its crops; a second run, or one after an
    interruption, takes up what is recorded under the same settings and the same file. A video that
    crashes its decoder, takes too long or needs too much memory is one reject, and is recorded as well.

    Parameters
    ----------
    videos : pandas.DataFrame
        A manifest (`dfutils.manifest`).
    folder : str or os.PathLike
        Gets ``crops/``, ``records/``, ``crops.csv`` and ``crop-rejects.csv``.
    settings : CropSettings, optional
    n_jobs : int
        Parallel processes (joblib).
    progress : bool
        Show a progress bar.
    limits : dfutils.guard.Limits, optional
        For one video.

    Returns
    -------
    crops : pandas.DataFrame
        A manifest of crops; further columns ``video``, ``frame_index``, ``x``, ``y``, ``width``,
        ``height`` (the detected box [px]), ``confidence``, ``n_faces``.
    rejects : pandas.DataFrame
        ``path``, ``frame_index`` (-1: the whole video), ``reason``.

    Raises
    ------
    InputError
        Not one crop could be cut.
    """
    settings = settings or CropSettings()
    if not len(videos):
        raise InputError("videos", "the table has no rows to cut crops from")
    make_detector(settings.detector, min_confidence=settings.min_confidence)  # fail before the work
    folder = Path(folder).absolute()
    records: dict[str, dict] = {}
    waves = [videos]
    if settings.reuse_boxes:
        waves = [videos[videos["label"] == 0], videos[videos["label"] == 1]]
    with tqdm(total=len(videos), desc="videos", unit="video", disable=not progress) as bar:
        for wave in waves:
            boxes = _boxes_by_source(videos, records) if settings.reuse_boxes else {}
            jobs = [
                (row["path"], row["label"], folder, settings, boxes.get((row["dataset"], row["source"])))
                for row in wave.to_dict("records")
            ]
            for record in run_jobs(_process_video, jobs, n_jobs, False, limits or Limits(), _reject):
                records[record["video"]] = record
                bar.update()
    rows, rejects = [], []
    for row in videos.to_dict("records"):
        record = records[row["path"]]
        kept = {key: value for key, value in row.items() if key not in ("path", "n_frames", "fps")}
        rows += [
            {**kept, **crop, "path": str(folder / crop["path"]), "video": row["path"]}
            for crop in record["crops"]
        ]
        rejects += [{"path": row["path"], **reject} for reject in record["rejects"]]
    rejects = pd.DataFrame(rejects, columns=list(REJECT_COLUMNS))
    with atomic_path(folder / "crop-rejects.csv") as temporary:
        rejects.to_csv(temporary, index=False)
    if not rows:
        reasons = rejects["reason"].value_counts()
        raise InputError(
            folder, f"not one face crop came out of {len(videos)} videos; most often: {reasons.index[0]}"
        )
    crops = make_manifest(rows, "crops")
    crops = crops[[*COLUMNS, *(column for column in crops.columns if column not in COLUMNS)]]
    write_manifest(crops, folder / "crops.csv")
    return crops, rejects


def _boxes_by_source(videos: pd.DataFrame, records: dict[str, dict]) -> dict:
    known = {}
    for row in videos.to_dict("records"):
        record = records.get(row["path"])
        if row["label"] == 0 and record and record["crops"]:
            known[row["dataset"], row["source"]] = {"size_hw": record["size_hw"], "crops": record["crops"]}
    return known


@functools.lru_cache(maxsize=2)
def _cached_detector(name: str, min_confidence: float):
    cv2.setNumThreads(1)  # the processes are the parallelism
    return make_detector(name, min_confidence=min_confidence)


def _process_video(path: str, label: int, folder: Path, settings: CropSettings, reuse: dict | None) -> dict:
    """Cut one video, or read its record; never raises for a bad video."""
    key = _key(path, settings, reuse)
    record_path = folder / "records" / f"{key}.json"
    if record_path.exists():
        record = json.loads(record_path.read_text())
        if all((folder / crop["path"]).exists() for crop in record["crops"]):
            return record
    record = {"video": path, "size_hw": None, "crops": [], "rejects": []}
    try:
        _cut(Path(path), label, folder, key, settings, reuse, record)
    except StorageError:  # no fault of the video
        raise
    except InputError as error:
        record["rejects"].append({"frame_index": -1, "reason": error.reason})
    with atomic_path(record_path) as temporary:
        temporary.write_text(json.dumps(record))
    return record


def _reject(job: tuple, failure: GuardError) -> dict:
    """Record a video that no process survives, so that only one that was killed is tried again."""
    path, _, folder, settings, reuse = job
    record = {"video": path, "size_hw": None, "crops": []}
    record["rejects"] = [{"frame_index": -1, "reason": failure.reason}]
    if failure.kind != "killed":
        with atomic_path(folder / "records" / f"{_key(path, settings, reuse)}.json") as temporary:
            temporary.write_text(json.dumps(record))
    return record


def _key(path: str, settings: CropSettings, reuse: dict | None) -> str:
    stat = os.stat(path) if os.path.exists(path) else None
    identity = [path, stat and [stat.st_size, stat.st_mtime_ns], asdict(settings), reuse]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]


def _cut(
    path: Path, label: int, folder: Path, key: str, settings: CropSettings, reuse: dict | None, record: dict
) -> None:
    if not path.is_dir():
        record["size_hw"] = list(probe_video(path).size_hw)
    known = {}
    if reuse and reuse["size_hw"] == record["size_hw"]:  # a fake of another size has other boxes
        known = {crop["frame_index"]: crop for crop in reuse["crops"]}
    n = settings.n_per_fake if label else settings.n_per_real
    # the seed depends on the video, or all videos would give the same frame numbers
    seed = int.from_bytes(hashlib.sha256(f"{settings.seed}/{path.name}".encode()).digest()[:4], "big")
    frames = read_frames_at(path, known) if known else read_frames(path, n, settings.sampling, seed)
    n_read = 0
    for index, frame in frames:
        n_read += 1
        if index in known:
            crop = known[index]
            box = tuple(crop[name] for name in ("x", "y", "width", "height"))
            face, n_faces = Face(box, crop["confidence"]), crop["n_faces"]
        else:
            faces = _cached_detector(settings.detector, settings.min_confidence).detect(frame)
            if not faces:
                reason = f"no face found with a confidence of {settings.min_confidence} or more"
                record["rejects"].append({"frame_index": index, "reason": reason})
                continue
            face, n_faces = faces[0], len(faces)
        if face.box[2] < settings.min_face_px:
            reason = f"the face is {face.box[2]:.0f} px wide, less than {settings.min_face_px}"
            record["rejects"].append({"frame_index": index, "reason": reason})
            continue
        image = crop_face(frame, face.box, settings.geometry)
        scale = settings.max_crop_px / max(image.shape[:2])
        if scale < 1:
            image = resize_image(image, tuple(round(side * scale) for side in image.shape[:2]))
        relative = Path("crops") / f"{path.stem[:40]}-{key[:8]}" / f"{index:06d}.png"
        write_image(folder / relative, image)
        box = dict(zip(("x", "y", "width", "height"), (round(value, 2) for value in face.box)))
        record["crops"].append(
            {
                "path": relative.as_posix(),
                "frame_index": int(index),
                **box,
                "confidence": round(face.confidence, 4),
                "n_faces": n_faces,
            }
        )
    if n_read < len(known):
        reason = f"only {n_read} of the {len(known)} frames of its real video could be read"
        record["rejects"].append({"frame_index": -1, "reason": reason})
