"""Work that ends badly, for tests of `dfutils.guard`; children import it by name."""

import ctypes
import os
import signal
import time
from pathlib import Path


def echo(value):
    return value


def segfault(path):
    ctypes.string_at(0)


def kill_itself(path):
    os.kill(os.getpid(), signal.SIGKILL)


def leave(path):
    os._exit(3)


def hang(path):
    time.sleep(120)  # for ever, almost: a guard that does not work is to be found out, not waited for


def grow(path):
    blocks = [bytearray(10_000_000) for _ in range(200)]
    blocks.clear()


KEPT = []


def keep(n_bytes):
    KEPT.append(bytearray(n_bytes))
    return sum(map(len, KEPT))


def fail(path):
    raise KeyError("a fault of ours")


def write_to_stdout(path):
    print("from Python")
    os.write(1, b"from a library\n")
    return os.read(0, 100)


def where_it_runs(path):
    return os.getpid(), os.getcwd(), os.environ.get("DFUTILS_TEST"), os.environ.get("OMP_NUM_THREADS")


def start_and_hang(path):
    """Start a process that would outlive this one."""
    import subprocess
    import sys

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(path).write_text(str(child.pid))
    hang(path)


def raise_storage_error(path):
    from dfutils.errors import StorageError

    raise StorageError("out", "no space left on device")


def crash_if_told(path, bad):
    if bad:
        segfault(path)
    return path, "good"


# ------------------------------------------------------------------ stand-ins for what dfutils hands over


def _crash_if_bad(path):
    """Leave a note, since that this was tried should be found out, and crash."""
    if os.path.basename(path).startswith("bad"):
        notes = Path(os.environ["DFUTILS_TEST_NOTES"])
        notes.mkdir(exist_ok=True)
        (notes / str(time.time_ns())).touch()
        segfault(path)


def process_video(path, *arguments):
    _crash_if_bad(path)
    from dfutils import preprocess_video

    return preprocess_video._process_video(path, *arguments)


def process_or_be_killed(path, *arguments):
    if os.path.basename(path).startswith("doomed"):
        kill_itself(path)
    return process_video(path, *arguments)


def process_voice(path, *arguments):
    _crash_if_bad(path)
    from dfutils import preprocess_audio

    return preprocess_audio._process_voice(path, *arguments)


def copy_clip(path, *arguments):
    _crash_if_bad(path)
    from dfutils import copy_synthesis

    return copy_synthesis._copy_clip(path, *arguments)


def analyze(folders, path, *arguments):
    _crash_if_bad(path)
    from dfutils import judge_files

    return judge_files._analyze(folders, path, *arguments)


def guard_from_a_daemon():
    """What a worker of Dask is: a daemonic process, which may have no children of `multiprocessing`."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_answer, args=(answers,), daemon=True)
    process.start()
    found = answers.get(timeout=120)
    process.join(60)
    return found


def _answer(answers):
    import multiprocessing

    from dfutils.guard import Limits, try_guarded

    limits = Limits(60)
    found = [try_guarded("x", work, ("x",), limits) for work in (echo, segfault)]
    answers.put(
        (multiprocessing.current_process().daemon, [(value, str(error)) for value, _, error in found])
    )
