"""Findings as CSV: one row per file, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

from dfutils.error_rates import RATES
from dfutils.names import defuse_cell

COLUMNS = (
    "path", "sha256", "duration_s",
    "picture_verdict", "picture_p_fake", "picture_threshold", "picture_frames", "picture_person",
    "persons", "picture_reason",
    "voice_verdict", "voice_p_fake", "voice_threshold", "voice_fragments", "voice_reason",
    "error", "warning", "picture_model", "voice_model", "judged_at",
    "picture_false_alarm_rate", "picture_miss_rate",
    "picture_worst_false_alarm_rate", "picture_worst_miss_rate",
    "voice_false_alarm_rate", "voice_miss_rate", "voice_worst_false_alarm_rate", "voice_worst_miss_rate",
)  # fmt: skip


def render_csv(findings: Iterable[Mapping]) -> str:
    """Lay out findings (`dfutils.report.Report.to_dict`, perhaps with ``error``), one line per file.

    Verdicts are "manipulated", "pristine", "cannot tell" (the reason stands in its own column), or
    empty where the file could not be read. Line breaks in names are spelled out; cells that a
    spreadsheet would run as a formula begin with an apostrophe. Error rates are those of the model, on
    recordings like its own and the worst that were measured; empty where none were.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for finding in findings:
        writer.writerow({name: defuse_cell(value) for name, value in make_row(finding).items()})
    return text.getvalue()


def make_row(finding: Mapping) -> dict:
    """Flatten the findings on one file."""
    row = {name: finding.get(name) for name in ("path", "sha256", "error", "warning", "judged_at")}
    row["duration_s"] = finding.get("media", {}).get("duration_s")
    for name, unit in (("picture", "frames"), ("voice", "fragments")):
        row[f"{name}_model"] = finding.get("models", {}).get(name, {}).get("sha256")
        part = finding[name]
        if finding.get("error"):
            continue
        if part.get("abstained") is not None:
            row |= {f"{name}_verdict": "cannot tell", f"{name}_reason": part["abstained"]}
            continue
        row |= {f"{name}_{key}": part[key] for key in ("verdict", "p_fake", "threshold")}
        row[f"{name}_{unit}"] = part[f"{unit}_used"]
        evaluation = part.get("evaluation", [])
        for rate in RATES if evaluation else ():
            rates = [entry[rate] for entry in evaluation]
            row |= {f"{name}_{rate}": rates[0], f"{name}_worst_{rate}": max(rates)}
    persons = finding["picture"].get("persons", [])
    if persons:
        row |= {"picture_person": finding["picture"]["person"], "persons": len(persons)}
    return row
