"""Aligner `pocketsphinx`: English word times by the small acoustic model in its wheel. No download, no GPU.

With a transcript, forced alignment: every written token gets a time. What is said for a token is in
`tokenizers.spoken`; words outside of the dictionary are pronounced by rule (`tokenizers.letter_to_sound`). Without
one, the audio is recognised piece by piece, if there may be speech in it, and what was recognised is then aligned in
the same way. As an aligner it is good, as a recogniser it is not (one word in three is wrong on clean read speech).

Long audio is worked through a window of `window` seconds: the window is aligned with the words that come next, of which
any number may be said in it; what lies before the last pause in it is accepted and the window moves there. So memory
does not grow with the length, and words are shared out to the pieces by the acoustics themselves. Where the score
breaks down (speech without transcript, transcript without speech) the window looks for any stretch of the following
words, and moves on where there is none; words passed over so are "interpolated".

Score of a word: its acoustic log-likelihood relative to the best senone of each frame, in nats a frame, at most 0. The
mean over an utterance is -0.9 to -2.5 for the right transcript of clean speech, down to -5 in noise as loud as the
speech, and -4 to -9 for the transcript of another utterance.

Borders lie `offset` after the start of the frame that the search names. Frames of 25.6 ms start every 10 ms, so the
point between two of them is 7.8 ms after the start of the later one; 10 ms is the best for hand labels (TIMIT) as for
another aligner's (MFA on LJSpeech) when chosen on either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError, MissingBackend
from speechprep.pipelines.backends import Transcript
from speechprep.pipelines.backends.aligners import sliding_window, sphinx
from speechprep.pipelines.backends.aligners.stream import StreamAligner
from speechprep.pipelines.backends.aligners.timing import Spoken, written_words
from speechprep.tokenizers.english.spoken import spoken_forms, tokens

VERSION = 1  # raise when the same input would give other times
WORDS_PER_SECOND = 6.0  # spoken words that a window may hold at most
LEAST_SECONDS = 0.1  # shorter audio holds no word
PAUSE_FRAMES = 12  # of a silence at which a window may be cut
TAIL_SECONDS = 1.5  # at the end of a window, where a word may be cut off
TRUST_WORDS = 8  # neighbours whose mean score says whether they are said here
TRUST_SCORE = -3.5  # nats a frame
SEARCH_WINDOWS = 3  # windows' worth of words in which a lost place is looked for
# What recognised words must be like, for the recogniser hears words in knocks and barks too:
HEARD_SCORE = -2.25  # nats a frame
HEARD_RATE = 1.3  # words for each second of voice; speech has 2 to 4
MIN_SCORE = -4.0  # of a row that is kept; see above for what right and wrong transcripts have
LEAST_FOUND = 0.5  # of the words of a long transcript; with fewer it is another recording's

Samples = NDArray[np.float32]


class PocketSphinxAligner(StreamAligner):
    """Forced alignment and recognition by PocketSphinx and its US English model.

    Args:
        window: seconds of audio searched at once; time and memory grow faster than it. 10 to 60.
        offset: seconds added to every border.
    """

    name = "pocketsphinx"
    packages: ClassVar[Mapping[str, str]] = {"pocketsphinx": ""}
    sample_rate = 16_000
    min_score = MIN_SCORE
    _search: sphinx.ForcedSearch
    _activity: sliding_window.VoiceActivity

    def __init__(self, window: float = 30.0, offset: float = 0.010) -> None:
        if not 10 <= window <= 60:
            raise ConfigError(f"pocketsphinx: window = {window!r}; choose 10 to 60 seconds")
        if not abs(offset) <= 0.1:
            raise ConfigError(f"pocketsphinx: offset = {offset!r}; choose -0.1 to 0.1 seconds")
        self.window = float(window)
        self.offset = float(offset)
        self._free: sphinx.SphinxRecogniser | None = None

    def identity(self) -> dict[str, Any]:
        """Name, versions, digest of the model and every parameter."""
        model = _model_folder()
        return {
            "name": "pocketsphinx",
            "version": VERSION,
            "package": version("pocketsphinx"),
            "model": "en-us",
            "model_sha256": _digest(model),
            "sample_rate": self.sample_rate,
            "window": self.window,
            "offset": self.offset,
            "beam": [sphinx.BEAM, sphinx.NO_BEAM],
            "silence": sphinx.SILENCE_ODDS,
            "gaussians": sphinx.GAUSSIANS,
            "heard": [HEARD_SCORE, HEARD_RATE, sphinx.MAX_HMMS],
        }

    def check(self) -> None:
        """Check the package and its acoustic model.

        Raises:
            MissingBackend: the package or the model inside it is absent.
        """
        super().check()
        model = _model_folder()
        if not (model / "en-us").is_dir():
            raise MissingBackend(f"{self.label}: the package lacks its model {model}; install pocketsphinx again")

    def load(self) -> None:
        """Read the acoustic model and the dictionary (0.1 s); the language model is read when first needed."""
        self._search = sphinx.ForcedSearch(_model_folder())
        self._activity = sliding_window.VoiceActivity()

    def _timed(self, stream: sliding_window.SlidingWindow, text: str) -> Transcript:
        written = tokens(text)
        forms = spoken_forms(text)
        words = [word for form in forms for word in form]
        if not words:
            raise BadInput(
                "no_alignable_text",
                f"nothing in the transcript {_shown(text)} can be said in English: give an English transcript "
                "or set transcribe=always",
            )
        found = self._locate(stream, words)
        return Transcript(" ".join(written), self._written(written, forms, found, stream.skip()))

    def _written(
        self, written: Sequence[str], forms: Sequence[Sequence[str]], found: Sequence[Spoken | None], n_samples: int
    ) -> list[Any]:
        duration = n_samples / self.sample_rate
        return written_words(written, forms, found, sphinx.FRAME_RATE, self.offset, duration)

    # -- with a transcript ---------------------------------------------------------------------------------------------

    def _locate(self, stream: sliding_window.SlidingWindow, words: list[str]) -> list[Spoken | None]:
        """Where each word is, in frames from the start of the stream."""
        size = round(self.window * self.sample_rate)
        audio = stream.fill(size)
        if stream.is_last(size):
            return self._whole(audio, words)
        found: list[Spoken | None] = []
        while len(found) < len(words):
            audio = stream.fill(size)
            last = stream.is_last(size)
            if len(audio) < LEAST_SECONDS * self.sample_rate:
                break
            placed, cut = self._step(audio, words[len(found) :], last)
            base = stream.start // sphinx.HOP
            found += [Spoken(base + s.start, base + s.end, s.score) if s else None for s in placed]
            stream.advance(cut * sphinx.HOP if cut < sphinx.num_frames(len(audio)) else len(audio))
        found += [None] * (len(words) - len(found))
        there = sum(spoken is not None for spoken in found)
        if there < LEAST_FOUND * len(words):
            raise BadInput(
                "align_failed",
                f"only {there} of the {len(words)} words of the transcript were found in the audio: "
                "does it belong to this recording?",
            )
        return found

    def _whole(self, audio: Samples, words: list[str]) -> list[Spoken | None]:
        """All words in audio that fits into one window."""
        seconds = len(audio) / self.sample_rate
        if seconds < LEAST_SECONDS:
            raise BadInput("audio_too_short", f"{seconds:.3f} s of audio for {len(words)} words: remove the utterance")
        fewest = self._search.fewest_frames(words)
        if fewest > sphinx.num_frames(len(audio)):
            raise BadInput(
                "text_too_long",
                f"the {len(words)} words of the transcript take at least {fewest / sphinx.FRAME_RATE:.1f} s, the audio "
                f"has {seconds:.1f} s: does it belong to this recording?",
            )
        result = self._search.find(audio, words)
        if result is None:
            raise BadInput(
                "align_failed",
                f"no way to fit the {len(words)} words of the transcript into the {seconds:.1f} s of audio: "
                "does it belong to this recording?",
            )
        return result[0]

    def _step(self, audio: Samples, words: list[str], last: bool) -> tuple[list[Spoken | None], int]:  # noqa: FBT001
        """The next words found in a window, and the frame up to which it is done with."""
        length = sphinx.num_frames(len(audio))
        if not self._activity.has_speech(audio):
            return [], length if last else length - PAUSE_FRAMES
        if last and self._search.fewest_frames(words) <= length:
            result = self._search.find(audio, words)
            if result is not None and _trusted(result[0]) == len(words):
                return result[0], length
        most = round(self.window * WORDS_PER_SECOND)
        border = length if last else length - round(TAIL_SECONDS * sphinx.FRAME_RATE)
        step = _accepted(self._search.find(audio, words[:most], "open"), border)
        if step is None:
            few = min(TRUST_WORDS, len(words))
            step = _accepted(self._search.find(audio, words[: SEARCH_WINDOWS * most], "inside"), border, few)
        if step is None:  # speech that the transcript does not have
            short = len(audio) < self.window / 3 * self.sample_rate
            step = [], length if short else self._activity.pause(audio[: len(audio) // 2]) // sphinx.HOP
        return step

    # -- without -------------------------------------------------------------------------------------------------------

    def _recognise(self, stream: sliding_window.SlidingWindow) -> Transcript:
        """Recognise and align piece by piece."""
        size = round(self.window * self.sample_rate)
        words: list[str] = []
        found: list[Spoken | None] = []
        last = False
        while not last:
            audio = stream.fill(size)
            last = stream.is_last(size)
            cut = len(audio) if last else self._activity.pause(audio)
            cut -= 0 if last else cut % sphinx.HOP
            heard, placed = self._heard(audio[:cut])
            base = stream.start // sphinx.HOP
            words += heard
            found += [Spoken(base + s.start, base + s.end, s.score) if s else None for s in placed]
            stream.advance(cut)
        return Transcript(" ".join(words), self._written(words, [[w] for w in words], found, stream.start))

    def _heard(self, audio: Samples) -> tuple[list[str], list[Spoken | None]]:
        """The words of a piece and where they are; none where it is no speech."""
        if not self._activity.has_speech(audio):
            return [], []
        if self._free is None:
            self._free = sphinx.SphinxRecogniser(_model_folder())
        words = self._free.words(audio)
        voice = float(self._activity.voiced(audio).sum()) * sliding_window.VAD_FRAME
        if len(words) < HEARD_RATE * voice or len(set(words)) < min(len(words), 2):
            return [], []
        result = self._search.find(audio, words)
        return (words, result[0]) if result is not None and _mean(result[0]) >= HEARD_SCORE else ([], [])


def _accepted(result: sphinx.Found | None, border: int, fewest: int = 1) -> tuple[list[Spoken | None], int] | None:
    """What of a window's path is believed: words up to the last pause before `border` or where the score breaks down.

    Args:
        result: of the search. border: frame. fewest: words that must be believed.

    Returns:
        The words up to there and the frame where to cut, or None where nothing is.
    """
    if result is None:
        return None
    placed, pauses = result
    trusted = _trusted(placed)
    said = [spoken for spoken in placed[:trusted] if spoken is not None]
    if len(said) < fewest:
        return None
    border = min(said[-1].end, border)
    cuts = [p for p in pauses if p.end - p.start >= PAUSE_FRAMES and said[0].end <= p.start <= border]
    # Speech without a pause is cut between two words.
    cut = _within(cuts[-1]) if cuts else max((s.end for s in said if s.end <= border), default=0)
    if not cut:
        return None
    kept = [i for i, spoken in enumerate(placed) if spoken is not None and spoken.end <= cut]
    return placed[: kept[-1] + 1], cut


def _within(pause: Spoken) -> int:
    """The frame of a pause to cut at: in the middle of a short one, near to the next word in a long one."""
    return max((pause.start + pause.end) // 2, pause.end - 2 * PAUSE_FRAMES)


def _trusted(placed: Sequence[Spoken | None]) -> int:
    """How many of the words, counted from the first, stand before the place where the score breaks down."""
    where = [i for i, spoken in enumerate(placed) if spoken is not None]
    said = [spoken for spoken in placed if spoken is not None]
    weights = np.array([spoken.end - spoken.start for spoken in said], np.float64)
    total = np.concatenate(([0.0], np.cumsum(weights * [spoken.score for spoken in said])))
    frames = np.concatenate(([0.0], np.cumsum(weights)))
    for first in range(max(len(said) - TRUST_WORDS, 0) + 1):
        stop = min(first + TRUST_WORDS, len(said))
        if stop > first and total[stop] - total[first] < TRUST_SCORE * (frames[stop] - frames[first]):
            return where[first]
    return len(placed) if said else 0


def _mean(placed: Sequence[Spoken | None]) -> float:
    said = [spoken for spoken in placed if spoken is not None]
    frames = sum(spoken.end - spoken.start for spoken in said)
    return sum(spoken.score * (spoken.end - spoken.start) for spoken in said) / max(frames, 1)


def _shown(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else text[:most] + "...")


def _model_folder() -> Path:
    """Where the package keeps its models; nothing is imported.

    Raises:
        MissingBackend: the package is not installed.
    """
    spec = find_spec("pocketsphinx")
    if spec is None or not spec.submodule_search_locations:
        raise MissingBackend("aligner 'pocketsphinx' needs the package 'pocketsphinx'; pip install pocketsphinx")
    return Path(spec.submodule_search_locations[0]) / "model" / "en-us"


@lru_cache(maxsize=2)
def _digest(model: Path) -> str:
    """Over the dictionary and the acoustic model."""
    digest = hashlib.sha256((model / "cmudict-en-us.dict").read_bytes())
    for file in sorted((model / "en-us").iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
