"""Where things are: environment variables first, then the project's own folders."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dfutils.errors import InputError, StorageError

PROJECT_ROOT = Path(__file__).resolve().parents[1]
ASSETS = Path(__file__).resolve().parent / "assets"
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


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

    A reader sees the old file or the whole new one, never half of it, even after a power cut: the
    content is on the disk before the name is. The temporary name keeps the suffix, because writers
    such as OpenCV and Keras choose the format by it. A killed process leaves it behind; nothing reads
    files named ``.partial-*``, and they may be deleted while nothing runs.

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
    StorageError
        The folder cannot be written, or the disk is full or fails; ``path`` is as it was.
    """
    path = Path(path)
    suffixes = "".join(path.suffixes[-2:])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=suffixes, dir=path.parent)
    except OSError as error:
        raise cannot_be_written(path.parent, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        try:
            _put_in_place(temporary, path)
        except OSError as error:
            raise cannot_be_written(path, error) from error
    except StorageError:
        raise
    except Exception as error:  # HDF5 and others have their own ways of saying that a disk is full
        reason = disk_trouble(error)
        if reason is None:
            raise
        raise StorageError(path, f"cannot be written ({reason})") from error
    finally:
        with suppress(OSError):  # on a disk that fails; what is left is never read
            temporary.unlink(missing_ok=True)


def _put_in_place(temporary: Path, path: Path) -> None:
    temporary.chmod(0o644)
    with open(temporary, "r+b") as file:
        os.fsync(file.fileno())  # network file systems tell only here that they are full
    os.replace(temporary, path)


def cannot_be_written(path: Path, error: OSError) -> StorageError:
    """Turn what the system said into words; to be raised."""
    reason = "a file stands where a folder is to be" if error.errno == errno.EEXIST else error.strerror
    return StorageError(path, f"cannot be written ({(reason or str(error)).lower()})")


def reserve(path: Path, n_bytes: int) -> None:
    """Make sure that a file can grow to so many bytes, before a library writes it.

    HDF5 crashes the process, some time later, where a write fails. To be called in a block of
    `atomic_path`, which turns the error into words. Does nothing where the system cannot tell.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
            file.truncate(0)


def disk_trouble(error: BaseException) -> str | None:
    """Tell in plain words what is wrong with the disk, if that is what an exception is about.

    Parameters
    ----------
    error : BaseException
        Also of libraries that hide the system's number in their text, such as HDF5.

    Returns
    -------
    str or None
        For example "no space left on device"; None where it is about something else.
    """
    found = re.search(r"errno = (\d+)", str(error))
    number = getattr(error, "errno", None) or (int(found[1]) if found else None)
    return os.strerror(number).lower() if number in DISK_ERRORS else None
