"""`Score`: declaration of a score column of `words`, with its thresholds and its figure in the report."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limit:
    """A threshold over a score.

    Attributes:
        option: name of the option.
        reason: reason code of a row beyond the limit.
        sign: 1 if values above the limit are bad, -1 if values below it are.
        rank: order of the checks; a row gets the reason of the first failed check.
        description: help of the option.
        bounds: constraints on the value of the option (`ge`, `gt`, `le`).
    """

    option: str
    reason: str
    sign: int
    rank: int
    description: str
    bounds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A histogram of the report.

    Attributes:
        title, axis, caption: texts; the axis names the unit.
        colour: name of a colour in `report.figures`.
        errors: True for an error rate: nothing is drawn if all values are zero.
    """

    title: str
    axis: str
    caption: str
    colour: str
    errors: bool = False


@dataclass(frozen=True)
class Score:
    """A float32 column of `words`; null if a row lacks the score.

    Attributes:
        column: its name.
        description: meaning and unit.
        limits: thresholds over it.
        figure: its histogram in the report.
        later: True for a column that datasets of earlier versions lack; their rows have no value.
    """

    column: str
    description: str
    limits: tuple[Limit, ...] = ()
    figure: Figure | None = None
    later: bool = False
