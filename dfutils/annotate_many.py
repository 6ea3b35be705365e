"""Annotated copies of many files: where they go, and that one bad file stops no other."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfutils.errors import InputError
from dfutils.media_files import ANNOTATED, is_still

if TYPE_CHECKING:
    from dfutils.guard import Guard


def plan_copies(files: Sequence[str], folder: str | os.PathLike) -> dict[str, Path]:
    """Name the annotated copies of files: never outside the folder, never two alike, never an input.

    Returns
    -------
    dict of str to pathlib.Path
        By file.

    Raises
    ------
    InputError
        The folder cannot be written, or a copy would replace one of the files.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, f"cannot be written ({error.strerror})") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(folder, "cannot be written (permission denied)")
    copies = {path: folder / name_copy(path) for path in files}
    inputs = {os.path.realpath(path) for path in files}
    for copy in copies.values():
        if os.path.realpath(copy) in inputs:
            raise InputError(copy, "is one of the files to judge, and would be overwritten")
    return copies


def name_copy(path: str | os.PathLike) -> str:
    """Name the annotated copy of a file: what is safe of its name, and a hash of its whole path.

    Examples
    --------
    >>> import re
    >>> re.sub("[0-9a-f]{8}", "#", name_copy("a/../é 1.mov")), name_copy("a/x.png")[-4:]
    ('é_1-annotated-#.mp4', '.png')
    """
    stem = re.sub(r"[^\w-]+", "_", Path(path).stem).strip("_-")
    stem = stem.encode("utf-8", "ignore")[:100].decode("utf-8", "ignore") or "clip"
    digest = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:8]
    return f"{stem}{ANNOTATED}{digest}{'.png' if is_still(path) else '.mp4'}"


def try_annotate(
    findings: Mapping, copy: Path, progress: bool = False, guard: Guard | None = None
) -> str | None:
    """Write the copy of one of many files, in a guard's child process; returns why it could not be, or None.

    Files that could not be judged are passed over: that has been said.
    """
    if findings.get("error"):
        return None
    from dfutils.annotate import write_annotated

    try:
        job = (findings["path"], findings, copy, progress)
        write_annotated(*job) if guard is None else guard.run(write_annotated, job)
    except InputError as error:
        return error.reason
    except Exception as error:  # whatever a file of unknown origin does to a decoder
        return f"failed ({type(error).__name__}: {error})"
    return None
