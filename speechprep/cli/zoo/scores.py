"""Output of scores: JSON, or a headline with its interval, counts and further figures."""

from __future__ import annotations

import json as codec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechprep.cli.output import console, number, print_json, table

if TYPE_CHECKING:
    from speechprep.models.evaluation.score import Score
    from speechprep.models.zoo import EvaluationResult


def print_result(result: EvaluationResult, *, json: bool) -> None:
    """Print the result of an evaluation: JSON, its table, or its one score."""

    if not result.columns:
        print_score(result.scores[0], json=json)
    elif json:
        print_json(result.json if result.json is not None else [score.as_dict() for score in result.scores])
    else:
        grid = table(*result.columns, right=result.columns[1:])
        for row in result.rows:
            grid.add_row(*row)
        console().print(grid)
        for note in result.notes:
            console().print(note, style="yellow" if note.startswith("warning") else "dim", soft_wrap=True)


def write_lines(path: str, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON Lines."""
    text = "".join(codec.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    Path(path).write_text(text, encoding="utf-8")


def print_score(score: Score, *, json: bool) -> None:
    """Print a score as JSON, or as a headline, counts, further figures and the figures of each label."""
    if json:
        print_json(score.as_dict())
        return
    screen = console()
    screen.print(f"{score.metric} {_figure(score, score.score)}{_interval(score)}")
    if score.how:
        screen.print("; ".join(f"{name}: {value}" for name, value in score.how.items()), style="dim")
    rows = table("count", "", right=("",))
    for name, value in score.counts.items():
        rows.add_row(name.replace("_", " "), number(value))
    screen.print(rows)
    if score.others:
        rows = table("figure", "", right=("",))
        for name, other in score.others.items():
            rows.add_row(name.replace("_", " "), f"{other:.4f}")
        screen.print(rows)
    if score.by:
        columns = tuple(next(iter(score.by.values())))
        rows = table("label", *columns, right=columns)
        for label, figures in score.by.items():
            rows.add_row(label, *(number(v) if k == "support" else f"{v:.4f}" for k, v in figures.items()))
        screen.print(rows)


def _figure(score: Score, value: float) -> str:
    return f"{100 * value:.2f} %" if score.scale == "share" else f"{value:.4f}"


def _interval(score: Score) -> str:
    span = score.interval
    if span is None:
        return ""
    low, high = _figure(score, span.low), _figure(score, span.high)
    return f" ({span.level:.0%} interval {low} to {high}; {span.samples:,} samples of {span.groups:,} {span.over})"
