"""SLUE-SA: sentiment in three classes, scored by macro and weighted precision, recall and F1 (Shon et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput
from speechprep.models.evaluation.benchmark import Benchmark
from speechprep.models.evaluation.bootstrap import Bootstrap, precision_recall_f1, share
from speechprep.models.evaluation.score import Score, paired

LABELS = ("Negative", "Neutral", "Positive")
_READ = {label.casefold(): label for label in LABELS} | {"<mixed>": "Neutral", "disagreement": "Neutral"}


def sentiment(label: str) -> str | None:
    """The class of an annotation, or None. `<mixed>` and `Disagreement` are Neutral."""
    return _READ.get(label.strip().casefold())


def slue_sentiment(
    references: Mapping[str, str], hypotheses: Mapping[str, str], *, bootstrap: Bootstrap | None = None
) -> Score:
    """Macro F1, the main figure of SLUE, and further averages.

    Args:
        references: id -> annotated label.
        hypotheses: id -> predicted label. Any other text is an error on the class of the reference;
            `counts["unknown_labels"]` is their number.
        bootstrap: parameters of the interval of macro F1; None for no interval.

    Returns:
        `others` contains `macro_` and `weighted_` precision, recall and f1, and `accuracy`. `by` contains the figures
        of each class. Averages run over the classes present on either side; weights are the numbers of references.

    Raises:
        BadInput: different ids on the two sides, or a reference without a label (`bad_label`).
    """
    ids = paired(references, hypotheses)
    names = {id: sentiment(references[id]) for id in ids}
    unlabelled = next((id for id, name in names.items() if name is None), None)
    if unlabelled is not None:
        raise BadInput(
            "bad_label", f"id {unlabelled!r} has the label {references[unlabelled]!r}; use one of {', '.join(LABELS)}"
        )
    # (n, 12): the flattened confusion matrix of each utterance; the last column counts unknown labels.
    width = len(LABELS) + 1
    cells = np.zeros((len(ids), len(LABELS) * width))
    unknown = 0
    for row, id in enumerate(ids):
        predicted = sentiment(hypotheses[id])
        unknown += predicted is None
        column = len(LABELS) if predicted is None else LABELS.index(predicted)
        cells[row, LABELS.index(names[id] or "") * width + column] = 1

    total = cells.sum(0).reshape(len(LABELS), width)
    true, claims = total.sum(1), total.sum(0)[: len(LABELS)]
    present = [i for i in range(len(LABELS)) if true[i] or claims[i]]
    by = {LABELS[i]: precision_recall_f1(total[i, i], claims[i], true[i]) | {"support": true[i]} for i in present}
    others = {"accuracy": float(np.trace(total[:, :-1]) / len(ids))}
    for figure in ("precision", "recall", "f1"):
        others[f"macro_{figure}"] = float(np.mean([by[LABELS[i]][figure] for i in present]))
        others[f"weighted_{figure}"] = float(sum(by[LABELS[i]][figure] * true[i] for i in present) / len(ids))

    def macro(sums: NDArray[np.float64]) -> float:
        matrix = sums.reshape(len(LABELS), width)
        right, rows, columns = np.diagonal(matrix), matrix.sum(1), matrix.sum(0)
        return float(np.mean([share(2 * right[i], rows[i] + columns[i]) for i in present]))

    interval = bootstrap.interval(ids, cells, macro) if bootstrap else None
    counts = {"utterances": len(ids), "unknown_labels": unknown}
    counts |= {name.lower(): int(true[i]) for i, name in enumerate(LABELS)}

    by = {name: {figure: float(value) for figure, value in figures.items()} for name, figures in by.items()}
    return Score("macro_f1", others["macro_f1"], interval, counts, others, by, {"labels": ", ".join(LABELS)})


SLUE_SENTIMENT = Benchmark(
    name="slue-sa",
    help="Sentiment of SLUE-VoxCeleb: macro and weighted precision, recall and F1.",
    score=slue_sentiment,
    column="sentiment",
    examples=(" --reference-column label --hypothesis-column label",),
)
