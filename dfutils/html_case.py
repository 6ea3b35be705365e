"""One file's section of an HTML report: verdicts, persons, timeline, moments, and how it was judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dfutils.error_rates import say_error_rates
from dfutils.html_pieces import encode_image, overlay_heat_map, show_name, show_percent, show_time
from dfutils.html_timeline import PARTS, render_timeline
from dfutils.report import MANIPULATED, say_who

MAX_MOMENTS = 12
CLOSE = 0.1  # to the threshold: another copy of the same clip may well fall on its other side
_USED = {
    "picture": ("frames_used", "face", "faces"),
    "voice": ("fragments_used", "fragment of sound", "fragments of sound"),
}


@dataclass(frozen=True)
class Moment:
    """A face worth looking at.

    Attributes
    ----------
    image : numpy.ndarray, shape=(height, width, 3), uint8, RGB
    p_fake : float
        0..1
    time_s : float or None
        [s]
    person : int or None
    heat_map : numpy.ndarray or None, shape=(any height, any width), float
        What raised the score, not negative; shown below the picture, relative to its own maximum.
    """

    image: np.ndarray
    p_fake: float
    time_s: float | None = None
    person: int | None = None
    heat_map: np.ndarray | None = None


@dataclass(frozen=True)
class Case:
    """One file on the page.

    Attributes
    ----------
    findings : Mapping
        What `dfutils.report.Report.to_dict` gives; with ``error`` for a file that could not be read. A
        part may also have ``persons``, a list of dicts with ``person``, ``p_fake``, ``verdict``,
        ``frames_used``, or ``person`` and ``abstained``, and perhaps ``from_s`` and ``to_s`` [s]; its
        ``scores`` may have ``person`` and, for sound, ``end_s`` [s].
    sha256 : str
        Of the file.
    duration_s, fps : float or None
        Length [s] and frame rate [Hz]; without them there is no timeline where the scores lack times.
    moments : sequence of Moment
        The twelve with the highest scores are shown.
    portraits : Mapping of int to numpy.ndarray
        One picture per person, as in `Moment`.
    parameters : Mapping
        With which the file was judged.
    """

    findings: Mapping
    sha256: str = ""
    duration_s: float | None = None
    fps: float | None = None
    moments: Sequence[Moment] = ()
    portraits: Mapping[int, np.ndarray] = field(default_factory=dict)
    parameters: Mapping = field(default_factory=dict)


def render_case(case: Case, number: int, n_cases: int) -> str:
    """Lay out one file as a ``<section>``."""
    findings = case.findings
    heading = show_name(findings["path"]) if n_cases > 1 else "Verdict"
    parts = [f'<section class="case" id="file-{number}"><h2>{heading}</h2>']
    if findings.get("error"):
        parts.append(f'<div class="note"><p>Not judged. Reason: {show_name(findings["error"])}</p></div>')
        return "".join([*parts, _render_facts(case), "</section>"])
    if findings.get("warning"):
        parts.append(f'<div class="note"><p>Note: {show_name(findings["warning"])}.</p></div>')
    cards = "".join(_render_verdict(name, findings[name]) for name in PARTS)
    parts.append(f'<div class="verdicts">{cards}</div>')
    parts.append(_render_persons(case))
    parts.append(render_timeline(findings, case.duration_s, case.fps, number))
    parts += [_render_moments(case), _render_facts(case)]
    return "".join([*parts, "</section>"])


def say_verdict(part: Mapping) -> tuple[str, str]:
    """Return the class of the style sheet and the words, which carry a sign besides their colour."""
    if part.get("abstained") is not None:
        return "open", "? cannot tell"
    if part["verdict"] == MANIPULATED:
        return "manipulated", "▲ looks manipulated"
    return "pristine", "● looks pristine"


def _render_verdict(name: str, part: Mapping) -> str:
    style, words = say_verdict(part)
    lines = [f'<p class="part">{name.capitalize()}</p><p class="word">{words}</p>']
    if style == "open":
        lines.append(f"<p>Reason: {show_name(part['abstained'])}.</p>")
    else:
        key, one, many = _USED[name]
        used = f"{part[key]} {one if part[key] == 1 else many} judged{show_name(say_who(part))}"
        lines.append(
            f"<p>Estimated probability of manipulation: {show_percent(part['p_fake'])}; from "
            f"{show_percent(part['threshold'])} on we say “manipulated”. {used}.</p>"
        )
        if abs(part["p_fake"] - part["threshold"]) < CLOSE:
            lines.append("<p>This is close: another copy of the same clip might be judged the other way.</p>")
        lines.append(f"<p>{show_name(say_error_rates(part.get('evaluation', [])))}</p>")
    return f'<div class="verdict {style}">{"".join(lines)}</div>'


def _render_persons(case: Case) -> str:
    persons = case.findings["picture"].get("persons", [])
    if not persons:
        return ""
    rows = []
    for person in persons:
        portrait = case.portraits.get(person["person"])
        image = f'<img src="{encode_image(portrait, 112)}" alt="">' if portrait is not None else ""
        seen = ""
        if person.get("from_s") is not None and person.get("to_s") is not None:
            duration_s = case.duration_s or person["to_s"]
            seen = f"{show_time(person['from_s'], duration_s)} to {show_time(person['to_s'], duration_s)}"
        style, words = say_verdict(person)
        result = show_name(person["abstained"]) if style == "open" else show_percent(person["p_fake"])
        rows.append(
            f'<tr><td><span class="who">{int(person["person"])}{image}</span></td>'
            f'<td>{words}<br><span class="soft">{result}</span></td>'
            f'<td class="number">{int(person.get("frames_used", 0))}</td><td>{seen}</td></tr>'
        )
    return (
        "<h3>Persons</h3><table><tr><th>Person</th><th>Verdict, probability</th><th>Faces judged</th>"
        f"<th>Seen</th></tr>{''.join(rows)}</table>"
    )


def _render_moments(case: Case) -> str:
    moments = sorted(case.moments, key=lambda moment: -moment.p_fake)[:MAX_MOMENTS]
    if not moments:
        return ""
    figures = []
    for moment in moments:
        words = []
        if moment.time_s is not None:
            words.append(show_time(moment.time_s, case.duration_s or moment.time_s))
        if moment.person is not None:
            words.append(show_name(f"person {moment.person}"))
        where = ", ".join(words)
        images = f'<img src="{encode_image(moment.image)}" alt="face{", " * bool(where)}{where}">'
        if moment.heat_map is not None:
            overlay = encode_image(overlay_heat_map(moment.image, moment.heat_map))
            images += f'<img src="{overlay}" alt="the same, bright where it raised the score">'
        caption = f"<b>{show_percent(moment.p_fake)}</b>{' · ' * bool(where)}{where}"
        figures.append(f"<figure>{images}<figcaption>{caption}</figcaption></figure>")
    note = ""
    if any(moment.heat_map is not None for moment in moments):
        note = (
            '<p class="soft">Below each face: bright, and outlined in white, where it raised the score most. '
            "This shows what the model went by, not what was changed.</p>"
        )
    threshold = case.findings["picture"].get("threshold")
    none = threshold is not None and all(moment.p_fake < threshold for moment in moments)
    title = "Highest-scoring faces (none reaches the threshold)" if none else "Most suspicious faces"
    return f'<h3>{title}</h3>{note}<div class="moments">{"".join(figures)}</div>'


def _render_facts(case: Case) -> str:
    rows = [("File", show_name(case.findings["path"]), "path")]
    if case.sha256:
        rows.append(("SHA-256 of the file", show_name(case.sha256), "hash"))
    if case.duration_s:
        rows.append(("Length", show_time(case.duration_s, case.duration_s), ""))
    for kind, model in case.findings.get("models", {}).items():
        words = [f"{show_name(key).replace('_', ' ')} {show_name(value)}" for key, value in model.items()]
        rows.append((f"{show_name(kind).capitalize()} model", ", ".join(words), "path"))
    for key, value in case.parameters.items():
        rows.append((show_name(key).replace("_", " ").capitalize(), show_name(value), "path"))
    cells = [f'<tr><th>{name}</th><td class="{style}">{value}</td></tr>' for name, value, style in rows]
    return f'<h3>How it was judged</h3><table class="facts">{"".join(cells)}</table>'
