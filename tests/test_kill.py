"""Kill -9 at random points, start again: the final tables and weights are those of an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import kill_target
import media
import numpy as np
import pytest
from conftest import content_of, manifest_row

from dfutils.audio import write_flac
from dfutils.images import write_image
from dfutils.manifest import make_manifest, write_manifest

TARGET = Path(__file__).with_name("kill_target.py")
SEED = 20
N_VIDEOS, N_VOICES, N_FACES = 40, 24, 24


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Tables of videos, of voices and of faces, for all runs."""
    root = tmp_path_factory.mktemp("kill")
    content = media.write_video(root / "video.mp4", media.moving_face(16)).read_bytes()
    videos, voices, faces = [], [], []
    for k in range(N_VIDEOS):
        path = root / f"video{k}.mp4"
        path.write_bytes(content if k else b"no video")
        videos.append(manifest_row(path, 0, k))
    for k in range(N_VOICES):
        path = write_flac(root / f"voice{k}.flac", media.voice(1.0, seed=k))
        voices.append(manifest_row(path, 0, k))
    for k in range(N_FACES):
        top = 60 + 2 * k
        path = write_image(root / f"face{k}.png", media.portrait()[top : top + 100, 170:260])
        faces.append(manifest_row(path, k % 2, k))
    for name, rows in (("videos", videos), ("voices", voices), ("faces", faces)):
        write_manifest(make_manifest(rows), root / f"{name}.csv")
    return root


def start(step, folder):
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    # a group of its own, which is killed as a whole; guarded children notice, and end by themselves
    return subprocess.Popen(
        [sys.executable, TARGET, step, folder],
        start_new_session=True,
        env=environment,
        stderr=subprocess.PIPE,
    )


def count(folder, pattern):
    return sum(".partial-" not in path.name for path in folder.glob(pattern))


def epochs_of(folder):
    try:
        return len((folder / "all" / "history.csv").read_text().splitlines()) - 1
    except FileNotFoundError:
        return -1


def kill_when(step, folder, progress, threshold, generator):
    """Start, and kill shortly after ``progress(folder)`` has reached the threshold; returns it then."""
    process = start(step, folder)
    try:
        until = time.monotonic() + 120
        while progress(folder) < threshold:
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < until, "no progress"
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0.1))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL, "it had ended before"
    return progress(folder)


def finish(step, folder):
    process = start(step, folder)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "pattern", "n_files", "n_all", "places"),
    [
        ("crops", "records/*.json", N_VIDEOS, N_VIDEOS + 3 * (N_VIDEOS - 1) + 2, (0.2, 0.4, 0.6)),
        ("copies", "copies/*.flac", 2 * N_VOICES, 2 * N_VOICES + 2, (0.2, 0.5)),
    ],
    ids=["crops", "copies"],
)
def test_preprocessing(root, step, pattern, n_files, n_all, places):
    generator = random.Random(SEED)
    undisturbed, killed = root / f"{step}-undisturbed", root / f"{step}-killed"
    getattr(kill_target, step)(undisturbed)
    reached = [0]
    for place in places:
        threshold = max(reached[-1] + 1, round(n_files * (place + generator.uniform(-0.1, 0.1))))
        found = kill_when(step, killed, lambda folder: count(folder, pattern), threshold, generator)
        reached.append(found)
    assert reached == sorted(reached)  # nothing that was finished is lost
    assert reached[1] < n_files
    finish(step, killed)
    expected = content_of(undisturbed)
    assert len(expected) == n_all
    assert content_of(killed) == expected


@pytest.mark.slow
def test_features_and_training(root, monkeypatch):
    """Killed while features are cached, and twice in an epoch of the training of all layers."""
    from dfutils import models

    generator = random.Random(SEED)
    undisturbed, killed = root / "learn-undisturbed", root / "learn-killed"
    monkeypatch.setattr(models, "build_backbone", models.build_backbone)  # put back what `learn` replaces
    kill_target.learn(undisturbed)
    n_blocks = kill_when("learn", killed, lambda folder: count(folder, "parts-*/*.npz"), 2, generator)
    assert 2 <= n_blocks < N_FACES / 4
    first = kill_when("learn", killed, epochs_of, generator.randint(1, 3), generator)
    second = kill_when("learn", killed, epochs_of, first + generator.randint(1, 2), generator)
    assert 1 <= first < second < 8
    finish("learn", killed)
    history = (undisturbed / "all" / "history.csv").read_text()
    assert history.count("\n") == 9
    assert (killed / "all" / "history.csv").read_text() == history
    digests = [json.loads((folder / "digests.json").read_text()) for folder in (undisturbed, killed)]
    assert len(digests[0]) >= 9
    assert digests[0] == digests[1]
    assert not list(killed.glob("parts-*"))
    assert not list(killed.glob("*/state.npz"))
    assert np.load(next(killed.glob("features-*.npz")))["features"].shape == (N_FACES, 16)
