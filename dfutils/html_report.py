"""Findings as one HTML file that can be read offline, printed and sent: no scripts, no network."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dfutils import __version__
from dfutils.errors import InputError
from dfutils.html_case import Case, Moment, render_case, say_verdict
from dfutils.html_pieces import show_name
from dfutils.html_timeline import PARTS
from dfutils.paths import ASSETS, atomic_path

__all__ = ["LIMITS", "Case", "Moment", "frame_report", "render_report", "write_report"]

# no source is allowed but what stands in the file: a browser then asks for nothing, whatever a name holds
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
LIMITS = (
    "These are the opinions of statistical models, not proof. The models find what resembles the "
    "manipulations that they were trained on; of others they miss many, and they accuse genuine clips too.",
    "“Looks pristine” does not mean authentic: a manipulation of another kind, a cut that leaves something "
    "out, a genuine face under a false name or an old clip in a new context go unnoticed. “Looks "
    "manipulated” does not mean a lie: strong compression, low resolution, filters, make-up, poor light and "
    "noise raise scores as well.",
    "The probability holds for clips like those that the models were checked on, not for this one clip, and "
    "errors differ between groups of people, because every public collection shows some of them rarely. "
    "Do not accuse anybody on the strength of this report: look for the original, ask for the source, and "
    "let people judge.",
)


def write_report(path: str | os.PathLike, cases: Sequence[Case], made_at: datetime | None = None) -> Path:
    """Write the page atomically; see `render_report`."""
    page = render_report(cases, made_at)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return Path(path)


def render_report(cases: Sequence[Case], made_at: datetime | None = None) -> str:
    """Lay out findings as one self-contained HTML page.

    Parameters
    ----------
    cases : sequence of Case
        One or more.
    made_at : datetime.datetime, optional
        Now, in UTC, by default.

    Returns
    -------
    str
        HTML 5. Nothing in it is loaded from elsewhere; names are escaped, and characters of them that
        are invisible or reverse the direction of writing are spelled out.

    Raises
    ------
    InputError
        There is no case, or a picture is not uint8 RGB.
    """
    sections = [render_case(case, number, len(cases)) for number, case in enumerate(cases, start=1)]
    return assemble_page([case.findings for case in cases], sections, made_at)


def frame_report(cases: Sequence[Case], height_px: int = 900) -> str:
    """Put the page of `render_report` into a frame, so that a notebook's styles and its own stay apart."""
    page = html.escape(render_report(cases), quote=True)
    return (
        f'<div><iframe sandbox title="findings" srcdoc="{page}" height="{height_px}" '
        'style="width: 100%; box-sizing: border-box; border: 1px solid #999"></iframe></div>'
    )


def assemble_page(
    findings: Sequence[Mapping], sections: Sequence[str], made_at: datetime | None = None
) -> str:
    """Make the page of sections that are rendered already, as many files need it; see `render_report`.

    Parameters
    ----------
    findings : sequence of Mapping
        As in `dfutils.html_case.Case`.
    sections : sequence of str
        What `dfutils.html_case.render_case` gave for each.
    made_at : datetime.datetime, optional
        Now, in UTC, by default.
    """
    if not findings:
        raise InputError("report", "there are no findings to show")
    made_at = made_at or datetime.now(UTC)
    style = (ASSETS / "report.css").read_text(encoding="utf-8")
    title = f"Findings on {len(findings)} files"
    if len(findings) == 1:
        title = f"Findings on {show_name(Path(findings[0]['path']).name)}"
    limits = "".join(f"<p>{paragraph}</p>" for paragraph in LIMITS)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{title}</title>\n<style>\n{style}</style></head>\n<body>",
            f'<header><h1>{title}</h1><p class="soft">Made on {made_at:%Y-%m-%d, %H:%M %Z} by dfutils '
            f'{__version__}, a research tool. <a href="#limits">What it cannot do</a> stands at the end.</p>',
            "</header>",
            *([_render_index(findings)] if len(findings) > 1 else []),
            *sections,
            f'<footer id="limits"><h2>What this report cannot tell</h2>{limits}</footer>\n</body></html>\n',
        ]
    )


def _render_index(findings: Sequence[Mapping]) -> str:
    rows = []
    for number, finding in enumerate(findings, start=1):
        name = f'<a href="#file-{number}">{show_name(Path(finding["path"]).name)}</a>'
        if finding.get("error"):
            rows.append(f'<tr><td>{name}</td><td colspan="2">! not judged</td></tr>')
            continue
        words = "".join(f"<td>{say_verdict(finding[part])[1]}</td>" for part in PARTS)
        rows.append(f"<tr><td>{name}</td>{words}</tr>")
    head = "".join(f"<th>{part.capitalize()}</th>" for part in PARTS)
    return f"<table><tr><th>File</th>{head}</tr>{''.join(rows)}</table>"
