"""Scores: texts by id as input, and a score with its counts and its interval as output."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from speechprep.errors import BadInput


@dataclass(frozen=True)
class Interval:
    """A percentile interval of the bootstrap.

    Attributes:
        level: share of the resampled scores inside, 0.95 for instance.
        samples: how many times the corpus was resampled.
        over: drawn items, `utterances` or `speakers`; `groups`: their number.
    """

    low: float
    high: float
    level: float
    samples: int
    over: str
    groups: int


@dataclass(frozen=True)
class Score:
    """The outcome of a scorer.

    Attributes:
        metric: name of `score`.
        score: the headline figure.
        scale: `share` (0.0365 is 3.65 % WER), or `points` on the metric's own scale (CIDEr, BLEU).
        interval: where it lies with another draw of utterances or speakers; None where none was asked for or there
            is one group only.
        counts: the whole numbers behind it, summed over all ids.
        others: further figures of the same texts.
        by: figures for each label or tag.
        how: facts to quote with a figure: normalisation, tokenizer, signature.
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
        """Everything in plain types, ready for JSON."""
        return asdict(self)


def paired(references: Mapping[str, object], hypotheses: Mapping[str, object]) -> list[str]:
    """The ids of both, sorted: texts are joined by id, never by position.

    Raises:
        BadInput: an id on one side only (`id_missing`, `id_extra`), or no id at all (`no_references`).
    """
    if not references:
        raise BadInput("no_references", "there are no references; name a file with at least one row")
    for code, have, lack, where in (
        ("id_missing", references, hypotheses, "has a reference and no hypothesis"),
        ("id_extra", hypotheses, references, "has a hypothesis and no reference"),
    ):
        alone = sorted(set(have) - set(lack))
        if alone:
            more = f" (and {len(alone) - 1:,} more)" if len(alone) > 1 else ""
            raise BadInput(code, f"id {alone[0]!r}{more} {where}; score the same set of ids on both sides")
    return sorted(references)


def several(ids: list[str], references: Mapping[str, Sized]) -> None:
    """Check for at least one reference of each id.

    Raises:
        BadInput: an id with an empty list.
    """
    for id in ids:
        if not references[id]:
            raise BadInput("no_references", f"id {id!r} has an empty list of references; give it one or leave it out")
