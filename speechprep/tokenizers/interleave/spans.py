"""Which units belong to which word: the table that every interleaving is cut from.

The rule, for an utterance of n frames with word starts s_1 <= s_2 <= ... (seconds): word j owns the frames
[frame(s_j), frame(s_{j+1})), the last word all the rest, so silence goes to the PRECEDING word. The frames before the
first word are the leading gap. Every frame is thus in exactly one word or in the leading gap, and concatenating gap
and words restores the utterance, whatever the times are: a start before its predecessor's is raised to it (the
earlier word is then short or empty), a start beyond the end gives an empty word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.tokenizers.arrays.ragged import Ints


@dataclass(frozen=True, slots=True)
class SpanTable:
    """Frame ranges of the words of a batch of utterances, in frames from the start of their utterance.

    Attributes:
        word_offsets: (n+1,) words of utterance i are [word_offsets[i], word_offsets[i+1]).
        n_frames: (n,) frames of each utterance.
        starts, stops: (words,) frames [starts[w], stops[w]) of word w.
        lead: (n,) frames of the leading gap [0, lead[i]); all of them where there is no word.
    """

    word_offsets: Ints
    n_frames: Ints
    starts: Ints
    stops: Ints
    lead: Ints


def span_table(seconds: NDArray[np.float64], word_offsets: Ints, n_frames: NDArray[Any], grid: FrameGrid) -> SpanTable:
    """Span table of a batch.

    Args:
        seconds: (words,) finite word starts, from the start of the utterance.
        word_offsets: (n+1,) offsets of the utterances' words.
        n_frames: (n,) frames of each utterance.
        grid: the frames of the extractor that the units came from.
    """
    counts = np.diff(word_offsets)
    frames = np.asarray(n_frames, np.int64)
    starts = np.minimum(np.maximum(grid.frames_at(seconds), 0), np.repeat(frames, counts))
    # A running maximum within each utterance: lift each utterance above all earlier ones, then put it back.
    lift = np.repeat(np.arange(len(counts), dtype=np.int64) * (int(frames.max(initial=0)) + 1), counts)
    starts = np.maximum.accumulate(starts + lift) - lift
    stops = np.empty_like(starts)
    stops[:-1] = starts[1:]
    spoken = counts > 0
    stops[word_offsets[1:][spoken] - 1] = frames[spoken]
    lead = frames.copy()
    lead[spoken] = starts[word_offsets[:-1][spoken]]
    return SpanTable(word_offsets, frames, starts, stops, lead)
