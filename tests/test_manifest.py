"""The sample table: what it refuses, how it is drawn, split, stored, and which leaks it finds."""

import shutil

import pandas as pd
import pytest

from dfutils import InputError, LeakError
from dfutils.leaks import check_leaks, find_leaks
from dfutils.manifest import (
    fingerprint,
    make_manifest,
    read_manifest,
    split_by_person,
    subset,
    validate,
    write_manifest,
)

FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}


def row(number=0, **changes):
    """One valid real of its own person and recording."""
    return {"path": f"/data/{number:03d}.mp4", "label": 0, "split": "train", "person": f"p{number}",
            "source": f"s{number}", "method": "none", "dataset": "d", **changes}  # fmt: skip


def fake(number, **changes):
    return row(number, label=1, method="swap", **changes)


def people(n, rows_each=4):
    """``n`` persons, half of the rows of each fake, not yet split."""
    return make_manifest(
        [
            (fake if k % 2 else row)(i * rows_each + k, person=f"p{i}", source=f"s{i}", split="")
            for i in range(n)
            for k in range(rows_each)
        ]
    )


def on_disk(folder, rows):
    for index, item in enumerate(rows):
        path = folder / f"{index}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.pop("content", f"content {index}".encode()))
        item["path"] = str(path)
    return make_manifest(rows)


# ------------------------------------------------------------------- make and validate
def test_make_manifest_sorts_and_keeps_extra_columns():
    manifest = make_manifest([fake(2, race="x"), row(1, race="y", label="0")])
    assert manifest["path"].tolist() == ["/data/001.mp4", "/data/002.mp4"]
    assert manifest["label"].tolist() == [0, 1]
    assert manifest["label"].dtype == "int64"
    assert manifest["race"].tolist() == ["y", "x"]


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([], "has no rows"),
        ([{"path": "a", "label": 0}], r"lacks the columns \['split'"),
        ([row(label=2)], "label must be 0 .* 1 rows have e.g. .*2"),
        ([row(label="REAL")], "label must be 0 .* 'REAL'"),
        ([row(label=None)], "label must be 0"),
        ([row(), row()], "a path stands twice: /data/000.mp4"),
        ([row(split="dev")], r"unknown splits \['dev'\]"),
        ([row(person="")], "1 rows have no person"),
        ([row(source="")], "1 rows have no source"),
        ([row(label=1)], "label 1 with method 'none'"),
        ([row(method="swap")], "label 0 with method 'swap'"),
    ],
)
def test_make_manifest_refuses(rows, match):
    with pytest.raises(InputError, match=match):
        make_manifest(rows, "my table")


def test_validate_names_missing_files(tmp_path):
    manifest = on_disk(tmp_path, [row(), row()])
    assert len(validate(manifest, require_files=True)) == 2
    (tmp_path / "1.bin").unlink()
    with pytest.raises(InputError, match=r"1 of 2 files are missing, the first is .*1.bin"):
        validate(manifest, require_files=True)


# ------------------------------------------------------------------- subset
def test_subset_is_stratified_and_deterministic():
    manifest = make_manifest([*(row(i) for i in range(60)), *(fake(i) for i in range(60, 100))])
    drawn = subset(manifest, 25, seed=3)
    assert drawn["label"].value_counts().to_dict() == {0: 15, 1: 10}
    assert drawn["path"].is_monotonic_increasing
    pd.testing.assert_frame_equal(drawn, subset(manifest, 25, seed=3))
    assert set(drawn["path"]) != set(subset(manifest, 25, seed=4)["path"])


@pytest.mark.parametrize("n", [1, 2, 7, 11, 99])
def test_subset_gives_exactly_n(n):
    manifest = make_manifest([*(row(i) for i in range(33)), *(fake(i, split="val") for i in range(33, 100))])
    drawn = subset(manifest, n, seed=0, by=("split", "label"))
    assert len(drawn) == n
    assert abs(drawn["label"].sum() - 0.67 * n) < 1


