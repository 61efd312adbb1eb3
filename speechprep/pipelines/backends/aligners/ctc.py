"""Aligner `ctc`: word times by any CTC model for speech and the exact best path (`tokenizers.ctc`).

With a transcript, every written token gets a time: what is said for it (in English `tokenizers.spoken`, in other
languages the token itself) is spelled in the letters of the model, characters that it does not have are left out, and
a token of which nothing is left lies between its neighbours ("interpolated", no score). The path covers all frames of
the audio, so nothing is cut and no place is lost. Without a transcript the model's own best labels are the words.

Memory: one window of audio in the model at a time, and for each frame of the whole the log-probabilities of the letters
in the transcript alone (2 h: 40 MB); see `tokenizers.ctc` for the search.

A word lasts from the first frame of its first letter to the last frame of its last one. CTC models mark letters by
single frames, so ends come early, by up to the length of the last sound. The score is the mean log-probability over the
frames of its letters, in nats, at most 0. Borders lie `(field - stride) / 2` samples after the start of a frame, where
the middle between two frames is (2.5 ms).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Transcript, Word
from speechprep.pipelines.backends.aligners.ctc_model import RATE, CtcModel, LogProbs, ctc_model, too_short
from speechprep.pipelines.backends.aligners.sliding_window import Window
from speechprep.pipelines.backends.aligners.stream import StreamAligner
from speechprep.pipelines.backends.aligners.timing import Spoken, written_words
from speechprep.tokenizers.alignment.ctc import ctc_align, greedy_decode
from speechprep.tokenizers.english.spoken import spoken_forms, tokens

VERSION = 2  # raise when the same input would give other times

Samples = NDArray[np.float32]


class CtcAligner(StreamAligner):
    """Forced alignment, and greedy recognition, by a CTC model.

    Args:
        model: folder or hub name of a Hugging Face model with a CTC head, or the name of a torchaudio bundle.
        language: "en" reads figures and symbols as English words; in any other they are not said by any letter.
        window: seconds of audio that go through the model at once; longer audio is worked off in windows.
        overlap: seconds at both ends of a window that only serve its middle.
        device: of torch, "cpu" or "cuda".
        folder: where the weights of a torchaudio bundle are; by default where torchaudio keeps them.
        threads: of the model on a CPU, in each worker process; more workers gain more, but not on one recording.
    """

    sample_rate = RATE

    def __init__(
        self,
        model: str,
        language: str = "en",
        window: float = 30.0,
        overlap: float = 2.0,
        device: str = "cpu",
        folder: str | None = None,
        threads: int = 1,
    ) -> None:
        if not (window >= 2 and 0 <= overlap <= window / 4):
            raise ConfigError(
                f"window = {window!r}, overlap = {overlap!r}; choose at least 2 s, and at most a quarter of it"
            )
        if threads < 1:
            raise ConfigError(f"ctc: threads = {threads!r}; choose at least 1")
        self.language = language
        self.window = float(window)
        self.overlap = float(overlap)
        self.device = device
        self.model: CtcModel = ctc_model(str(model), device, folder, threads)

    def identity(self) -> dict[str, Any]:
        """Name, digest of the model and every parameter."""
        return {
            "name": "ctc",
            "version": VERSION,
            **self.model.identity(),
            "sample_rate": self.sample_rate,
            "language": self.language,
            "window": self.window,
            "overlap": self.overlap,
            "device": self.device,
        }

    def load(self) -> None:
        """Read the model."""
        self.model.load()

    def _timed(self, stream: Window, text: str) -> Transcript:
        return self.timed(stream, text, self.language)

    def timed(self, stream: Window, text: str, language: str) -> Transcript:
        """`align` for audio in a window, in any language that the model speaks."""
        written = tokens(text)
        forms = said(text, language)
        words = [word for form in forms for word in form]
        spelled = spell(words, self.model.letters())
        if not any(spelled):
            raise BadInput(
                "no_alignable_text",
                f"no character of the transcript {text[:60]!r} is among the model's letters: does the model speak "
                f"this language? (language = {language!r})",
            )
        ids, owners = sequence(spelled, self.model.delimiter())
        columns, compact = np.unique(ids, return_inverse=True)
        parts = [part[:, [self.model.blank, *columns]] for part in self._emissions(stream)]
        if not parts:
            raise too_short(stream.skip())
        path = ctc_align(np.concatenate(parts), compact.astype(np.int32) + np.int32(1))
        found = spoken_words(len(words), owners, path.starts, path.ends, path.scores)
        return Transcript(" ".join(written), self._written(written, forms, found, stream.skip()))

    def _emissions(self, stream: Window) -> Iterator[LogProbs]:
        return self.model.stream(stream, self.window, self.overlap)

    def _written(
        self, written: Sequence[str], forms: Sequence[Sequence[str]], found: Sequence[Spoken | None], n_samples: int
    ) -> list[Word]:
        offset = (self.model.field - self.model.stride) / 2 / RATE
        return written_words(written, forms, found, RATE / self.model.stride, offset, n_samples / RATE)

    def _recognise(self, stream: Window) -> Transcript:
        """The words of the best label of each frame."""
        labels, scores = [], []
        for part in self._emissions(stream):
            best = part.argmax(axis=1)
            labels.append(best.astype(np.int32))
            scores.append(part[np.arange(len(part)), best])
        if not labels:
            raise too_short(stream.skip())
        ids = {at: text for text, at in self.model.vocabulary.items() if len(text) == 1}
        upper = all(text == text.upper() for text in ids.values())
        words: list[str] = [""]
        parts: list[list[Any]] = [[]]
        for emitted in greedy_decode(np.concatenate(labels), np.concatenate(scores), self.model.blank):
            if emitted.token == self.model.delimiter():
                words.append("")
                parts.append([])
            elif emitted.token in ids:
                words[-1] += ids[emitted.token].lower() if upper else ids[emitted.token]
                parts[-1].append(emitted)
        kept = [(word, part) for word, part in zip(words, parts, strict=True) if part and word.strip()]
        found = [_joined([(e.start, e.end, e.score) for e in part]) for _, part in kept]
        texts = [word for word, _ in kept]
        return Transcript(" ".join(texts), self._written(texts, [[text] for text in texts], found, stream.skip()))


def said(text: str, language: str) -> list[list[str]]:
    """The spoken words of each token: English readings, or in other languages the token as it is written."""
    if language == "en":
        return spoken_forms(text)
    return [[unicodedata.normalize("NFC", token)] for token in tokens(text)]


def spell(words: Sequence[str], letters: dict[str, int]) -> list[list[int]]:
    """Each word in the model's letters; what it has no letter for is left out."""
    return [[letters[char] for char in word if char in letters] for word in words]


