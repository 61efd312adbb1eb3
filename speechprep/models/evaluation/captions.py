"""Scores of captions against several references: CIDEr-D, ROUGE-L and BLEU-1 to 4 as pycocoevalcap computes them.

CIDEr-D: Vedantam, Zitnick and Parikh, "CIDEr: Consensus-based image description evaluation" (CVPR 2015), with clipped
counts and the Gaussian length penalty. ROUGE-L: Lin, "ROUGE" (2004), beta 1.2. BLEU: Papineni et al. (2002), closest
reference length. CIDEr takes its document frequencies from the given references, one document an item. So a part of
a split has another scale than the whole split, and a single item always scores 0.
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
_SMALL, _TINY = 1e-9, 1e-15  # of the reference implementation's BLEU: no division by 0, and 0 stays near 0

Words = Sequence[str]
Vector = dict[tuple[str, ...], float]


def captions(
    references: Mapping[str, Sequence[str]],
    hypotheses: Mapping[str, str],
    *,
    tokens: str = "ptb",
    bootstrap: Bootstrap | None = None,
) -> Score:
    """CIDEr-D, with ROUGE-L and BLEU beside it.

    Args:
        references: id -> its captions, at least one.
        hypotheses: id -> the caption to score.
        tokens: `ptb`, or `none` for tokenized texts.
        bootstrap: for CIDEr's interval; the document frequencies come from all references.

    Returns:
        `score` is CIDEr, about 0 to 10; `others` holds `cider_x100` (as papers print it), `rouge_l` and `bleu_1` to
        `bleu_4` as shares.

    Raises:
        BadInput: different ids on the two sides, or an id without a reference.
        ConfigError: an unknown tokenizer.
    """
    if tokens not in TOKENIZERS:
        raise ConfigError(f"unknown tokenizer {tokens!r}; there are: {', '.join(TOKENIZERS)}")
    ids = paired(references, hypotheses)
    several(ids, references)
    split = TOKENIZERS[tokens]
    said = [split(hypotheses[id]) for id in ids]
    wanted = [[split(text) for text in references[id]] for id in ids]
    each = cider(said, wanted)
    others = {"cider_x100": 100 * float(each.mean()), "rouge_l": float(np.mean(list(map(rouge_l, said, wanted))))}
    others |= {f"bleu_{n}": value for n, value in enumerate(bleu(said, wanted), 1)}
    sums = np.stack([each, np.ones(len(ids))], 1)
    interval = bootstrap.interval(ids, sums, lambda s: float(s[0] / s[1])) if bootstrap else None
    counts = {"items": len(ids), "references": sum(map(len, wanted)), "words": sum(map(len, said))}
    how = {"form": "CIDEr-D", "tokens": tokens}
    return Score("cider", float(each.mean()), interval, counts, others, how=how, scale="points")


def cider(said: Sequence[Words], wanted: Sequence[Sequence[Words]]) -> NDArray[np.float64]:
    """(n,) CIDEr-D of each item.

    Args:
        said: (n) tokens of the candidates.
        wanted: (n) lists of tokens of the references.
    """
    counted = [[_ngrams(words) for words in item] for item in wanted]
    documents: Counter[tuple[str, ...]] = Counter()
    for item in counted:
        documents.update({ngram for counts in item for ngram in counts})
    whole = math.log(len(said))

    def weigh(counts: Counter[tuple[str, ...]]) -> tuple[list[Vector], list[float], int]:
        """tf-idf vector and norm of each order, and the number of bigrams as the length."""
        vectors: list[Vector] = [{} for _ in range(ORDERS)]
        for ngram, times in counts.items():
            vectors[len(ngram) - 1][ngram] = times * (whole - math.log(max(documents[ngram], 1)))
        norms = [math.sqrt(sum(x * x for x in vector.values())) for vector in vectors]
        return vectors, norms, sum(times for ngram, times in counts.items() if len(ngram) == 2)

    scores = []
    for words, item in zip(said, counted, strict=True):
        own, norms, length = weigh(_ngrams(words))
        total = 0.0
        for counts in item:
            other, their_norms, their_length = weigh(counts)
            penalty = math.exp(-((length - their_length) ** 2) / (2 * _SIGMA**2))
            for vector, reference, a, b in zip(own, other, norms, their_norms, strict=True):
                if a and b:
                    shared = sum(min(x, reference[g]) * reference[g] for g, x in vector.items() if g in reference)
                    total += penalty * shared / (a * b)
        scores.append(10.0 * total / ORDERS / len(item))
    return np.array(scores)


def rouge_l(words: Words, references: Sequence[Words]) -> float:
    """ROUGE-L of one item: the F measure of the best precision and the best recall over its references."""
    common = [_common(words, reference) for reference in references]
    precision = max(common) / max(len(words), 1)
    recall = max(n / max(len(reference), 1) for n, reference in zip(common, references, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def bleu(said: Sequence[Words], wanted: Sequence[Sequence[Words]]) -> list[float]:
    """BLEU-1 to BLEU-4 of the corpus, as shares: cumulative, closest reference length (of equals the shorter)."""
    right, guessed = np.zeros(ORDERS), np.zeros(ORDERS)
    length = wished = 0
    for words, references in zip(said, wanted, strict=True):
        most: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            most |= _ngrams(reference)
        for ngram, times in (_ngrams(words) & most).items():
            right[len(ngram) - 1] += times
        guessed += [max(len(words) - n, 0) for n in range(ORDERS)]
        length += len(words)
        wished += min((abs(len(reference) - len(words)), len(reference)) for reference in references)[1]
    means = np.cumprod((right + _TINY) / (guessed + _SMALL)) ** (1 / np.arange(1, ORDERS + 1))
    ratio = (length + _TINY) / (wished + _SMALL)
    return [float(x) for x in means * (math.exp(1 - 1 / ratio) if ratio < 1 else 1.0)]


def _ngrams(words: Words) -> Counter[tuple[str, ...]]:
    """How often each run of 1 to 4 words occurs."""
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

    tokens: str = Field("ptb", description="ptb, or none for tokenized texts.")


CAPTIONS = Benchmark(
    name="captions",
    help="CIDEr, ROUGE-L and BLEU of captions.\n\nSeveral references of an id are several rows, or a list in JSON. "
    "Give the references of the whole split: the document frequencies of CIDEr come from them.",
    score=captions,
    options=CaptionOptions,
    references=lists,
    by_speaker=False,
    examples=(" --reference-column references", " --json"),
)
