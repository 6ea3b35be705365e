"""From videos to crops: the table, the rejects, and taking up interrupted work."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import manifest_row
from media import manipulate, moving_face, scenery, truncate, write_video

from dfutils import InputError
from dfutils.crops import CropGeometry
from dfutils.images import read_image
from dfutils.manifest import COLUMNS, make_manifest, read_manifest
from dfutils.preprocess_video import REJECT_COLUMNS, CropSettings, extract_crops

N_FRAMES = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def videos(folder):
    """A real, a fake made from it, scenery and a file that is no video."""
    frames = moving_face(N_FRAMES)
    broken = folder / "broken.mp4"
    broken.write_text("no video")
    return make_manifest(
        [
            manifest_row(write_video(folder / "real.mp4", frames), 0, 1),
            manifest_row(write_video(folder / "fake.mp4", manipulate(frames)), 1, 1),
            manifest_row(write_video(folder / "scenery.mp4", scenery(4)), 0, 2),
            manifest_row(broken, 0, 3),
        ]
    )


def run(videos, folder, **settings):
    settings = CropSettings(**({"n_per_real": 3, "n_per_fake": 2} | settings))
    return extract_crops(videos, folder, settings, n_jobs=1, progress=False)


@pytest.fixture(scope="module")
def done(videos, tmp_path_factory):
    """A first run with two processes: folder, crops, rejects."""
    folder = tmp_path_factory.mktemp("crops")
    settings = CropSettings(n_per_real=3, n_per_fake=2)
    return folder, *extract_crops(videos, folder, settings, n_jobs=2, progress=False)


def names(crops):
    return crops["video"].map(lambda path: Path(path).stem)


def stamps(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in (folder / "crops").rglob("*.png")}


def test_table_of_crops(done, videos):
    _folder, crops, _ = done
    further = {"video", "frame_index", "x", "y", "width", "height", "confidence", "n_faces"}
    assert list(crops.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert set(crops.columns[len(COLUMNS) :]) == further
    assert names(crops).value_counts().to_dict() == {"real": 3, "fake": 2}  # n_per_real, n_per_fake
    assert crops.groupby(names(crops))["label"].first().to_dict() == {"real": 0, "fake": 1}
    assert set(crops["source"]) == {"s1"}
    assert crops["frame_index"].between(0, N_FRAMES - 1).all()
    assert not crops.duplicated(["video", "frame_index"]).any()
    assert (crops["n_faces"] == 1).all()
    assert crops["confidence"].between(0.6, 1).all()


def test_boxes_follow_the_moving_face(done):
    _, crops, _ = done
    real = crops[names(crops) == "real"]
    expected_x = 178.2 - 90 - 2 * real["frame_index"]
    np.testing.assert_allclose(real["x"], expected_x, atol=5)
    np.testing.assert_allclose(real["width"], 89.9, atol=6)


def test_crop_files_are_tight_squares(done):
    _, crops, _ = done
    for row in crops.to_dict("records"):
        image = read_image(row["path"])
        side = (row["width"] / 0.885 + row["height"] / 1.095) / 2
        assert image.shape[0] == image.shape[1] == pytest.approx(side, abs=1)


def test_crops_csv_reads_back(done):
    folder, crops, _ = done
    stored = read_manifest(folder / "crops.csv")
    assert stored["path"].tolist() == crops["path"].tolist()
    assert stored["frame_index"].tolist() == crops["frame_index"].tolist()


def test_rejects_tell_the_reason(done):
    folder, _, rejects = done
    assert list(rejects.columns) == list(REJECT_COLUMNS)
    by_name = {Path(row["path"]).stem: row for row in rejects.to_dict("records")}
    assert set(by_name) == {"scenery", "broken"}
    assert by_name["broken"]["frame_index"] == -1
    assert "holds no picture" in by_name["broken"]["reason"]
    assert "no face found" in by_name["scenery"]["reason"]
    assert (rejects["path"].map(lambda path: Path(path).stem) == "scenery").sum() == 3
    assert pd.read_csv(folder / "crop-rejects.csv").shape == rejects.shape


def test_second_run_rewrites_nothing_and_gives_the_same(done, videos):
    folder, crops, rejects = done
    before = stamps(folder)
    again, rejects_again = run(videos, folder)
    assert stamps(folder) == before
    pd.testing.assert_frame_equal(again, crops)
    pd.testing.assert_frame_equal(rejects_again, rejects)


def test_after_a_loss_only_that_video_is_cut_again(done, videos):
    folder, crops, _ = done
    before = stamps(folder)
    lost = Path(crops.loc[names(crops) == "fake", "path"].iloc[0])
    content = lost.read_bytes()
    lost.unlink()
    again, _ = run(videos, folder)
    after = stamps(folder)
    assert set(after) == set(before)
    changed = {path for path in after if after[path] != before[path]}
    assert changed == {path for path in after if path.parent == lost.relative_to(folder).parent}
    assert lost.read_bytes() == content
    pd.testing.assert_frame_equal(again, crops)


def test_changed_video_is_cut_again(tmp_path):
    path = write_video(tmp_path / "a.mp4", moving_face(4))
    videos = make_manifest([manifest_row(path, 0, 1)])
    first, _ = run(videos, tmp_path / "out", n_per_real=1, sampling="even")
    write_video(path, moving_face(4, step_px=8))
    second, _ = run(videos, tmp_path / "out", n_per_real=1, sampling="even")
    assert second["x"].iloc[0] < first["x"].iloc[0] - 8


def test_reused_boxes(videos, tmp_path):
    crops, _ = run(videos, tmp_path, reuse_boxes=True)
    box = ["frame_index", "x", "y", "width", "height"]
    real, fake = (
        crops.loc[names(crops) == name, box].sort_values("frame_index") for name in ("real", "fake")
    )
    assert len(real) == 3
    np.testing.assert_array_equal(real, fake)
    shapes = crops.groupby("frame_index")["path"].agg(lambda paths: {read_image(p).shape for p in paths})
    assert (shapes.map(len) == 1).all()


def test_reused_boxes_still_report_a_fake_without_a_readable_frame(videos, folder, tmp_path):
    """The header is whole, so the file opens; not one frame decodes."""
    frames = moving_face(N_FRAMES)
    damaged = truncate(write_video(folder / "damaged.mp4", frames, faststart=True), 0.001)
    table = pd.concat([videos, make_manifest([manifest_row(damaged, 1, 1)])], ignore_index=True)
    crops, rejects = run(table, tmp_path, reuse_boxes=True)
    assert "damaged" not in set(names(crops))
    assert "damaged" in {Path(path).stem for path in rejects["path"]}


def test_small_faces_are_rejected(videos, tmp_path):
    reals = videos[videos["path"].str.contains("real|fake")]
    with pytest.raises(InputError, match=r"not one face crop came out of 2 videos.*less than 200"):
        run(reals, tmp_path, min_face_px=200)
    rejects = pd.read_csv(tmp_path / "crop-rejects.csv")
    assert len(rejects) == 5
    assert rejects["reason"].str.contains(r"the face is \d+ px wide, less than 200").all()


def test_all_rejected(videos, tmp_path):
    with pytest.raises(InputError, match=r"not one face crop.*holds no picture"):
        run(videos[videos["path"].str.contains("broken")], tmp_path)


def test_no_videos_at_all(videos, tmp_path):
    with pytest.raises(InputError):
        run(videos.iloc[:0], tmp_path)


def test_margin_and_size_limit(videos, tmp_path):
    real = videos[videos["path"].str.endswith("real.mp4")]
    crops, _ = run(real, tmp_path, geometry=CropGeometry("margin", 0.2), max_crop_px=64)
    image = read_image(crops["path"].iloc[0])
    row = crops.iloc[0]
    assert max(image.shape) == 64
    assert image.shape[0] / image.shape[1] == pytest.approx(row["height"] / row["width"], abs=0.05)


def test_random_frames_differ_between_videos(tmp_path):
    rows = [manifest_row(write_video(tmp_path / f"{k}.mp4", moving_face(N_FRAMES)), 0, k) for k in range(2)]
    crops, _ = run(make_manifest(rows), tmp_path / "out", n_per_real=4)
    picks = crops.groupby("video")["frame_index"].agg(tuple)
    assert picks.iloc[0] != picks.iloc[1]


def test_truncated_video_still_gives_its_number(tmp_path):
    frames = moving_face(40)
    path = truncate(write_video(tmp_path / "cut.mp4", frames, faststart=True), 0.7)
    crops, _ = run(make_manifest([manifest_row(path, 0, 1)]), tmp_path / "out", n_per_real=5)
    assert len(crops) == 5


def test_unknown_detector_fails_before_the_work(videos, tmp_path):
    with pytest.raises(InputError, match="detector"):
        run(videos, tmp_path / "out", detector="haar")
    assert not (tmp_path / "out").exists()
