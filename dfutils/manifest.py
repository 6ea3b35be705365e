"""The sample table: one row per video, crop or clip, validated, split by person, checked for leaks."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd

from dfutils.errors import InputError
from dfutils.paths import atomic_path

COLUMNS = ("path", "label", "split", "person", "source", "method", "dataset")
SPLITS = ("train", "val", "test", "unseen")
REAL_METHOD = "none"


def make_manifest(rows: list[dict] | pd.DataFrame, name: str = "manifest") -> pd.DataFrame:
    """Build a validated manifest, sorted by path.

    Parameters
    ----------
    rows : list of dict or pandas.DataFrame
        At least the columns of `COLUMNS`: ``path``; ``label`` (1 = fake); ``split`` (one of
        `SPLITS`, or "" where not yet split); ``person`` (or speaker; of the *target* in a fake);
        ``source`` (the recording that a real is, or that a fake was made from); ``method``
        (manipulation or attack, "none" for a real); ``dataset``. Further columns are kept.
    name : str
        What to call the table in error messages.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    InputError
        A column is missing, a label is not 0 or 1, a path stands twice, ...
    """
    table = pd.DataFrame(rows)
    if table.empty:
        raise InputError(name, "has no rows")
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise InputError(name, f"lacks the columns {missing}; it has {list(table.columns)}")
    table = table.sort_values("path", kind="stable").reset_index(drop=True)
    for column in set(COLUMNS) - {"label"}:
        table[column] = table[column].astype(str)
    return validate(table, name)


def validate(manifest: pd.DataFrame, name: str = "manifest", require_files: bool = False) -> pd.DataFrame:
    """Check a manifest and return it with integer labels.

    Parameters
    ----------
    manifest : pandas.DataFrame
    name : str
        For error messages.
    require_files : bool
        Also demand that every file exists.

    Raises
    ------
    InputError
        With the first offending row.
    """
    missing = [column for column in COLUMNS if column not in manifest.columns]
    if missing:
        raise InputError(name, f"lacks the columns {missing}")
    labels = pd.to_numeric(manifest["label"], errors="coerce")
    bad = ~labels.isin([0, 1])
    if bad.any():
        value = manifest.loc[bad, "label"].tolist()[0]
        raise InputError(
            name, f"label must be 0 (real) or 1 (fake), but {int(bad.sum())} rows have e.g. {value!r}"
        )
    manifest = manifest.assign(label=labels.astype("int64"))
    twice = manifest["path"].duplicated()
    if twice.any():
        raise InputError(name, f"a path stands twice: {manifest.loc[twice, 'path'].iloc[0]}")
    unknown = set(manifest["split"]) - {*SPLITS, ""}
    if unknown:
        raise InputError(name, f"unknown splits {sorted(unknown)}; known are {SPLITS} and ''")
    for column in ("path", "person", "source", "method", "dataset"):
        empty = manifest[column].isna() | manifest[column].isin(["", "nan", "None"])  # astype(str) keeps NaN
        if empty.any():
            raise InputError(name, f"{int(empty.sum())} rows have no {column}")
    wrong = (manifest["method"] == REAL_METHOD) != (manifest["label"] == 0)
    if wrong.any():
        row = manifest.loc[wrong].iloc[0]
        raise InputError(
            name, f"label {row['label']} with method {row['method']!r} (reals have 'none'): {row['path']}"
        )
    if require_files:
        gone = [path for path in manifest["path"] if not os.path.exists(path)]
        if gone:
            raise InputError(
                name, f"{len(gone)} of {len(manifest)} files are missing, the first is {gone[0]}"
            )
    return manifest


def write_manifest(manifest: pd.DataFrame, path: str | os.PathLike) -> Path:
    """Write a manifest as CSV, atomically, its paths relative to the CSV's folder."""
    path = Path(path).absolute()
    relative = [Path(os.path.relpath(item, path.parent)).as_posix() for item in manifest["path"]]
    with atomic_path(path) as temporary:
        manifest.assign(path=relative).to_csv(temporary, index=False, lineterminator="\n")
    return path


