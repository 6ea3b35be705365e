"""Each adapter on a miniature copy of its dataset: labels, splits, people, and what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import dataset_trees as trees
import pandas as pd
import pytest

from dfutils import InputError, LeakError, adapters
from dfutils.adapters import celeb, ffpp
from dfutils.leaks import check_leaks, find_leaks
from dfutils.manifest import make_manifest, validate


@pytest.fixture(autouse=True)
def _miniature_counts(monkeypatch):
    """The published sizes, scaled to the miniature trees."""
    monkeypatch.setattr(
        celeb, "CELEB_PUBLISHED", {"celeb-real": 16, "youtube-real": 3, "celeb-synthesis": 16}
    )
    monkeypatch.setattr(celeb, "UADFV_PUBLISHED", 10)
    monkeypatch.setattr(ffpp, "DFD_PUBLISHED", {"real": 2, "fake": 1})
    monkeypatch.setattr("dfutils.adapters.audiovisual.TIMIT_PUBLISHED", 24)


def by_name(manifest):
    """Index by file name, for looking up single rows."""
    return manifest.set_index(manifest["path"].map(os.path.basename))


def persons_of_splits(manifest):
    return [set(group["person"]) for _, group in manifest.groupby("split")]


# ------------------------------------------------------------------- the package
def test_every_adapter_is_listed():
    assert set(adapters.ADAPTERS) == {
        "faceforensics", "celeb_df", "dfdc", "deepfake_timit", "uadfv", "deeper_forensics", "fake_av_celeb",
        "asvspoof2019_la", "shared_faces", "shared_speech", "shared_videos",
    }  # fmt: skip
    assert all(adapters.ADAPTERS[name] is getattr(adapters, name) for name in adapters.ADAPTERS)


def test_import_is_cheap():
    code = "import sys, dfutils.adapters; print({'keras', 'tensorflow', 'cv2', 'librosa'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", sorted(adapters.ADAPTERS))
def test_missing_dataset_says_what_was_expected_where(name, tmp_path):
    nowhere = tmp_path / "nowhere"
    extra = (nowhere,) if name in ("deepfake_timit", "deeper_forensics") else ()
    with pytest.raises(InputError, match=r"nowhere.*expected here a folder with"):
        adapters.ADAPTERS[name](nowhere, *extra)


@pytest.mark.parametrize("name", sorted(adapters.ADAPTERS))
def test_empty_folder_is_refused(name, tmp_path):
    extra = (tmp_path,) if name in ("deepfake_timit", "deeper_forensics") else ()
    with pytest.raises(InputError, match="expected"):
        adapters.ADAPTERS[name](tmp_path, *extra)


# ------------------------------------------------------------------- FaceForensics++
def test_faceforensics(tmp_path):
    manifest = adapters.faceforensics(trees.faceforensics(tmp_path / "FF"))
    validate(manifest, require_files=True)
    check_leaks(manifest)
    assert len(manifest) == 8 + 2 * 8
    assert set(manifest["method"]) == {"none", "Deepfakes", "Face2Face"}
    for first, second in (("071_054.mp4", "054_071.mp4"), ("720_672.mp4", "672_720.mp4")):
        both = by_name(manifest).loc[[first, second]]
        assert both["label"].eq(1).all()
        assert len(set(both["split"])) == 1
    real = by_name(manifest).loc["071.mp4"]
    assert (real["label"], real["split"], real["person"], real["source"]) == (0, "train", "071", "071")
    fake = by_name(manifest).loc["071_054.mp4"].iloc[0]
    assert (fake["person"], fake["source"], fake["donor"]) == ("071", "071", "054")
    assert manifest.groupby("split").size().to_dict() == {"train": 12, "val": 6, "test": 6}


def test_faceforensics_chooses_methods_and_compression(tmp_path):
    root = trees.faceforensics(tmp_path, compression="c40")
    manifest = adapters.faceforensics(root, "c40", methods=("Face2Face",))
    assert set(manifest["method"]) == {"none", "Face2Face"}
    assert set(manifest["compression"]) == {"c40"}
    with pytest.raises(InputError, match=r"FaceShifter.*expected here"):
        adapters.faceforensics(root, "c40", methods=("FaceShifter",))
    with pytest.raises(InputError, match="found none"):
        adapters.faceforensics(root, "raw")
    with pytest.raises(InputError, match=r"unknown.*faceshifter"):
        adapters.faceforensics(root, "c40", methods=("faceshifter",))
    with pytest.raises(InputError, match="must be raw, c23 or c40"):
        adapters.faceforensics(root, "c32")


def test_faceforensics_splits_under_beside_or_named(tmp_path):
    root = trees.faceforensics(tmp_path / "FF")
    (root / "splits").rename(tmp_path / "splits")
    assert len(adapters.faceforensics(root)) == 24
    (tmp_path / "splits").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"looked for in .*FF/splits and .*splits"):
        adapters.faceforensics(root)
    assert len(adapters.faceforensics(root, splits_dir=tmp_path / "elsewhere")) == 24


def test_faceforensics_refuses_ids_that_are_numbers(tmp_path):
    root = trees.faceforensics(tmp_path)
    trees.put(root / "splits" / "val.json", "[[720, 672]]")
    with pytest.raises(InputError, match=r"val.json.*must be strings"):
        adapters.faceforensics(root)
    trees.put(root / "splits" / "val.json", "[[")
    with pytest.raises(InputError, match=r"val.json.*no JSON list"):
        adapters.faceforensics(root)
    trees.put(root / "splits" / "val.json", '[["071", "672"]]')
    with pytest.raises(InputError, match=r"val.json.*stands in two pairs"):
        adapters.faceforensics(root)


def test_faceforensics_half_extracted(tmp_path):
    root = trees.faceforensics(tmp_path)
    fakes = root / "manipulated_sequences" / "Deepfakes" / "c23" / "videos"
    (fakes / "071_054.mp4").unlink()
    (fakes / "953_974.mp4").unlink()
    with pytest.raises(InputError, match=r"2 of 24 listed files are missing, the first is .*071_054.mp4"):
        adapters.faceforensics(root)
    with pytest.warns(UserWarning, match="2 of 24 listed files are missing"):
        manifest = adapters.faceforensics(root, allow_missing=True)
    assert len(manifest) == 22


def test_deepfakedetection_is_unseen(tmp_path):
    root = trees.deepfakedetection(trees.faceforensics(tmp_path))
    manifest = adapters.faceforensics(root)
    check_leaks(manifest)
    dfd = manifest[manifest["dataset"] == "deepfakedetection"]
    assert len(dfd) == 3
    assert set(dfd["split"]) == {"unseen"}
    fake = by_name(dfd).loc["24_23__outside_talking_still_laughing__YR5OVD4S.mp4"]
    real = by_name(dfd).loc["24__outside_talking_still_laughing.mp4"]
    assert (fake["label"], real["label"]) == (1, 0)
    assert fake["person"] == real["person"] == "actor-24"
    assert fake["source"] == real["source"]
    (root / "original_sequences" / "actors" / "c23" / "videos" / "23__walk_down_hall_angry.mp4").unlink()
    with pytest.raises(InputError, match="holds 1 of the 2 published files"):
        adapters.faceforensics(root)


# ------------------------------------------------------------------- Celeb-DF v2
@pytest.mark.parametrize("youtube", ["YouTube-real", "Youtube-real"])
def test_celeb_df_turns_the_list_round(tmp_path, youtube):
    manifest = adapters.celeb_df(trees.celeb_df(tmp_path, youtube))
    validate(manifest, require_files=True)
    check_leaks(manifest)
    assert len(manifest) == 35
    assert set(manifest["split"]) == {"train", "val", "test"}
    rows = by_name(manifest)
    assert rows.loc["00170.mp4", "label"] == 0  # "1" in the list
    assert rows.loc["id1_id2_0007.mp4", "label"] == 1  # "0" in the list
    fake = rows.loc["id1_id2_0007.mp4"]
    assert (fake["person"], fake["source"], fake["donor"]) == ("id1", "id1_0007", "id2")
    assert fake["split"] == rows.loc["id1_0007.mp4", "split"]
    assert manifest["official_test"].sum() == 3
    pd.testing.assert_frame_equal(manifest, adapters.celeb_df(tmp_path))


def test_celeb_df_official_split_leaks(tmp_path):
    manifest = adapters.celeb_df(trees.celeb_df(tmp_path), split="official")
    assert set(by_name(manifest.query("split == 'test'")).index) == {
        "00170.mp4",
        "id1_0000.mp4",
        "id1_id2_0007.mp4",  # the last line, which has no newline
    }
    with pytest.raises(LeakError, match="person celeb_df/id1 in test"):
        check_leaks(manifest)
    with pytest.raises(InputError, match="must be identity or official"):
        adapters.celeb_df(tmp_path, split="random")


def test_celeb_df_refuses_a_list_that_contradicts_the_folders(tmp_path):
    trees.celeb_df(tmp_path)
    trees.put(tmp_path / "List_of_testing_videos.txt", "0 Celeb-real/id1_0000.mp4")
    with pytest.raises(InputError, match="1 means real"):
        adapters.celeb_df(tmp_path)


def test_celeb_df_half_extracted(tmp_path):
    trees.celeb_df(tmp_path)
    gone = tmp_path / "Celeb-synthesis" / "id1_id2_0007.mp4"
    gone.unlink()
    with pytest.raises(InputError, match=r"Celeb-synthesis.*holds 15 of the 16 published"):
        adapters.celeb_df(tmp_path)
    trees.put(tmp_path / "Celeb-synthesis" / "id7_id1_0009.mp4")
    with pytest.raises(InputError, match=r"1 of 3 listed files are missing.*id1_id2_0007"):
        adapters.celeb_df(tmp_path)
    with pytest.warns(UserWarning, match="1 of 3"):
        assert len(adapters.celeb_df(tmp_path, allow_missing=True)) == 35
    (tmp_path / "List_of_testing_videos.txt").unlink()
    with pytest.raises(InputError, match=r"List_of_testing_videos.txt.*does not exist"):
        adapters.celeb_df(tmp_path)


# ------------------------------------------------------------------- DFDC
def test_dfdc_by_part(tmp_path):
    manifest = adapters.dfdc(trees.dfdc_test(trees.dfdc(tmp_path)))
    validate(manifest, require_files=True)
    check_leaks(manifest)
    rows = by_name(manifest)
    assert len(rows) == 9
    assert rows.loc["owxbbpjpch.mp4", ["label", "split", "source", "part"]].tolist() == [
        1, "train", "wynotylpnm", 0
    ]  # fmt: skip
    assert rows.loc["wynotylpnm.mp4", ["label", "source"]].tolist() == [0, "wynotylpnm"]
    assert rows.loc["vpmyeepbep.mp4", ["label", "split"]].tolist() == [0, "val"]  # original is null
    assert rows.loc["dddddddddd.mp4", ["label", "split"]].tolist() == [1, "test"]
    assert rows.loc["eeeeeeeeee.mp4", ["label", "split"]].tolist() == [1, "unseen"]
    assert rows.loc["ffffffffff.mp4", ["label", "split"]].tolist() == [0, "unseen"]
    assert "voice_label" not in manifest


def test_dfdc_one_part_is_split_by_family(tmp_path):
    families = {f"real{chr(97 + n)}": [f"fake{chr(97 + n)}x", f"fake{chr(97 + n)}y"] for n in range(12)}
    trees.dfdc_part(tmp_path / "dfdc_train_part_07", families)
    manifest = adapters.dfdc(tmp_path)
    check_leaks(manifest)
    assert set(manifest["split"]) == {"train", "val", "test"}
    assert manifest.groupby("source")["split"].nunique().eq(1).all()
    assert set(adapters.dfdc(tmp_path, split="part")["split"]) == {"train"}


def test_dfdc_sample_only_where_there_are_no_parts(tmp_path):
    families = {f"real{chr(97 + n)}": [f"fake{chr(97 + n)}"] for n in range(9)}
    trees.dfdc_part(tmp_path / "train_sample_videos", families)
    assert len(adapters.dfdc(tmp_path)) == 18
    trees.dfdc(tmp_path)
    assert len(adapters.dfdc(tmp_path)) == 7


def test_dfdc_test_set_alone(tmp_path):
    manifest = adapters.dfdc(trees.dfdc_test(tmp_path))
    assert manifest["label"].tolist() == [1, 0]
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(InputError, match=r"test: .*expected labels.csv"):
        adapters.dfdc(tmp_path)


def test_dfdc_half_extracted(tmp_path):
    trees.dfdc(tmp_path)
    (tmp_path / "dfdc_train_part_40" / "cccccccccc.mp4").unlink()
    with pytest.raises(InputError, match=r"1 of 7 listed files are missing.*cccccccccc.mp4"):
        adapters.dfdc(tmp_path)
    with pytest.warns(UserWarning, match="1 of 7"):
        assert len(adapters.dfdc(tmp_path, allow_missing=True)) == 6
    (tmp_path / "dfdc_train_part_40" / "metadata.json").unlink()
    with pytest.raises(InputError, match=r"part_40: .*expected metadata.json"):
        adapters.dfdc(tmp_path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"a.mp4": {"label": "fake"}}', "must be REAL or FAKE"),
        ('{"a.mp4": {"label": "FAKE", "original": null}}', "names no original"),
        ("[1]", "no JSON object"),
        ("{", "no JSON object"),
    ],
)
def test_dfdc_refuses_bad_metadata(tmp_path, text, match):
    trees.put(tmp_path / "dfdc_train_part_00" / "metadata.json", text)
    with pytest.raises(InputError, match=match):
        adapters.dfdc(tmp_path)


# ------------------------------------------------------------------- DeepfakeTIMIT
def test_deepfake_timit(tmp_path):
    manifest = adapters.deepfake_timit(*trees.timit(tmp_path / "fakes", tmp_path / "reals"))
    validate(manifest, require_files=True)
    check_leaks(manifest)
    assert len(manifest) == 48
    fake = manifest[manifest["path"].str.endswith("fadg0/sa1-video-fram1.avi")].iloc[0]
    real = manifest[manifest["path"].str.endswith("fadg0/video/sa1")].iloc[0]
    assert (fake["label"], real["label"]) == (1, 0)
    assert fake["person"] == real["person"] == "fadg0"
    assert fake["source"] == real["source"] == "fadg0-sa1"
    assert manifest["voice_label"].eq(0).all()
    assert not manifest["path"].str.contains("head|mzzz0").any()
    assert set(manifest["split"]) == {"train", "val", "test"}
    split_of = manifest.groupby("person")["split"].first()
    fakes = manifest[manifest["label"] == 1]
    assert (fakes["donor"].map(split_of) == fakes["split"]).all()  # a pair stays together


def test_deepfake_timit_half_extracted(tmp_path):
    fakes, reals = trees.timit(tmp_path / "fakes", tmp_path / "reals")
    (reals / "fadg0" / "video" / "sa1").rename(reals / "fadg0" / "video" / "other")
    with pytest.raises(InputError, match=r"VidTIMIT: 1 of 24 listed files are missing.*fadg0/video/sa1"):
        adapters.deepfake_timit(fakes, reals)
    (reals / "fadg0" / "video" / "sa1").mkdir()
    with pytest.raises(InputError, match="expected JPEG frames named 001"):
        adapters.deepfake_timit(fakes, reals)
    (fakes / "higher_quality" / "fram1" / "sa1-video-fadg0.avi").unlink()
    with pytest.raises(InputError, match="holds 23 of the 24 published"):
        adapters.deepfake_timit(fakes, reals)
    with pytest.raises(InputError, match=r"lower_quality: .*expected here"):
        adapters.deepfake_timit(fakes, reals, quality="lower_quality")
    with pytest.raises(InputError, match="must be higher_quality or lower_quality"):
        adapters.deepfake_timit(fakes, reals, quality="hq")


# ------------------------------------------------------------------- UADFV
@pytest.mark.parametrize(("fake", "real"), [("fake", "real"), ("fake_videos", "real_videos/real")])
def test_uadfv(tmp_path, fake, real):
    manifest = adapters.uadfv(trees.uadfv(tmp_path, fake, real))
    validate(manifest, require_files=True)
    check_leaks(manifest)
    assert manifest["label"].value_counts().to_dict() == {0: 10, 1: 10}
    rows = by_name(manifest)
    assert rows.loc["0003_fake.mp4", "label"] == 1
    assert rows.loc["0003_fake.mp4", "split"] == rows.loc["0003.mp4", "split"]
    assert set(manifest["split"]) == {"train", "val", "test"}


def test_uadfv_half_extracted(tmp_path):
    trees.uadfv(tmp_path)
    (tmp_path / "fake" / "0004_fake.mp4").unlink()
    with pytest.raises(InputError, match="fake: UADFV: holds 9 of the 10 published"):
        adapters.uadfv(tmp_path)
    with pytest.warns(UserWarning, match="9 of the 10"):
        assert len(adapters.uadfv(tmp_path, allow_missing=True)) == 19


# ------------------------------------------------------------------- DeeperForensics-1.0
def test_deeper_forensics(tmp_path):
    root = trees.deeper_forensics(tmp_path / "DF")
    manifest = adapters.deeper_forensics(root, trees.faceforensics(tmp_path / "FF"))
    validate(manifest, require_files=True)
    check_leaks(manifest)
    assert len(manifest) == 8
    rows = by_name(manifest)
    assert rows.loc["071_W133.mp4", ["label", "split", "person", "donor", "method"]].tolist() == [
        1, "train", "071", "W133", "end_to_end"
    ]  # fmt: skip
    assert rows.loc["071.mp4", ["label", "split", "person"]].tolist() == [0, "train", "071"]
    assert "original_sequences/youtube/c23" in Path(rows.loc["071.mp4", "path"]).as_posix()
    assert not manifest["path"].str.contains("source_videos").any()
    assert manifest.groupby("split").size().to_dict() == {"train": 4, "val": 2, "test": 2}


def test_deeper_forensics_half_extracted(tmp_path):
    root, ff_root = trees.deeper_forensics(tmp_path / "DF"), trees.faceforensics(tmp_path / "FF")
    with pytest.raises(InputError, match="reenact_postprocess"):
        adapters.deeper_forensics(root, ff_root, variant="reenact_postprocess")
    (ff_root / "original_sequences" / "youtube" / "c23" / "videos" / "071.mp4").unlink()
    with pytest.raises(InputError, match=r"1 of 8 listed files are missing.*071.mp4"):
        adapters.deeper_forensics(root, ff_root)
    with pytest.warns(UserWarning, match="1 of 8"):
        assert len(adapters.deeper_forensics(root, ff_root, allow_missing=True)) == 7
    trees.put(root / "lists" / "splits" / "val.txt", "071_M004.mp4\n")
    with pytest.raises(InputError, match="071 is in train as well"):
        adapters.deeper_forensics(root, ff_root)
    trees.put(root / "lists" / "splits" / "val.txt", "071.mp4\n")
    with pytest.raises(InputError, match=r"val.txt.*expected lines such as"):
        adapters.deeper_forensics(root, ff_root)


# ------------------------------------------------------------------- FakeAVCeleb
def test_fake_av_celeb(tmp_path):
    manifest = adapters.fake_av_celeb(trees.fake_av_celeb(tmp_path))
    validate(manifest, require_files=True)
    check_leaks(manifest)
    assert len(manifest) == 40
    assert set(manifest["split"]) == {"train", "val", "test"}
    expected = {"A": (0, 0), "B": (0, 1), "C": (1, 0), "D": (1, 1)}
    for category, labels in expected.items():
        rows = manifest[manifest["category"] == category]
        assert set(zip(rows["label"], rows["voice_label"])) == {labels}
    rows = manifest[manifest["person"] == "id00003"].set_index("category")
    assert rows["source"].eq("id00003/00109").all()
    assert rows.loc["B", ["method", "voice_method"]].tolist() == ["none", "rtvc"]
    assert rows.loc["C", ["method", "voice_method"]].tolist() == ["faceswap", "none"]
    assert Path(rows.loc["D", "path"]).name == "00109_10_id00476_wavtolip.mp4"
    assert set(manifest["race"]) == {"African", "Asian (East)"}


def test_fake_av_celeb_half_extracted(tmp_path):
    trees.fake_av_celeb(tmp_path)
    (tmp_path / "FakeVideo-FakeAudio").rename(tmp_path / "not-yet")
    with pytest.raises(InputError, match=r"10 of 40 listed files are missing.*FakeVideo-FakeAudio"):
        adapters.fake_av_celeb(tmp_path)
    with pytest.warns(UserWarning, match="10 of 40"):
        assert len(adapters.fake_av_celeb(tmp_path, allow_missing=True)) == 30
    trees.put(tmp_path / "meta_data.csv", "source,method\nid1,real\n")
    with pytest.raises(InputError, match="lacks the columns"):
        adapters.fake_av_celeb(tmp_path)


# ------------------------------------------------------------------- ASVspoof 2019 LA
@pytest.mark.parametrize("nested", [False, True])
def test_asvspoof2019_la(tmp_path, nested):
    trees.asvspoof2019_la(tmp_path / "LA")
    manifest = adapters.asvspoof2019_la(tmp_path if nested else tmp_path / "LA")
    validate(manifest, require_files=True)
    check_leaks(manifest)
    assert len(manifest) == 6
    rows = by_name(manifest)
    columns = ["label", "split", "method", "person"]
    assert rows.loc["LA_T_1000000.flac", columns].tolist() == [0, "train", "none", "LA_0009"]
    assert rows.loc["LA_T_1000001.flac", columns].tolist() == [1, "train", "A01", "LA_0009"]
    assert rows.loc["LA_D_1000001.flac", columns].tolist() == [1, "val", "A06", "LA_0019"]
    assert rows.loc["LA_E_1000001.flac", columns].tolist() == [1, "unseen", "A07", "LA_0029"]


def test_asvspoof2019_la_half_extracted_or_wrong_protocol(tmp_path):
    trees.asvspoof2019_la(tmp_path)
    (tmp_path / "ASVspoof2019_LA_eval" / "flac" / "LA_E_1000001.flac").unlink()
    with pytest.raises(InputError, match=r"1 of 6 listed files are missing.*LA_E_1000001.flac"):
        adapters.asvspoof2019_la(tmp_path)
    with pytest.warns(UserWarning, match="1 of 6"):
        assert len(adapters.asvspoof2019_la(tmp_path, allow_missing=True)) == 5
    protocol = tmp_path / "ASVspoof2019_LA_cm_protocols" / "ASVspoof2019.LA.cm.dev.trl.txt"
    trees.put(protocol, "LA_0069 LA_D_1000000 bonafide target\n")  # the other task's
    with pytest.raises(InputError, match=r"dev.trl.txt.*expected 'SPEAKER"):
        adapters.asvspoof2019_la(tmp_path)
    trees.put(protocol, "LA_0069 LA_D_1000000 - A01 bonafide\n")
    with pytest.raises(InputError, match="bonafide with the attack 'A01'"):
        adapters.asvspoof2019_la(tmp_path)


# ------------------------------------------------------------------- the tables of DFUTILS_DATA
def test_shared_tables_in_miniature(tmp_path):
    trees.shared_tables(tmp_path)
    faces, speech, videos = (
        adapters.ADAPTERS[f"shared_{n}"](tmp_path) for n in ("faces", "speech", "videos")
    )
    for manifest in (faces, speech, videos):
        validate(manifest, require_files=True)
        check_leaks(manifest)
    rows = by_name(faces)
    assert rows.loc["000_003_1.jpg", ["split", "source", "person"]].tolist() == ["unseen", "000", "ffpp_003"]
    assert rows.loc["bbb.jpg", ["label", "source", "video", "face_px"]].tolist() == [1, "aaa", "bbb", 223]
    rows = by_name(speech)
    assert rows.loc["hifigan-x-0.flac", ["label", "source", "method"]].tolist() == [1, "x-0", "COPY_hifigan"]
    assert rows.loc["y-0.flac", ["split", "method", "source"]].tolist() == ["val", "none", "y-0"]
    assert rows.loc["z-0.flac", ["split", "source", "corpus"]].tolist() == ["unseen", "z-0", "sp_vits_vctk"]
    rows = by_name(videos)
    assert pd.isna(rows.loc["dfdc-ccc.mp4", "voice_label"])
    assert rows.loc["grid-lwbsza.mpg", "voice_label"] == 0
    assert rows["person"].tolist() == ["dfdc-ccc", "grid-lwbsza"]


def test_a_video_whose_crops_are_in_another_split_shows_up(tmp_path):
    trees.shared_tables(tmp_path)
    both = make_manifest(pd.concat([adapters.shared_faces(tmp_path), adapters.shared_videos(tmp_path)]))
    leaks = find_leaks(both)
    assert leaks[["kind", "value", "splits"]].values.tolist() == [["source", "dfdc/ccc", "test+unseen"]]


@pytest.mark.parametrize(
    ("file", "old", "new", "match"),
    [
        ("faces/dfdc.csv", ",test,", ",holdout,", "unknown split 'holdout'"),
        ("faces/dfdc.csv", ",186,", ",wide,", "face_px must be a whole number"),
        ("faces/dfdc.csv", ",0,test", ",real,test", "label must be 0 or 1"),
        ("faces/dfdc.csv", "person", "who", "lacks the columns"),
        ("speech/speech.csv", ",0,dev", ",,dev", "label must be 0 or 1"),
        ("speech/speech.csv", "y-0.flac", "w-0.flac", "1 of 4 listed files are missing"),
        ("videos/videos.csv", "dfdc-ccc.mp4", "dfdc-ddd.mp4", "1 of 2 listed files are missing"),
    ],
)
def test_shared_tables_refuse(tmp_path, file, old, new, match):
    path = trees.shared_tables(tmp_path) / file
    path.write_text(path.read_text().replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=match):
        adapters.ADAPTERS[f"shared_{path.parent.name}"](tmp_path)


@pytest.mark.parametrize(
    ("note", "label"),
    [
        ("real picture and voice", 0),
        ("fake picture and voice", 1),
        ("Fake picture, real voice", 0),
        ("real picture, fake voice", 1),
        ("picture label; voice label unknown", pd.NA),
        ("real picture", pd.NA),
    ],
)
def test_shared_videos_read_the_voice_label_from_the_note(tmp_path, note, label):
    path = trees.shared_tables(tmp_path) / "videos" / "videos.csv"
    path.write_text(f'path,label,source,note\ndfdc-ccc.mp4,1,dfdc,"{note}"\n', encoding="utf-8")
    assert adapters.shared_videos(tmp_path)["voice_label"].tolist() == [label]


def real_tables() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DFUTILS_DATA") or beside)
    if not (folder / "faces").is_dir():
        pytest.skip(f"no tables of real crops and clips at DFUTILS_DATA or {beside}")
    return folder


@pytest.mark.parametrize("kind", ["faces", "speech", "videos"])
def test_real_tables_hold_together(kind):
    manifest = adapters.ADAPTERS[f"shared_{kind}"](real_tables())
    check_leaks(manifest)
    assert set(manifest["label"]) == {0, 1}
    people = persons_of_splits(manifest)
    assert len(set.union(*people)) == sum(map(len, people))
