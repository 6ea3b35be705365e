"""Independent pieces of work, in parallel: the one place from which processes are started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import joblib


def run_jobs(
    function: Callable, arguments: Iterable[tuple], n_jobs: int = 2, in_order: bool = True
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
    """
    jobs = (joblib.delayed(function)(*each) for each in arguments)
    return joblib.Parallel(n_jobs, return_as="generator" if in_order else "generator_unordered")(jobs)