def read_manifest(path: str | os.PathLike) -> pd.DataFrame:
    """Read and validate a manifest; its paths come back absolute.

    Raises
    ------
    InputError
        The file is missing, is no CSV, or is not a valid manifest.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise InputError(path, "this manifest does not exist; run the notebook that writes it first")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(path, f"is not a readable CSV table ({error})") from error
    for column in set(table.columns) - set(COLUMNS):  # numbers, unless "007" or a gap says otherwise
        numbers = pd.to_numeric(table[column].replace("", None), errors="coerce")
        written = table[column] != ""
        padded = table[column].str.fullmatch(r"0\d+")
        if written.any() and numbers[written].notna().all() and not padded.any():
            table[column] = numbers.convert_dtypes() if (~written).any() else numbers
    if "path" in table.columns:
        table["path"] = [os.path.normpath(path.parent / item) for item in table["path"]]
    return validate(table, str(path))


def fingerprint(manifest: pd.DataFrame) -> str:
    """Hash what a manifest says (sha256, 16 hex digits), whatever folder it lies in and in whatever order."""
    paths = [str(Path(path).as_posix()) for path in manifest["path"]]
    common = os.path.commonpath(paths) if len(paths) > 1 else os.path.dirname(paths[0])
    table = manifest[list(COLUMNS)].assign(path=[os.path.relpath(path, common) for path in paths])
    text = table.sort_values("path").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def subset(manifest: pd.DataFrame, n: int, seed: int, by: tuple[str, ...] = ("label",)) -> pd.DataFrame:
    """Draw ``n`` rows, stratified, the same ones for the same seed.

    Each stratum gives the share that it has in the manifest, to within one row.

    Parameters
    ----------
    manifest : pandas.DataFrame
    n : int
        Rows wanted; the whole manifest when it has no more.
    seed : int
    by : tuple of str
        Columns that define the strata.
    """
    if n < 1:
        raise InputError("n", f"must be at least 1, got {n}")
    if n >= len(manifest):
        return manifest.reset_index(drop=True)
    generator = np.random.default_rng(seed)
    groups = [group for _, group in manifest.groupby(list(by), sort=True, dropna=False)]
    shares = np.array([len(group) for group in groups]) * n / len(manifest)
    counts = np.floor(shares).astype(int)
    for index in np.argsort(counts - shares, kind="stable")[: n - counts.sum()]:  # largest remainders
        counts[index] += 1
    picks = [group.iloc[generator.permutation(len(group))[:count]] for group, count in zip(groups, counts)]
    return pd.concat(picks).sort_values("path", kind="stable").reset_index(drop=True)


def split_by_person(manifest: pd.DataFrame, fractions: dict[str, float], seed: int) -> pd.DataFrame:
    """Assign splits so that no person and no source recording crosses a split.

    Persons who share a recording (a swap of one onto the other) are kept together.

    Parameters
    ----------
    manifest : pandas.DataFrame
    fractions : dict
        Share of rows per split, e.g. ``{"train": .7, "val": .15, "test": .15}``; must sum to 1.
    seed : int

    Returns
    -------
    pandas.DataFrame
        A copy with the column ``split`` filled.
    """
    if abs(sum(fractions.values()) - 1) > 1e-6 or set(fractions) - set(SPLITS):
        raise InputError("fractions", f"must sum to 1 over splits of {SPLITS}, got {fractions}")
    group_of: dict[str, str] = {}

    def root(key: str) -> str:
        while group_of.setdefault(key, key) != key:
            group_of[key] = group_of[group_of[key]]
            key = group_of[key]
        return key

    people = ("p:" + manifest["person"]).tolist()
    sources = ("s:" + manifest["dataset"] + "/" + manifest["source"]).tolist()
    for person, source in zip(people, sources):
        group_of[root(person)] = root(source)
    groups = pd.Series([root(person) for person in people], index=manifest.index)
    sizes = groups.value_counts(sort=False).sort_index()
    order = np.random.default_rng(seed).permutation(len(sizes))
    split_of, filled = {}, dict.fromkeys(fractions, 0)
    for index in order:  # each group to the split that lacks most
        split = max(fractions, key=lambda name: fractions[name] * len(manifest) - filled[name])
        split_of[sizes.index[index]] = split
        filled[split] += int(sizes.iloc[index])
    return manifest.assign(split=groups.map(split_of))
