"""The timeline of an HTML report: scores over time as inline SVG whose letters keep their size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from dfutils.html_pieces import show_name, show_percent, show_time

PARTS = ("picture", "voice")
PANEL_PX, BOTTOM_PX = 96, 20
MAX_PANELS = 6
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)


def render_timeline(findings: Mapping, duration_s: float | None, fps: float | None, number: int) -> str:
    """Lay out one row per person and one for the voice; "" where there are no two scores with times.

    Parameters
    ----------
    findings : Mapping
        See `dfutils.html_case.Case`, as for ``duration_s`` and ``fps``.
    number : int
        Of the file on the page.
    """
    timed = {name: _timed(findings[name], fps) for name in PARTS}
    latest = max((row[2] or row[0] for rows in timed.values() for row in rows), default=0)
    duration_s = max(duration_s or 0, latest)
    if not duration_s or sum(map(len, timed.values())) < 2:
        return ""
    panels = []
    for name, rows in timed.items():
        if not rows:
            continue
        threshold = findings[name]["threshold"]
        persons = sorted({row[3] for row in rows if row[3] is not None})
        for person in persons[:MAX_PANELS] if len(persons) > 1 else [None]:
            own = [row for row in rows if person is None or row[3] == person]
            times_s, p_fake = (np.array([row[k] for row in own], float) for k in (0, 1))
            ends_s = np.array([row[2] for row in own], float) if all(row[2] for row in own) else None
            steps_s = np.diff(np.unique(times_s))
            gaps = find_gaps(
                times_s, duration_s, float(np.median(steps_s)) if len(steps_s) else duration_s, ends_s
            )
            who = name.capitalize() + (f", person {person}" if person is not None else "")
            key = f"hatch-{number}-{len(panels)}"
            panels.append(
                f'<p>{show_name(who)} <span class="soft">(threshold {show_percent(threshold)})</span></p>'
                + draw_panel(who, times_s, p_fake, threshold, duration_s, gaps, key, ends_s)
            )
        if len(persons) > MAX_PANELS:
            panels.append(f"<p>{len(persons) - MAX_PANELS} more persons: see the table.</p>")
    return (
        '<h3>Probability over time</h3><div class="timeline">' + "".join(panels) + LEGEND + "</div>"
        '<p class="soft">0% at the bottom, 100% at the top. A single mark says little.</p>'
    )


def draw_panel(
    name: str, times_s: np.ndarray, p_fake: np.ndarray, threshold: float, duration_s: float,
    gaps: Sequence[tuple[float, float]], key: str, ends_s: np.ndarray | None = None,
) -> str:  # fmt: skip
    """Draw one row of the timeline.

    Places along the time axis are percentages and there is no ``viewBox``: so the panel fills the
    page while letters and marks keep their size.

    Parameters
    ----------
    name : str
        What is scored, for those who hear the page.
    times_s, p_fake : numpy.ndarray, shape=(n,)
        Ascending [s]; 0..1.
    threshold : float
        0..1; marks at or above it are filled squares, others open circles.
    duration_s : float
        Length of the axis [s].
    gaps : sequence of (float, float)
        Stretches in which nothing was judged [s]; hatched, and no line crosses them.
    key : str
        For ids, different for every panel of a page.
    ends_s : numpy.ndarray, shape=(n,), optional
        Of fragments [s]: each is then a line from ``times_s`` to here with its mark in the middle.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    above = int(np.sum(p_fake >= threshold))
    label = f"{name}: {len(p_fake)} scores over {show_time(duration_s, duration_s)}, {above} at or above the "
    label += f"threshold of {show_percent(threshold)}; highest {show_percent(p_fake.max())} at "
    label += show_time(float(times_s[np.argmax(p_fake)]), duration_s)
    parts = [
        f'<svg role="img" aria-label="{escape(label)}" height="{PANEL_PX + BOTTOM_PX}">',
        f'<defs><pattern id="{key}" width="7" height="7" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><line class="hatch" x1="0" y1="0" x2="0" y2="7"/></pattern></defs>',
        f'<rect class="frame" x="0" y="0" width="100%" height="{PANEL_PX}"/>',
    ]
    for start, end in gaps:
        place = f'x="{_percent(start, duration_s)}" width="{_percent(end - start, duration_s)}"'
        when = f"from {show_time(start, duration_s)} to {show_time(end, duration_s)}"
        parts.append(
            f'<rect {place} y="0" height="{PANEL_PX}" fill="url(#{key})">'
            f"<title>nothing judged {when}</title></rect>"
        )
    limit_y = _height(threshold)
    parts.append(f'<line class="limit" x1="0" x2="100%" y1="{limit_y}" y2="{limit_y}"/>')
    if ends_s is not None:
        lines = zip(times_s, ends_s, p_fake, p_fake)
        times_s = (times_s + ends_s) / 2
    else:
        lines = zip(times_s, times_s[1:], p_fake, p_fake[1:])
        lines = [line for line in lines if not any(line[0] < end and start < line[1] for start, end in gaps)]
    for start, end, first, last in lines:
        parts.append(
            f'<line class="curve" x1="{_percent(start, duration_s)}" y1="{_height(first)}" '
            f'x2="{_percent(end, duration_s)}" y2="{_height(last)}"/>'
        )
    for time_s, value in zip(times_s, p_fake):
        x, y = _percent(time_s, duration_s), _height(value)
        title = f"<title>{show_time(float(time_s), duration_s)}: {show_percent(value)}</title>"
        if value >= threshold:
            square = f'x="{x}" y="{y}" width="9" height="9" transform="translate(-4.5 -4.5)"'
            parts.append(f'<rect class="high" {square}>{title}</rect>')
        else:
            parts.append(f'<circle class="low" cx="{x}" cy="{y}" r="4">{title}</circle>')
    for tick in find_ticks(duration_s):
        x, y = _percent(tick, duration_s), PANEL_PX + 14
        share = tick / duration_s
        anchor = "start" if share < 0.04 else "end" if share > 0.93 else "middle"
        parts.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}">{show_time(tick, duration_s)}</text>')
    return "".join([*parts, "</svg>"])


