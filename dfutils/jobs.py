"""Independent pieces of work, in parallel: the one place from which processes are started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import joblib

from dfutils import cluster
from dfutils.guard import GuardError, Limits, try_guarded


def run_jobs(
    function: Callable,
    arguments: Iterable[tuple],
    n_jobs: int = 2,
    in_order: bool = True,
    limits: Limits | None = None,
    on_failure: Callable[[tuple, GuardError], object] | None = None,
) -> Iterator:
    """Call a function with each tuple of arguments, in parallel; yield what it returns as it comes.

    Parameters
    ----------
    function : callable
        That can be imported by name: it may run in another process, or on another machine.
    arguments : iterable of tuple
    n_jobs : int
        Processes of this machine; under ``joblib.parallel_config`` what that says.
    in_order : bool
        Yield in the order of ``arguments``, rather than as soon as something is done.
    limits : dfutils.guard.Limits, optional
        Do each piece in a child process, here or beside the cluster's worker, that may take no more: one
        that crashes, hangs or grows loses its piece and nothing else. It gets one thread, where the
        limits do not say how many.
    on_failure : callable, optional
        Called here with the arguments of such a piece and what became of it; what it returns is yielded
        in its place. Without, the failure is raised.
    """
    prefer = None
    if limits is not None:
        limits, inner = replace(limits, n_threads=limits.n_threads or 1), function
        arguments = ((each[0] if each else inner, inner, each, limits) for each in arguments)
        function, prefer = try_guarded, "threads"  # which only wait for the children
    client = cluster.active_client()
    if client is not None:
        stream = cluster.stream(client, function, arguments, in_order)
    else:
        jobs = (joblib.delayed(function)(*each) for each in arguments)
        how = "generator" if in_order else "generator_unordered"
        stream = joblib.Parallel(n_jobs, prefer=prefer, return_as=how)(jobs)
    return stream if limits is None else _settle(stream, on_failure)


def _settle(stream: Iterator[tuple], on_failure: Callable | None) -> Iterator:
    for result, failed, failure in stream:
        if failure is None:
            yield result
        elif on_failure is None:
            raise failure
        else:
            yield on_failure(failed, failure)
