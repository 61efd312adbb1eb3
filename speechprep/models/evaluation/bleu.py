"""BLEU of translations by sacrebleu, with its signature (Post, WMT 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speechprep.errors import MissingBackend
from speechprep.models.evaluation.benchmark import Benchmark, lists
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.score import Score, paired, several
from speechprep.options import Options


def bleu(
    references: Mapping[str, Sequence[str]],
    hypotheses: Mapping[str, str],
    *,
    lowercase: bool = False,
    bootstrap: Bootstrap | None = None,
) -> Score:
    """Corpus BLEU with sacrebleu's defaults: tokenizer 13a, exponential smoothing, mixed case.

    Args:
        references: id -> one or more reference translations.
        hypotheses: id -> translation to score.
        lowercase: fold case; the signature records it.
        bootstrap: parameters of the interval; None for no interval.

    Returns:
        `score` on sacrebleu's scale, 0 to 100; `others` holds the four precisions, brevity penalty and length ratio,
        `how` the signature.

    Raises:
        BadInput: different ids on the two sides, or an id without a reference.
        MissingBackend: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ModuleNotFoundError as error:
        raise MissingBackend.package("BLEU", "sacrebleu", "train") from error
    ids = paired(references, hypotheses)
    several(ids, references)
    most = max(len(references[id]) for id in ids)
    metric = BLEU(lowercase=lowercase)
    candidates = [hypotheses[id] for id in ids]
    streams = [[references[id][k] if k < len(references[id]) else None for id in ids] for k in range(most)]
    corpus = metric.corpus_score(candidates, streams)
    others = {f"precision_{n}": value for n, value in enumerate(corpus.precisions, 1)}
    others |= {"brevity_penalty": corpus.bp, "length_ratio": corpus.ratio}
    counts = {"items": len(ids), "words": corpus.sys_len, "reference_words": corpus.ref_len}
    how = {"signature": str(metric.get_signature())}
    interval = None
    if bootstrap:
        item_metric = BLEU(lowercase=lowercase)
        rows = []
        for text, *item_references in zip(candidates, *streams, strict=True):
            part = item_metric.corpus_score([text], [[r] for r in item_references if r is not None])
            rows.append([part.sys_len, part.ref_len, *part.counts, *part.totals])

        def score(sums: NDArray[np.float64]) -> float:
            length, reference_length, *grams = (int(x) for x in sums)
            matches, totals = grams[: len(grams) // 2], grams[len(grams) // 2 :]
            return float(BLEU.compute_bleu(matches, totals, length, reference_length, smooth_method="exp").score)

        interval = bootstrap.interval(ids, np.array(rows), score)
    return Score("bleu", float(corpus.score), interval, counts, others, how=how, scale="points")


class BleuOptions(Options):
    """Options of `bleu`."""

    lowercase: bool = Field(default=False, description="Ignore the difference between upper and lower case.")


BLEU = Benchmark(
    name="bleu",
    help="BLEU of translations by sacrebleu, with its signature.\n\nGive several references of an id as several rows, "
    "or as a list in JSON.",
    score=bleu,
    options=BleuOptions,
    references=lists,
    examples=(" --lowercase",),
)
