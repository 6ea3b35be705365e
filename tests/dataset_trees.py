"""Miniature copies of the datasets' folder layouts, traps included, for the tests of the adapters."""

from __future__ import annotations

import json
from pathlib import Path

FFPP_PAIRS = {
    "train": [["071", "054"], ["087", "081"]],
    "val": [["720", "672"]],
    "test": [["953", "974"]],
}


def put(path: Path, text: str | None = None) -> Path:
    """Write a small file whose content is its own path, so that no two files are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((str(path) if text is None else text).encode())
    return path


def faceforensics(root: Path, methods=("Deepfakes", "Face2Face"), compression="c23", splits=True) -> Path:
    for split, pairs in FFPP_PAIRS.items():
        if splits:
            put(root / "splits" / f"{split}.json", json.dumps(pairs))
        for pair in pairs:
            for a, b in (pair, pair[::-1]):
                put(root / "original_sequences" / "youtube" / compression / "videos" / f"{a}.mp4")
                for method in methods:
                    fakes = root / "manipulated_sequences" / method / compression / "videos"
                    put(fakes / f"{a}_{b}.mp4")
                    put(fakes.parents[1] / "masks" / "videos" / f"{a}_{b}.mp4")
    return root


def deepfakedetection(root: Path, compression="c23") -> Path:
    reals = root / "original_sequences" / "actors" / compression / "videos"
    fakes = root / "manipulated_sequences" / "DeepFakeDetection" / compression / "videos"
    put(reals / "24__outside_talking_still_laughing.mp4")
    put(reals / "23__walk_down_hall_angry.mp4")
    put(fakes / "24_23__outside_talking_still_laughing__YR5OVD4S.mp4")
    return root


def celeb_df(root: Path, youtube="YouTube-real") -> Path:
    for person in range(8):
        for recording in ("0000", "0007"):
            put(root / "Celeb-real" / f"id{person}_{recording}.mp4")
            put(root / "Celeb-synthesis" / f"id{person}_id{(person + 1) % 8}_{recording}.mp4")
    for number in range(3):
        put(root / youtube / f"0017{number}.mp4")
    put(
        root / "List_of_testing_videos.txt",  # 1 = real, no newline at the end
        "1 YouTube-real/00170.mp4\n1 Celeb-real/id1_0000.mp4\n0 Celeb-synthesis/id1_id2_0007.mp4",
    )
    return root


def dfdc_part(folder: Path, families: dict[str, list[str]], null_original=False) -> Path:
    """Write a part: real name to the names of its fakes."""
    metadata = {}
    for real, fakes in families.items():
        put(folder / f"{real}.mp4")
        metadata[f"{real}.mp4"] = {"label": "REAL", "split": "train"}
        if null_original:
            metadata[f"{real}.mp4"]["original"] = None
        for fake in fakes:
            put(folder / f"{fake}.mp4")
            metadata[f"{fake}.mp4"] = {"label": "FAKE", "split": "train", "original": f"{real}.mp4"}
    put(folder / "metadata.json", json.dumps(metadata))
    return folder


def dfdc(root: Path) -> Path:
    dfdc_part(root / "dfdc_train_part_00" / "dfdc_train_part_0", {"wynotylpnm": ["owxbbpjpch", "aaaaaaaaaa"]})
    dfdc_part(root / "dfdc_train_part_35", {"vpmyeepbep": ["bbbbbbbbbb"]}, null_original=True)
    dfdc_part(root / "dfdc_train_part_40", {"cccccccccc": ["dddddddddd"]})
    return root


def dfdc_test(root: Path) -> Path:
    put(root / "test" / "eeeeeeeeee.mp4")
    put(root / "test" / "ffffffffff.mp4")
    put(root / "labels.csv", "\ufefffilename,label\neeeeeeeeee.mp4,1\nffffffffff.mp4,0")
    return root


def timit(fakes: Path, reals: Path, quality="higher_quality") -> tuple[Path, Path]:
    for pair in ("fadg0 fram1", "mabw0 mbdg0", "fcft0 fcmh0", "mbjk0 mccs0", "fcmr0 fcrh0", "mcem0 mdab0"):
        for target, donor in (pair.split(), pair.split()[::-1]):
            for sentence in ("sa1", "si649"):
                put(fakes / quality / target / f"{sentence}-video-{donor}.avi")
                put(fakes / quality / target / f"{sentence}-video-{donor}.wav")
                put(reals / target / "audio" / f"{sentence}.wav")
                for frame in ("001", "002"):
                    put(reals / target / "video" / sentence / frame)  # a JPEG without extension
            for sequence in ("head", "head2", "head3"):
                put(reals / target / "video" / sequence / "001")
    put(reals / "mzzz0" / "video" / "sa1" / "001")  # nobody made a fake of this person
    return fakes, reals


def uadfv(root: Path, fake="fake", real="real", pairs=10) -> Path:
    for number in range(pairs):
        put(root / fake / f"{number:04d}_fake.mp4")
        put(root / real / f"{number:04d}.mp4")
    put(root / real / "._0000.mp4")  # left by macOS
    return root


def deeper_forensics(root: Path, variant="end_to_end") -> Path:
    names = {"train": "071_W133 054_M004", "val": "720_W133", "test": "953_M004"}
    for split, fakes in names.items():
        lines = [f"{fake}.mp4" for fake in fakes.split()]
        put(root / "lists" / "splits" / f"{split}.txt", "\n".join(lines))
        for line in lines:
            put(root / "manipulated_videos" / variant / line)
    put(root / "source_videos" / "M004" / "light_uniform" / "neutral" / "M004_BlendShape_camera_down.mp4")
    return root


def fake_av_celeb(root: Path) -> Path:
    lines = ["source,target1,target2,method,category,type,race,gender,path,"]
    kinds = {
        "RealVideo-RealAudio": ("-", "real", "A", "00109.mp4"),
        "RealVideo-FakeAudio": ("-", "rtvc", "B", "00109_fake.mp4"),
        "FakeVideo-RealAudio": ("id00476", "faceswap", "C", "00109_10_id00476.mp4"),
        "FakeVideo-FakeAudio": ("id00476", "wav2lip", "D", "00109_10_id00476_wavtolip.mp4"),
    }
    for number in range(10):
        person = f"id000{number:02d}"
        # the table and the disk do not spell the second race alike
        race, on_disk = ("African", "African") if number % 2 else ("Asian (East)", "Asian(East)")
        for kind, (target, method, category, name) in kinds.items():
            put(root / kind / on_disk / "men" / person / name)
            folder = f"FakeAVCeleb/{kind}/{race}/men/{person}"
            lines.append(f"{person},{target},-,{method},{category},{kind},{race},men,{name},{folder}")
    put(root / "meta_data.csv", "\n".join(lines))
    return root


def asvspoof2019_la(root: Path) -> Path:
    subsets = {"train": ("T", "trn", "A01"), "dev": ("D", "trl", "A06"), "eval": ("E", "trl", "A07")}
    for index, (subset, (letter, ending, attack)) in enumerate(subsets.items()):
        lines = []
        for number, line in enumerate(("- - bonafide", f"- {attack} spoof")):
            utterance = f"LA_{letter}_100000{number}"
            lines.append(f"LA_00{index}9 {utterance} {line}")
            put(root / f"ASVspoof2019_LA_{subset}" / "flac" / f"{utterance}.flac")
        name = f"ASVspoof2019.LA.cm.{subset}.{ending}.txt"
        put(root / "ASVspoof2019_LA_cm_protocols" / name, "\n".join(lines))
    asv = root / "ASVspoof2019_LA_asv_protocols" / "ASVspoof2019.LA.asv.dev.female.trl.txt"
    put(asv, "LA_0069 LA_D_1000000 bonafide target\n")
    return root


def shared_tables(root: Path) -> Path:
    faces = "path,label,split,person,original,video,method,face_px,source\n"
    rows = [
        "dfdc/train/real/aaa.jpg,0,train,p1,aaa,aaa,none,223,dfdc",
        "dfdc/train/fake/bbb.jpg,1,train,p1,aaa,bbb,dfdc,223,dfdc",
        "dfdc/test/real/ccc.jpg,0,test,p2,ccc,ccc,none,186,dfdc",
    ]
    put(root / "faces" / "dfdc.csv", "\ufeff" + faces + "\n".join(rows))
    rows += ["ff/fake/000_003_1.jpg,1,dev-unseen,ffpp_003,000,000_003,face2face,256,faceforensics"]
    put(root / "faces" / "faceforensics.csv", faces + rows[-1])
    for row in rows:
        put(root / "faces" / row.split(",")[0])
    speech = "path,label,split,speaker,attack,copy_of,source,licence\n"
    rows = [
        "train/bonafide/x-0.flac,0,train,LIBRI:60,-,,bf_librispeech,CC-BY-4.0",
        "train/spoof/hifigan-x-0.flac,1,train,LIBRI:60,COPY_hifigan,train/bonafide/x-0.flac,copy-synthesis,MIT",
        "dev/bonafide/y-0.flac,0,dev,EMODB:12,-,,bf_emodb,free",
        "eval/spoof/z-0.flac,1,eval,VCTK:p225,TTS_vits,,sp_vits_vctk,MIT",
    ]
    put(root / "speech" / "speech.csv", speech + "\n".join(rows) + "\n")
    for row in rows:
        put(root / "speech" / row.split(",")[0])
    rows = [
        "dfdc-ccc.mp4,1,dfdc,picture label; voice label unknown",
        "grid-lwbsza.mpg,0,grid,real picture and voice",
    ]
    put(root / "videos" / "videos.csv", "path,label,source,note\n" + "\n".join(rows) + "\n")
    for row in rows:
        put(root / "videos" / row.split(",")[0])
    return root
