"""PELM: perplexity of generated continuations under an external language model (SUTLM, arXiv 2310.08715).

    PELM = exp( - sum_i log p_ext(y_i | c_i) / sum_i |y_i| )

y_i is the generated continuation as text, and c_i is the true text of the prompt, in every direction. Lower is better.
Copies and repetitions also lower it, so each score reports the fractions of copied and repeated words, and the length.
A transcriber turns units into text, and its errors raise PELM. The score `pelm.true.units` measures this effect on the
true continuations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.models.devices import device
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.context_pairs import DIRECTIONS, Half, Pair, prompt
from speechprep.models.evaluation.score import Score
from speechprep.models.evaluation.wer import wer
from speechprep.models.generation import Decoding, allowed_tokens, generate

Transcriber = Callable[[Sequence[Sequence[int]]], list[str]]  # unit token ids of each item -> its text
NGRAM = 3  # length of copied and repeated n-grams, in words
PAPER = Decoding(max_new_tokens=128, sample=True, top_k=50, top_p=0.9)


@dataclass(frozen=True)
class ExternalLM:
    """A causal language model of text with its tokenizer."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, source: str) -> ExternalLM:
        """Load from a folder, or by the hub id from the local cache.

        Raises:
            MissingBackend: the model is not on this machine.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            model = AutoModelForCausalLM.from_pretrained(source, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
        except (OSError, ValueError) as error:
            first = first_line(error)
            raise MissingBackend(f"no causal language model at {source!r}; name a local folder ({first})") from error
        return cls(model.eval().to(device()), tokenizer)

    def log_likelihood(self, before: str, text: str) -> tuple[float, int]:
        """Sum of log p of the tokens of `text` after `before`, and their number.

        The text is encoded with a leading space and without special tokens. It is cut to the context of the model, and
        `before` keeps the last tokens that fit.
        """
        import torch

        head = self.tokenizer(before)["input_ids"]
        if head and head[-1] == self.tokenizer.eos_token_id and len(head) > 1:
            head = head[:-1]
        tail = self.tokenizer(" " + text, add_special_tokens=False)["input_ids"]
        limit = getattr(self.model.config, "max_position_embeddings", None) or len(head) + len(tail)
        tail = tail[: limit - 1]
        head = head[-(limit - len(tail)) :]
        if not (head and tail):
            return 0.0, 0
        ids = torch.tensor([[*head, *tail]], device=self.model.device)
        with torch.no_grad():
            log_p = self.model(ids).logits[0, len(head) - 1 : -1].float().log_softmax(-1)
        return float(log_p.gather(1, ids[0, len(head) :, None]).double().sum()), len(tail)


def pelm(
    model: Any,
    vocab: Any,
    pairs: Sequence[Pair],
    external: ExternalLM,
    *,
    directions: Sequence[str] = DIRECTIONS,
    how: Decoding = PAPER,
    samples: int = 3,
    join: str = "ast",
    transcribe: Transcriber | None = None,
) -> list[Score]:
    """PELM in each direction, and of the true continuations, as text and as transcribed units.

    Args:
        model: a trained SUTLM.
        vocab: its vocabulary.
        pairs: result of `context_pairs.load_pairs`.
        external: the external language model.
        directions: some of `DIRECTIONS`; the first letter is the modality of the prompt, the last of the continuation.
        how: decoding options of the continuations.
        samples: number of continuations of each prompt.
        join: tokens between two modalities in training, see `context_pairs.prompt`.
        transcribe: transcriber of units; default: the SUTLM itself, see `sutlm_transcriber`.

    Raises:
        ConfigError: an unknown direction.
    """
    for direction in directions:
        if direction not in DIRECTIONS:
            raise ConfigError(f"direction {direction!r} is unknown; set one of {', '.join(DIRECTIONS)}")
    transcriber = transcribe or sutlm_transcriber(model, vocab)
    true = [pair.continuation.words for pair in pairs]
    scores = [score_texts("pelm.true.text", pairs, true, external)]
    if any(direction[2] == "u" for direction in directions):
        transcripts = transcriber([pair.continuation.units.tolist() for pair in pairs])
        score = score_texts("pelm.true.units", pairs, transcripts, external)
        errors = _word_errors(pairs, transcripts)
        scores.append(replace(score, others=score.others | {"transcriber_wer": errors}))
    repeated_pairs = [pair for pair in pairs for _ in range(samples)]
    for direction in directions:
        tokens = continuations(model, pairs, direction, how, samples, join)
        texts = transcriber(tokens) if direction[2] == "u" else [vocab.decode_text(ids).strip() for ids in tokens]
        scores.append(score_texts(f"pelm.{direction}", repeated_pairs, texts, external))
    return scores


def continuations(
    model: Any, pairs: Sequence[Pair], direction: str, how: Decoding, samples: int, join: str
) -> list[list[int]]:
    """Token ids of `samples` continuations of each context, in the modality of the direction."""
    config, target = model.config, direction[2]
    stop = config.markers[f"{target}_end"]
    allowed = allowed_tokens(config.vocab_size, [config.ranges["unit" if target == "u" else "text"]], [stop])
    prompts = [prompt(pair.context, direction, join, config.markers) for pair in pairs for _ in range(samples)]
    keys = [f"{pair.id}#{n}" for pair in pairs for n in range(samples)]
    tokens: list[list[int]] = generate(model, prompts, allowed, stop, how, keys=keys)
    return tokens


def sutlm_transcriber(model: Any, vocab: Any, how: Decoding | None = None) -> Transcriber:
    """Transcriber by a SUTLM trained with CST rows: greedy text after <U_EN> units <EOU> <T_EN>, up to <EOS>."""
    config = model.config
    stop = config.markers["t_end"]
    allowed = allowed_tokens(config.vocab_size, [config.ranges["text"]], [stop])

    def transcribe(units: Sequence[Sequence[int]]) -> list[str]:
        empty = np.zeros(0, np.int32)
        halves = [Half(np.asarray(ids, np.int32), empty, "") for ids in units]
        prompts = [prompt(half, "u2t", "cst", config.markers) for half in halves]
        tokens = generate(model, prompts, allowed, stop, how or Decoding(max_new_tokens=128))
        return [vocab.decode_text(ids).strip() for ids in tokens]

    return transcribe


def _word_errors(pairs: Sequence[Pair], transcripts: Sequence[str]) -> float:
    """Word error rate of transcripts of the true continuations, with folded case."""
    references = {f"{i} {pair.id}": pair.continuation.words for i, pair in enumerate(pairs)}
    return wer(references, dict(zip(references, transcripts, strict=True))).score


def score_texts(metric: str, pairs: Sequence[Pair], texts: Sequence[str], external: ExternalLM) -> Score:
    """PELM of texts after the contexts of pairs. Empty texts are counted and excluded from the perplexity."""
    sums: dict[str, list[float]] = {}
    total, tokens, empty, copied, repeated, grams, words, true_words = 0.0, 0, 0, 0, 0, 0, 0, 0
    for pair, text in zip(pairs, texts, strict=True):
        log_p, n = external.log_likelihood(pair.context.words, text) if text else (0.0, 0)
        total, tokens, empty = total + log_p, tokens + n, empty + (n == 0)
        before = sums.setdefault(pair.id, [0.0, 0.0])
        sums[pair.id] = [before[0] + log_p, before[1] + n]
        context_grams, text_grams = set(ngrams(pair.context.words)), ngrams(text)
        copied += sum(gram in context_grams for gram in text_grams)
        repeated += len(text_grams) - len(set(text_grams))
        grams += len(text_grams)
        words += len(text.split())
        true_words += len(pair.continuation.words.split())
    ids = sorted(sums)
    interval = Bootstrap().interval(ids, np.array([sums[id] for id in ids]), _perplexity) if tokens else None
    return Score(
        metric,
        math.exp(-total / tokens) if tokens else math.nan,
        interval,
        scale="points",
        counts={"continuations": len(texts), "empty": empty, "tokens": tokens},
        others={
            "copied": copied / grams if grams else 0.0,
            "repeated": repeated / grams if grams else 0.0,
            "length": words / true_words if true_words else 0.0,
        },
        how={"copied, repeated": f"share of {NGRAM}-grams of words", "length": "words, over those of the true ones"},
    )


def _perplexity(sums: NDArray[np.float64]) -> float:
    """exp of minus the mean log p, from the sums of log p and of tokens."""
    return math.exp(min(-sums[0] / max(sums[1], 1.0), 700.0))


def ngrams(text: str) -> list[tuple[str, ...]]:
    """All `NGRAM`-grams of the words of a text, with folded case."""

    words = text.casefold().split()
    return [tuple(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)]