def sequence(spelled: Sequence[Sequence[int]], delimiter: int | None) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """All letters with a delimiter between words, and the word that each belongs to (-1: none)."""
    ids: list[int] = []
    owners: list[int] = []
    for number, word in enumerate(spelled):
        if not word:
            continue
        if ids and delimiter is not None:
            ids.append(delimiter)
            owners.append(-1)
        ids += word
        owners += [number] * len(word)
    return np.array(ids, np.int32), np.array(owners, np.int32)


def spoken_words(
    count: int,
    owners: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    scores: NDArray[np.float64],
) -> list[Spoken | None]:
    """Times of letters -> times of words, None for a word without letters."""
    found: list[Spoken | None] = [None] * count
    edges = np.flatnonzero(np.diff(owners, prepend=-2, append=-2))
    for first, last in pairwise(edges.tolist()):
        if owners[first] >= 0:
            letters = zip(*(values[first:last].tolist() for values in (starts, ends, scores)), strict=True)
            found[owners[first]] = _joined(list(letters))
    return found


def _joined(letters: Sequence[tuple[int, int, float]]) -> Spoken:
    """Letters (start, end, score) as one word; its score is the mean over their frames."""
    frames = sum(end - start for start, end, _ in letters)
    return Spoken(letters[0][0], letters[-1][1], sum(s * (end - start) for start, end, s in letters) / frames)
