"""Quality of a codebook: dead and duplicate units, perplexity, purity and PNMI by words or phones; and the gate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.labels import Labelled, rows_at
from speechprep.pipelines.shift import by_seconds, position_lines
from speechprep.pipelines.stages.cluster.selection import FrameSample
from speechprep.tokenizers.kmeans.nearest import perplexity
from speechprep.tokenizers.kmeans.state import KMeansFit

DUPLICATE = 0.05  # of the root mean square distance of a frame to its centroid: two centroids closer than this are one
UNIT_LABELS = "unit_labels.json"
MAX_LABELS = 100  # of `unit_labels.json`: more than the phones of any language
GAP = ""  # the label of frames outside all words

F32 = NDArray[np.float32]


class Bars(Protocol):
    """Limits for a codebook; see the options of `cluster`."""

    min_perplexity: float
    max_unused: float
    min_shift_kept: float

    @property
    def center(self) -> str: ...  # noqa: D102


def word_rows(batches: Iterator[Any]) -> Iterator[Labelled]:
    """The words of a `words` dataset, in lower case."""
    for batch in batches:
        for id, words in zip(batch.column("id").to_pylist(), batch.column("words").to_pylist(), strict=True):
            spans = words or []
            starts, ends = (np.array([w[key] for w in spans], np.float64) for key in ("start", "end"))
            yield id, starts, ends, [w["text"].casefold() for w in spans]


def frame_labels(
    sample: FrameSample, rows: Iterator[Labelled], grid: FrameGrid, numbers: dict[str, int] | None = None
) -> NDArray[np.int64]:
    """Number of the label at the centre of each sampled frame; 0 outside all labels, -1 for utterances without `rows`.

    Args:
        sample: the frames.
        rows: for each utterance its id, starts and ends in seconds (starts rise), and labels.
        grid: of the frames.
        numbers: receives the number of each label; an empty dict.
    """
    numbers = {} if numbers is None else numbers
    numbers[GAP] = 0
    row_of = {id: i for i, id in enumerate(sample.ids)}
    first = np.searchsorted(sample.utterance, np.arange(len(sample.ids) + 1))
    labels = np.full(len(sample.frame), -1, np.int64)
    for id, starts, ends, forms in rows:
        if id not in row_of:
            continue
        frames = slice(first[row_of[id]], first[row_of[id] + 1])
        label_numbers = np.array([*(numbers.setdefault(form, len(numbers)) for form in forms), 0], np.int64)
        labels[frames] = label_numbers[rows_at(grid.centres(sample.frame[frames]), starts, ends)]
    return labels


def agreement(units: NDArray[Any], labels: NDArray[np.int64]) -> dict[str, float]:
    """Purity and PNMI of units against labels, over frames with a label of 0 or more.

    - `label_purity`: fraction of frames with the most frequent label of their unit
    - `cluster_purity`: fraction of frames with the most frequent unit of their label
    - `pnmi`: I(label; unit) / H(label), the fraction of the label's information in the unit
    """
    labelled = labels >= 0
    if not labelled.any():
        return {}
    pairs, counts = np.unique(
        np.stack([labels[labelled], units[labelled].astype(np.int64)]), axis=1, return_counts=True
    )
    return agreement_of_counts(pairs, counts)


def agreement_of_counts(pairs: NDArray[np.int64], counts: NDArray[np.int64]) -> dict[str, float]:
    """`agreement` from distinct pairs (2, m) of a label and a unit, with the number of frames (m,) of each, m > 0."""
    total = counts.sum()
    of_label = np.bincount(pairs[0], counts)
    of_unit = np.bincount(pairs[1], counts)
    best_in_unit, best_in_label = np.zeros(len(of_unit)), np.zeros(len(of_label))
    np.maximum.at(best_in_unit, pairs[1], counts)
    np.maximum.at(best_in_label, pairs[0], counts)
    joint = counts / total
    information = (joint * np.log(joint * total**2 / (of_label[pairs[0]] * of_unit[pairs[1]]))).sum()
    p = of_label[of_label > 0] / total
    entropy = -(p * np.log(p)).sum()
    return {
        "label_purity": float(best_in_unit.sum() / total),
        "cluster_purity": float(best_in_label.sum() / total),
        "pnmi": float(information / entropy) if entropy > 0 else 0.0,
        "labelled_frames": int(total),
        "labels": int((of_label > 0).sum()),
    }


def label_counts(units: NDArray[Any], labels: NDArray[np.int64], numbers: dict[str, int], k: int) -> dict[str, Any]:
    """Frames of each label and unit, for `unit_labels.json`.

    Args:
        units: (n,) units of the frames.
        labels: (n,) numbers of their labels; -1: no label, not counted.
        numbers: of each label.
        k: number of units.

    Returns:
        `labels`: the `MAX_LABELS` labels with the most frames, the most frequent first ("": outside all labels).
        `frames`: for each of them the frames of each unit. `other`: frames of all other labels by unit.
    """
    names = sorted(numbers)
    rank = np.full(len(numbers) + 1, -1)
    rank[[numbers[name] for name in names]] = np.arange(len(names))
    known = labels >= 0
    cells = rank[labels[known]] * k + units[known].astype(np.int64)
    frames = np.bincount(cells, minlength=len(names) * k).reshape(len(names), k)
    totals = frames.sum(axis=1)
    order = [int(i) for i in np.argsort(-totals, kind="stable") if totals[i]]
    return {
        "labels": [names[i] for i in order[:MAX_LABELS]],
        "frames": [frames[i].tolist() for i in order[:MAX_LABELS]],
        "other": frames[order[MAX_LABELS:]].sum(axis=0).tolist(),
    }


def duplicates(centroids: F32, radius: float) -> int:
    """Centroids within `radius` of a centroid with a lower index."""
    is_duplicate = np.zeros(len(centroids), bool)
    wide = centroids.astype(np.float64)
    for i in range(1, len(wide)):
        is_duplicate[i] = bool((((wide[:i] - wide[i]) ** 2).sum(axis=1) <= radius**2).any())
    return int(is_duplicate.sum())


def quality(fit: KMeansFit, frame_rate: float) -> dict[str, Any]:
    """Entries of `quality.json` for a fit, without labels."""
    k = len(fit.counts)
    varied = perplexity(fit.counts)
    dead = int((fit.counts == 0).sum())
    double = duplicates(fit.centroids[fit.counts > 0], DUPLICATE * fit.final_inertia**0.5)
    return {
        "k": k,
        "frames_used": fit.frames_used,
        "frames_seen": fit.frames_seen,
        "dead_units": dead,
        "duplicate_units": double,
        "unused_share": (dead + double) / k,
        "perplexity": varied,
        "perplexity_share": varied / k,
        "bits_per_second": frame_rate * float(np.log2(max(varied, 1.0))),
        "inertia": fit.final_inertia,
        "inertia_by_iteration": fit.inertia,
        "counts": fit.counts.tolist(),
        "schedule": [list(phase) for phase in fit.schedule],
    }


def quality_lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of the agreement with labels and of the position tests in the facts of a codebook, for people."""
    labels = facts.get("labels") or {}
    lines = []
    if "pnmi" in labels:
        counted = f"{labels['labels']:,} labels, {labels['labelled_frames']:,} frames"
        text = f"{labels['pnmi']:.3f} ({counted}); purity {labels['label_purity']:.3f}"
        lines.append(("PNMI of units and labels", text))
    return lines + position_lines(facts)


