"""Section "Units by label": heat map of the units and the labels, for example phones, that `cluster` was given."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import storage
from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page
from speechprep.pipelines.report.plots.breakdown import label_map
from speechprep.pipelines.stages.cluster.quality import UNIT_LABELS

MOST = 500  # units of the map: the ones with the most frames
_GAP = "(no label)"


def section(page: Page, run: Run, facts: Facts) -> None:
    """Share of each label in the frames of each unit, as in HuBERT (arXiv 2106.07447, figure 4)."""
    counted = _read(run)
    if counted is None:
        return
    names, frames = counted
    used = np.flatnonzero(frames.sum(axis=0))
    shown = np.sort(used[np.argsort(-frames[:, used].sum(axis=0), kind="stable")[:MOST]])
    share = 100 * frames[:, shown] / frames[:, shown].sum(axis=0)
    best = share.argmax(axis=0)
    order = np.lexsort((shown, -share.max(axis=0), best))
    share = np.round(share[:, order], 1)
    figure = label_map(names, shown[order].tolist(), share.tolist())
    caption = (
        "A column is a unit, a row is a label. The stronger the colour of a cell, the more of the sampled frames of "
        "the unit have this label. The labels are in the order of their frequency."
    )
    if len(used) > len(shown):
        caption += f" The {len(shown)} most frequent of {len(used):,} used units are drawn."
    says = f"On average {share.max(axis=0).mean():.0f} % of the frames of a unit have its most frequent label."
    figures = page.figure("units-by-label", "Units by label", figure, caption, says, wide=True)
    page.section("labels", "Units by label", [figures])


def _read(run: Run) -> tuple[list[str], NDArray[np.int64]] | None:
    """Names (n,) and frames (n, k) of `unit_labels.json`; None if it is absent, damaged or empty."""
    codebook = run.get("codebook")
    uri = storage.join(codebook.uri, UNIT_LABELS) if codebook else ""
    if not codebook or not storage.exists(uri):
        return None
    try:
        stored = json.loads(storage.read_bytes(uri))
        names = [str(name) or _GAP for name in stored["labels"]]
        frames = np.array(stored["frames"], np.int64).reshape(len(names), -1)
        other = np.array(stored["other"], np.int64)
        if other.any():
            names, frames = [*names, "(all others)"], np.vstack([frames, other])
    except (ValueError, KeyError, TypeError):
        return None
    return (names, frames) if frames.size and (frames >= 0).all() and frames.any() else None
