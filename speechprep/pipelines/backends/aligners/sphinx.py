"""Two searches of PocketSphinx over one piece of 16 kHz audio: forced alignment of words, and free recognition.

Measured properties of the library (5.1):

* The default silence probability is 0.005, raised to the power 6.5 by the language weight. A pause between two words is
  then assigned to the words. With even odds and a weight of 1, the error of 3 to 4 of 100 words of TIMIT falls below
  100 ms.
* One pass is enough. The second pass, over phones and states, gives the same borders and scores at twice the cost.
* Word scores are log-likelihoods relative to the best senone of each frame. The right transcript has about -1 to -2.5
  nats per frame, another transcript -6 and less.
* `start_stream` runs before every utterance. Without it, the state of the previous utterance changes the result.
* A beam of 1e-64 gives the result of an exhaustive search on clean speech. In noise or for a wrong text it sometimes
  finds no path; the search then runs again without a beam.
* Between loops over phones, a beam of 1e-80 is needed. A phone of a loop costs 24 nats. With 12 nats,
  loops replace spoken words (joins of TIMIT clips).
* A decoder serves one thread. Two threads in one decoder end the process by a segmentation fault. Decoders of
  different threads are independent.
* Memory and time of a forced alignment grow faster than linearly, so callers cut audio into windows.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import MissingBackend
from speechprep.pipelines.backends.aligners.timing import WILDCARD, Spoken
from speechprep.tokenizers.english.letter_to_sound import PHONES, pronounce

FRAME_RATE = 100  # frames of the acoustic model in a second
HOP = 160  # samples from frame to frame
STATES = 3  # in the model of a phone, each at least one frame long
BEAM, NO_BEAM = 1e-64, 0.0
SILENCE_ODDS = 0.5
LOOP_BEAM = 1e-80
LOOP_PHONE = -24.0  # log-probability of a phone in a loop
LOOP_SKIP = -1.0  # log-probability of a word left out before or after a passage, for the nearest `LOOP_SKIPS` words
LOOP_SKIPS = 20
WILD_PHONE = -24.0  # log-probability of a phone in a wildcard
LOOP_MARK = "~"  # first character of the names of the phones in loops
MAX_HMMS = 3000  # active in a frame of recognition: twice as fast on speech, four times on noise, nearly as exact
GAUSSIANS = 2  # evaluated for each senone: a fifth faster than the default of 4, and as exact
PEAK = 0.9  # peak of each piece of audio, as a fraction of full scale; quiet recordings lose nothing
NATS = 1024.0  # PocketSphinx stores acoustic scores divided by 2^10
FORCED = "forced"
_WARNINGS = Lock()

Ends = Literal["closed", "open", "inside", "part"]
Samples = NDArray[np.float32]
AlignedPath = tuple[list[Spoken | None], list[Spoken]]  # one entry for each word; the pauses


def pcm(audio: Samples) -> bytes:
    """16-bit samples with mean 0 and the peak `PEAK`; silence stays silence."""
    if not len(audio):
        return b""
    centred = audio - np.float32(audio.mean(dtype=np.float64))
    peak = float(np.abs(centred).max())
    scale = PEAK * 32767.0 / peak if peak > 0 else 0.0
    data: bytes = np.rint(centred * np.float32(scale)).astype("<i2").tobytes()
    return data


def num_frames(n_samples: int) -> int:
    """Maximal number of frames in the search."""
    return n_samples // HOP


class ForcedSearch:
    """Forced alignment of a sequence of spoken words with a piece of audio."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._decoder = _decoder(model, BEAM)
        self._added: dict[Any, set[str]] = {}

    # Loaded at first use: with and without loops over phones, with and without a beam.
    @cached_property
    def _wide(self) -> Any:
        return _decoder(self._model, NO_BEAM)

    @cached_property
    def _looped(self) -> Any:
        return _loop_decoder(self._model, LOOP_BEAM)

    @cached_property
    def _looped_wide(self) -> Any:
        return _loop_decoder(self._model, NO_BEAM)

    def phones(self, word: str) -> list[str]:
        """Pronunciation: the first one of the dictionary, otherwise by rule. A pure function of the word.

        A wildcard has no phones.
        """
        return [] if word == WILDCARD else pronounce(word, self._lookup)

    def fewest_frames(self, words: Iterable[str]) -> int:
        """Smallest number of frames for the words in the model."""
        return sum(STATES * len(self.phones(word)) for word in words)

    def find(self, audio: Samples, words: Sequence[str], ends: Ends = "closed") -> AlignedPath | None:
        """Positions of the words.

        Args:
            audio: (n,) at 16 kHz.
            words: spoken words, all with letters, or `WILDCARD`.
            ends: "closed": all words are spoken. "open": the audio may end after any word, or before the first.
                "inside": any contiguous part of the words is spoken. "part": the same, and there may be any speech
                before and after it.

        Returns:
            One entry for each word (None for a wildcard, and for a word left out by an open end) and the pauses, or
            None without a path.
        """
        data = pcm(audio)
        loops = ends == "part" or WILDCARD in words
        path = self._search(self._looped if loops else self._decoder, data, words, ends)
        if path is None and ends != "part":  # a passage is searched within the beam alone
            path = self._search(self._looped_wide if loops else self._wide, data, words, ends)
        return path

    def _lookup(self, word: str) -> str | None:
        """Entry of the original dictionary: an added word must not change the pronunciation of another."""
        if word in self._added.get(self._decoder, ()):
            return None
        phones: str | None = self._decoder.lookup_word(word)
        return phones

    def _search(self, decoder: Any, data: bytes, words: Sequence[str], ends: Ends) -> AlignedPath | None:
        self._add(decoder, words)
        arcs = _part_transitions(words) if ends == "part" else _transitions(words, ends)
        decoder.add_fsg(FORCED, decoder.create_fsg(FORCED, 0, len(words) + (3 if ends == "part" else 1), arcs))
        decoder.activate_search(FORCED)
        _process(decoder, data)
        if decoder.hyp() is None:
            return None
        return _placed(decoder.seg(), words)

    def _add(self, decoder: Any, words: Sequence[str]) -> None:
        added = self._added.setdefault(decoder, set())
        for word in words:
            if word != WILDCARD and word not in added and decoder.lookup_word(word) is None:
                decoder.add_word(word, " ".join(self.phones(word)), True)  # noqa: FBT003 - positional in the library
                added.add(word)


