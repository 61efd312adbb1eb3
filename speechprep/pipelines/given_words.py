"""Word times of the corpus and its transcript: tokens without a time are aligned between their neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput
from speechprep.pipelines.backends import Aligner, Transcript, Word
from speechprep.tokenizers.alignment.given_times import anchors, gaps
from speechprep.tokenizers.english.spoken import spoken_forms, tokens

Samples = NDArray[np.float32]
MIN_AGREEMENT = 0.5  # share of the given words that must be in the transcript
_SHORTEST = 0.04  # seconds of audio that an aligner gets


def transcript_of(
    text: str | None, words: Sequence[dict[str, Any]], blocks: Iterator[Samples], aligner: Aligner
) -> Transcript:
    """The transcript with the given times, and with aligned times of all other tokens.

    Without a text, the words are the transcript.

    Args:
        text: the transcript of the corpus, if any.
        words: {text, start, end} in order, in seconds.
        blocks: samples of the utterance at the rate of the aligner; read only if a token has no time.
        aligner: loaded aligner of the other tokens.

    Raises:
        BadInput: `words_differ` if text and words have less than half of the words in common.
    """
    named = [(" ".join(tokens(word["text"])), float(word["start"]), float(word["end"])) for word in words]
    named = [word for word in named if word[0]]  # aligners name silences ""
    written = tokens(text or "")
    if not written:
        made = [Word(name, start, end, None, "given") for name, start, end in named]
        return Transcript(" ".join(name for name, _, _ in named), made)
    pieces = [piece for word in named for piece in _pieces(*word)]
    keys = [key for name, _, _ in pieces for key in _keys(name)]
    found = anchors(_keys(" ".join(written)), keys, [(start, end) for _, start, end in pieces])
    if found.agreement < MIN_AGREEMENT:
        raise BadInput(
            "words_differ",
            f"the words with given times ({_start(' '.join(name for name, _, _ in named))}) are not those of the text "
            f"({_start(' '.join(written))}): {found.agreement:.0%} agree; correct one of them, or set "
            "given_words=ignore",
        )
    timed: list[Word | None] = [
        Word(text, *span, None, "given") if span else None for text, span in zip(written, found.spans, strict=True)
    ]
    stream = _Stretches(blocks, aligner.sample_rate)
    score = Transcript("", [])
    for first, end, start, stop in gaps(found):
        timed[first:end], score = _aligned(written[first:end], stream, start, stop, aligner)
    whole = [word for word in timed if word is not None]
    return Transcript(" ".join(written), whole, score.language, score.language_probability)


def _pieces(name: str, start: float, end: float) -> list[tuple[str, float, float]]:
    """A word of several tokens as its tokens, with shares of its time by their letters."""
    parts = name.split(" ")
    ends = np.cumsum([len(part) for part in parts]) / sum(map(len, parts))
    starts = [0.0, *ends[:-1].tolist()]
    length = end - start
    return [
        (part, start + a * length, start + b * length) for part, a, b in zip(parts, starts, ends.tolist(), strict=True)
    ]


def _keys(text: str) -> list[str]:
    """The tokens of a text as they are compared: as spoken in English, else their letters and digits."""
    return [
        "".join(form) or "".join(c for c in token.casefold() if c.isalnum())
        for token, form in zip(tokens(text), spoken_forms(text), strict=True)
    ]


def _start(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


class _Stretches:
    """Passages of a stream of samples in ascending order; memory holds one passage."""

    def __init__(self, blocks: Iterator[Samples], rate: int) -> None:
        self._blocks, self._rate = blocks, rate
        self._held: Samples = np.zeros(0, np.float32)
        self._first = 0  # number of the first held sample

    def take(self, start: float, stop: float | None) -> Samples:
        """The samples from `start` to `stop` seconds; None: to the end. A start before the last one is moved to it."""
        first = max(round(start * self._rate), self._first)
        last = None if stop is None else max(round(stop * self._rate), first)
        pieces = [self._held]
        size = len(self._held)
        while last is None or self._first + size < last:
            block = next(self._blocks, None)
            if block is None:
                break
            if self._first + size + len(block) <= first:
                self._first += size + len(block)
                pieces, size = [], 0
                continue
            pieces.append(block)
            size += len(block)
        held = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        cut = held[first - self._first : None if last is None else last - self._first]
        keep = len(held) if last is None else last - self._first
        self._held, self._first = held[keep:].copy(), self._first + min(keep, len(held))
        return np.ascontiguousarray(cut)


def _aligned(
    texts: list[str], stream: _Stretches, start: float | None, stop: float | None, aligner: Aligner
) -> tuple[list[Word | None], Transcript]:
    """Words for the tokens of a gap between given times; evenly placed where the aligner refuses the passage."""
    begin = start or 0.0
    samples = stream.take(begin, stop)
    length = len(samples) / aligner.sample_rate
    nothing = Transcript("", [])
    if length >= _SHORTEST:
        try:
            made = aligner.align_stream(iter([samples]), " ".join(texts))
        except BadInput:
            made = nothing
        if len(made.words) == len(texts):
            shifted = [replace(w.later(begin), text=t) for t, w in zip(texts, made.words, strict=True)]
            return list(shifted), made
    step = length / len(texts)
    return [
        Word(t, begin + i * step, begin + (i + 1) * step, None, "interpolated") for i, t in enumerate(texts)
    ], nothing
