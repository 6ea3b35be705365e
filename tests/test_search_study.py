"""One study, several processes: as many trials as asked for, all different, though one process is killed."""

import signal
import subprocess
import sys
import time
from datetime import timedelta

import optuna
import pytest

from dfutils import InputError
from dfutils.model_config import ModelConfig
from dfutils.search_study import open_study, run_trials

CONFIG = ModelConfig("video", "MobileNetV2", (32, 32))
WORKER = """
import sys, time
from dfutils.search_study import open_study, run_trials
from dfutils.model_config import ModelConfig

def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    trial.report(-x * x, 0)
    time.sleep(0.3)
    return -x * x

study = open_study(ModelConfig("video", "MobileNetV2", (32, 32)), "softmax", sys.argv[1], 3)
print("ready", flush=True)
run_trials(study, objective, 14, 3)
"""


def objective(trial):
    return -(trial.suggest_float("x", -1, 1) ** 2)


def states(study):
    return [trial.state.name for trial in study.trials]


def start_worker(storage):
    return subprocess.Popen([sys.executable, "-c", WORKER, str(storage)], stdout=subprocess.PIPE, text=True)


def test_two_processes_and_a_killed_one_share_the_trials(tmp_path):
    storage = tmp_path / "deep" / "trials.journal"
    workers = [start_worker(storage) for _ in range(3)]
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        study = open_study(CONFIG, "softmax", storage)
        until = time.monotonic() + 60
        while not [
            trial
            for trial in study.get_trials(deepcopy=False)
            if trial.state.name == "RUNNING" and trial.user_attrs.get("process", [0, 0])[1] == workers[0].pid
        ]:
            assert time.monotonic() < until
            time.sleep(0.005)
        time.sleep(0.1)  # killed while it holds the journal's lock, it would cost the others 30 s
        workers[0].send_signal(signal.SIGKILL)
        workers[0].wait()
        for worker in workers[1:]:
            assert worker.wait(100) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    done = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert len(done) == 14
    assert states(study).count("FAIL") >= 1  # the killed one's, perhaps one that came too late
    assert "RUNNING" not in states(study)
    assert len({trial.params["x"] for trial in done}) == 14
    assert {trial.user_attrs["process"][1] for trial in done} >= {worker.pid for worker in workers[1:]}


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path):
    whole = open_study(CONFIG, "softmax", None, 5)
    run_trials(whole, objective, 20, 5)
    for n_trials in (7, 20):
        halves = open_study(CONFIG, "softmax", tmp_path / "trials.journal", 5)
        run_trials(halves, objective, n_trials, 5)
    assert [trial.params for trial in halves.trials] == [trial.params for trial in whole.trials]
    assert len({trial.params["x"] for trial in whole.trials}) == 20
    run_trials(halves, None, 20, 5)  # complete: nothing is called
    assert states(halves) == ["COMPLETE"] * 20


def test_trials_of_the_dead_are_made_up_for_and_those_of_the_living_waited_for(tmp_path, monkeypatch):
    storage = tmp_path / "trials.journal"
    study = open_study(CONFIG, "softmax", storage)
    elsewhere = study.ask()
    elsewhere.set_user_attr("process", ["another-machine", 1])
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            study.tell(elsewhere, -1.0)

    monkeypatch.setattr("dfutils.search_study.time.sleep", wait)
    run_trials(study, objective, 3)
    assert len(waits) == 3
    assert states(study) == ["COMPLETE"] * 3
    stale = study.ask()
    stale.set_user_attr("process", ["another-machine", 1])
    monkeypatch.setattr("dfutils.search_study.STALE", timedelta(0))
    run_trials(study, objective, 4)
    assert states(study) == ["COMPLETE"] * 3 + ["FAIL", "COMPLETE"]


def test_a_trial_too_many_is_given_up(tmp_path, monkeypatch):
    """Another process begins and ends the last trial between our looking and our asking."""
    storage = tmp_path / "trials.journal"
    study, other = (open_study(CONFIG, "softmax", storage) for _ in range(2))
    ask = study.ask

    def late():
        trial = other.ask()
        other.tell(trial, objective(trial))
        return ask()

    monkeypatch.setattr(study, "ask", late)
    run_trials(study, None, 1)  # and nothing is called
    assert states(study) == ["COMPLETE", "FAIL"]


def test_failures_are_raised_and_leave_nothing_running():
    study = open_study(CONFIG, "softmax")
    with pytest.raises(ZeroDivisionError):
        run_trials(study, lambda trial: 1 / 0, 2)
    assert states(study) == ["FAIL"]


def prune(trial):
    trial.report(0.25, 0)
    raise optuna.TrialPruned


def test_pruned_trials_count_and_keep_their_last_value():
    study = open_study(CONFIG, "softmax")
    run_trials(study, prune, 2)
    assert states(study) == ["PRUNED"] * 2
    assert study.trials[0].value == 0.25


def test_half_a_line_left_by_a_power_cut_is_mended(tmp_path):
    storage = tmp_path / "trials.journal"
    run_trials(open_study(CONFIG, "softmax", storage), objective, 2)
    with open(storage, "a") as file:
        file.write('{"op_code": 4, "work')
    study = open_study(CONFIG, "softmax", storage)
    run_trials(study, objective, 3)
    assert states(open_study(CONFIG, "softmax", storage)) == ["COMPLETE"] * 3


def test_a_lock_that_another_process_has_broken_is_no_error(tmp_path):
    storage = tmp_path / "trials.journal"
    study = open_study(CONFIG, "softmax", storage)
    lock = study._storage._backend._lock
    lock.acquire()
    (tmp_path / "trials.journal.lock").unlink()
    lock.release()
    run_trials(study, objective, 1)


def test_a_database_may_be_shared_too(tmp_path):
    storage = f"sqlite:///{tmp_path / 'trials.sqlite'}"
    run_trials(open_study(CONFIG, "softmax", storage), objective, 2)
    assert states(open_study(CONFIG, "softmax", storage)) == ["COMPLETE"] * 2


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file.*trials.journal: cannot be written \(a file stands"):
        open_study(CONFIG, "softmax", tmp_path / "file" / "trials.journal")
