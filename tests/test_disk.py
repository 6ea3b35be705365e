"""A full disk and folders that cannot be written: a clear error, and no half file that is taken for whole."""

import errno
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import manifest_row
from media import moving_face, voice, write_video
from stand_ins import use_red_is_fake

from dfutils import InputError
from dfutils.audio import write_flac
from dfutils.copy_synthesis import make_copies
from dfutils.errors import StorageError
from dfutils.images import write_image
from dfutils.manifest import make_manifest, write_manifest
from dfutils.paths import atomic_path, disk_trouble
from dfutils.preprocess_audio import extract_clips
from dfutils.preprocess_video import CropSettings, extract_crops

HERE = Path(__file__).parent
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
READ_ONLY = OSError(errno.EROFS, os.strerror(errno.EROFS))


def run_limited(code, folder, n_bytes, *arguments):
    """Run Python code whose files may not grow beyond so many bytes: what is longer fails to be written."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({n_bytes}, {n_bytes}))\n"
    command = [sys.executable, "-c", limit + code, str(folder), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=HERE)


def partial(folder):
    return list(Path(folder).rglob(".partial-*"))


# ------------------------------------------------------------------ atomic_path

WRITERS = """
import sys
from pathlib import Path
import numpy as np, pandas as pd
from dfutils.errors import StorageError
from dfutils.paths import atomic_path
folder, sample = Path(sys.argv[1]), np.random.default_rng(0)
def text():
    with atomic_path(folder / "text.json") as temporary:
        temporary.write_text("x" * 200_000)
def table():
    with atomic_path(folder / "table.csv") as temporary:
        pd.DataFrame(sample.normal(size=(9000, 3))).to_csv(temporary)
