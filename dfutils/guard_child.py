"""What runs in a child process of `dfutils.guard`: it takes work by its standard input, and answers."""

from __future__ import annotations

import os
import queue
import struct
import sys
import threading
import traceback
from contextlib import suppress
from typing import BinaryIO

import cloudpickle  # takes functions that a notebook defined, too

IDLE_SECONDS = 120  # after which a child that has nothing to do ends by itself
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory", "Insufficient memory")


def send(pipe: BinaryIO, content: bytes) -> None:
    """Write one message."""
    pipe.write(struct.pack("<Q", len(content)) + content)
    pipe.flush()


def receive(pipe: BinaryIO) -> bytes | None:
    """Read one message; None where the other side has gone."""
    head = pipe.read(8)
    if len(head) < 8:
        return None
    (length,) = struct.unpack("<Q", head)
    content = pipe.read(length)
    return content if len(content) == length else None


def serve(memory_mb: int) -> None:
    """Do what the parent sends, until it has gone or has sent nothing for long."""
    answers, requests = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)  # what a library prints is no answer
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # and nothing but us reads requests
    os.close(null)
    _limit_memory(memory_mb)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, inbox), daemon=True).start()
    while True:
        try:
            message = inbox.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            os._exit(0)
        send(answers, b"")  # taken: from now on, a death is the work's fault
        send(answers, _work(message))


def _listen(requests: BinaryIO, inbox: queue.SimpleQueue) -> None:
    while (message := receive(requests)) is not None:
        inbox.put(message)
    os._exit(0)  # the parent has gone: what is being done is of no use to anybody


def _work(message: bytes) -> bytes:
    try:
        function, arguments, (folder, environment, path) = cloudpickle.loads(message)
        if folder is not None:
            os.chdir(folder)
        if environment != dict(os.environ):
            os.environ.clear()
            os.environ.update(environment)
        sys.path[:] = path
        return cloudpickle.dumps(("result", function(*arguments)))
    except Exception as error:
        texts = (str(error), str(error.__cause__), str(error.__context__))
        if isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY for text in texts):
            return cloudpickle.dumps(("memory", None))
        trace = "".join(traceback.format_exception(error))
        try:
            error.add_note(f"in a child process:\n{trace}")
            answer = cloudpickle.dumps(("error", error))
            cloudpickle.loads(answer)  # some cannot be put together again
        except Exception:
            answer = cloudpickle.dumps(("error", RuntimeError(f"{type(error).__name__}: {error}")))
        return answer


def _limit_memory(memory_mb: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, limit in (("RLIMIT_DATA", memory_mb * 10**6), ("RLIMIT_CORE", 0)):
        which = getattr(resource, name)
        _, highest = resource.getrlimit(which)
        limit = limit if highest == resource.RLIM_INFINITY else min(limit, highest)
        with suppress(OSError, ValueError):  # a system that has no such limit
            resource.setrlimit(which, (limit, highest))
