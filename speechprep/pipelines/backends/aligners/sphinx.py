"""PocketSphinx itself, as two searches over one piece of 16 kHz audio: a given word sequence, and free recognition.

What was found out about the library (5.1), and is relied upon here:

* The default silence probability (0.005, raised to the power 6.5 by the language weight) makes a pause between two
  words so dear that it is given to the neighbours instead. With even odds and a weight of 1, 3 to 4 of 100 words of
  TIMIT come within 100 ms that did not before.
* One pass does: the second, over phones and states, gives the same word borders and the same scores at twice the cost.
* Word scores are log-likelihoods relative to the best senone of each frame. The right transcript has about -1 to -2.5
  nats a frame, another one -6 and less.
* `start_stream` before every utterance: state left by the one before would otherwise make results depend on order.
* Beams of 1e-64 find on clean speech what an exhaustive search finds, and sometimes nothing in noise or for a wrong
  text: then nothing is pruned.
* A decoder serves one thread: used by two at the same time, it ends the process by a segmentation fault. Decoders of
  different threads do not disturb each other.
* Memory and time of a forced alignment grow faster than its length: callers cut audio into windows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.pipelines.backends.aligners.timing import Spoken
from speechprep.tokenizers.letter_to_sound import pronounce

FRAME_RATE = 100  # frames of the acoustic model in a second
HOP = 160  # samples from frame to frame
STATES = 3  # of a phone's model, each at least a frame long
BEAM, NO_BEAM = 1e-64, 0.0
SILENCE_ODDS = 0.5
MAX_HMMS = 3000  # active in a frame when recognising: twice as fast on speech, four times on noise, hardly worse
GAUSSIANS = 2  # evaluated for each senone: a fifth faster than the default of 4 and as exact
PEAK = 0.9  # of full scale, to which a piece of audio is brought; nothing is lost when it was recorded too low
NATS = 1024.0  # PocketSphinx keeps acoustic scores divided by 2^10
FORCED = "forced"
_WARNINGS = Lock()

Ends = Literal["closed", "open", "inside"]
Samples = NDArray[np.float32]
Found = tuple[list[Spoken | None], list[Spoken]]  # one entry for each word; the pauses


def pcm(audio: Samples) -> bytes:
    """16-bit samples without their mean, at `PEAK`; silence stays silence."""
    if not len(audio):
        return b""
    centred = audio - np.float32(audio.mean(dtype=np.float64))
    peak = float(np.abs(centred).max())
    scale = PEAK * 32767.0 / peak if peak > 0 else 0.0
    data: bytes = np.rint(centred * np.float32(scale)).astype("<i2").tobytes()
    return data


def num_frames(n_samples: int) -> int:
    """Frames that the search has at most."""
    return n_samples // HOP


class ForcedSearch:
    """Finds a given sequence of spoken words in a piece of audio."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._decoder = _decoder(model, BEAM)
        self._wide: Any = None
        self._added: dict[Any, set[str]] = {}

    def phones(self, word: str) -> list[str]:
        """Pronunciation: the dictionary's first, else by rule. A pure function of the word."""
        return pronounce(word, self._lookup)

    def fewest_frames(self, words: Iterable[str]) -> int:
        """How short the words can be said as far as the model goes."""
        return sum(STATES * len(self.phones(word)) for word in words)

    def find(self, audio: Samples, words: Sequence[str], ends: Ends = "closed") -> Found | None:
        """Where the words are.

        Args:
            audio: (n,) at 16 kHz.
            words: spoken words, all with letters.
            ends: "closed": all words are said, from first to last; "open": the audio may end after any of them, or
                before the first; "inside": any stretch of the words is said.

        Returns:
            One entry for each word (None for those that an open end leaves out) and the silences in between, or None
            where there is no path.
        """
        data = pcm(audio)
        found = self._search(self._decoder, data, words, ends)
        if found is None:
            self._wide = self._wide or _decoder(self._model, NO_BEAM)
            found = self._search(self._wide, data, words, ends)
        return found

    def _lookup(self, word: str) -> str | None:
        """The dictionary as it came: what was added for one word must not help to pronounce another."""
        if word in self._added.get(self._decoder, ()):
            return None
        found: str | None = self._decoder.lookup_word(word)
        return found

    def _search(self, decoder: Any, data: bytes, words: Sequence[str], ends: Ends) -> Found | None:
        self._add(decoder, words)
        decoder.add_fsg(FORCED, decoder.create_fsg(FORCED, 0, len(words) + 1, _transitions(words, ends)))
        decoder.activate_search(FORCED)
        _process(decoder, data)
        if decoder.hyp() is None:
            return None
        return _placed(decoder.seg(), words)

    def _add(self, decoder: Any, words: Sequence[str]) -> None:
        added = self._added.setdefault(decoder, set())
        for word in words:
            if word not in added and decoder.lookup_word(word) is None:
                decoder.add_word(word, " ".join(self.phones(word)), True)  # noqa: FBT003 - positional in the library
                added.add(word)


def _transitions(words: Sequence[str], ends: Ends) -> list[tuple[Any, ...]]:
    """The word chain as a grammar; state i: i words were said. Only arcs without a word lead to the end."""
    n = len(words)
    arcs: list[tuple[Any, ...]] = [(i, i + 1, 1.0, word) for i, word in enumerate(words)]
    arcs += [(i, n + 1, 1.0) for i in ([n] if ends == "closed" else range(n + 1))]
    if ends == "inside":
        arcs += [(0, i, 1.0) for i in range(1, n)]
    return arcs


def _placed(segments: Iterable[Any], words: Sequence[str]) -> Found | None:
    """Segments of a path -> the words they are, and the pauses."""
    said, pauses = [], []
    for segment in segments:
        start, end = segment.start_frame, segment.end_frame + 1
        if segment.word == "(NULL)" or end <= start:
            continue
        spoken = Spoken(start, end, NATS * math.log(max(segment.ascore, 1e-300)) / (end - start))
        if segment.word[0] in "<[":
            pauses.append(spoken)
        else:
            said.append((segment.word.split("(")[0], spoken))
    names = [name for name, _ in said]
    first = next((i for i in range(len(words) - len(names) + 1) if list(words[i : i + len(names)]) == names), None)
    if first is None or not names:
        return None
    before: list[Spoken | None] = [None] * first
    after: list[Spoken | None] = [None] * (len(words) - first - len(names))
    return [*before, *(spoken for _, spoken in said), *after], pauses


class Recogniser:
    """Words of a piece of audio by the language model of the package: a rough transcript for want of any."""

    def __init__(self, model: Path) -> None:
        self._decoder = _decoder(
            model, None, lm=str(model / "en-us.lm.bin"), fwdflat=False, maxhmmpf=MAX_HMMS, topn=GAUSSIANS
        )

    def words(self, audio: Samples) -> list[str]:
        """Spoken words, lower case; empty where nothing is recognised."""
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


def _process(decoder: Any, data: bytes) -> None:
    with _WARNINGS, warnings.catch_warnings():  # the filters belong to all threads
        # Deprecated as unnecessary; without it results depend on what was heard before.
        warnings.simplefilter("ignore", DeprecationWarning)
        decoder.start_stream()
    decoder.start_utt()
    if data:
        decoder.process_raw(data, full_utt=True)
    decoder.end_utt()
