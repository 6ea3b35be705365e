"""Tables of numbers in the README and in model cards, written from recorded runs and never by hand.

A table stands between two marks, the first of which says what it shows: a row per scored set,

    <!-- numbers
    07-f4717f669d picture val = DFDC, other persons
    06-5fe847faf3 gmm_validation = the same clips, by LFCC-GMM
    -->
    <!-- end of numbers -->

or the records of a list, one column per line after the first:

    <!-- numbers
    records 03-0123456789 ablation
    variant = training
    auc = AUC
    -->
    <!-- end of numbers -->

A table in ``reports/`` is a run, too: ``records benchmarks.csv rows``.

Keys may lead into a part: ``audit/normalised, 2 s``; of records ``split=unseen`` after the key keeps
those with that value.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

from dfutils import paths
from dfutils.errors import InputError

TABLE = re.compile(r"<!-- numbers\n(.*?)-->\n(.*?)<!-- end of numbers -->", re.DOTALL)
HEAD = (
    "scored on",
    "n (fake)",
    "AUC (95 % interval)",
    "EER",
    "fakes found",
    "reals left in peace",
    "log loss",
    "ECE",
)
Reader = Callable[[str], dict]


def read_published(run_id: str) -> dict:
    """Return the metrics of a run in ``reports/results``, or as ``rows`` a table such as ``benchmarks.csv``.

    Raises
    ------
    InputError
        It is not there.
    """
    if run_id.endswith(".csv"):
        return {"rows": _read_rows(paths.PROJECT_ROOT / "reports" / Path(run_id).name)}
    path = paths.PROJECT_ROOT / "reports" / "results" / f"{run_id}.json"
    try:
        return json.loads(path.read_text())["metrics"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(run_id, "is no published run: `python -m dfutils publish` it first") from error


def fill_tables(text: str, name: str, read: Reader = read_published) -> str:
    """Write every table of a Markdown text anew.

    Parameters
    ----------
    text : str
    name : str
        Of the file, for messages.
    read : callable
        Gives the metrics of a run.

    Returns
    -------
    str
        Unchanged outside of the marks.

    Raises
    ------
    InputError
        A line cannot be understood, or a run lacks what it names.
    """

    def fill(match: re.Match) -> str:
        lines = [line.strip() for line in match[1].splitlines() if line.strip()]
        if not lines:
            raise InputError(name, "has a table of numbers that names no run")
        rows = _records(lines, name, read) if lines[0].startswith("records ") else _scores(lines, name, read)
        head, *body = [f"| {' | '.join(row)} |" for row in rows]
        return "\n".join(
            [
                f"<!-- numbers\n{match[1]}-->",
                head,
                "|---" * len(rows[0]) + "|",
                *body,
                "<!-- end of numbers -->",
            ]
        )

    if text.count("<!-- numbers") != len(TABLE.findall(text)):
        raise InputError(name, "has a table of numbers without its end mark")
    return TABLE.sub(fill, text)


def write_tables(files: list[Path]) -> list[Path]:
    """Write the tables of files anew; returns those that changed."""
    changed = []
    for path in files:
        text = path.read_text()
        filled = fill_tables(text, str(path))
        if filled != text:
            with paths.atomic_path(path) as temporary:
                temporary.write_text(filled)
            changed.append(path)
    return changed


def default_files() -> list[Path]:
    """Return the README and the cards of the shipped models."""
    return [paths.PROJECT_ROOT / "README.md", *sorted(paths.models_dir().glob("*/README.md"))]


def _read_rows(path: Path) -> list[dict]:
    """Read a table; numbers to three digits, as measured things deserve."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(path.name, "is no table in reports/: `make bench` writes those of speed") from error

    def shorten(text: str) -> str:
        try:
            value = float(text)
        except ValueError:
            return text
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

    return [{name: shorten(text) for name, text in row.items()} for row in rows]


def _scores(lines: list[str], name: str, read: Reader) -> list[tuple[str, ...]]:
    rows = [HEAD]
    for line in lines:
        found = re.fullmatch(r"(\S+) ([^=]+?) = (.+)", line)
        if not found:
            raise InputError(name, f"has a line that is not 'RUN KEY = label': {line!r}")
        scores = _look_up(read(found[1]), found[2], found[1])
        if isinstance(scores, dict) and "auc_random" in scores:  # of `dfutils.shortcuts.audit`
            scores = {"auc": scores["auc_random"], "auc_low": scores["low"], "auc_high": scores["high"]}
        if not isinstance(scores, dict) or "auc" not in scores:
            raise InputError(found[1], f"holds no scores under {found[2]!r}")
        count = f"{scores['n']:,} ({scores['n_fake']:,})" if "n_fake" in scores else ""
        rows.append(
            (
                found[3],
                count,
                _with_interval(scores, "auc"),
                _with_interval(scores, "eer"),
                _percent(scores, "sensitivity"),
                _percent(scores, "specificity"),
                _cell(scores.get("log_loss", "")),
                _cell(scores.get("ece", "")),
            )
        )
    return rows


def _records(lines: list[str], name: str, read: Reader) -> list[tuple[str, ...]]:
    found = re.fullmatch(r"records (\S+) (.+)", lines[0])
    columns = [line.split(" = ", 1) for line in lines[1:]]
    if not found or not columns or any(len(column) != 2 for column in columns):
        raise InputError(name, f"has a table of records that names no columns: {lines[0]!r}")
    key, *conditions = found[2].split("; ")
    records = _look_up(read(found[1]), key, found[1])
    for condition in conditions:
        column, value = condition.split("=", 1)
        records = [record for record in records if str(record.get(column)) == value]
    if not records:
        raise InputError(found[1], f"holds no records under {found[2]!r}")
    missing = {column for column, _ in columns} - set(records[0])
    if missing:
        raise InputError(found[1], f"has no {sorted(missing)} among {key!r}")
    rows = [tuple(_cell(record[column]) for column, _ in columns) for record in records]
    return [tuple(header for _, header in columns), *rows]


def _look_up(metrics: dict, key: str, run_id: str):
    for part in key.split("/"):
        if not isinstance(metrics, dict) or part not in metrics:
            raise InputError(run_id, f"holds nothing under {key!r}")
        metrics = metrics[part]
    return metrics


def _with_interval(scores: dict, name: str) -> str:
    if name not in scores:
        return ""
    low, high = scores.get(f"{name}_low"), scores.get(f"{name}_high")
    return _cell(scores[name]) + (f" ({low:.3f} to {high:.3f})" if low is not None else "")


def _percent(scores: dict, name: str) -> str:
    return f"{scores[name]:.0%}".replace("%", " %") if name in scores else ""


def _cell(value) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
