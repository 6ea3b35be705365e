"""Where things are: environment variables first, then the project's own folders."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dfutils.errors import InputError

PROJECT_ROOT = Path(__file__).resolve().parents[1]
ASSETS = Path(__file__).resolve().parent / "assets"


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name, "").strip()
    if not value:
        return None
    folder = Path(value).expanduser()
    folder = (folder if folder.is_absolute() else PROJECT_ROOT / folder).resolve()
    if not folder.is_dir():
        raise InputError(folder, f"the environment variable {name} names this folder, but it does not exist")
    return folder


def data_dir() -> Path | None:
    """Folder of real crops, clips and videos (``DFUTILS_DATA``), or None for the embedded corpus.

    A relative value counts from the project's root, so that it means the same in every notebook.
    """
    return _from_environment("DFUTILS_DATA")


def weights_dir() -> Path | None:
    """Folder of pretrained weights (``DFUTILS_WEIGHTS``), or None."""
    return _from_environment("DFUTILS_WEIGHTS")


def corpus_name() -> str:
    """Return ``"real"`` when ``DFUTILS_DATA`` is set, else ``"embedded"``."""
    return "embedded" if data_dir() is None else "real"


def work_dir() -> Path:
    """Folder for everything that can be made again (``DFUTILS_WORK``, default ``data/work/<corpus>``)."""
    value = os.environ.get("DFUTILS_WORK", "").strip()
    folder = Path(value).expanduser() if value else PROJECT_ROOT / "data" / "work" / corpus_name()
    folder = folder if folder.is_absolute() else PROJECT_ROOT / folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def reports_dir() -> Path:
    """Folder for figures and results (``DFUTILS_REPORTS``, default ``reports/study-<corpus>``)."""
    value = os.environ.get("DFUTILS_REPORTS", "").strip()
    folder = Path(value).expanduser() if value else PROJECT_ROOT / "reports" / f"study-{corpus_name()}"
    folder = folder if folder.is_absolute() else PROJECT_ROOT / folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def models_dir() -> Path:
    """Folder of the weights that ship with the project."""
    return PROJECT_ROOT / "models"


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it over ``path`` if the block succeeds.

    A reader sees the old file or the whole new one, never half of it, even after a power cut
    between the two. The temporary name keeps the suffix, because writers such as OpenCV and
    Keras choose the format by it.

    Parameters
    ----------
    path : str or os.PathLike
        The final path; its folder is made if missing.

    Yields
    ------
    pathlib.Path
        Where to write.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    path = Path(path)
    suffixes = "".join(path.suffixes[-2:])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=suffixes, dir=path.parent)
    except OSError as error:
        raise InputError(path.parent, f"cannot be written ({error.strerror})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
