"""Keep native libraries' start-up chatter out of the user's terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_stderr_to(path: str | os.PathLike = os.devnull) -> Iterator[None]:
    """Send what this process and its children write to file descriptor 2 into a file.

    TensorFlow logs from C++ before any setting can quiet it. Exceptions pass as usual.

    Parameters
    ----------
    path : str or os.PathLike
        Appended to; the null device by default.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(target, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(target)
