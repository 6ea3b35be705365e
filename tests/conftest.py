"""Fixtures that several test files share."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import hashlib
import json
from pathlib import Path

import media
import numpy as np
import pytest

from dfutils.manifest import make_manifest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def portrait():
    return media.portrait()


@pytest.fixture(scope="session")
def golden_metrics():
    return json.loads((GOLDEN / "metrics.json").read_text())


@pytest.fixture(scope="session")
def golden_lfcc():
    with np.load(GOLDEN / "lfcc_torchaudio.npz", allow_pickle=False) as file:
        return dict(file)


def content_of(folder):
    """Every file but the partial ones; tables without the folder's own name."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and ".partial-" not in path.name):
        content = path.read_bytes().replace(str(folder).encode(), b"FOLDER")
        found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def manifest_row(path, label, number=0, **changes):
    row = {"path": str(path), "label": label, "split": "train", "person": f"p{number}"}
    row |= {"source": f"s{number}", "method": "swap" if label else "none", "dataset": "tests"}
    return row | changes


@pytest.fixture(scope="session")
def face_manifest(tmp_path_factory):
    """Seven small crops, each of its own brightness (20 + 30 k), which tells the row even in a batch."""
    from dfutils.images import write_image

    folder = tmp_path_factory.mktemp("faces")
    rows = []
    for k in range(7):
        image = np.full((40, 36, 3), 20 + 30 * k, np.uint8)
        rows.append(manifest_row(write_image(folder / f"{k}.png", image), k % 2, k))
    return make_manifest(rows)


@pytest.fixture(scope="session")
def textured_manifest(tmp_path_factory):
    """Five crops of the portrait, for augmentation."""
    from dfutils.images import write_image

    folder = tmp_path_factory.mktemp("textured")
    rows = []
    for k in range(5):
        image = media.portrait()[60 : 160 + 4 * k, 170 : 260 + 4 * k]
        rows.append(manifest_row(write_image(folder / f"{k}.png", image), k % 2, k))
    return make_manifest(rows)


@pytest.fixture(scope="session")
def voice_manifest(tmp_path_factory):
    """Five voice-like clips of .8 to 1.2 s."""
    from dfutils.audio import write_flac

    folder = tmp_path_factory.mktemp("voices")
    rows = []
    for k in range(5):
        path = write_flac(folder / f"{k}.flac", media.voice(0.8 + 0.1 * k, seed=k))
        rows.append(manifest_row(path, k % 2, k))
    return make_manifest(rows)
