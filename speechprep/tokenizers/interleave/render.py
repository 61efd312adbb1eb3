"""Token rows from planned runs: markers, spans, and the Arrow columns of `tokens`.

Everything is computed on flat arrays. The position of each span is a cumulative sum over the widths of all spans of the
batch, and two gathers fill in the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts.schemas import TOKENS
from speechprep.artifacts.timebase import FrameGrid
from speechprep.tokenizers.arrays.ragged import Ints, gather, offsets_of, ranges, to_arrow
from speechprep.tokenizers.arrays.runlength import dedup_ragged

if TYPE_CHECKING:
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

KINDS = ("unit", "text", "cst_ut", "cst_tu", "ast")  # also the order of the rows of an utterance
UNIT, TEXT, CST_UT, CST_TU, AST = range(5)


@dataclass(frozen=True, slots=True)
class Utterances:
    """A batch of n utterances as flat arrays.

    Attributes:
        ids: (n,) strings.
        words: (w,) words of all utterances; an utterance without transcript has none.
        starts, ends: (w,) times of the words, seconds.
        word_offsets: (n + 1,) offsets of the utterances in `words`.
        units: (f,) unit of each frame of all utterances; an utterance without speech has none.
        unit_offsets: (n + 1,) offsets of the utterances in `units`.
    """

    ids: pa.StringArray
    words: pa.StringArray
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    word_offsets: Ints
    units: NDArray[np.unsignedinteger]
    unit_offsets: Ints

    def take(self, index: Ints) -> Utterances:
        """The utterances with the numbers `index` (m,), in this order."""
        counts, frames = np.diff(self.word_offsets)[index], np.diff(self.unit_offsets)[index]
        words = ranges(self.word_offsets[:-1][index], counts)
        return Utterances(
            self.ids.take(pa.array(index)),
            self.words.take(pa.array(words)),
            self.starts[words],
            self.ends[words],
            offsets_of(counts),
            gather(self.units, self.unit_offsets[:-1][index], frames),
            offsets_of(frames),
        )

    def without_words(self, utterance: NDArray[np.bool_]) -> Utterances:
        """The batch without the words of the marked utterances. `utterance`: (n,) bool."""
        counts = np.diff(self.word_offsets)
        keep = ~np.repeat(utterance, counts)
        return Utterances(
            self.ids,
            self.words.filter(pa.array(keep)),
            self.starts[keep],
            self.ends[keep],
            offsets_of(np.where(utterance, 0, counts)),
            self.units,
            self.unit_offsets,
        )


@dataclass(frozen=True, slots=True)
class Runs:
    """Spans of all rows of a batch, in output order.

    Attributes:
        key: (r,) utterance * len(KINDS) + kind. All runs of one key form a row.
        speech: (r,) True for units, False for text.
        w0, w1: (r,) words [w0, w1) of the utterance.
        f0, f1: (r,) frames [f0, f1) of the utterance.
    """

    key: Ints
    speech: NDArray[np.bool_]
    w0: Ints
    w1: Ints
    f0: Ints
    f1: Ints

    @classmethod
    def merge(cls, parts: list[Runs]) -> Runs:
        """All runs, sorted by key. The runs of a row keep their order."""
        keys = np.concatenate([part.key for part in parts])
        order = np.argsort(keys, kind="stable")
        rest = (np.concatenate([getattr(p, name) for p in parts])[order] for name in cls.__slots__[1:])
        return cls(keys[order], *rest)


def render(
    batch: Utterances, runs: Runs, word_tokens: tuple[NDArray[np.int32], Ints], vocab: Vocabulary, grid: FrameGrid
) -> pa.RecordBatch:
    """Rows of the schema `TOKENS` for planned runs.

    Args:
        batch: the utterances.
        runs: the planned runs. Without runs there are no rows.
        word_tokens: token ids of all words of the batch, concatenated, and the offsets of the words.
        vocab: the joint vocabulary.
        grid: the frame grid of the units.
    """
    if not len(runs.key):
        return pa.RecordBatch.from_pylist([], schema=TOKENS)
    utterance = runs.key // len(KINDS)
    # The content of a run is a slice of `pool`: the tokens of all words, then the tokens of the unit segments.
    word_ids, word_at = word_tokens
    segment, starts, lengths = _segments(batch, runs, utterance)
    values, durations, value_at = dedup_ragged(gather(batch.units, starts, lengths), offsets_of(lengths))
    unit_ids, unit_at = vocab.encode_units(values, value_at)
    pool = np.concatenate([word_ids, unit_ids])
    w0, w1 = batch.word_offsets[utterance] + runs.w0, batch.word_offsets[utterance] + runs.w1
    begin = np.where(runs.speech, len(word_ids) + unit_at[segment], word_at[w0])
    length = np.where(runs.speech, unit_at[segment + 1] - unit_at[segment], word_at[w1] - word_at[w0])
    tokens, row_at, start, row_first = _lay_out(runs, pool, begin, length, vocab)
    spoken = runs.speech
    n_durations = np.where(spoken, np.diff(value_at)[segment], 0)  # number of durations of each run
    n_words = np.diff(batch.word_offsets)
    row = utterance[row_first]
    timed = ranges(batch.word_offsets[row], n_words[row])
    timed_at = offsets_of(n_words[row])
    run_at = np.append(row_first, len(runs.key))
    columns = [
        batch.ids.take(pa.array(row)),
        pa.array(KINDS).take(pa.array(runs.key[row_first] % len(KINDS))),
        to_arrow(tokens, row_at),
        to_arrow(_run_structs(batch, runs, start, length, w0, w1, grid), run_at),
        to_arrow(gather(durations, value_at[segment[spoken]], n_durations[spoken]), offsets_of(n_durations)[run_at]),
        to_arrow(batch.starts[timed], timed_at),
        to_arrow(batch.ends[timed], timed_at),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=TOKENS)


def render_tokens(
    batch: Utterances, runs: Runs, word_tokens: tuple[NDArray[np.int32], Ints], vocab: Vocabulary
) -> tuple[NDArray[np.int32], Ints]:
    """Token ids (t,) of the rows of planned runs, and row offsets (rows + 1,): `render` without its other columns."""
    if not len(runs.key):
        return np.zeros(0, np.int32), np.zeros(1, np.int64)
    utterance = runs.key // len(KINDS)
    word_ids, word_at = word_tokens
    segment, starts, lengths = _segments(batch, runs, utterance)
    values, _, value_at = dedup_ragged(gather(batch.units, starts, lengths), offsets_of(lengths))
    unit_ids, unit_at = vocab.encode_units(values, value_at)
    w0, w1 = batch.word_offsets[utterance] + runs.w0, batch.word_offsets[utterance] + runs.w1
    begin = np.where(runs.speech, len(word_ids) + unit_at[segment], word_at[w0])
    length = np.where(runs.speech, unit_at[segment + 1] - unit_at[segment], word_at[w1] - word_at[w0])
    tokens, row_at, _, _ = _lay_out(runs, np.concatenate([word_ids, unit_ids]), begin, length, vocab)
    return tokens, row_at


def _segments(batch: Utterances, runs: Runs, utterance: Ints) -> tuple[Ints, Ints, Ints]:
    """Segment number of each run (0 for text), first frame of each segment in the batch, and frames of each segment.

    The rows of a whole utterance (`unit` and CST) share one segment, which is encoded once.
    """
    n_frames = np.diff(batch.unit_offsets)
    whole = runs.speech & (runs.f0 == 0) & (runs.f1 == n_frames[utterance])
    part = runs.speech & ~whole
    used = np.zeros(len(n_frames), bool)
    used[utterance[whole]] = True
    segment = np.zeros(len(runs.key), np.int64)
    segment[whole] = (np.cumsum(used) - 1)[utterance[whole]]
    segment[part] = np.count_nonzero(used) + np.arange(np.count_nonzero(part))
    starts = np.concatenate([batch.unit_offsets[:-1][used], batch.unit_offsets[utterance[part]] + runs.f0[part]])
    lengths = np.concatenate([n_frames[used], (runs.f1 - runs.f0)[part]])
    if not len(lengths):  # text runs refer to segment 0: without speech it is an empty segment
        return segment, np.zeros(1, np.int64), np.zeros(1, np.int64)
    return segment, starts, lengths


def _lay_out(
    runs: Runs, pool: NDArray[np.int32], begin: Ints, length: Ints, vocab: Vocabulary
) -> tuple[NDArray[np.int32], Ints, NDArray[np.int32], Ints]:
    """Tokens of all rows, row offsets, start of the tokens of each run in its row, and first run of each row."""
    new = np.diff(runs.key, prepend=-1) != 0
    row_first = np.flatnonzero(new)
    last = np.append(new[1:], True)
    joined = (
        runs.key % len(KINDS) == AST
    )  # AST runs are joined by switch tokens, other runs have a start and an end token
    opens = new | ~joined
    closes = last | ~joined
    marker = np.where(
        opens, np.where(runs.speech, vocab.u_start, vocab.t_start), np.where(runs.speech, vocab.t2u, vocab.u2t)
    )
    at = offsets_of(1 + length + closes)
    tokens = np.empty(at[-1], np.int32)
    tokens[at[:-1]] = marker
    tokens[at[1:][closes] - 1] = np.where(runs.speech, vocab.u_end, vocab.t_end)[closes]
    tokens[ranges(at[:-1] + 1, length)] = gather(pool, begin, length)
    row_at = np.append(at[row_first], at[-1])
    start = at[:-1] + 1 - np.repeat(row_at[:-1], np.diff(np.append(row_first, len(new))))
    return tokens, row_at, start.astype(np.int32), row_first


def _run_structs(
    batch: Utterances, runs: Runs, start: NDArray[np.int32], length: Ints, w0: Ints, w1: Ints, grid: FrameGrid
) -> pa.StructArray:
    kind = TOKENS.field("runs").type.value_type
    has_words = runs.w1 > runs.w0
    # The times of a unit run are its frame edges. The times of a text run are its first start and last end.
    t0 = grid.starts(runs.f0)
    t1 = grid.starts(runs.f1)
    text = ~runs.speech & has_words
    t0[text], t1[text] = batch.starts[w0[text]], batch.ends[w1[text] - 1]
    arrays = [
        pa.array(("text", "unit")).take(pa.array(runs.speech.astype(np.int8))),
        pa.array(start),
        pa.array((start + length).astype(np.int32)),
        pa.array(runs.w0.astype(np.int32)),
        pa.array(runs.w1.astype(np.int32)),
        pa.array(t0),
        pa.array(t1),
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(kind))
