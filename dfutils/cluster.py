"""The same code on a Dask cluster: connect, check the workers, and hand them the jobs of `dfutils.jobs`.

Nothing here is needed on one machine; Dask is imported only when a cluster is asked for
(``pip install 'dfutils[cluster]'``).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import joblib

from dfutils.errors import InputError
from dfutils.paths import atomic_path, work_dir

WAIT_S = 30  # for a scheduler to answer and a first worker to come
JOBS_PER_WORKER = 8  # handed out ahead, so that no worker waits for the network

START = "start some with: dask worker SCHEDULER --nworkers -1 --nthreads 1"


@contextmanager
def on_cluster(scheduler: str = "") -> Iterator:
    """Run what the block starts through `dfutils.jobs.run_jobs` on a Dask cluster.

    Parameters
    ----------
    scheduler : str
        "" stays on this machine; else the address of a scheduler, such as ``tcp://host:8786``, or a
        scheduler file. Workers need one thread each, the same code, and the same folders under the
        same names.

    Yields
    ------
    distributed.Client or None

    Raises
    ------
    InputError
        Dask is not installed, the scheduler does not answer, there is no worker, or a worker has other
        code, other folders, or several threads.
    """
    if not scheduler:
        yield None
        return
    if importlib.util.find_spec("distributed") is None:
        raise InputError("scheduler", "Dask is not installed: pip install 'dfutils[cluster]'")
    with _connect(scheduler) as client:
        check_workers(client)
        with joblib.parallel_config("dask", client=client):
            yield client


def _connect(scheduler: str):
    from distributed import Client

    if "://" not in scheduler and not Path(scheduler).is_file():
        raise InputError(scheduler, "is neither an address such as tcp://host:8786 nor a scheduler file")
    where = {"address": scheduler} if "://" in scheduler else {"scheduler_file": scheduler}
    try:
        return Client(**where, timeout=WAIT_S, set_as_default=False)
    except (OSError, ValueError) as error:  # nobody there; no such protocol
        raise InputError(scheduler, f"no Dask scheduler answers there ({error})") from error


def check_workers(client) -> None:
    """Raise `InputError` unless every worker can do what a process of this machine could."""
    try:
        client.wait_for_workers(1, timeout=WAIT_S)
    except TimeoutError as error:
        raise InputError(client.scheduler.address, f"has no workers; {START}") from error
    probe, token = work_dir() / f".cluster-{uuid.uuid4().hex}", uuid.uuid4().hex
    with atomic_path(probe) as temporary:
        temporary.write_text(token)
    try:
        found = client.run(_describe, str(probe), on_error="return")
    finally:
        probe.unlink(missing_ok=True)
    expected = code_sha256()
    for worker, answer in sorted(found.items()):
        if isinstance(answer, BaseException) or answer["code"] != expected:
            raise InputError(worker, f"does not have the dfutils of this machine ({answer})")
        if answer["token"] != token:
            raise InputError(worker, f"does not see the folder {probe.parent} of this machine")
        if answer["n_threads"] != 1:
            raise InputError(
                worker, f"has {answer['n_threads']} threads, which detectors are not made for; {START}"
            )


def _describe(probe: str, dask_worker) -> dict:
    """Tell what a worker is; runs there."""
    try:
        token = Path(probe).read_text()
    except OSError:
        token = None
    return {"token": token, "code": code_sha256(), "n_threads": dask_worker.state.nthreads}


@functools.cache
def code_sha256() -> str:
    """Hash of the package's sources: the version does not tell two working copies apart."""
    folder, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def active_client():
    """Return the client of ``joblib.parallel_config("dask")``, or None on one machine."""
    return getattr(joblib.parallel.get_active_backend()[0], "client", None)


def n_workers() -> int:
    """Return how many workers the active cluster has; 0 on one machine."""
    client = active_client()
    return len(client.ncores()) if client else 0


def stream(client, function: Callable, arguments: Iterable[tuple], in_order: bool) -> Iterator:
    """Do what `dfutils.jobs.run_jobs` promises, on a cluster.

    joblib's own way through Dask waits forever for a job whose workers died; here that is an error.
    What a lost worker had under way is done again by another.

    Raises
    ------
    InputError
        Several workers died over one job, or the scheduler has gone. What is finished is on the disk.
    """
    from concurrent.futures import CancelledError

    from distributed import as_completed
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    def submit(each: tuple):
        names[future := client.submit(function, *each, pure=False)] = each[0] if each else function
        return future

    jobs, names = iter(arguments), {}
    first = [submit(each) for each in islice(jobs, JOBS_PER_WORKER * max(1, len(client.ncores())))]
    running = deque(first) if in_order else as_completed(first, loop=client.loop)
    add = running.append if in_order else running.add
    try:
        for future in _from_left(running) if in_order else running:
            try:
                result = future.result()
            except KilledWorker as error:
                raise InputError(names[future], f"several workers died over it ({error})") from error
            except (CommClosedError, CancelledError) as error:
                raise InputError("scheduler", f"has gone; what is finished is kept ({error})") from error
            del names[future]
            for each in islice(jobs, 1):
                add(submit(each))
            yield result
    finally:
        client.cancel(list(names))


def _from_left(queue: deque) -> Iterator:
    while queue:
        yield queue.popleft()


@contextmanager
def local_cluster(n_workers: int = 2) -> Iterator[str]:
    """Start a scheduler and workers on this machine, to try things out; yields the address.

    Parameters
    ----------
    n_workers : int
        Processes, one thread each. A script that calls this needs ``if __name__ == "__main__":``.
    """
    import dask
    from distributed import LocalCluster

    # not daemons: they may start processes of their own, which guard them against broken files
    with (
        dask.config.set({"distributed.worker.daemon": False}),
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        yield cluster.scheduler_address