def arrays():
    with atomic_path(folder / "arrays.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, values=sample.normal(size=30_000))
def picture():
    from dfutils.images import write_image
    write_image(folder / "picture.png", sample.integers(0, 255, (300, 300, 3), dtype=np.uint8))
def sound():
    from dfutils.audio import write_flac
    write_flac(folder / "sound.flac", sample.normal(0, .1, 100_000).astype("f4"))
def weights():
    import h5py
    with atomic_path(folder / "weights.h5") as temporary, h5py.File(temporary, "w") as file:
        file["values"] = sample.normal(size=30_000)
for write in (text, table, arrays, picture, sound, weights):
    try:
        write()
        print(write.__name__, "was written")
    except StorageError as error:
        print(error)
"""


def test_every_kind_of_file(tmp_path):
    run = run_limited(WRITERS, tmp_path, 50_000)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    names = ["text.json", "table.csv", "arrays.npz", "picture.png", "sound.flac", "weights.h5"]
    assert lines == [f"{tmp_path / name}: cannot be written (file too large)" for name in names]
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise FULL

    with pytest.raises(StorageError, match=r"a.txt: cannot be written \(no space left on device\)"):
        write()
    assert path.read_text() == "old"
    assert not partial(tmp_path)


def test_other_errors_pass_unchanged(tmp_path):
    for error in (FileNotFoundError(errno.ENOENT, "no such input"), ValueError("full"), KeyError("x")):
        with pytest.raises(type(error)) as caught, atomic_path(tmp_path / "a"):
            raise error
        assert caught.value is error
    assert disk_trouble(OSError("no number")) is None
    assert (
        disk_trouble(RuntimeError("Can't close (errno = 28, error message = '...')"))
        == "no space left on device"
    )


@pytest.mark.parametrize("step", ["tempfile.mkstemp", "os.fsync", "os.replace"])
@pytest.mark.parametrize("error", [FULL, READ_ONLY], ids=["full", "read-only"])
def test_wherever_the_system_says_so(tmp_path, monkeypatch, step, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(f"dfutils.paths.{step}", fail)
    reason = error.strerror.lower()
    with (
        pytest.raises(StorageError, match=rf"{tmp_path}.*cannot be written \({reason}"),
        atomic_path(tmp_path / "a") as temporary,
    ):
        temporary.write_text("new")
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_is_to_be(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match=r"file: cannot be written \(a file stands"),
        atomic_path(tmp_path / "file" / "a.txt"),
    ):
        pass
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(StorageError, match=r"folder: cannot be written \(is a directory"),
        atomic_path(tmp_path / "folder"),
    ):
        pass


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o555)
    with (
        pytest.raises(StorageError, match=r"cannot be written \(permission denied"),
        atomic_path(tmp_path / "a"),
    ):
        pass


# ------------------------------------------------------------------ long steps


def break_disk(monkeypatch, *which, error=FULL):
    """Let writing fail for some files by number, and for none that is smaller, such as their records."""
    replace, numbers = os.replace, itertools.count()

    def fail_once(source, target):
        if next(numbers) in which:
            raise error
        replace(source, target)

    monkeypatch.setattr("dfutils.paths.os.replace", fail_once)


@pytest.fixture
def in_this_process(monkeypatch):
    """Do guarded work here, where the disk is ours to break."""

    def call(*arguments):
        function, arguments = next((x, y) for x, y in itertools.pairwise(arguments) if callable(x))
        return function(*arguments), None, None

    monkeypatch.setattr("dfutils.jobs.try_guarded", call)


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().replace(str(folder).encode(), b"F")
        for path in sorted(folder.rglob("*.*"))
        if path.is_file()
    }


def steps(root):
    """Name, what to run into a folder, and how many files it writes."""
    frames = moving_face(8)
    rows = [manifest_row(write_video(root / f"{k}.mp4", frames), 0, k) for k in range(2)]
    videos = make_manifest(rows)
    voices = make_manifest(
        [manifest_row(write_flac(root / f"{k}.flac", voice(1.0, seed=k)), 0, k) for k in range(2)]
    )
    settings = CropSettings(n_per_real=2)
    return {
        "crops": lambda folder: extract_crops(videos, folder, settings, n_jobs=1, progress=False),
        "copies": lambda folder: make_copies(voices, folder, ("world", "joins"), workers=1, progress=False),
        "clips": lambda folder: extract_clips(voices, folder, n_jobs=1, progress=False),
    }


@pytest.mark.parametrize("error", [FULL, READ_ONLY], ids=["full", "read-only"])
@pytest.mark.parametrize("name", ["crops", "copies", "clips"])
@pytest.mark.usefixtures("in_this_process")
def test_preprocessing_stops_and_goes_on(tmp_path, monkeypatch, name, error):
    """Whichever file it is that does not fit, no sample is taken for bad, and the end is the same."""
    step = steps(tmp_path)[name]
    step(tmp_path / "whole")
    expected = files_of(tmp_path / "whole")
    assert len(expected) in (8, 6)
    for n in range(len(expected)):
        folder = tmp_path / f"after-{n}"
        with monkeypatch.context() as patch:
            break_disk(patch, n, error=error)
            with pytest.raises(InputError, match=rf"{folder}.*cannot be written \({error.strerror.lower()}"):
                step(folder)
        assert not partial(folder)
        assert set(files_of(folder)) < set(expected)
        step(folder)
        assert files_of(folder) == expected


def test_guarded_preprocessing_says_so_too(tmp_path):
    """The error comes from a child process."""
    path = write_video(tmp_path / "a.mp4", moving_face(8))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "crops").write_text("a file where a folder is to be")
    with pytest.raises(InputError, match=r"crops.*cannot be written"):
        extract_crops(
            make_manifest([manifest_row(path, 0, 1)]),
            tmp_path / "out",
            CropSettings(n_per_real=2),
            progress=False,
        )
    assert not list((tmp_path / "out").glob("records/*"))


LEARN = """
import resource, sys
from pathlib import Path
import kill_target
from dfutils.errors import StorageError
root = Path(sys.argv[1])
kill_target.learn(root / "whole")
for limit in [300, 650, 100_000, resource.RLIM_INFINITY]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        kill_target.learn(root / "learn")
    except StorageError as error:
        print(error)
"""


@pytest.mark.slow
def test_features_and_checkpoints(tmp_path):
    """Files may be ever larger: it stops at the first block, the cache, the checkpoint; then it ends."""
    image = np.random.default_rng(0).integers(0, 255, (40, 36, 3), dtype=np.uint8)
    rows = [manifest_row(write_image(tmp_path / f"{k}.png", image), k % 2, k) for k in range(4)]
    write_manifest(make_manifest(rows), tmp_path / "faces.csv")
    command = [sys.executable, "-c", LEARN, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE, timeout=240)
    assert run.returncode == 0, run.stderr
    stops = [line.removeprefix(f"{tmp_path / 'learn'}/").split(":")[0] for line in run.stdout.splitlines()]
    assert [re.sub("-[0-9a-f]{20}", "", stop) for stop in stops] == [
        "parts/0000000.npz",
        "features.npz",
        "all/best.weights.h5",
    ]
    assert run.stdout.count("cannot be written (file too large)") == 3
    assert not partial(tmp_path)
    assert (tmp_path / "learn" / "digests.json").read_text() == (
        tmp_path / "whole" / "digests.json"
    ).read_text()


# ------------------------------------------------------------------ the command line


@pytest.mark.parametrize("option", ["--json", "--csv", "--html"])
def test_detect(tmp_path, monkeypatch, capsys, option):
    from dfutils.__main__ import main

    use_red_is_fake(monkeypatch)
    path = write_video(tmp_path / "a.mp4", moving_face(8))
    out = tmp_path / "out"
    break_disk(monkeypatch, *range(9))  # whatever is tried
    assert main(["detect", str(path), option, str(out)]) == 2
    assert f"error: {out}: cannot be written (no space left on device)" in capsys.readouterr().err
    assert not out.exists()
    assert not partial(tmp_path)