LEGEND = (
    '<ul class="legend">'
    '<li><svg aria-hidden="true"><rect class="high" x="2" y="2" width="9" height="9"/></svg>'
    "at or above the threshold</li>"
    '<li><svg aria-hidden="true"><circle class="low" cx="7" cy="6" r="4"/></svg>below it</li>'
    '<li><svg aria-hidden="true"><line class="limit" x1="0" x2="14" y1="6" y2="6"/></svg>threshold</li>'
    '<li><svg aria-hidden="true"><path class="hatch" d="M0 12 12 0M7 12 14 5M0 5 5 0"/></svg>'
    "nothing judged</li></ul>"
)


def find_gaps(
    times_s: np.ndarray, duration_s: float, step_s: float, ends_s: np.ndarray | None = None
) -> list[tuple[float, float]]:
    """Find where nothing was judged.

    Parameters
    ----------
    times_s : numpy.ndarray, shape=(n,)
        When something was, ascending [s].
    duration_s : float
        Of the file [s].
    step_s : float
        Time for which one score of a frame stands [s], half before and half after it.
    ends_s : numpy.ndarray, shape=(n,), optional
        For fragments of sound, which last from ``times_s`` to these [s].

    Returns
    -------
    list of (float, float)
        Stretches longer than 60 % of ``step_s`` (of a hundredth of the file, for fragments).

    Examples
    --------
    >>> find_gaps(np.array([0.5, 1.5, 6.5]), 8, 1)
    [(2.0, 6.0), (7.0, 8)]
    """
    if ends_s is None:
        starts, ends, least = times_s - step_s / 2, times_s + step_s / 2, 0.6 * step_s
    else:
        starts, ends, least = times_s, ends_s, duration_s / 100
    reached, gaps = 0.0, []
    for start, end in zip(starts, ends):
        if start - reached > least:
            gaps.append((reached, float(start)))
        reached = max(reached, float(end))
    return [*gaps, (reached, duration_s)] if duration_s - reached > least else gaps


def find_ticks(duration_s: float) -> list[float]:
    """Choose at most six round times [s] for the axis, from 0 on."""
    step = next((step for step in _STEPS_S if duration_s / step <= 5), duration_s / 5)
    return [k * step for k in range(int(duration_s / step + 1e-9) + 1)]


def _percent(time_s: float, duration_s: float) -> str:
    return f"{100 * min(max(float(time_s) / duration_s, 0), 1):.2f}%"


def _height(p_fake: float) -> float:
    return round(6 + (PANEL_PX - 12) * (1 - float(p_fake)), 1)


def _timed(part: Mapping, fps: float | None) -> list[tuple[float, float, float | None, int | None]]:
    """Scores of a part that have times: ``(time_s, p_fake, end_s, person)``, ascending."""
    rows = []
    for score in part.get("scores", []):
        time_s = score.get("time_s")
        if time_s is None and fps and "frame_index" in score:
            time_s = score["frame_index"] / fps
        if time_s is not None:
            rows.append((float(time_s), score["p_fake"], score.get("end_s"), score.get("person")))
    return sorted(rows, key=lambda row: row[0])
