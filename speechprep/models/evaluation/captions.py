"""Caption scores against several references: CIDEr-D, ROUGE-L and BLEU-1 to 4, equal to those of pycocoevalcap.

CIDEr-D: Vedantam, Zitnick and Parikh, "CIDEr: Consensus-based image description evaluation" (CVPR 2015), with clipped
counts and the Gaussian length penalty. ROUGE-L: Lin, "ROUGE" (2004), beta 1.2. BLEU: Papineni et al. (2002), closest
reference length. The document frequencies of CIDEr come from the references, one document for each item. Scores of a
part of a split are therefore not comparable with those of the whole split, and a single item always scores 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speechprep.errors import ConfigError
from speechprep.models.evaluation.benchmark import Benchmark, lists
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.ptb_tokenizer import tokenize
from speechprep.models.evaluation.score import Score, paired, several
from speechprep.options import Options

TOKENIZERS: dict[str, Callable[[str], list[str]]] = {"ptb": tokenize, "none": str.split}
ORDERS = 4
_SIGMA = 6.0
_BETA = 1.2
_SMALL, _TINY = 1e-9, 1e-15  # smoothing constants of BLEU in pycocoevalcap

Words = Sequence[str]
Vector = dict[tuple[str, ...], float]


def captions(
    references: Mapping[str, Sequence[str]],
    hypotheses: Mapping[str, str],
    *,
    tokens: str = "ptb",
    bootstrap: Bootstrap | None = None,
) -> Score:
    """CIDEr-D, ROUGE-L and BLEU of captions.

    Args:
        references: id -> reference captions, at least one.
        hypotheses: id -> caption to score.
        tokens: tokenizer `ptb`, or `none` for tokenized texts.
        bootstrap: parameters of the interval of CIDEr; document frequencies come from all references.

    Returns:
        `score` is CIDEr, about 0 to 10. `others` contains `cider_x100` (the scale of papers), `rouge_l` and `bleu_1`
        to `bleu_4` as fractions.

    Raises:
        BadInput: different ids on the two sides, or an id without a reference.
        ConfigError: an unknown tokenizer.
    """
    if tokens not in TOKENIZERS:
        raise ConfigError(f"unknown tokenizer {tokens!r}; set one of {', '.join(TOKENIZERS)}")
    ids = paired(references, hypotheses)
    several(ids, references)
    split = TOKENIZERS[tokens]
    candidates = [split(hypotheses[id]) for id in ids]
    true = [[split(text) for text in references[id]] for id in ids]
    scores = cider(candidates, true)
    others = {"cider_x100": 100 * float(scores.mean()), "rouge_l": float(np.mean(list(map(rouge_l, candidates, true))))}
    others |= {f"bleu_{n}": value for n, value in enumerate(bleu(candidates, true), 1)}
    sums = np.stack([scores, np.ones(len(ids))], 1)
    interval = bootstrap.interval(ids, sums, lambda s: float(s[0] / s[1])) if bootstrap else None
    counts = {"items": len(ids), "references": sum(map(len, true)), "words": sum(map(len, candidates))}
    how = {"form": "CIDEr-D", "tokens": tokens}
    return Score("cider", float(scores.mean()), interval, counts, others, how=how, scale="points")


def cider(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> NDArray[np.float64]:
    """(n,) CIDEr-D of each item.

    Args:
        candidates: (n) token lists of the captions.
        references: (n) lists of token lists of the references.
    """
    reference_counts = [[_ngrams(words) for words in item] for item in references]
    documents: Counter[tuple[str, ...]] = Counter()
    for item in reference_counts:
        documents.update({ngram for counts in item for ngram in counts})
    log_items = math.log(len(candidates))

    def weigh(counts: Counter[tuple[str, ...]]) -> tuple[list[Vector], list[float], int]:
        """tf-idf vector and norm of each order, and the number of bigrams, the length of CIDEr-D."""
        vectors: list[Vector] = [{} for _ in range(ORDERS)]
        for ngram, times in counts.items():
            vectors[len(ngram) - 1][ngram] = times * (log_items - math.log(max(documents[ngram], 1)))
        norms = [math.sqrt(sum(x * x for x in vector.values())) for vector in vectors]
        return vectors, norms, sum(times for ngram, times in counts.items() if len(ngram) == 2)

    scores = []
    for words, item in zip(candidates, reference_counts, strict=True):
        vectors, norms, length = weigh(_ngrams(words))
        total = 0.0
        for counts in item:
            reference_vectors, reference_norms, reference_length = weigh(counts)
            penalty = math.exp(-((length - reference_length) ** 2) / (2 * _SIGMA**2))
            for vector, reference, a, b in zip(vectors, reference_vectors, norms, reference_norms, strict=True):
                if a and b:
                    shared = sum(min(x, reference[g]) * reference[g] for g, x in vector.items() if g in reference)
                    total += penalty * shared / (a * b)
        scores.append(10.0 * total / ORDERS / len(item))
    return np.array(scores)


def rouge_l(words: Words, references: Sequence[Words]) -> float:
    """ROUGE-L of one item: the F measure of the highest precision and the highest recall over its references."""
    common = [_common(words, reference) for reference in references]
    precision = max(common) / max(len(words), 1)
    recall = max(n / max(len(reference), 1) for n, reference in zip(common, references, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def bleu(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Cumulative BLEU-1 to BLEU-4 of the corpus as fractions, with the closest reference length (shorter on a tie)."""
    matches, totals = np.zeros(ORDERS), np.zeros(ORDERS)
    length = reference_length = 0
    for words, item in zip(candidates, references, strict=True):
        most: Counter[tuple[str, ...]] = Counter()
        for reference in item:
            most |= _ngrams(reference)
        for ngram, times in (_ngrams(words) & most).items():
            matches[len(ngram) - 1] += times
        totals += [max(len(words) - n, 0) for n in range(ORDERS)]
        length += len(words)
        reference_length += min((abs(len(reference) - len(words)), len(reference)) for reference in item)[1]
    means = np.cumprod((matches + _TINY) / (totals + _SMALL)) ** (1 / np.arange(1, ORDERS + 1))
    ratio = (length + _TINY) / (reference_length + _SMALL)
    return [float(x) for x in means * (math.exp(1 - 1 / ratio) if ratio < 1 else 1.0)]


def _ngrams(words: Words) -> Counter[tuple[str, ...]]:
    """Counts of all n-grams of 1 to 4 words."""
    return Counter(tuple(words[i : i + n]) for n in range(1, ORDERS + 1) for i in range(len(words) - n + 1))


def _common(a: Words, b: Words) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


class CaptionOptions(Options):
    """Options of `captions`."""

    tokens: str = Field("ptb", description="Tokenizer of the captions: ptb, or none for tokenized texts.")


CAPTIONS = Benchmark(
    name="captions",
    help="CIDEr, ROUGE-L and BLEU of captions.\n\nGive several references of an id as several rows, or as a list in "
    "JSON. Give the references of the whole split, because the document frequencies of CIDEr come from them.",
    score=captions,
    options=CaptionOptions,
    references=lists,
    by_speaker=False,
    examples=(" --reference-column references", " --json"),
)
