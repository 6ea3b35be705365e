"""One Optuna study for any number of processes and machines: no trial twice, none too many, none lost."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from tqdm.auto import tqdm

from dfutils.errors import StorageError
from dfutils.model_config import ModelConfig
from dfutils.paths import cannot_be_written, disk_trouble

STALE = timedelta(hours=1)  # a trial takes seconds to minutes; longer, and whoever ran it is dead
POLL_S = 0.5


def open_study(config: ModelConfig, head: str, storage: str | os.PathLike | None = None, seed: int = 42):
    """Open, or begin, the Optuna study of a head.

    Trials that fall behind the median of the others at the same epoch are pruned.

    Parameters
    ----------
    config : ModelConfig
    head : str
    storage : str or os.PathLike, optional
        A file, which is Optuna's journal and may lie in a folder that several machines share, network
        file systems included; or the address of a database, such as ``postgresql://...``.
    seed : int

    Returns
    -------
    optuna.Study

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage is not None and "://" not in str(storage):
        storage = _open_journal(Path(storage).absolute())
    return optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=8, n_warmup_steps=5),
        storage=storage,
        study_name=f"{config.kind}-{config.backbone}-{head}",
        load_if_exists=True,
    )


def _open_journal(path: Path):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    class Lock(JournalFileSymlinkLock):
        def release(self):
            # of two that wait for a dead one's lock, the slower may take the faster one's new lock away
            with contextlib.suppress(RuntimeError):
                super().release()

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = Lock(str(path))
        lock.acquire()
        try:
            with open(path, "ab+") as file:  # a power cut, or a full disk, may have left half a line
                file.seek(0)
                content = file.read()
                file.truncate(content.rfind(b"\n") + 1)
        finally:
            lock.release()
    except OSError as error:
        raise cannot_be_written(path, error) from error
    return JournalStorage(JournalFileBackend(str(path), lock))


def run_trials(
    study, objective: Callable[..., float], n_trials: int, seed: int = 42, progress: bool = False
) -> None:
    """Run trials until the study has so many, together with whoever else works on it.

    Returns when the study is complete, so it may wait for others. A trial whose process was killed
    counts as failed, at once on the same machine, after an hour on another, and is made up for.

    Parameters
    ----------
    study : optuna.Study
    objective : callable
        Takes an ``optuna.Trial``, returns its value, may raise ``optuna.TrialPruned``.
    n_trials : int
        Complete and pruned ones.
    seed : int
        What trial number ``k`` draws depends on this and ``k``, not on who runs it.
    progress : bool

    Raises
    ------
    StorageError
        The disk is full or fails.
    """
    import optuna

    states = optuna.trial.TrialState
    done_states = (states.COMPLETE, states.PRUNED)
    with tqdm(total=n_trials, desc="trials", unit="trial", disable=not progress) as bar:
        while True:
            trials = study.get_trials(deepcopy=False)
            n_done = sum(trial.state in done_states for trial in trials)
            bar.update(min(n_done, n_trials) - bar.n)
            if n_done >= n_trials:
                return
            running = [trial for trial in trials if trial.state == states.RUNNING]
            dead = [trial for trial in running if _is_dead(trial)]
            for trial in dead:
                study.tell(trial.number, state=states.FAIL, skip_if_finished=True)
            if n_done + len(running) - len(dead) >= n_trials:
                time.sleep(POLL_S)
                continue
            trial = study.ask()
            before = study.get_trials(deepcopy=False)[: trial.number]
            if sum(other.state in (*done_states, states.RUNNING) for other in before) >= n_trials:
                study.tell(trial, state=states.FAIL)  # another process was faster
                continue
            # each trial its own draws: with one seed for all, every process would try the same
            study.sampler = optuna.samplers.TPESampler(seed=seed + trial.number)
            _run(study, trial, objective)


def _run(study, trial, objective: Callable[..., float]) -> None:
    import optuna

    try:
        trial.set_user_attr("process", [socket.gethostname(), os.getpid()])
        study.tell(trial, objective(trial))
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the disk may be what failed
            study.tell(trial, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
        if isinstance(error, OSError) and (reason := disk_trouble(error)):
            raise StorageError("trials", f"cannot be written ({reason})") from error
        raise


def _is_dead(trial) -> bool:
    host, pid = trial.user_attrs.get("process", (None, None))
    if host == socket.gethostname() and os.name == "posix":
        try:
            os.kill(pid, 0)  # asks whether it is there
        except ProcessLookupError:
            return True
        except PermissionError:  # of another user
            return False
    # one that does not even say whose it is was killed at once
    return datetime.now() - trial.datetime_start > (STALE if host else STALE / 60)
