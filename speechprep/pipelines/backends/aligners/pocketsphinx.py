"""Aligner `pocketsphinx`: English word times by the small acoustic model in its wheel. No download, no GPU.

With a transcript it performs forced alignment: every written token gets a time. `tokenizers.english.spoken` gives the
spoken words of a token, and `tokenizers.english.letter_to_sound` the pronunciation of words outside the dictionary.
Without a transcript the audio is recognised piece by piece, in pieces with possible speech, and the recognised words
are aligned in the same way. It is a good aligner and a poor recogniser: one word in three is wrong on read speech.

Long audio goes through a window of `window` seconds. The window is aligned with the next words, and any number of them
may be spoken in it. The result before the last pause is accepted, and the window moves to this pause. So memory is
bounded, and the acoustics decide the share of words in each piece. A low score means speech without transcript, or
transcript without speech. Then the window is searched for any part of the following words, and moves on
if there is none; skipped words are "interpolated".

Score of a word: its acoustic log-likelihood relative to the best senone of each frame, in nats per frame, at most 0.
The mean over an utterance is -0.9 to -2.5 for the right transcript of clean speech, down to -5 in noise as loud as the
speech. For the transcript of another utterance it is -4 to -9.

Borders are `offset` after the start of the frame in the search result. Frames of 25.6 ms start every 10 ms, so the
point between two of them is 7.8 ms after the start of the later one. 10 ms is best for hand labels (TIMIT) and for
labels of another aligner (MFA on LJSpeech).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError, MissingBackend
from speechprep.pipelines.backends import Transcript
from speechprep.pipelines.backends.aligners import partial_text, sphinx, webrtc_vad
from speechprep.pipelines.backends.aligners.acceptance import PAUSE_FRAMES, TRUST_WORDS, accepted, mean_score, trusted
from speechprep.pipelines.backends.aligners.boundaries.artifact import Boundaries
from speechprep.pipelines.backends.aligners.boundaries.refinement import refined
from speechprep.pipelines.backends.aligners.denoise import Mode, denoised, parameters
from speechprep.pipelines.backends.aligners.stream import StreamAligner, shown
from speechprep.pipelines.backends.aligners.timing import (
    WILDCARD,
    Position,
    Spoken,
    moved,
    with_wildcards,
    written_words,
)
from speechprep.pipelines.backends.sliding_window import SlidingWindow
from speechprep.tokenizers.english.spoken import readings, spoken_forms, tokens

VERSION = 3  # raise it if the same input gives other times
WORDS_PER_SECOND = 6.0  # maximal rate of spoken words in a window
LEAST_SECONDS = 0.1  # shorter audio contains no word
TAIL_SECONDS = 1.5  # at the end of a window, because a word may be cut off there
SEARCH_WINDOWS = 3  # range of the search for a lost position, in windows of words
# Lower limits for recognised words, because the recogniser also returns words for knocks and barks:
RECOGNISED_SCORE = -2.25  # nats per frame
RECOGNISED_RATE = 1.3  # words per second of voice; speech has 2 to 4
TIMING = ("name", "version", "package", "model_sha256", "offset", "beam", "silence")  # fitted offsets depend on these
MIN_SCORE = -4.0  # default limit of `align`; see above for the scores of right and wrong transcripts
LEAST_LOCATED = 0.5  # fraction of located words of a long transcript; with fewer, it belongs to another recording

Samples = NDArray[np.float32]


class PocketSphinxAligner(StreamAligner):
    """Forced alignment and recognition by PocketSphinx and its US English model.

    Args:
        window: seconds of audio in one search, 10 to 60; time and memory grow faster than linearly.
        offset: seconds added to every border.
        denoise: noise reduction before the alignment of a transcript: "auto" for audio with a small level spread (see
            `denoise`), "never" or "always".
        partial: if a transcript does not fit, find the passages in common with the audio, in audio of one window.
        boundaries: folder of `speechprep fit boundaries`: refiner or offsets of word borders.
    """

    name = "pocketsphinx"
    packages: ClassVar[Mapping[str, str]] = {"pocketsphinx": ""}
    sample_rate = 16_000
    min_score = MIN_SCORE
    languages = ("en",)
    _search: sphinx.ForcedSearch
    _activity: webrtc_vad.VoiceActivity

    def __init__(
        self,
        window: float = 30.0,
        offset: float = 0.010,
        denoise: Mode = "auto",
        partial: bool = True,  # noqa: FBT001, FBT002 - options are passed by name
        boundaries: str | None = None,
    ) -> None:
        if not 10 <= window <= 60:
            raise ConfigError(f"pocketsphinx: window = {window!r}; choose 10 to 60 seconds")
        if not abs(offset) <= 0.1:
            raise ConfigError(f"pocketsphinx: offset = {offset!r}; choose -0.1 to 0.1 seconds")
        if denoise not in get_args(Mode):
            raise ConfigError(f"pocketsphinx: denoise = {denoise!r}; choose {', '.join(get_args(Mode))}")
        self.denoise = denoise
        self.partial = bool(partial)
        self.boundaries = boundaries
        self.window = float(window)
        self.offset = float(offset)
        self._free: sphinx.SphinxRecogniser | None = None

    @cached_property
    def _fitted(self) -> Boundaries | None:
        """The fitted offsets.

        Raises:
            ConfigError: they cannot be read, or do not hold for this aligner.
        """
        if self.boundaries is None:
            return None
        fitted = Boundaries.load(self.boundaries)
        fitted.check(self._identity())
        return fitted

    def timing_identity(self) -> dict[str, Any]:
        """The part of the identity that moves borders of right transcripts of clean audio."""
        return {name: value for name, value in self._identity().items() if name in TIMING}

    def identity(self) -> dict[str, Any]:
        """Name, versions, sha256 of the model and every parameter."""
        fitted = {} if self._fitted is None else {"boundaries": self._fitted.fingerprint}
        return {**self._identity(), **fitted}

    def _identity(self) -> dict[str, Any]:
        model = sphinx.model_folder()
        return {
            "name": "pocketsphinx",
            "version": VERSION,
            "package": version("pocketsphinx"),
            "model": "en-us",
            "model_sha256": sphinx.digest(model),
            "sample_rate": self.sample_rate,
            "window": self.window,
            "offset": self.offset,
            "denoise": [self.denoise, *parameters()],
            "partial": [self.partial, *partial_text.parameters()],
            "beam": [sphinx.BEAM, sphinx.NO_BEAM],
            "silence": sphinx.SILENCE_ODDS,
            "gaussians": sphinx.GAUSSIANS,
            "wildcard": sphinx.WILD_PHONE,
            "heard": [RECOGNISED_SCORE, RECOGNISED_RATE, sphinx.MAX_HMMS],
        }

    def check(self) -> None:
        """Check the package and its acoustic model.

        Raises:
            MissingBackend: the package or the model inside it is absent.
            ConfigError: fitted boundaries cannot be read, or do not hold for this aligner.
        """
        super().check()
        model = sphinx.model_folder()
        if not (model / "en-us").is_dir():
            raise MissingBackend(f"{self.label}: the package lacks its model {model}; install pocketsphinx again")
        _ = self._fitted

    def load(self) -> None:
        """Read the acoustic model and the dictionary (0.1 s); the language model is read on first use."""
        self._search = sphinx.ForcedSearch(sphinx.model_folder())
        self._activity = webrtc_vad.VoiceActivity()

    def _timed(self, stream: SlidingWindow, text: str) -> Transcript:
        written = tokens(text)
        read = readings(text)
        forms = with_wildcards((r.words for r in read), (r.unknown for r in read))
        words = [word for form in forms for word in form]
        if not set(words) - {WILDCARD}:
            raise BadInput(
                "no_alignable_text",
                f"nothing in the transcript {shown(text)} can be said in English: give an English transcript "
                "or set transcribe=always",
            )
        spoken = self._locate(stream, words)
        return Transcript(" ".join(written), self._written(written, forms, spoken, stream.skip()))

    def _written(
        self, written: Sequence[str], forms: Sequence[Sequence[str]], spoken: Sequence[Position | None], n_samples: int
    ) -> list[Any]:
        duration = n_samples / self.sample_rate
        words = written_words(written, forms, spoken, sphinx.FRAME_RATE, self.offset, duration)
        fitted = self._fitted
        if fitted is None or fitted.refiner is not None:
            return words
        return moved(words, self._phones(forms), fitted.offsets, duration)

    def _refined(
        self, audio: Samples, placed: Sequence[Spoken | None], words: Sequence[str], limit: int
    ) -> Sequence[Position | None]:
        """Positions after the fitted refiner, if there is one; `limit`: last frame for these words."""
        if self._fitted is None or self._fitted.refiner is None:
            return placed
        phones = [self._search.phones(word) for word in words[: len(placed)]]
        return refined(self._fitted.refiner, audio, placed, phones, sphinx.FRAME_RATE, self.offset, limit)

    def phones(self, text: str) -> list[list[str]]:
        """Phones of each written token of a text; of a loaded aligner."""
        return self._phones(spoken_forms(text))

    def _phones(self, forms: Sequence[Sequence[str]]) -> list[list[str]]:
        return [[phone for word in form for phone in self._search.phones(word)] for form in forms]

    # -- with a transcript ---------------------------------------------------------------------------------------------

    def _locate(self, stream: SlidingWindow, words: list[str]) -> Sequence[Position | None]:
        """Position of each word in frames from the start of the stream; None for a word without position."""
        size = round(self.window * self.sample_rate)
        audio = stream.fill(size)
        if stream.is_last(size):
            return self._refined(audio, self._whole(audio, words), words, sphinx.num_frames(len(audio)))
        located: list[Position | None] = []
        while len(located) < len(words):
            audio = stream.fill(size)
            last = stream.is_last(size)
            if len(audio) < LEAST_SECONDS * self.sample_rate:
                break
            remaining = words[len(located) :]
            placed, cut = self._step(audio, remaining, last)
            positions = self._refined(audio, placed, remaining, cut)
            located += [one and one.later(stream.start // sphinx.HOP) for one in positions]
            stream.advance(cut * sphinx.HOP if cut < sphinx.num_frames(len(audio)) else len(audio))
        located += [None] * (len(words) - len(located))
        count = sum(spoken is not None for spoken in located)
        if count < LEAST_LOCATED * (len(words) - words.count(WILDCARD)):
            raise BadInput(
                "align_failed",
                f"only {count} of the {len(words)} words of the transcript were found in the audio: "
                "does it belong to this recording?",
            )
        return located

    def _whole(self, audio: Samples, words: list[str]) -> list[Spoken | None]:
        """Positions of all words in audio of at most one window."""
        seconds = len(audio) / self.sample_rate
        if seconds < LEAST_SECONDS:
            raise BadInput("audio_too_short", f"{seconds:.3f} s of audio for {len(words)} words: remove the utterance")
        cleaned = denoised(audio, self.denoise)
        fewest = self._search.fewest_frames(words)
        fits = fewest <= sphinx.num_frames(len(audio))
        closed = self._search.find(cleaned, words) if fits else None
        # In noise a low score does not mean another text, so noisy audio is not searched for passages.
        # Nor is a text with wildcards, which may hold any speech.
        searched = self.partial and cleaned is audio and WILDCARD not in words
        if searched and (closed is None or partial_text.doubtful(closed)):
            located = partial_text.find_passages(self._search, audio, words, closed)
            if located is not None:
                return located
        if closed is not None:
            return closed[0]
        if not fits:
            raise BadInput(
                "text_too_long",
                f"the {len(words)} words of the transcript take at least {fewest / sphinx.FRAME_RATE:.1f} s, the audio "
                f"has {seconds:.1f} s: does it belong to this recording?",
            )
        raise BadInput(
            "align_failed",
            f"no way to fit the {len(words)} words of the transcript into the {seconds:.1f} s of audio: "
            "does it belong to this recording?",
        )

    def _step(self, audio: Samples, words: list[str], last: bool) -> tuple[list[Spoken | None], int]:  # noqa: FBT001
        """Positions of the next words in a window, and the frame for the start of the next window."""
        length = sphinx.num_frames(len(audio))
        if not self._activity.has_speech(audio):
            return [], length if last else length - PAUSE_FRAMES
        cleaned = denoised(audio, self.denoise)
        if last and self._search.fewest_frames(words) <= length:
            result = self._search.find(cleaned, words)
            if result is not None and trusted(result[0]) == len(words):
                return result[0], length
        most = round(self.window * WORDS_PER_SECOND)
        border = length if last else length - round(TAIL_SECONDS * sphinx.FRAME_RATE)
        step = accepted(self._search.find(cleaned, words[:most], "open"), border)
        if step is None:
            few = min(TRUST_WORDS, len(words))
            step = accepted(self._search.find(cleaned, words[: SEARCH_WINDOWS * most], "inside"), border, few)
        if step is None:  # speech without transcript
            short = len(audio) < self.window / 3 * self.sample_rate
            step = [], length if short else self._activity.pause(audio[: len(audio) // 2]) // sphinx.HOP
        return step

    # -- without -------------------------------------------------------------------------------------------------------

    def _recognise(self, stream: SlidingWindow) -> Transcript:
        """Recognise and align piece by piece."""
        size = round(self.window * self.sample_rate)
        words: list[str] = []
        located: list[Position | None] = []
        last = False
        while not last:
            audio = stream.fill(size)
            last = stream.is_last(size)
            cut = len(audio) if last else self._activity.pause(audio)
            cut -= 0 if last else cut % sphinx.HOP
            recognised, placed = self._recognised(audio[:cut])
            words += recognised
            positions = self._refined(audio[:cut], placed, recognised, sphinx.num_frames(cut))
            located += [one and one.later(stream.start // sphinx.HOP) for one in positions]
            stream.advance(cut)
        return Transcript(" ".join(words), self._written(words, [[w] for w in words], located, stream.start))

    def _recognised(self, audio: Samples) -> tuple[list[str], list[Spoken | None]]:
        """The words of a piece and their positions; empty if the piece is not speech."""
        if not self._activity.has_speech(audio):
            return [], []
        if self._free is None:
            self._free = sphinx.SphinxRecogniser(sphinx.model_folder())
        words = self._free.words(audio)
        voice = float(self._activity.voiced(audio).sum()) * webrtc_vad.VAD_FRAME
        if len(words) < RECOGNISED_RATE * voice or len(set(words)) < min(len(words), 2):
            return [], []
        result = self._search.find(audio, words)
        return (words, result[0]) if result is not None and mean_score(result[0]) >= RECOGNISED_SCORE else ([], [])
