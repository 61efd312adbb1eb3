"""How commands print a score: JSON, or a headline with its interval, the counts, and further figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechprep.cli.output import console, number, print_json, table

if TYPE_CHECKING:
    from speechprep.models.evaluation.score import Score


def show(score: Score, *, json: bool) -> None:
    """Print a score: JSON, or a headline, its counts, further figures and those of each label."""
    if json:
        print_json(score.as_dict())
        return
    screen = console()
    screen.print(f"{score.metric} {_figure(score, score.score)}{_interval(score)}")
    if score.how:
        screen.print("; ".join(f"{name}: {value}" for name, value in score.how.items()), style="dim")
    made = table("count", "", right=("",))
    for name, value in score.counts.items():
        made.add_row(name.replace("_", " "), number(value))
    screen.print(made)
    if score.others:
        made = table("figure", "", right=("",))
        for name, other in score.others.items():
            made.add_row(name.replace("_", " "), f"{other:.4f}")
        screen.print(made)
    if score.by:
        columns = tuple(next(iter(score.by.values())))
        made = table("label", *columns, right=columns)
        for label, figures in score.by.items():
            made.add_row(label, *(number(v) if k == "support" else f"{v:.4f}" for k, v in figures.items()))
        screen.print(made)


def _figure(score: Score, value: float) -> str:
    return f"{100 * value:.2f} %" if score.scale == "share" else f"{value:.4f}"


def _interval(score: Score) -> str:
    found = score.interval
    if found is None:
        return ""
    low, high = _figure(score, found.low), _figure(score, found.high)
    return f" ({found.level:.0%} interval {low} to {high}; {found.samples:,} samples of {found.groups:,} {found.over})"
