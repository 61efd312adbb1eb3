"""Aligner `whisper`: word times from the cross-attention of Whisper. Far less exact than the other aligners.

The attention of some decoder heads follows the speech. A search for the best monotone path (dynamic time warping) gives
the time of each token (Radford et al. 2022; `whisper/timing.py` of openai-whisper). A word lasts from its first token
to the first token of the next word. The resolution is 20 ms.

Use it for languages without another aligner. On the TIMIT sample, 35 % of the word starts are within 50 ms of the hand
labels with the base size (see `docs/backends.md` for the measurement); PocketSphinx has 93 %.

Audio has at most 30 s, the window of Whisper. Longer recordings need a recogniser, whose passages are shorter. Score of
a word: mean probability of its tokens, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Aligner, Language, Transcript, Word
from speechprep.pipelines.backends.aligners.recognised import detection
from speechprep.pipelines.backends.aligners.stream import StreamAligner
from speechprep.pipelines.backends.aligners.timing import DECIMALS
from speechprep.pipelines.backends.base import check_device
from speechprep.pipelines.backends.recognisers.choose import whisper_model
from speechprep.pipelines.backends.recognisers.voice_activity import CHUNK, RATE
from speechprep.pipelines.backends.recognisers.whisper_model import Decoding, TimedPiece, check_length
from speechprep.pipelines.backends.sliding_window import SlidingWindow
from speechprep.tokenizers.english.spoken import tokens

VERSION = 1  # raise it if the same input gives other times
MAX_TOKENS = 440  # of a text; the decoder has 448 positions

Samples = NDArray[np.float32]


class WhisperAttentionAligner(StreamAligner):
    """Word times from the cross-attention of a Whisper model.

    Args:
        model: folder of a Whisper model in the format of CTranslate2, a name of faster-whisper ("small"), a `.pt` of
            openai-whisper, or a transformers folder.
        language: language of the speech; None: detected in each recording.
        compute_type: precision of Whisper: "float32", "int8" (not for a `.pt`), on a GPU "float16".
        device: "cpu" or "cuda".
        threads: threads of the model on a CPU in each worker process.
    """

    name = "whisper"
    packages: ClassVar[Mapping[str, str]] = {"faster_whisper": "whisperx"}
    sample_rate = RATE
    thread_safe = True  # one thread at a time uses the model
    recognises = False

    def __init__(
        self,
        model: str,
        language: str | None = None,
        compute_type: str = "float32",
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        if threads < 1:
            raise ConfigError(f"whisper: threads = {threads!r}; choose at least 1")
        self.code = language
        self.compute_type, self.device = compute_type, device
        self.model = whisper_model(str(model), device, compute_type, Decoding(1), 1, threads)

    def identity(self) -> dict[str, Any]:
        """Name, versions, sha256 of the model and every parameter."""
        return {
            "name": "whisper",
            "version": VERSION,
            **self.model.identity(),
            "sample_rate": self.sample_rate,
            "language": self.code,
            "compute_type": self.compute_type,
            "device": self.device,
        }

    def check(self) -> None:
        """Check packages, device name, precision and model files, without torch and without a download.

        Raises:
            MissingBackend: a package or a file of the model is absent.
            ConfigError: an unknown precision or device name.
        """
        super().check()
        check_device(self.label, self.device, auto=False)
        self.model.check(self.label)

    def load(self) -> None:
        """Check the files and the language; the model is read on first use."""
        self.model.files()
        if self.code is not None:
            self.model.check_language(self.label, self.code)

    def for_language(self, language: Language) -> Aligner:
        """The same model with the language of a recording."""
        if self.code == language.code:
            return self
        other = copy(self)
        other.code = language.code
        return other

    def _timed(self, stream: SlidingWindow, text: str) -> Transcript:
        size = CHUNK * RATE
        audio = stream.fill(size)
        if not stream.is_last(size):
            raise BadInput(
                "align_failed",
                f"more than {CHUNK} s of audio: Whisper times at most {CHUNK} s; choose pocketsphinx or ctc",
            )
        check_length(audio)
        language = self.model.language(audio) if self.code is None else Language(self.code, None, given=True)
        pieces = self.model.timed(audio, text, language.code, MAX_TOKENS)
        if pieces is None:
            raise BadInput(
                "text_too_long",
                f"the transcript has more than {MAX_TOKENS} tokens of Whisper for {len(audio) / RATE:.1f} s of audio: "
                "does it belong to this recording?",
            )
        words = written(tokens(text), pieces, len(audio) / RATE)
        return Transcript(" ".join(tokens(text)), words, **detection(language))


def written(words: list[str], pieces: list[TimedPiece], duration: float) -> list[Word]:
    """The written tokens with times.

    Whisper splits at punctuation too, and some tokens have several pieces: the pieces of a token are counted by its
    characters.

    Args:
        words: written tokens.
        pieces: the same text in pieces with times.
        duration: seconds; all times are within it.
    """
    result: list[Word] = []
    left = iter(pieces)
    for word in words:
        parts: list[TimedPiece] = []
        length = 0
        while length < len(word) and (piece := next(left, None)) is not None:
            parts.append(piece)
            length += len(piece.text.strip())
        timed = bool(parts)
        start = min(parts[0].start, duration) if timed else (result[-1].end if result else 0.0)
        end = min(parts[-1].end, duration) if timed else start
        score = float(np.mean([piece.probability for piece in parts])) if timed else None
        times = round(start, DECIMALS), min(round(end, DECIMALS), duration)
        result.append(Word(word, *times, score, "aligned" if timed else "interpolated"))
    return result