def _transitions(words: Sequence[str], ends: Ends) -> list[tuple[Any, ...]]:
    """Grammar of the word sequence; in state i, i words are spoken. Only arcs without a word lead to the end."""
    n = len(words)
    arcs = _word_arcs(words, first=0, extra=n + 2)
    arcs += [(i, n + 1, 1.0) for i in ([n] if ends == "closed" else range(n + 1))]
    if ends == "inside":
        arcs += [(0, i, 1.0) for i in range(1, n)]
    return arcs


def _word_arcs(words: Sequence[str], first: int, extra: int) -> list[tuple[Any, ...]]:
    """Arcs of a chain of words from state `first`. A wildcard is a loop over all phones, at a state from `extra` on."""
    arcs: list[tuple[Any, ...]] = []
    for start, word in enumerate(words, first):
        if word != WILDCARD:
            arcs.append((start, start + 1, 1.0, word))
            continue
        arcs += [(start, start + 1, 1.0), (start, extra, 1.0), (extra, start + 1, 1.0)]
        arcs += _phone_loop(extra, WILD_PHONE)
        extra += 1
    return arcs


def _phone_loop(state: int, log_probability: float) -> list[tuple[Any, ...]]:
    return [(state, state, math.exp(log_probability), LOOP_MARK + name.lower()) for name in sorted(PHONES)]


def _part_transitions(words: Sequence[str]) -> list[tuple[Any, ...]]:
    """Grammar of a contiguous part of the words between two loops over all phones.

    State 0 is the first loop, state 1 + i the chain after i words, state n + 2 the second loop, and n + 3 the end.
    """
    n = len(words)
    arcs = [*_phone_loop(0, LOOP_PHONE), *_phone_loop(n + 2, LOOP_PHONE), *_word_arcs(words, first=1, extra=n + 4)]
    arcs += [(0, 1 + i, _left_out(i)) for i in range(n)]
    arcs += [(1 + i, n + 2, _left_out(n - i)) for i in range(1, n + 1)]
    return [*arcs, (0, n + 2, _left_out(n)), (n + 2, n + 3, 1.0)]


