"""PELM: perplexity of an external language model on the continuations of a SUTLM (arXiv 2310.08715).

    PELM = exp( - sum_i log p_ext(y_i | c_i) / sum_i |y_i| )

y_i is the generated continuation as text, c_i the true text of the prompt, whatever modality the model was prompted in.
Lower is better, and copying the prompt or repeating oneself is low too: so the shares of words that are copied and
repeated, and the length, stand beside every figure. A transcriber turns units into text, and its errors count
against the model. The true continuations through the same path show how much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.models.evaluation.context_pairs import Half, Pair, prompt
from speechprep.models.evaluation.cra import DIRECTIONS
from speechprep.models.evaluation.score import Score
from speechprep.models.generation import Decoding, allowed_tokens, generate

Transcriber = Callable[[Sequence[Sequence[int]]], list[str]]  # token ids of units -> text of each
NGRAM = 3  # words that make a copy or a repetition
PAPER = Decoding(max_new_tokens=128, sample=True, top_k=50, top_p=0.9)


@dataclass(frozen=True)
class ExternalLM:
    """A causal language model of text, and its tokenizer."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, source: str) -> ExternalLM:
        """From a folder, or from a hub id in the cache of this machine.

        Raises:
            MissingBackend: it cannot be had on this machine.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            model = AutoModelForCausalLM.from_pretrained(source, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
        except (OSError, ValueError) as error:
            first = first_line(error)
            raise MissingBackend(f"no causal language model at {source!r}; name a local folder ({first})") from error
        return cls(model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer)

    def log_likelihood(self, before: str, text: str) -> tuple[float, int]:
        """Sum of log p of the tokens of `text` after `before`, and their number; of a long text, the last tokens
        within the context.

        The text is encoded with the space before it, and without the tokenizer's special tokens.
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
    """PELM in each direction, and of the true continuations, both as text and through the transcriber.

    Args:
        model: a trained SUTLM.
        vocab: its vocabulary.
        pairs: see `context_pairs.load_pairs`.
        external: the judge.
        directions: the first letter is the modality of the prompt, the last of the continuation.
        how: to generate.
        samples: continuations of each prompt.
        join: how the model was told to change its modality.
        transcribe: of units; not given: the SUTLM itself, see `sutlm_transcriber`.
    """
    for direction in directions:
        if direction not in DIRECTIONS:
            raise ConfigError(f"direction {direction!r}; there are: {', '.join(DIRECTIONS)}")
    hear = transcribe or sutlm_transcriber(model, vocab)
    true = [pair.continuation.words for pair in pairs]
    scores = [judge("pelm.true.text", pairs, true, external)]
    if any(direction[2] == "u" for direction in directions):
        heard = hear([pair.continuation.units.tolist() for pair in pairs])
        scores.append(judge("pelm.true.units", pairs, heard, external))
    for direction in directions:
        said = continuations(model, pairs, direction, how, samples, join)
        texts = hear(said) if direction[2] == "u" else [vocab.decode_text(ids).strip() for ids in said]
        scores.append(judge(f"pelm.{direction}", [pair for pair in pairs for _ in range(samples)], texts, external))
    return scores


def continuations(
    model: Any, pairs: Sequence[Pair], direction: str, how: Decoding, samples: int, join: str
) -> list[list[int]]:
    """Continuations of each context, `samples` times, with tokens of the second modality alone."""
    config, target = model.config, direction[2]
    stop = config.markers[f"{target}_end"]
    allowed = allowed_tokens(config.vocab_size, [config.ranges["unit" if target == "u" else "text"]], [stop])
    prompts = [prompt(pair.context, direction, join, config.markers) for pair in pairs for _ in range(samples)]
    keys = [f"{pair.id}#{n}" for pair in pairs for n in range(samples)]
    made: list[list[int]] = generate(model, prompts, allowed, stop, how, keys=keys)
    return made


def sutlm_transcriber(model: Any, vocab: Any, how: Decoding | None = None) -> Transcriber:
    """Units to text by a SUTLM with CST in its training: <U_EN> units <EOU> <T_EN>, then greedily to <EOS>."""
    config = model.config
    stop = config.markers["t_end"]
    allowed = allowed_tokens(config.vocab_size, [config.ranges["text"]], [stop])

    def transcribe(units: Sequence[Sequence[int]]) -> list[str]:
        import numpy as np

        empty = np.zeros(0, np.int32)
        halves = [Half(np.asarray(ids, np.int32), empty, "") for ids in units]
        prompts = [prompt(half, "u2t", "cst", config.markers) for half in halves]
        made = generate(model, prompts, allowed, stop, how or Decoding(max_new_tokens=128))
        return [vocab.decode_text(ids).strip() for ids in made]

    return transcribe


def judge(metric: str, pairs: Sequence[Pair], texts: Sequence[str], external: ExternalLM) -> Score:
    """The score of texts after the contexts of pairs; empty texts are counted and left out."""
    total, tokens, empty, copied, repeated, grams, words, wanted = 0.0, 0, 0, 0, 0, 0, 0, 0
    for pair, text in zip(pairs, texts, strict=True):
        log_p, n = external.log_likelihood(pair.context.words, text) if text else (0.0, 0)
        total, tokens, empty = total + log_p, tokens + n, empty + (n == 0)
        before, own = ngrams(pair.context.words), ngrams(text)
        copied += sum(gram in set(before) for gram in own)
        repeated += len(own) - len(set(own))
        grams += len(own)
        words += len(text.split())
        wanted += len(pair.continuation.words.split())
    return Score(
        metric,
        math.exp(-total / tokens) if tokens else math.nan,
        scale="points",
        counts={"continuations": len(texts), "empty": empty, "tokens": tokens},
        others={
            "copied": copied / grams if grams else 0.0,
            "repeated": repeated / grams if grams else 0.0,
            "length": words / wanted if wanted else 0.0,
        },
        how={"copied, repeated": f"share of {NGRAM}-grams of words", "length": "words, over those of the true ones"},
    )


def ngrams(text: str) -> list[tuple[str, ...]]:
    """All `NGRAM`-grams of the words of a text, case folded."""
    words = text.casefold().split()
    return [tuple(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)]