def test_subset_of_everything_and_of_nothing():
    manifest = people(2)
    assert len(subset(manifest, 100, seed=0)) == 8
    with pytest.raises(InputError, match="at least 1, got 0"):
        subset(manifest, 0, seed=0)


# ------------------------------------------------------------------- split by person
def test_split_by_person_keeps_people_whole():
    manifest = split_by_person(people(50), FRACTIONS, seed=1)
    assert manifest.groupby("person")["split"].nunique().eq(1).all()
    shares = manifest["split"].value_counts(normalize=True)
    for split, share in FRACTIONS.items():
        assert shares[split] == pytest.approx(share, abs=0.03)
    check_leaks(manifest, check_files=False)
    pd.testing.assert_frame_equal(manifest, split_by_person(people(50), FRACTIONS, seed=1))
    assert manifest["split"].tolist() != split_by_person(people(50), FRACTIONS, seed=2)["split"].tolist()


def test_split_by_person_follows_recordings_transitively():
    table = people(40)
    # p0 and p1 share a recording, p1 and p2 another: three people in one group
    links = make_manifest([fake(900, person="p0", source="s1"), fake(901, person="p1", source="s2")])
    table = make_manifest(pd.concat([table, links]))
    for seed in range(5):
        manifest = split_by_person(table, FRACTIONS, seed)
        assert len(set(manifest[manifest["person"].isin(["p0", "p1", "p2"])]["split"])) == 1
        check_leaks(manifest, check_files=False)


def test_split_by_person_does_not_join_recordings_of_different_datasets():
    rows = [row(i, source="001", dataset=f"d{i}") for i in range(10)]
    manifest = split_by_person(make_manifest(rows), FRACTIONS, seed=0)
    assert set(manifest["split"]) == set(FRACTIONS)


@pytest.mark.parametrize("fractions", [{"train": 0.5}, {"train": 0.5, "dev": 0.5}])
def test_split_by_person_refuses(fractions):
    with pytest.raises(InputError, match="must sum to 1"):
        split_by_person(people(3), fractions, seed=0)


# ------------------------------------------------------------------- storing
def test_round_trip_after_the_folder_moved(tmp_path):
    manifest = on_disk(tmp_path / "here" / "videos", [row(person="007"), fake(1, source="000")])
    write_manifest(manifest, tmp_path / "here" / "table.csv")
    shutil.move(tmp_path / "here", tmp_path / "there")
    back = read_manifest(tmp_path / "there" / "table.csv")
    validate(back, require_files=True)
    assert back["path"].tolist() == [str(tmp_path / "there" / "videos" / f"{i}.bin") for i in range(2)]
    assert back["person"].tolist() == ["007", "p1"]
    assert back["source"].tolist() == ["s0", "000"]
    columns = ["label", "split", "person", "source", "method", "dataset"]
    pd.testing.assert_frame_equal(back[columns], manifest[columns])
    assert fingerprint(back) == fingerprint(manifest)


def test_writing_leaves_nothing_else_behind(tmp_path):
    write_manifest(people(2), tmp_path / "deep" / "table.csv")
    write_manifest(people(3), tmp_path / "deep" / "table.csv")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["table.csv"]
    assert len(read_manifest(tmp_path / "deep" / "table.csv")) == 12


