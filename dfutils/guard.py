"""Work on files of unknown origin, in child processes: time and memory are limited, a crash costs one file.

They are plain subprocesses, not those of ``multiprocessing``, which pebble starts, too: these cannot be had
in a daemonic process, as Dask's workers are, and they import the caller's script again.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import cloudpickle  # takes functions that a notebook defined, too

from dfutils.errors import InputError
from dfutils.guard_child import receive, send

_THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")  # …_NUM_THREADS
_START = "import sys; sys.path[:] = sys.argv[1:]; from dfutils.guard_child import serve; serve({!r})"


@dataclass(frozen=True)
class Limits:
    """What one piece of work may take.

    Parameters
    ----------
    seconds : float
        [s]; enough for a film of two hours.
    memory_mb : int
        [MB], of data that a child holds, code not counted. Kept on Linux; elsewhere nothing limits it.
    n_threads : int or None
        Of numerical libraries in a child; None: as they like.
    """

    seconds: float = 1800.0
    memory_mb: int = 6000
    n_threads: int | None = None


class GuardError(InputError):
    """A file's decoding crashed, took too long, or needed too much memory.

    Attributes
    ----------
    kind : {"crash", "time", "memory", "killed"}
        The last is somebody else's doing, and another try may go well.
    """

    def __init__(self, subject: str | os.PathLike, reason: str, kind: str = "crash"):
        super().__init__(subject, reason)
        self.kind = kind

    def __reduce__(self):
        return type(self), (self.subject, self.reason, self.kind)


class Guard:
    """Runs pieces of work in kept child processes, one more for each that runs at the same time.

    Use it in a ``with`` statement, or `close` it; several threads may share it.

    Parameters
    ----------
    limits : Limits, optional
    """

    def __init__(self, limits: Limits | None = None):
        self.limits = limits or Limits()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def run(self, function: Callable, arguments: tuple, subject: str | os.PathLike | None = None):
        """Call a function in a child, with the working directory and the environment of here.

        Parameters
        ----------
        function : callable
        arguments : tuple
            They, and what comes back, must be picklable.
        subject : str or os.PathLike, optional
            What to name where it fails; the first argument by default.

        Returns
        -------
        object
            What the function returns.

        Raises
        ------
        GuardError
            The child crashed, took too long or needed too much memory; another one replaces it.
        Exception
            What the function raises.
        RuntimeError
            No child can be started.
        """
        subject = arguments[0] if subject is None and arguments else subject or function.__name__
        child, taken, kind, value = self._take(), False, None, None
        try:
            taken, kind, value = child.call(function, arguments)
            # a used child may have died since its last work, or be short of memory because of it
            while child.n_calls > 1 and (not taken or kind == "memory"):
                self._end(child)
                child = self._take()
                taken, kind, value = child.call(function, arguments)
        finally:
            if kind in ("result", "error"):
                self._busy.discard(child)
                self._idle.append(child)
            else:  # also where we are interrupted: what it does now is of no use to anybody
                self._end(child)
        if kind == "result":
            return value
        if kind == "error":
            raise value
        if not taken and not child.expired:
            raise RuntimeError(f"no child process can be started (exit status {child.process.returncode})")
        raise GuardError(subject, *_say_why(child, kind))

    def pids(self) -> list[int]:
        """Ids of the children that are there now."""
        return [child.process.pid for child in (*self._idle, *self._busy) if child.process.poll() is None]

    def close(self) -> None:
        """End all children."""
        while self._idle:
            self._idle.pop().end()
        for child in list(self._busy):
            child.end()

    def _take(self) -> _Child:
        try:
            child = self._idle.pop()
        except IndexError:
            child = _Child(self.limits)
        self._busy.add(child)
        return child

    def _end(self, child: _Child) -> None:
        child.end()
        self._busy.discard(child)


def run_guarded(
    function: Callable,
    arguments: tuple,
    limits: Limits | None = None,
    subject: str | os.PathLike | None = None,
):
    """Run one piece of work in a child process that is kept for the next one; see `Guard.run`."""
    return _shared_guard(limits or Limits()).run(function, arguments, subject)


def try_guarded(
    subject: str | os.PathLike, function: Callable, arguments: tuple, limits: Limits | None = None
) -> tuple:
    """Return the result, None and None; or None, the arguments and the `GuardError`."""
    try:
        return run_guarded(function, arguments, limits, subject), None, None
    except GuardError as error:
        return None, arguments, error


_shared_guard = functools.lru_cache(maxsize=None)(Guard)  # their children end when idle


class _Child:
    """A child process, as its parent sees it."""

    def __init__(self, limits: Limits):
        self.limits, self.expired, self.n_calls = limits, False, 0
        self._variables = {}
        if limits.n_threads:
            names = (f"{name}_NUM_THREADS".replace("MAXIMUM_NUM", "MAXIMUM") for name in _THREADS)
            self._variables = dict.fromkeys(names, str(limits.n_threads))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(limits.memory_mb), *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **self._variables},
            start_new_session=True,  # Ctrl-C is the parent's business; and it can be killed with its own
        )

    def call(self, function: Callable, arguments: tuple) -> tuple[bool, str | None, object]:
        """Return whether the work was taken up, how it ended (None: the child died) and what came of it."""
        self.n_calls += 1
        place = (_working_folder(), {**os.environ, **self._variables}, list(sys.path))
        message = cloudpickle.dumps((function, arguments, place))
        timer = threading.Timer(self.limits.seconds, self._expire)
        timer.daemon = True
        timer.start()
        taken = False
        try:
            send(self.process.stdin, message)
            taken = receive(self.process.stdout) is not None
            answer = receive(self.process.stdout) if taken else None
        except (OSError, ValueError):  # a pipe that is broken, or closed by `end` in another thread
            answer = None
        finally:
            timer.cancel()
        if answer is None:
            with suppress(subprocess.TimeoutExpired):  # it has closed its end, and may need a moment to die
                self.process.wait(10)
        return taken, *(cloudpickle.loads(answer) if answer is not None else (None, None))

    def end(self) -> None:
        """Kill it and whatever it started."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                pipe.close()

    def _expire(self) -> None:
        self.expired = True
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self.process.kill()


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it has been deleted; absolute paths go on working
        return None


def _say_why(child: _Child, kind: str | None) -> tuple[str, str]:
    if child.expired:
        return f"took longer than {child.limits.seconds:,g} s", "time"
    if kind == "memory":
        return f"needed more than {child.limits.memory_mb:,} MB of memory", "memory"
    status = child.process.returncode
    if status == -getattr(signal, "SIGKILL", 9):
        return "its process was killed (signal 9), perhaps because the machine ran out of memory", "killed"
    return f"the decoder crashed ({f'signal {-status}' if status < 0 else f'exit status {status}'})", "crash"
