"""What the detector says: a judgement of the picture, one of the voice, as text and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dfutils.aggregation import aggregate
from dfutils.error_rates import say_error_rates
from dfutils.names import spell_out

SCHEMA = 1  # of the JSON; a new key does not change it, another meaning of an old one does
MANIPULATED, PRISTINE = "manipulated", "pristine"


@dataclass
class Judgement:
    """What the detector says about the picture or the voice.

    Attributes
    ----------
    p_fake : float or None
        Calibrated probability of manipulation, 0..1; None where the detector abstains.
    verdict : str or None
        ``"manipulated"`` or ``"pristine"``.
    threshold : float or None
        ``p_fake`` at or above which the verdict is "manipulated"; frozen on validation data.
    used : int
        Faces, or fragments of sound, that were judged.
    scores : list of dict
        One entry each, with ``p_fake``. Of a face: ``frame_index``, ``time_s`` where the rate is known,
        ``person`` and ``box`` ``[x, y, width, height]`` [px]; of a fragment: ``time_s`` and ``end_s``.
    abstained : str or None
        Why there is no verdict.
    person : int or None
        Who decides the verdict of a picture; None where nobody does alone.
    persons : list of dict
        Those seen, the most prominent first: ``person``; ``p_fake`` and ``verdict``, or ``abstained``;
        ``frames_used``, ``frames_seen``; ``from_s``, ``to_s`` [s] where the rate is known; and ``track``
        where a face of theirs was judged: ``[frame_index, x, y, width, height]`` wherever it was found.
    crops : dict of (int, int) to numpy.ndarray
        By ``frame_index`` and ``person``: the faces that are worth showing, uint8, RGB, in the size that
        the model takes. Not in the JSON.
    evaluation : list of dict
        How often the model errs (`dfutils.error_rates`); empty where that was not measured.
    """

    p_fake: float | None = None
    verdict: str | None = None
    threshold: float | None = None
    used: int = 0
    scores: list[dict] = field(default_factory=list)
    abstained: str | None = None
    person: int | None = None
    persons: list[dict] = field(default_factory=list)
    crops: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    evaluation: list[dict] = field(default_factory=list)

    @classmethod
    def from_scores(cls, scores: list[dict], threshold: float, aggregation: str = "mean") -> Judgement:
        """Summarise the scores (`dfutils.aggregation`) and compare with the threshold."""
        p_fake = aggregate(np.array([score["p_fake"] for score in scores]), aggregation)
        verdict = MANIPULATED if p_fake >= threshold else PRISTINE
        return cls(p_fake, verdict, threshold, len(scores), scores)


@dataclass
class Report:
    """The detector's findings on one file.

    Attributes
    ----------
    path : str
    picture, voice : Judgement
    models : dict
        Per part: ``sha256`` of the weights and the corpus they were ``trained_on``.
    media : dict
        ``duration_s`` [s] and ``fps`` [Hz] of the file, where they are known.
    """

    path: str
    picture: Judgement
    voice: Judgement
    models: dict = field(default_factory=dict)
    media: dict = field(default_factory=dict)

    @property
    def warning(self) -> str | None:
        """What the reader must know about the models, or None."""
        toys = [kind for kind, model in self.models.items() if model["trained_on"] == "embedded"]
        if not toys:
            return None
        models = f"the {toys[0]} model was" if len(toys) == 1 else f"the {' and '.join(toys)} models were"
        return f"{models} trained on the embedded corpus only; on any other clip this means nothing"

    def to_dict(self) -> dict:
        """Plain values, for JSON: probabilities rounded to six digits.

        Returns
        -------
        dict
            ``schema``, ``path``; ``picture`` and ``voice``, each with ``abstained`` alone or with
            ``p_fake``, ``verdict``, ``threshold``, ``frames_used`` or ``fragments_used``, ``scores``,
            ``evaluation``, and for the picture ``person`` and ``persons``, all as in `Judgement`;
            ``models`` and ``media`` as in `Report`; ``warning`` where there is one. Also written down in
            ``dfutils/assets/findings.schema.json``.
        """
        result: dict = {"schema": SCHEMA, "path": self.path}
        for name, unit in (("picture", "frames_used"), ("voice", "fragments_used")):
            judgement: Judgement = getattr(self, name)
            if judgement.abstained is not None:
                result[name] = {"abstained": judgement.abstained}
                continue
            result[name] = {
                "p_fake": round(judgement.p_fake, 6),
                "verdict": judgement.verdict,
                "threshold": round(judgement.threshold, 6),
                unit: judgement.used,
                "scores": _rounded(judgement.scores),
                "evaluation": judgement.evaluation,
            }
            if judgement.persons:
                result[name] |= {"person": judgement.person, "persons": _rounded(judgement.persons)}
        result |= {"models": self.models, "media": self.media}
        return result | ({"warning": self.warning} if self.warning else {})

    def __str__(self) -> str:
        return describe_findings(self.to_dict())


def describe_findings(findings: Mapping) -> str:
    """Say in a few lines of text what `Report.to_dict` holds; with ``error``, why there is nothing."""
    lines = [spell_out(findings["path"])]
    if findings.get("error"):
        return f"{lines[0]}\n  {spell_out(findings['error'])}"
    for name in ("picture", "voice"):
        part = findings[name]
        if part.get("abstained") is not None:
            lines.append(f"  {name:8} cannot tell: {spell_out(part['abstained'])}")
            continue
        certainty = part["p_fake"] if part["verdict"] == MANIPULATED else 1 - part["p_fake"]
        lines.append(f"  {name:8} looks {part['verdict']}, probability {certainty:.0%}{say_who(part)}")
        rates = spell_out(say_error_rates(part.get("evaluation", [])))
        lines += textwrap.wrap(rates, 100, initial_indent=" " * 11, subsequent_indent=" " * 11)
    if findings.get("warning"):
        lines.append(f"  warning: {findings['warning']}")
    return "\n".join(lines)


def say_who(part: Mapping) -> str:
    """Say whose face decides, in brackets, where several persons could; else "".

    Examples
    --------
    >>> say_who({"person": 2, "persons": [{"p_fake": 0.1}, {"p_fake": 0.9}, {"abstained": "seen once"}]})
    ' (person 2, the highest of 2)'
    """
    persons = part.get("persons", [])
    n_judged = sum("p_fake" in person for person in persons)
    if persons and not n_judged:
        return " (all faces together: no one person is seen often enough)"
    if n_judged < 2 or part.get("person") is None:
        return ""
    return f" (person {part['person']}, the highest of {n_judged})"


def _rounded(rows: list[dict]) -> list[dict]:
    return [{**row, "p_fake": round(row["p_fake"], 6)} if "p_fake" in row else row for row in rows]