def test_read_manifest_refuses(tmp_path):
    with pytest.raises(InputError, match=r"none.csv: this manifest does not exist"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"binary.csv"):
        read_manifest(tmp_path / "binary.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"other.csv: lacks the columns"):
        read_manifest(tmp_path / "other.csv")
    write_manifest(people(1), tmp_path / "broken.csv")
    text = (tmp_path / "broken.csv").read_text().replace(",p0,", ",,", 1)
    (tmp_path / "broken.csv").write_text(text)
    with pytest.raises(InputError, match="1 rows have no person"):
        read_manifest(tmp_path / "broken.csv")


def test_fingerprint_ignores_place_and_order():
    here, there = (make_manifest([{**row(i), "path": f"{top}/x/{i}.mp4"} for i in range(5)])
                   for top in ("/a", "/b/c"))  # fmt: skip
    assert fingerprint(here) == fingerprint(there)
    assert fingerprint(here) == fingerprint(here.iloc[::-1])
    assert fingerprint(here) == fingerprint(here.assign(note="extra"))
    assert len(fingerprint(here)) == 16


@pytest.mark.parametrize("column", ["path", "label", "split", "person", "source", "method", "dataset"])
def test_fingerprint_sees_every_column(column):
    manifest = people(2)
    changed = manifest.copy()
    changed.loc[0, column] = 1 if column == "label" else "/data/999.mp4"
    assert fingerprint(changed) != fingerprint(manifest)


# ------------------------------------------------------------------- leaks
def test_clean_manifest_has_no_leaks(tmp_path):
    manifest = on_disk(tmp_path, [row(0), row(1), row(2, split="val"), row(3, split="test")])
    assert find_leaks(manifest).empty
    check_leaks(manifest)


@pytest.mark.parametrize(
    ("planted", "kind", "value"),
    [
        ({"person": "p0"}, "person", "d/p0"),
        ({"source": "s0"}, "source", "d/s0"),
        ({"content": b"content 0"}, "file", "sha256:"),
    ],
)
def test_each_kind_of_leak_is_found(tmp_path, planted, kind, value):
    manifest = on_disk(tmp_path, [row(0), row(1), row(2, split="val"), row(3, split="test", **planted)])
    leaks = find_leaks(manifest)
    assert leaks["kind"].tolist() == [kind]
    assert leaks["value"].iloc[0].startswith(value)
    assert leaks["splits"].iloc[0] == "test+train"
    with pytest.raises(LeakError, match=f"1 leaks between splits; first: {kind} {value}"):
        check_leaks(manifest)
    assert len(find_leaks(manifest, check_files=False)) == (kind != "file")


def test_what_is_no_leak(tmp_path):
    manifest = on_disk(
        tmp_path,
        [
            row(0),
            row(1, person="p0", source="s0"),  # the same person within a split
            row(2, split="val", person="p0", source="s0", dataset="e"),  # a namesake of another dataset
            row(3, content=b"content 0"),  # the same file within a split
            row(4, split="test", content=b"content 9"),  # as long as the others, but different
        ],
    )
    assert find_leaks(manifest).empty


def test_three_leaks_at_once(tmp_path):
    rows = [row(0), row(1, split="val", person="p0", source="s0", content=b"content 0")]
    leaks = find_leaks(on_disk(tmp_path, rows))
    assert leaks["kind"].tolist() == ["person", "source", "file"]
    assert set(leaks["splits"]) == {"train+val"}


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA])
def test_a_missing_person_is_refused_whatever_it_is_spelled_as(value):
    with pytest.raises(InputError, match="1 rows have no person"):
        make_manifest([row(0, person=value), row(1)])


def test_leaks_are_found_in_a_plain_concatenation(tmp_path):
    first = on_disk(tmp_path / "a", [row(0, content=b"x")])
    second = on_disk(tmp_path / "b", [row(1, content=b"x", split="test")])
    assert find_leaks(pd.concat([first, second]))["kind"].tolist() == ["file"]


def test_leak_check_names_a_missing_file():
    with pytest.raises(InputError, match="cannot be read"):
        find_leaks(make_manifest([row(0)]))


def test_subset_keeps_rows_without_a_stratum():
    manifest = make_manifest([row(i, race=None if i < 4 else "q") for i in range(10)])
    assert len(subset(manifest, 5, 0, ("race",))) == 5


def test_further_columns_survive_the_round_trip(tmp_path):
    manifest = make_manifest(
        [
            row(0, video="000", face_px=3, voice_label=None, x=0.5, note="a,b"),
            row(1, video="001", face_px=4, voice_label=1, x=1, note=""),
        ]
    )
    manifest["voice_label"] = manifest["voice_label"].astype("Int64")
    back = read_manifest(write_manifest(manifest, tmp_path / "m.csv"))
    pd.testing.assert_frame_equal(back.drop(columns="path"), manifest.drop(columns="path"))
