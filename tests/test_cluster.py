"""A real Dask cluster of two worker processes, one of which is killed: the same tables, nothing lost."""

import operator
import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pytest
from conftest import content_of, manifest_row
from media import manipulate, moving_face, tiny_backbone, voice, write_video

from dfutils import InputError, cluster, jobs
from dfutils.audio import write_flac
from dfutils.copy_synthesis import make_copies
from dfutils.manifest import make_manifest
from dfutils.preprocess_video import CropSettings, extract_crops

pytest.importorskip("distributed", reason="Dask is not installed (pip install 'dfutils[cluster]')")
METHODS = ("lpc-noise", "world", "joins")


@pytest.fixture(scope="module", autouse=True)
def work(tmp_path_factory):
    """A work folder for what the workers are asked to see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DFUTILS_WORK", str(tmp_path_factory.mktemp("work")))
        yield


@pytest.fixture(scope="module")
def address():
    with cluster.local_cluster(2) as address:
        yield address


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    frames = moving_face(16)
    real, fake = (
        write_video(folder / f"{k}.mp4", f).read_bytes() for k, f in enumerate((frames, manipulate(frames)))
    )
    (folder / "broken.mp4").write_text("no video")
    rows = [manifest_row(folder / "broken.mp4", 0, 99)]
    for number in range(30):
        for label, content in enumerate((real, fake)):
            path = folder / f"v{number}-{label}.mp4"
            path.write_bytes(content)
            rows.append(manifest_row(path, label, number))
    return make_manifest(rows)


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    paths = [write_flac(folder / f"{k}.flac", voice(1.0, seed=k)) for k in range(24)]
    return make_manifest([manifest_row(path, 0, k) for k, path in enumerate(paths)])


@contextmanager
def kill_a_worker(client, folder, pattern, after, before):
    """Kill -9 one worker process once ``after`` files are there; it must happen before all are."""
    pids, seen, stop = set(client.run(os.getpid).values()), [], threading.Event()

    def watch():
        while not stop.is_set():
            n_files = sum(".partial-" not in path.name for path in folder.glob(pattern))
            if n_files >= after:
                seen.append(n_files)
                os.kill(min(pids), signal.SIGKILL)
                return
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
    assert seen, "nothing was killed"
    assert after <= seen[0] < before
    assert min(pids) not in client.run(os.getpid).values()


@pytest.mark.slow
def test_crops_are_the_same_though_a_worker_dies(address, videos, tmp_path):
    settings = CropSettings(n_per_real=3, n_per_fake=3)
    here, there = tmp_path / "here", tmp_path / "there"
    expected, rejects = extract_crops(videos, here, settings, n_jobs=2, progress=False)
    assert len(expected) == 180
    assert len(rejects) == 1
    with (
        cluster.on_cluster(address) as client,
        kill_a_worker(client, there, "records/*.json", 6, len(videos)),
    ):
        extract_crops(videos, there, settings, progress=False)
    assert content_of(there) == content_of(here)


@pytest.mark.slow
def test_copies_are_the_same_though_a_worker_dies(address, voices, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    make_copies(voices, here, METHODS, progress=False)
    n_copies = len(voices) * len(METHODS)
    with cluster.on_cluster(address) as client, kill_a_worker(client, there, "copies/*.flac", 6, n_copies):
        make_copies(voices, there, METHODS, progress=False)
    assert len(content_of(here)) == n_copies + 2
    assert content_of(there) == content_of(here)


def test_the_workers_did_it(address):
    with cluster.on_cluster(address) as client:
        pids = set(jobs.run_jobs(os.getpid, [()] * 40))
        assert pids <= set(client.run(os.getpid).values())
        assert cluster.n_workers() == 2
    assert os.getpid() not in pids
    assert cluster.active_client() is None
    assert cluster.n_workers() == 0


def test_order_is_kept_or_not_as_asked(address):
    def late_first(number):
        time.sleep(0.3 if number == 0 else 0)
        return number

    run = [(number,) for number in range(50)]
    by_value = eval("lambda work: lambda number: work(number)")(late_first)  # workers cannot import this file
    with cluster.on_cluster(address):
        assert list(jobs.run_jobs(by_value, run)) == list(range(50))
        found = list(jobs.run_jobs(by_value, run, in_order=False))
    assert sorted(found) == list(range(50))
    assert found != sorted(found)


def test_jobs_are_taken_as_they_are_needed(address):
    """A table of a million videos is not sent off at once."""
    taken = []

    def endless():
        for number in range(10**6):
            taken.append(number)
            yield number, 2

    with cluster.on_cluster(address):
        stream = jobs.run_jobs(operator.mul, endless())
        assert [next(stream) for _ in range(30)] == list(range(0, 60, 2))
        stream.close()
    assert len(taken) < 100


@pytest.mark.slow
def test_features_and_trials_by_the_workers(address, face_manifest, tmp_path, monkeypatch):
    from dfutils import features, models, search
    from dfutils.datasets import FaceSequence

    monkeypatch.setattr(models, "build_backbone", tiny_backbone)
    config = models.ModelConfig("video", "EfficientNetV2B0", (32, 32), hidden_units=0)
    model = models.build_model(config, None)
    data = FaceSequence(face_manifest, (32, 32), batch_size=2)
    here, labels = features.backbone_features(model, data, tmp_path / "here", False)
    n_trials, storage = 5, tmp_path / "trials.journal"
    with cluster.on_cluster(address) as client, monkeypatch.context() as patch:
        patch.setattr(models.keras.Model, "predict_on_batch", None)  # not in this process
        there, _ = features.backbone_features(model, data, tmp_path / "there", False, block_batches=1)
        table = search.search_head(
            (here, labels), (here, labels), config, ("softmax",), n_trials, 2, storage, progress=False
        )
        pids = set(client.run(os.getpid).values())
    np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-6)
    assert sorted(table["number"]) == [0, 1, 2, 3, 4]
    study = search.open_study(config, "softmax", storage)
    assert {trial.user_attrs["process"][1] for trial in study.trials} <= pids
    with cluster.on_cluster(address), pytest.raises(InputError, match="2 processes need one to share"):
        search.search_head((here, labels), (here, labels), config, progress=False)


def test_joblibs_own_way_in_works_too(address):
    from distributed import Client

    with Client(address, set_as_default=False) as client, joblib.parallel_config("dask", client=client):
        assert list(jobs.run_jobs(operator.mul, [(2, 3), (4, 5)])) == [6, 20]


def test_an_error_of_a_job_comes_back(address, videos, tmp_path):
    with (
        cluster.on_cluster(address),
        pytest.raises(InputError, match=r"(?s)not one face crop.*holds no picture"),
    ):
        extract_crops(videos.iloc[:1], tmp_path, progress=False)


def test_a_job_that_kills_every_worker_is_named(address):
    with cluster.on_cluster(address) as client:
        client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
        with pytest.raises(InputError, match="9: several workers died over it"):
            list(jobs.run_jobs(lambda number: os.kill(os.getpid(), number), [(9,)]))
        client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 3))
        client.wait_for_workers(2, timeout=60)


SEES_NOTHING = f"lambda probe: {{'code': {cluster.code_sha256()!r}, 'token': None, 'n_threads': 1}}"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("code_sha256", lambda: "of other code", "does not have the dfutils of this machine"),
        ("_describe", lambda probe: 1 / 0, "does not have the dfutils of this machine"),
        ("_describe", eval(SEES_NOTHING), "does not see the folder"),
    ],
)
def test_workers_that_do_not_fit_are_refused(address, monkeypatch, name, value, message):
    monkeypatch.setattr(cluster, name, value)
    with pytest.raises(InputError, match=message), cluster.on_cluster(address):
        pass
    assert not list(Path(os.environ["DFUTILS_WORK"]).iterdir())


def test_workers_with_threads_are_refused():
    from distributed import LocalCluster

    options = {"threads_per_worker": 2, "processes": False, "dashboard_address": ":0"}
    with (
        LocalCluster(1, **options, protocol="tcp") as threaded,
        pytest.raises(InputError, match=r"has 2 threads.*--nthreads 1"),
        cluster.on_cluster(threaded.scheduler_address),
    ):
        pass


def test_a_cluster_without_workers_is_refused(monkeypatch):
    from distributed import Scheduler, SpecCluster

    monkeypatch.setattr(cluster, "WAIT_S", 1)
    with (
        SpecCluster(scheduler={"cls": Scheduler, "options": {"dashboard_address": ":0"}}) as empty,
        pytest.raises(InputError, match="has no workers; start some with: dask worker"),
        cluster.on_cluster(empty.scheduler_address),
    ):
        pass


@pytest.mark.parametrize("scheduler", ["tcp://127.0.0.1:9", "no-such-file.json", "carrier-pigeon://there"])
def test_a_scheduler_that_is_not_there(monkeypatch, scheduler):
    monkeypatch.setattr(cluster, "WAIT_S", 1)
    with (
        pytest.raises(InputError, match=r"no Dask scheduler|neither an address"),
        cluster.on_cluster(scheduler),
    ):
        pass


def test_a_scheduler_file(address, tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(f'{{"address": "{address}"}}')
    with cluster.on_cluster(str(path)):
        assert cluster.n_workers() == 2


def test_without_dask(monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with (
        pytest.raises(InputError, match=r"pip install 'dfutils\[cluster\]'"),
        cluster.on_cluster("tcp://x:1"),
    ):
        pass


def test_no_scheduler_is_this_machine():
    with cluster.on_cluster("") as client:
        assert client is None
        assert list(jobs.run_jobs(np.negative, [(1,), (2,)], n_jobs=1)) == [-1, -2]
