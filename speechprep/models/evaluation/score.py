"""The result of a scorer: a score with its counts and its confidence interval, and the join of texts by id."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from speechprep.errors import BadInput


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a score.

    Attributes:
        low, high: its bounds.
        level: confidence level, for example 0.95.
        samples: number of bootstrap samples.
        over: drawn items: `utterances`, `speakers` or `recordings`.
        groups: number of drawn items.
    """

    low: float
    high: float
    level: float
    samples: int
    over: str
    groups: int


@dataclass(frozen=True)
class Score:
    """Result of a scorer.

    Attributes:
        metric: name of `score`.
        score: the main figure.
        scale: `share` for a fraction (0.0365 is 3.65 % WER), or `points` on the scale of the metric (CIDEr, BLEU).
        interval: confidence interval of `score`; None if it was not computed, or with fewer than two groups.
        counts: integer counts behind the score, summed over all ids.
        others: further figures of the same texts.
        by: figures of each label or tag.
        how: facts to quote with the score: normalisation, tokenizer, signature.
    """

    metric: str
    score: float
    interval: Interval | None = None
    counts: dict[str, int] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)
    by: dict[str, dict[str, float]] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    scale: Literal["share", "points"] = "share"

    def as_dict(self) -> dict[str, Any]:
        """The score as plain types for JSON."""
        return asdict(self)


def paired(references: Mapping[str, object], hypotheses: Mapping[str, object]) -> list[str]:
    """The sorted ids of references and hypotheses. Texts are joined by id, never by position.

    Raises:
        BadInput: an id on one side only (`id_missing`, `id_extra`), or no id at all (`no_references`).
    """
    if not references:
        raise BadInput("no_references", "the references are empty; name a file with at least one row")
    for code, side, other, problem in (
        ("id_missing", references, hypotheses, "has a reference and no hypothesis"),
        ("id_extra", hypotheses, references, "has a hypothesis and no reference"),
    ):
        unmatched = sorted(set(side) - set(other))
        if unmatched:
            more = f" (and {len(unmatched) - 1:,} more)" if len(unmatched) > 1 else ""
            raise BadInput(code, f"id {unmatched[0]!r}{more} {problem}; score the same set of ids on both sides")
    return sorted(references)


def several(ids: list[str], references: Mapping[str, Sized]) -> None:
    """Check that each id has at least one reference.

    Raises:
        BadInput: an id with an empty list (`no_references`).
    """
    for id in ids:
        if not references[id]:
            raise BadInput(
                "no_references", f"id {id!r} has an empty list of references; add a reference, or remove the id"
            )