def _left_out(count: int) -> float:
    """Probability of words left out at one side."""
    return math.exp(LOOP_SKIP * min(count, LOOP_SKIPS))


def _placed(segments: Iterable[Any], words: Sequence[str]) -> AlignedPath | None:
    """Segments of a path -> positions of the words, and the pauses."""
    spoken_words, pauses = [], []
    for segment in segments:
        start, end = segment.start_frame, segment.end_frame + 1
        if segment.word == "(NULL)" or segment.word[0] == LOOP_MARK or end <= start:
            continue
        spoken = Spoken(start, end, NATS * math.log(max(segment.ascore, 1e-300)) / (end - start))
        if segment.word[0] in "<[":
            pauses.append(spoken)
        else:
            spoken_words.append((segment.word.split("(")[0], spoken))
    names = [name for name, _ in spoken_words]
    numbers = [number for number, word in enumerate(words) if word != WILDCARD]
    known = [words[number] for number in numbers]
    first = next((i for i in range(len(known) - len(names) + 1) if known[i : i + len(names)] == names), None)
    if first is None or not names:
        return None
    placed: list[Spoken | None] = [None] * len(words)
    for number, (_, spoken) in zip(numbers[first:], spoken_words, strict=False):
        placed[number] = spoken
    return placed, pauses


class SphinxRecogniser:
    """Free recognition with the language model of the package: a rough transcript for audio without one."""

    def __init__(self, model: Path) -> None:
        self._decoder = _decoder(
            model, None, lm=str(model / "en-us.lm.bin"), fwdflat=False, maxhmmpf=MAX_HMMS, topn=GAUSSIANS
        )

    def words(self, audio: Samples) -> list[str]:
        """Recognised words in lower case."""
        _process(self._decoder, pcm(audio))
        if self._decoder.hyp() is None:
            return []
        names = (segment.word.split("(")[0] for segment in self._decoder.seg())
        return [name for name in names if name and name[0] not in "<[+"]


def _decoder(model: Path, beam: float | None, **options: Any) -> Any:
    from pocketsphinx import Decoder, set_loglevel

    set_loglevel("FATAL")
    forced = {"lw": 1.0, "silprob": SILENCE_ODDS, "beam": beam, "pbeam": beam, "wbeam": beam, "topn": GAUSSIANS}
    return Decoder(
        **{
            "hmm": str(model / "en-us"),
            "dict": str(model / "cmudict-en-us.dict"),
            "lm": None,
            "bestpath": False,
            "cmn": "batch",
            "loglevel": "FATAL",
            **(forced if beam is not None else {}),
            **options,
        }
    )


def _loop_decoder(model: Path, beam: float) -> Any:
    """A decoder with a word for each phone."""
    decoder = _decoder(model, beam)
    for number, name in enumerate(sorted(PHONES)):
        decoder.add_word(LOOP_MARK + name.lower(), name, number == len(PHONES) - 1)  # the last one updates the search
    return decoder


def _process(decoder: Any, data: bytes) -> None:
    with _WARNINGS, warnings.catch_warnings():  # the filters belong to all threads
        # Deprecated as unnecessary; without it results depend on the previous audio.
        warnings.simplefilter("ignore", DeprecationWarning)
        decoder.start_stream()
    decoder.start_utt()
    if data:
        decoder.process_raw(data, full_utt=True)
    decoder.end_utt()


def model_folder() -> Path:
    """Folder of the models in the package; nothing is imported.

    Raises:
        MissingBackend: the package is not installed.
    """
    spec = find_spec("pocketsphinx")
    if spec is None or not spec.submodule_search_locations:
        raise MissingBackend("aligner 'pocketsphinx' needs the package 'pocketsphinx'; install it with pip")
    return Path(spec.submodule_search_locations[0]) / "model" / "en-us"


@lru_cache(maxsize=2)
def digest(model: Path) -> str:
    """sha256 over the dictionary and the acoustic model."""
    digest = hashlib.sha256((model / "cmudict-en-us.dict").read_bytes())
    for file in sorted((model / "en-us").iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
