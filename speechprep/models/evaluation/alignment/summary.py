"""Summary of boundary errors: means with intervals, quantiles, shares, and figures of each speaker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from speechprep.models.evaluation.alignment.boundaries import F64, LevelErrors, UtteranceErrors
from speechprep.models.evaluation.bootstrap import Bootstrap, share

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
WITHIN = (20, 50, 100)  # ms
COUNTS = ("words", "not_found", "interpolated", "extra", "unknown")


def summary(level: LevelErrors, bootstrap: Bootstrap | None) -> dict[str, Any]:
    """Figures of one level of noise, as plain types for JSON; ms and shares.

    The interval is over speakers if `bootstrap` has speakers, else over utterances. Figures of each speaker are in
    `by_speaker`. The share of true borders in the intervals of the aligner is in `intervals`.

    Args:
        level: errors of all utterances.
        bootstrap: parameters of the interval; None for none.

    Raises:
        BadInput: `no_speaker`: an utterance without a speaker.
    """
    counts = {"utterances": len(level.utterances), "missing": len(level.missing), "not_kept": level.not_kept}
    counts |= {name: level.total(name) for name in COUNTS}
    body: dict[str, Any] = {"snr": level.snr, "counts": counts, "mean": None, "interval": None}
    boundary = level.values("boundary")
    if not len(boundary):
        return body
    body["mean"] = float(boundary.mean())
    body["interval"] = _interval(level.utterances, bootstrap) if bootstrap else None
    body["quantiles"] = _quantiles(boundary)
    inside = level.values("inside")
    if len(inside):
        width = float(level.values("width").mean())
        body["intervals"] = {"borders": len(inside), "coverage": float(inside.mean()), "mean_width": width}
    body["onset"], body["offset"] = (_side(level.values(name)) for name in ("onset", "offset"))
    if bootstrap is not None and bootstrap.speakers is not None:
        body["by_speaker"] = _by_speaker(level.utterances, bootstrap.speakers)
    return body


def _interval(utterances: Mapping[str, UtteranceErrors], bootstrap: Bootstrap) -> dict[str, Any] | None:
    ids = [id for id, errors in utterances.items() if len(errors.boundary)]
    sums = np.array([(utterances[id].boundary.sum(), len(utterances[id].boundary)) for id in ids])
    interval = bootstrap.interval(ids, sums, lambda total: share(total[0], total[1]))
    return asdict(interval) if interval is not None else None


def _side(errors: F64) -> dict[str, Any]:
    """Figures of the onsets or the offsets: mean absolute error, median signed error, quantiles and shares."""
    size = np.abs(errors)
    return {
        "mean": float(size.mean()),
        "bias": float(np.median(errors)),
        "quantiles": _quantiles(size),
        "within": {str(limit): float(np.mean(size <= limit)) for limit in WITHIN},
    }


def _quantiles(values: F64) -> dict[str, float]:
    return {f"{q:g}": float(v) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}


def _by_speaker(utterances: Mapping[str, UtteranceErrors], speakers: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    figures: dict[str, dict[str, Any]] = {}
    for speaker in sorted({speakers[id] for id in utterances}):
        errors = [utterances[id] for id in utterances if speakers[id] == speaker]
        boundary = np.concatenate([one.boundary for one in errors])
        figures[speaker] = {
            "words": sum(one.words for one in errors),
            "not_found": sum(one.not_found for one in errors),
            "mean": float(boundary.mean()) if len(boundary) else None,
        }
    return figures
