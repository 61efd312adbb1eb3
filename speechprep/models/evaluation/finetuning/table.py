"""Table of scores over seeds."""

from __future__ import annotations

from speechprep.models.evaluation.score import Score

COLUMNS = ("figure", "mean", "sd", "95 % interval", "majority", "seeds", "rows")


def line(score: Score) -> tuple[str, ...]:
    """The row of a score of `mosei.scores.over_seeds`."""

    def shown(value: float) -> str:
        return f"{value:.1%}" if score.scale == "share" else f"{value:.3f}"

    spread = shown(score.others["sd over seeds"]) if "sd over seeds" in score.others else ""
    span = f"{shown(score.interval.low)} to {shown(score.interval.high)}" if score.interval else ""
    name = score.metric.partition(".")[2].replace(".", ", ")
    counts = (str(score.counts["seeds"]), f"{score.counts['rows']:,}")
    return (name, shown(score.score), spread, span, shown(score.others["majority"]), *counts)
