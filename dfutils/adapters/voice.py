"""ASVspoof 2019, logical access: bona fide and spoofed speech."""

from __future__ import annotations

import os

import pandas as pd

from dfutils.adapters._common import keep_present, need_folder, read_text
from dfutils.errors import InputError
from dfutils.manifest import make_manifest

PROTOCOLS = {"train": ("train.trn", "train"), "dev": ("dev.trl", "val"), "eval": ("eval.trl", "unseen")}


def asvspoof2019_la(root: str | os.PathLike, allow_missing: bool = False) -> pd.DataFrame:
    """List ASVspoof 2019 LA by its countermeasure protocols.

    Parameters
    ----------
    root : str or os.PathLike
        The folder ``LA``, or the one that holds it.
    allow_missing : bool
        Drop listed files that are not there, with a warning, instead of raising.

    Returns
    -------
    pandas.DataFrame
        Manifest: train, dev as ``"val"``, eval (attacks A07-A19, none of them in training) as
        ``"unseen"``. ``label`` 1 = spoof; ``method`` is the attack.

    Notes
    -----
    Official scores are high for bona fide, ours (p_fake) for spoof. ``ASVspoof2019_LA_asv_protocols``
    (target, nontarget) belong to another task: speaker verification. Speakers are disjoint over
    the three sets. What a spoof was made from is not told, so each utterance is its own source.
    """
    name = "ASVspoof 2019 LA"
    root = need_folder(root, name, "ASVspoof2019_LA_cm_protocols")
    root = root / "LA" if (root / "LA").is_dir() else root
    protocols = need_folder(root / "ASVspoof2019_LA_cm_protocols", name, "ASVspoof2019.LA.cm.*.txt")
    rows = []
    for subset, (ending, split) in PROTOCOLS.items():
        path = protocols / f"ASVspoof2019.LA.cm.{ending}.txt"
        folder = need_folder(root / f"ASVspoof2019_LA_{subset}" / "flac", name, f"the {subset} utterances")
        lines = [line.split() for line in read_text(path, name).splitlines() if line.strip()]
        if not lines:
            raise InputError(path, f"{name}: lists no utterances")
        for fields in lines:
            if len(fields) != 5 or fields[4] not in ("bonafide", "spoof"):
                line = " ".join(fields)
                raise InputError(
                    path, f"{name}: expected 'SPEAKER UTTERANCE - ATTACK bonafide|spoof', got {line!r}"
                )
            speaker, utterance, _, attack, kind = fields
            if (attack == "-") != (kind == "bonafide"):
                raise InputError(path, f"{name}: {utterance} is {kind} with the attack {attack!r}")
            rows.append({"path": str(folder / f"{utterance}.flac"), "label": int(kind == "spoof"),
                         "split": split, "person": speaker, "source": utterance,
                         "method": "none" if attack == "-" else attack,
                         "dataset": "asvspoof2019_la"})  # fmt: skip
    return make_manifest(keep_present(rows, root, name, allow_missing), name)
