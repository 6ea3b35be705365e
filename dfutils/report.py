"""What the detector says: a judgement of the picture, one of the voice, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dfutils.aggregation import aggregate

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
        Frames, or fragments of sound, that were judged.
    scores : list of dict
        One entry each: ``time_s`` or ``frame_index``, and ``p_fake``.
    abstained : str or None
        Why there is no verdict.
    """

    p_fake: float | None = None
    verdict: str | None = None
    threshold: float | None = None
    used: int = 0
    scores: list[dict] = field(default_factory=list)
    abstained: str | None = None

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
    """

    path: str
    picture: Judgement
    voice: Judgement
    models: dict = field(default_factory=dict)

    @property
    def warning(self) -> str | None:
        """What the reader must know about the models, or None."""
        toys = [kind for kind, model in self.models.items() if model["trained_on"] == "embedded"]
        if not toys:
            return None
        models = f"the {toys[0]} model was" if len(toys) == 1 else f"the {' and '.join(toys)} models were"
        return f"{models} trained on the embedded corpus only; on any other clip this means nothing"

    def to_dict(self) -> dict:
        """Plain values, for JSON: probabilities rounded to six digits."""
        result: dict = {"path": self.path}
        for name, unit in (("picture", "frames_used"), ("voice", "fragments_used")):
            judgement: Judgement = getattr(self, name)
            if judgement.abstained is not None:
                result[name] = {"abstained": judgement.abstained}
            else:
                result[name] = {
                    "p_fake": round(judgement.p_fake, 6),
                    "verdict": judgement.verdict,
                    "threshold": round(judgement.threshold, 6),
                    unit: judgement.used,
                    "scores": [{**score, "p_fake": round(score["p_fake"], 6)} for score in judgement.scores],
                }
        result["models"] = self.models
        return result | ({"warning": self.warning} if self.warning else {})

    def __str__(self) -> str:
        lines = [self.path]
        for name in ("picture", "voice"):
            judgement: Judgement = getattr(self, name)
            if judgement.abstained is not None:
                lines.append(f"  {name:8} cannot tell: {judgement.abstained}")
                continue
            certainty = judgement.p_fake if judgement.verdict == MANIPULATED else 1 - judgement.p_fake
            lines.append(f"  {name:8} looks {judgement.verdict}, probability {certainty:.0%}")
        if self.warning:
            lines.append(f"  warning: {self.warning}")
        return "\n".join(lines)
