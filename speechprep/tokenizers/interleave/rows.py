"""Interleaving of a batch of utterances: words and units -> rows of token ids (speech, text, CST and AST).

Layouts (SUTLM, "Toward Joint Language Modeling for Speech Units and Text", arXiv 2310.08715; CST is concatenated, AST
alternating speech-text), with u for unit pieces and w for text pieces:

    unit     <U_EN> u .. <EOU>
    text     <T_EN> w .. <EOS>
    cst_ut   <U_EN> u .. <EOU> <T_EN> w .. <EOS>
    cst_tu   <T_EN> w .. <EOS> <U_EN> u .. <EOU>
    ast      <U_EN> u .. <U2T> w .. <T2U> u .. <EOU>      starts and ends in either modality

A span of units is cut at frame level by the span table, run-length encoded, then encoded by SentencePiece. No run is
lost at a cut, and no piece crosses a switch of modality. A span of words is encoded with a leading space.

A row of `tokens` decodes to the exact words, frames and times (`invert`):
* `runs` has one entry for each span: tokens [start, stop) without markers, words [word_start, word_stop), and times.
  The times of a unit span are its frame edges, the leading silence of the utterance included. `t0 < word_t0[0]`
  therefore marks a leading gap. The times of a text span are the start of its first and the end of its last word.
* `durations` are the frames of each deduplicated unit of the unit runs, in row order.
* `word_t0`, `word_t1` are the times of the words of the utterance, indexed by `word_start`..`word_stop`. Each word is
  stored once, even if a CST row contains it twice. Both are empty if the utterance has no usable words.

All computations use flat arrays with offsets over the whole batch, without loops over utterances or words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import BadInput, ConfigError
from speechprep.tokenizers.arrays.keyed_random import Draws, Hashes, record_keys, salted
from speechprep.tokenizers.arrays.ragged import Ints, offsets_of, ranges
from speechprep.tokenizers.interleave.policies import POLICIES, PolicyOptions
from speechprep.tokenizers.interleave.render import (
    AST,
    CST_TU,
    CST_UT,
    KINDS,
    TEXT,
    UNIT,
    Runs,
    Utterances,
    render,
    render_tokens,
)
from speechprep.tokenizers.interleave.spans import SpanTable, span_table
from speechprep.tokenizers.subword.wordtable import WordTable

if TYPE_CHECKING:
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

CHOICES = (*KINDS, "cst", "cst_both")  # `cst` draws one of the two orders for each utterance
_ORDER_STREAM = 16  # random stream of the CST order; policies use lower numbers
_KIND_STREAM = 17  # random stream of the kinds of `drawn`


@dataclass(frozen=True, slots=True)
class Rows:
    """Token rows of a batch of n utterances.

    Attributes:
        tokens: rows of the schema `TOKENS`.
        irreversible: (n,) True if the text model does not decode a word to its spelling; the words were not used.
        untimed: (n,) True if a word has no finite time; the words were not used.
    """

    tokens: pa.RecordBatch
    irreversible: NDArray[np.bool_]
    untimed: NDArray[np.bool_]

    def problem(self, utterance: int) -> BadInput | None:
        """Reason for the unused words of an utterance; None if its words were used."""
        if self.untimed[utterance]:
            return BadInput("word_without_time", "a word has no finite start or end; align the utterance again")
        if self.irreversible[utterance]:
            return BadInput(
                "word_not_reversible",
                "a word contains a space, or the text model does not decode it to its spelling; "
                "train the text model with byte fallback",
            )
        return None


class Interleaver:
    """Interleaver of words and units, with a table of the words already encoded.

    Args:
        vocab: the joint vocabulary.
        grid: the frame grid of the units.
        kinds: kinds of rows, from `CHOICES`.
        policy: name in `POLICIES`, for the `ast` rows.
        options: options of the policy.
        seed: seed of the random choices. They depend on the seed and the utterance id.

    Raises:
        ConfigError: an unknown kind or policy, or kinds in conflict.
    """

    def __init__(
        self, vocab: Vocabulary, grid: FrameGrid, kinds: tuple[str, ...], policy: str, options: PolicyOptions, seed: int
    ) -> None:
        check_kinds(kinds)
        if policy not in POLICIES:
            raise ConfigError(f"unknown policy {policy!r}; choose from: {', '.join(POLICIES)}")
        self.vocab, self.grid, self.kinds = vocab, grid, frozenset(kinds)
        self.policy, self.options, self.seed = POLICIES[policy], options, seed
        self.words = WordTable(vocab)

    def rows(self, batch: Utterances) -> Rows:
        """All rows of a batch, sorted by utterance, then by kind in the order of `KINDS`."""
        batch, codes, irreversible, untimed = self._usable(batch)
        spans = span_table(batch.starts, batch.word_offsets, np.diff(batch.unit_offsets), self.grid)
        draws = Draws(self.keys(batch.ids))
        tokens = render(batch, self._plan(batch, spans, draws), self.words.tokens(codes), self.vocab, self.grid)
        return Rows(tokens, irreversible, untimed)

    def keys(self, ids: pa.StringArray) -> Hashes:
        """(n,) key of the random numbers of each utterance. It depends on the seed and the id."""
        return record_keys(self.seed, "interleave", ids.to_pylist())

    def drawn(
        self, batch: Utterances, turn: int, keys: Hashes | None = None
    ) -> tuple[NDArray[np.int32], Ints, NDArray[np.int8]]:
        """One row of each utterance, with its kind and its spans drawn for this turn.

        Args:
            batch: n utterances, each `renderable`.
            turn: number of the drawing, for example of the epoch. Turns are independent.
            keys: (n,) result of `keys`, which is slow; None: computed.

        Returns:
            Tokens (t,), row offsets (n + 1,), and index in `KINDS` of each row (n,).
        """
        batch, codes, _, _ = self._usable(batch)
        spans = span_table(batch.starts, batch.word_offsets, np.diff(batch.unit_offsets), self.grid)
        draws = Draws(salted(self.keys(batch.ids) if keys is None else keys, turn))
        rows, zeros = np.arange(len(batch.ids)), np.zeros(len(batch.ids), np.int64)
        choices = np.array(self._choices())
        chosen = choices[(draws.uniform(_KIND_STREAM, rows, zeros) * len(choices)).astype(np.int64)]
        tokens, offsets = render_tokens(
            batch, self._plan(batch, spans, draws, chosen), self.words.tokens(codes), self.vocab
        )
        return tokens, offsets, chosen.astype(np.int8)

    def renderable(self, batch: Utterances) -> NDArray[np.bool_]:
        """(n,) True for utterances with the speech and the usable words that every kind of the interleaver needs."""
        batch, _, _, _ = self._usable(batch)
        fits: NDArray[np.bool_] = np.ones(len(batch.ids), bool)
        for kind in self._choices():
            if kind != TEXT:
                fits &= np.diff(batch.unit_offsets) > 0
            if kind != UNIT:
                fits &= np.diff(batch.word_offsets) > 0
        return fits

    def _choices(self) -> list[int]:
        """Kinds of `drawn`, as indices of `KINDS`."""
        expanded = {"cst": ("cst_ut", "cst_tu"), "cst_both": ("cst_ut", "cst_tu")}
        names = {name for kind in self.kinds for name in expanded.get(kind, (kind,))}
        return [i for i, name in enumerate(KINDS) if name in names]

    def _usable(self, batch: Utterances) -> tuple[Utterances, Ints, NDArray[np.bool_], NDArray[np.bool_]]:
        """The batch without unusable words, word codes, and (n,) True where words are irreversible or untimed."""
        codes = self.words.look_up(batch.words)
        row = np.repeat(np.arange(len(batch.ids)), np.diff(batch.word_offsets))
        irreversible, untimed = np.zeros(len(batch.ids), bool), np.zeros(len(batch.ids), bool)
        irreversible[row[~self.words.exact(codes)]] = True
        untimed[row[~(np.isfinite(batch.starts) & np.isfinite(batch.ends))]] = True
        unusable = irreversible | untimed
        if unusable.any():
            batch, codes = batch.without_words(unusable), codes[~unusable[row]]
        return batch, codes, irreversible, untimed

    def _plan(self, batch: Utterances, spans: SpanTable, draws: Draws, chosen: Ints | None = None) -> Runs:
        """Runs of all kinds, or of the kind `chosen` (n,) of each utterance."""
        if chosen is not None:
            rows = np.arange(len(chosen))
            orders = {UNIT: (True,), TEXT: (False,), CST_UT: (True, False), CST_TU: (False, True)}
            parts = [
                _whole_utterances(kind, rows[chosen == kind], is_unit, spans)
                for kind, order in orders.items()
                for is_unit in order
            ]
            return Runs.merge([*parts, self._alternate(draws, rows[chosen == AST], spans)])
        speech, text = spans.n_frames > 0, np.diff(batch.word_offsets) > 0
        both = speech & text
        rows = np.arange(len(both))
        unit_first = draws.uniform(_ORDER_STREAM, rows, np.zeros(len(rows), np.int64)) < 0.5
        if "cst" not in self.kinds:  # one or both orders
            cst_ut = both & bool(self.kinds & {"cst_ut", "cst_both"})
            cst_tu = both & bool(self.kinds & {"cst_tu", "cst_both"})
        else:
            cst_ut, cst_tu = both & unit_first, both & ~unit_first
        plan = [
            (UNIT, speech & ("unit" in self.kinds), (True,)),
            (TEXT, text & ("text" in self.kinds), (False,)),
            (CST_UT, cst_ut, (True, False)),
            (CST_TU, cst_tu, (False, True)),
        ]
        parts = [_whole_utterances(kind, rows[mask], is_unit, spans) for kind, mask, order in plan for is_unit in order]
        if "ast" in self.kinds:
            parts.append(self._alternate(draws, rows[both], spans))
        return Runs.merge(parts)

    def _alternate(self, draws: Draws, utterances: Ints, spans: SpanTable) -> Runs:
        counts = np.diff(spans.word_offsets)[utterances]
        offsets = offsets_of(counts)
        word = ranges(spans.word_offsets[utterances], counts)
        label = self.policy(Draws(draws.keys[utterances]), offsets, self.options)
        first = np.zeros(len(word), bool)
        first[offsets[:-1]] = True
        # The leading gap belongs to the first word. If the first word is written, the gap is in no run.
        start, stop = np.where(first, 0, spans.starts[word]), spans.stops[word]
        begin, end = _groups(label, first)
        empty = label[begin] & (stop[end] == start[begin])
        if empty.any():  # words without frames cannot be spoken, so they are written
            label = label & ~np.repeat(empty, end - begin + 1)
            begin, end = _groups(label, first)
        row = np.repeat(np.arange(len(utterances)), counts)[begin]
        w0, w1 = begin - offsets[row], end + 1 - offsets[row]
        return Runs(utterances[row] * len(KINDS) + AST, label[begin], w0, w1, start[begin], stop[end])


def check_kinds(kinds: tuple[str, ...]) -> None:
    """Check the kinds of rows.

    Raises:
        ConfigError: no kind, an unknown kind, or kinds in conflict.
    """
    if not kinds:
        raise ConfigError(f"no kinds of rows; choose from: {', '.join(CHOICES)}")
    for kind in kinds:
        if kind not in CHOICES:
            raise ConfigError(f"unknown kind {kind!r}; choose from: {', '.join(CHOICES)}")
    if "cst" in kinds and {"cst_both", "cst_ut", "cst_tu"} & set(kinds):
        raise ConfigError(
            "kind 'cst' draws one order for each utterance; remove it, or remove cst_both, cst_ut and cst_tu"
        )


def _whole_utterances(kind: int, utterances: Ints, speech: bool, spans: SpanTable) -> Runs:  # noqa: FBT001 - a modality
    """Runs of one kind, one for each utterance, over all its words and frames."""
    n, zeros = len(utterances), np.zeros(len(utterances), np.int64)
    words = np.diff(spans.word_offsets)[utterances]
    key = utterances * len(KINDS) + kind
    return Runs(key, np.full(n, speech), zeros, words, zeros, spans.n_frames[utterances])


def _groups(label: NDArray[np.bool_], first: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """First and last word of each group of equal labels within an utterance."""
    new = first.copy()
    new[1:] |= label[1:] != label[:-1]
    begin = np.flatnonzero(new)
    return begin, np.append(begin[1:], len(label))[: len(begin)] - 1
