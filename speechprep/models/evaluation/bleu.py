"""BLEU of translations by sacrebleu, with the signature that makes it comparable (Post, WMT 2018)."""

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
        references: id -> one or more translations.
        hypotheses: id -> the translation to score.
        lowercase: fold upper and lower case; the signature says so.
        bootstrap: how to make the interval.

    Returns:
        `score` on sacrebleu's scale, 0 to 100; `others` holds the four precisions, brevity penalty and length ratio,
        `how` the signature.

    Raises:
        BadInput: ids that do not agree, or an id without a reference.
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
    said = [hypotheses[id] for id in ids]
    streams = [[references[id][k] if k < len(references[id]) else None for id in ids] for k in range(most)]
    found = metric.corpus_score(said, streams)
    others = {f"precision_{n}": value for n, value in enumerate(found.precisions, 1)}
    others |= {"brevity_penalty": found.bp, "length_ratio": found.ratio}
    counts = {"items": len(ids), "words": found.sys_len, "reference_words": found.ref_len}
    how = {"signature": str(metric.get_signature())}
    interval = None
    if bootstrap:
        one = BLEU(lowercase=lowercase)
        rows = []
        for text, *given in zip(said, *streams, strict=True):
            part = one.corpus_score([text], [[reference] for reference in given if reference is not None])
            rows.append([part.sys_len, part.ref_len, *part.counts, *part.totals])

        def score(sums: NDArray[np.float64]) -> float:
            length, wished, *grams = (int(x) for x in sums)
            half = len(grams) // 2
            return float(BLEU.compute_bleu(grams[:half], grams[half:], length, wished, smooth_method="exp").score)

        interval = bootstrap.interval(ids, np.array(rows), score)
    return Score("bleu", float(found.score), interval, counts, others, how=how, scale="points")


class BleuOptions(Options):
    """Options of `bleu`."""

    lowercase: bool = Field(default=False, description="Fold upper and lower case.")


BLEU = Benchmark(
    name="bleu",
    help="BLEU of translations by sacrebleu, with its signature.\n\nSeveral references of an id are several rows, or a "
    "list in JSON.",
    score=bleu,
    options=BleuOptions,
    references=lists,
    examples=(" --lowercase",),
)