def gate(report: dict[str, Any], config: Bars) -> None:
    """Refuse a collapsed codebook, and one with units of the position.

    Raises:
        ConfigError: the message has the figures.
    """
    k, varied = report["k"], report["perplexity"]
    problems = []
    if varied < config.min_perplexity * k:
        problems.append(f"perplexity {varied:.1f} of {k} units, at least {config.min_perplexity * k:.1f} is needed")
    if report["unused_share"] > config.max_unused:
        problems.append(
            f"{report['dead_units']} dead and {report['duplicate_units']} duplicate units of {k}, "
            f"at most {config.max_unused:.0%} are allowed"
        )
    if problems:
        raise ConfigError(
            f"the codebook has collapsed: {'; '.join(problems)} ({report['frames_used']} frames used). "
            "Look for silent or damaged audio, lower k, raise max_frames, or lower min_perplexity or raise max_unused"
        )
    _gate_position(report.get("shift", {}).get("kept", {}), config)


def _gate_position(kept: dict[str, float], config: Bars) -> None:
    """Refuse units that change with the position in the window; `kept` is the result of the shift test."""
    if not kept or min(kept.values()) >= config.min_shift_kept:
        return
    shares = ", ".join(f"{share:.0%} after {seconds} s" for seconds, share in by_seconds(kept))
    centre = "set center: position, " if config.center == "none" else ""
    raise ConfigError(
        f"the units follow the position in the window of the extractor: with faint noise before the same speech, "
        f"{shares} keep their unit, at least {config.min_shift_kept:.0%} are needed. Choose another layer, {centre}"
        "or lower min_shift_kept"
    )
