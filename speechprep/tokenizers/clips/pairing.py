"""Pairing of clips: a derangement within groups, between clips of similar duration.

The text of each paired clip gets the audio of another clip, and each audio is used once: the paired clips have the
same texts and the same audio in both pairings (WhisBERT, arXiv 2312.02931: unmatched control). Two clips are
compatible if they have the same group and different utterances and texts, and the longer one is at most
(1 + tolerance) times as long as the shorter one.

Each tolerance is used in turn. Within a tolerance, the number of paired clips is the largest possible: a derangement
of a part of the clips is a matching between their texts and their audio, enlarged along augmenting paths (Berge,
"Two theorems in graph theory", 1957). A clip once paired stays paired; its partner may change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.keyed_random import Hashes

REACH = 256  # places in the order of durations: partners are sought among so many shorter and longer clips
UNPAIRED = -1
_ROUNDING = 1e-9  # seconds of times are sums and differences of floats

Ints = NDArray[np.int64]


def derangement(
    seconds: NDArray[np.float64],
    groups: Ints,
    utterances: Ints,
    texts: Hashes,
    keys: Hashes,
    tolerances: Sequence[float],
) -> Ints:
    """(clips,) partner of each clip, the clip with the audio for its text; `UNPAIRED` for a clip without one.

    The result depends on the values of the clips only, not on their order, as long as the keys differ.

    Args:
        seconds: (clips,) durations, above 0.
        groups: (clips,) numbers; partners have equal numbers.
        utterances: (clips,) numbers; partners have different numbers.
        texts: (clips,) hashes; partners have different hashes.
        keys: (clips,) order of clips of equal duration.
        tolerances: relative differences of the durations, in ascending order.
    """
    partner = np.full(len(seconds), UNPAIRED, np.int64)
    order = np.lexsort((keys, seconds, groups))
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        matching = _Matching(seconds[members].tolist(), utterances[members].tolist(), texts[members].tolist())
        for tolerance in tolerances:
            matching.enlarge(tolerance)
        local = np.array(matching.audio_of, np.int64)
        paired = local != UNPAIRED
        partner[members[paired]] = members[local[paired]]
    return partner


def smallest_tolerance(seconds: NDArray[np.float64], partner: Ints, tolerances: Sequence[float]) -> NDArray[np.float64]:
    """(clips,) the smallest tolerance that holds between a clip and its partner; NaN for an unpaired clip."""
    ratio = np.full(len(seconds), np.nan)
    paired = partner != UNPAIRED
    own, other = seconds[paired], seconds[partner[paired]]
    ratio[paired] = np.maximum(own, other) / np.minimum(own, other) - 1
    limits = np.array([*tolerances, np.nan])
    found = np.searchsorted(np.asarray(tolerances) + _ROUNDING, np.where(paired, ratio, np.inf))
    return np.asarray(limits[found])


class _Matching:
    """Matching between the texts and the audio of one group, sorted by duration.

    Attributes:
        audio_of: number of the clip with the audio for each text; `UNPAIRED` without.
        text_of: the inverse: number of the clip with the text for each audio.
    """

    def __init__(self, seconds: list[float], utterances: list[int], texts: list[int]) -> None:
        self._seconds, self._utterances, self._texts = seconds, utterances, texts
        self.audio_of = [UNPAIRED] * len(seconds)
        self.text_of = [UNPAIRED] * len(seconds)

    def enlarge(self, tolerance: float) -> None:
        """Pair as many clips as this tolerance allows; clips paired before stay paired."""
        for clip in range(len(self._seconds)):
            if self.audio_of[clip] == UNPAIRED:
                self._swap_with_next(clip, tolerance)
        closed: set[int] = set()  # audio from where no free audio can be reached
        for clip in range(len(self._seconds)):
            if self.audio_of[clip] == UNPAIRED:
                self._augment(clip, tolerance, closed)
        self._close_paths()

    def _swap_with_next(self, clip: int, tolerance: float) -> None:
        """Exchange the audio of a clip with the nearest longer clip, if one is free."""
        for other in self._compatible(clip, tolerance, shorter=False):
            if self.audio_of[other] == UNPAIRED:
                self.audio_of[clip] = self.text_of[clip] = other
                self.audio_of[other] = self.text_of[other] = clip
                return

    def _compatible(self, clip: int, tolerance: float, *, shorter: bool = True) -> Iterator[int]:
        """Compatible clips: the nearest longer ones first, then the nearest shorter ones."""
        seconds, utterance, text = self._seconds, self._utterances[clip], self._texts[clip]
        longest = seconds[clip] * (1 + tolerance) + _ROUNDING
        ranges = [range(clip + 1, min(clip + 1 + REACH, len(seconds)))]
        if shorter:
            ranges.append(range(clip - 1, max(clip - 1 - REACH, -1), -1))
        for side in ranges:
            for other in side:
                if seconds[other] > longest or seconds[clip] > seconds[other] * (1 + tolerance) + _ROUNDING:
                    break
                if self._utterances[other] != utterance and self._texts[other] != text:
                    yield other

    def _augment(self, start: int, tolerance: float, closed: set[int]) -> None:
        """Breadth-first search for an augmenting path from a free text to a free audio; then exchange along it."""
        reached_from: dict[int, int] = {}  # audio -> text
        waiting = deque([start])
        while waiting:
            text = waiting.popleft()
            for audio in self._compatible(text, tolerance):
                if audio in reached_from or audio in closed:
                    continue
                reached_from[audio] = text
                if self.text_of[audio] == UNPAIRED:
                    self._exchange(audio, reached_from)
                    return
                waiting.append(self.text_of[audio])
        closed.update(reached_from)

    def _exchange(self, audio: int, reached_from: dict[int, int]) -> None:
        while audio != UNPAIRED:
            text = reached_from[audio]
            before = self.audio_of[text]
            self.audio_of[text], self.text_of[audio] = audio, text
            audio = before

    def _close_paths(self) -> None:
        """Turn each open path of texts and audio into exchanges of two clips, so that both sides have the same clips.

        A path of k pairs has k + 1 clips; exchanges cover k of them, or all k + 1 if k is odd.
        """
        for clip in range(len(self.audio_of)):
            if self.text_of[clip] != UNPAIRED or self.audio_of[clip] == UNPAIRED:
                continue
            path = [clip]
            while self.audio_of[path[-1]] != UNPAIRED:
                path.append(self.audio_of[path[-1]])
            for place in path:
                self.audio_of[place] = self.text_of[place] = UNPAIRED
            for one, other in zip(path[::2], path[1::2], strict=False):
                self.audio_of[one] = self.text_of[one] = other
                self.audio_of[other] = self.text_of[other] = one
