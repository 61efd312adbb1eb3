"""Aligner `ctc`: word times by any CTC model for speech and the exact best path (`tokenizers.alignment.ctc`).

With a transcript, every written token gets a time. Its spoken form (`ctc_models.text`) is spelled in the letters of the
model; other characters are left out. A token without any letter is placed between its neighbours ("interpolated", no
score). If it stands for sound (`<unk>`, a word in another script), it is a wildcard: any sound at the cost of
`STAR_COST` nats a frame, so that its neighbours are not stretched. The path covers all frames of the audio, so the
position is never lost. Without a transcript, the best labels of the model are the words.

Memory: one window of audio in the model, and for each frame the log-probabilities of the letters of the transcript only
(2 h: 40 MB); see `tokenizers.alignment.ctc` for the search.

A word lasts from the first frame of its first letter to the last frame of its last letter. CTC models mark letters by
single frames, so ends are early by up to the length of the last sound. The score is the mean log-probability over the
frames of its letters, in nats, at most 0. Borders are `(field - stride) / 2` samples (2.5 ms) after the start of a
frame, at the middle between two frames.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Aligner, Language, Transcript, Word
from speechprep.pipelines.backends.aligners.ctc_models.huggingface import HuggingFaceModel
from speechprep.pipelines.backends.aligners.ctc_models.model import RATE, CtcModel, LogProbs, too_short
from speechprep.pipelines.backends.aligners.ctc_models.text import STAR, sequence, spell, spoken_text
from speechprep.pipelines.backends.aligners.ctc_models.torchaudio import TorchaudioModel
from speechprep.pipelines.backends.aligners.stream import StreamAligner
from speechprep.pipelines.backends.aligners.timing import Spoken, written_words
from speechprep.pipelines.backends.base import check_device
from speechprep.pipelines.backends.sliding_window import SlidingWindow
from speechprep.tokenizers.alignment.ctc import ctc_align, greedy_decode
from speechprep.tokenizers.text import numbers, romanise

VERSION = 3  # raise it if the same input gives other times

STAR_COST = 0.2  # nats a frame below the best label: right letters and silence are cheaper, wrong letters are not

Samples = NDArray[np.float32]
Untranscribed = Literal["marked", "edges", "anywhere"]


class CtcAligner(StreamAligner):
    """Forced alignment, and greedy recognition, by a CTC model.

    Args:
        model: folder or hub name of a Hugging Face model with a CTC head, or the name of a torchaudio bundle.
        language: language of all transcripts; None: that of the row, or English if it has none.
        window: seconds of audio in one forward pass; longer audio goes through windows.
        overlap: seconds of context at both ends of a window.
        device: torch device, "cpu" or "cuda".
        folder: folder with the weights of a torchaudio bundle; default: the cache of torchaudio.
        threads: threads of the model on a CPU in each worker process. More workers are more efficient, except for a
            single recording.
        untranscribed: places of speech that is not in the transcript: "marked" (by `<unk>` and the like), also at the
            "edges" of the text, or "anywhere" between words.
    """

    name = "ctc"
    packages: ClassVar[Mapping[str, str]] = {"torch": "hf"}
    sample_rate = RATE
    thread_safe = True  # a forward pass does not change the model

    def __init__(
        self,
        model: str,
        language: str | None = None,
        window: float = 30.0,
        overlap: float = 2.0,
        device: str = "cpu",
        folder: str | None = None,
        threads: int = 1,
        untranscribed: Untranscribed = "marked",
    ) -> None:
        if untranscribed not in get_args(Untranscribed):
            raise ConfigError(f"ctc: untranscribed = {untranscribed!r}; choose {', '.join(get_args(Untranscribed))}")
        if not (window >= 2 and 0 <= overlap <= window / 4):
            raise ConfigError(
                f"window = {window!r}, overlap = {overlap!r}; choose at least 2 s, and at most a quarter of it"
            )
        if threads < 1:
            raise ConfigError(f"ctc: threads = {threads!r}; choose at least 1")
        self.language = language
        self.languages = None if language is None else (language,)
        self.untranscribed = untranscribed
        self.window = float(window)
        self.overlap = float(overlap)
        self.device = device
        self.model = ctc_model(str(model), device, folder, threads)

    def identity(self) -> dict[str, Any]:
        """Name, sha256 of the model and every parameter."""
        return {
            "name": "ctc",
            "version": VERSION,
            **self.model.identity(),
            "sample_rate": self.sample_rate,
            "language": self.language,
            "untranscribed": [self.untranscribed, STAR_COST],
            "text": {"num2words": numbers.installed(), "uroman": romanise.installed()},
            "window": self.window,
            "overlap": self.overlap,
            "device": self.device,
        }

    def check(self) -> None:
        """Check packages, device name and model files, without torch and without a download.

        Raises:
            MissingBackend: a package or a file of the model is absent.
            ConfigError: a model for another sample rate, a vocabulary of another size, or an unknown device name.
        """
        super().check()
        check_device(self.label, self.device, auto=False)
        self.model.check(self.label)

    def load(self) -> None:
        """Read the model."""
        self.model.load()

    def in_language(self, code: str | None) -> Aligner:
        """This aligner for transcripts in a language, unless the option names one."""
        if self.language is not None or code is None:
            return self
        aligner = copy.copy(self)
        aligner.language, aligner.languages = code, (code,)
        return aligner

    def for_language(self, language: Language) -> Aligner:
        """This aligner for a recognised language; see `Aligner.for_language`."""
        return self.in_language(language.code) if self.language is None else super().for_language(language)

    def _timed(self, stream: SlidingWindow, text: str) -> Transcript:
        return self.timed(stream, text, self.language or "en")

    def timed(self, stream: SlidingWindow, text: str, language: str) -> Transcript:
        """`align` for audio in a sliding window, in any language of the model."""
        written, forms = spoken_text(text, language, self.model.letters())
        words = [word for form in forms for word in form]
        spelled = spell(words, self.model.letters())
        if not any(word != [STAR] for word in spelled if word):
            hint = "" if romanise.installed() else "; other scripts need pip install 'speechprep[languages]'"
            raise BadInput(
                "no_alignable_text",
                f"no character of the transcript {text[:60]!r} is among the model's letters: does the model speak "
                f"this language? (language = {language!r}){hint}",
            )
        anywhere = self.untranscribed == "anywhere"
        edges = anywhere or self.untranscribed == "edges"
        ids, owners = sequence(spelled, self.model.delimiter(), edges=edges, between=anywhere)
        columns, compact = np.unique(ids, return_inverse=True)  # a wildcard is the first
        parts = [self._columns(part, columns) for part in self._emissions(stream)]
        if not parts:
            raise too_short(stream.skip())
        path = ctc_align(np.concatenate(parts), compact.astype(np.int32) + np.int32(1))
        spoken = spoken_words(len(words), owners, path.starts, path.ends, path.scores)
        return Transcript(" ".join(written), self._written(written, forms, spoken, stream.skip()))

    def _columns(self, part: LogProbs, columns: NDArray[np.int32]) -> LogProbs:
        """(frames, 1 + columns) log-probabilities of the blank and of the labels in use; the wildcard is any label."""
        used = part[:, [self.model.blank, *columns]]
        used[:, 1:][:, columns == STAR] = part.max(axis=1, keepdims=True) - np.float32(STAR_COST)
        return used

    def _emissions(self, stream: SlidingWindow) -> Iterator[LogProbs]:
        return self.model.stream(stream, self.window, self.overlap)

    def _written(
        self, written: Sequence[str], forms: Sequence[Sequence[str]], spoken: Sequence[Spoken | None], n_samples: int
    ) -> list[Word]:
        offset = (self.model.field - self.model.stride) / 2 / RATE
        return written_words(written, forms, spoken, RATE / self.model.stride, offset, n_samples / RATE)

    def _recognise(self, stream: SlidingWindow) -> Transcript:
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
        nonempty = [(word, part) for word, part in zip(words, parts, strict=True) if part and word.strip()]
        spoken = [_joined([(e.start, e.end, e.score) for e in part]) for _, part in nonempty]
        texts = [word for word, _ in nonempty]
        return Transcript(" ".join(texts), self._written(texts, [[text] for text in texts], spoken, stream.skip()))


def ctc_model(model: str, device: str, folder: str | None = None, threads: int = 1) -> CtcModel:
    """The unloaded model of a name: a name in capitals is a torchaudio bundle, all others are of Hugging Face."""
    bundle = model.isupper() and not Path(model).exists()
    chosen: CtcModel = TorchaudioModel(model, device, folder) if bundle else HuggingFaceModel(model, device)
    chosen.threads = threads
    return chosen


def spoken_words(
    count: int,
    owners: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    scores: NDArray[np.float64],
) -> list[Spoken | None]:
    """Times of letters -> times of words, None for a word without letters."""
    spoken: list[Spoken | None] = [None] * count
    edges = np.flatnonzero(np.diff(owners, prepend=-2, append=-2))
    for first, last in pairwise(edges.tolist()):
        if owners[first] >= 0:
            letters = zip(*(values[first:last].tolist() for values in (starts, ends, scores)), strict=True)
            spoken[owners[first]] = _joined(list(letters))
    return spoken


def _joined(letters: Sequence[tuple[int, int, float]]) -> Spoken:
    """Letters (start, end, score) as one word; its score is the mean over their frames."""
    frames = sum(end - start for start, end, _ in letters)
    return Spoken(letters[0][0], letters[-1][1], sum(s * (end - start) for start, end, s in letters) / frames)
