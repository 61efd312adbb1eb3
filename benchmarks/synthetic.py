"""Synthetic words and units shaped like LibriSpeech: what the benchmarks of `interleave` and `pack` work on.

Words of a Zipf lexicon, each a chain of phones, each phone a run of frames of a few units of its own, with jitter: so
units have the run lengths (about 2 frames), the frames for a word (about 18 at 50 Hz) and the repetition that lets
SentencePiece find pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts.schemas import WORDS, units_schema
from speechprep.artifacts.shards import ShardWriter, shard_name
from speechprep.artifacts.timebase import FrameGrid
from speechprep.tokenizers.arrays.ragged import of_arrow, offsets_of, ranges, to_arrow

GRID = FrameGrid(sample_rate=16_000, stride=320, window=400)
K = 500
_PHONES, _UNITS_PER_PHONE = 44, 11


@dataclass(frozen=True)
class Speech:
    """A lexicon: spellings, and the phones of word i as phones[at[i]:at[i + 1]]; `chance` of each word."""

    spellings: pa.StringArray
    phones: NDArray[Any]
    at: NDArray[np.int64]
    chance: NDArray[np.float64]

    @classmethod
    def lexicon(cls, rng: np.random.Generator, n: int = 8000) -> Speech:
        lengths = rng.integers(2, 9, n)
        letters = rng.integers(97, 123, int((lengths + 1).sum())).astype(np.uint8).tobytes().decode()
        cut = offsets_of(lengths + 1)
        spellings = pa.array([letters[a:b] for a, b in pairwise(cut)])
        chance = 1 / (np.arange(n) + 3)
        return cls(spellings, rng.integers(0, _PHONES, lengths.sum()), offsets_of(lengths), chance / chance.sum())

    def batch(self, rng: np.random.Generator, first: int, n: int) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """`n` utterances of 5 to 45 words, numbered from `first`: rows of `words` and of `units`."""
        counts = rng.integers(5, 46, n)
        words = rng.choice(len(self.spellings), counts.sum(), p=self.chance)
        n_phones = np.diff(self.at)[words]
        phone = self.phones[ranges(self.at[words], n_phones)]
        # Each phone: 2 runs on average, each of 1 to 4 frames; a pause of 0 to 6 frames of one unit after each word.
        runs = rng.integers(1, 4, len(phone))
        unit = np.repeat(phone, runs) * _UNITS_PER_PHONE + (rng.random(runs.sum()) ** 3 * _UNITS_PER_PHONE).astype(int)
        length = rng.choice([1, 2, 3, 4], len(unit), p=[0.45, 0.3, 0.15, 0.1])
        run_at = offsets_of(runs)
        phone_at = offsets_of(n_phones)
        frame_at = offsets_of(length)
        word_frames = np.diff(frame_at[run_at[phone_at]])
        frames = np.repeat(unit, length)
        word_at = offsets_of(counts)
        ends = np.cumsum(word_frames)
        begin = (ends - word_frames) - np.repeat(np.append(0, ends)[word_at[:-1]], counts)
        start = begin * GRID.stride / GRID.sample_rate + 0.003
        stop = start + word_frames * GRID.stride / GRID.sample_rate - 0.02
        ids = pa.array([f"{i % 2400:04d}-{i // 2400:06d}-{i:07d}" for i in range(first, first + n)])
        timed = pa.StructArray.from_arrays(
            [
                self.spellings.take(pa.array(words)),
                pa.array(np.round(start, 3)),
                pa.array(np.round(stop, 3)),
                pa.array(rng.random(len(words)).astype(np.float32)),
                pa.array(["aligned"]).take(pa.array(np.zeros(len(words), np.int64))),
            ],
            fields=list(WORDS.field("words").type.value_type),
        )
        rows = {"id": ids, "words": to_arrow(timed, word_at), "kept": pa.array(np.ones(n, bool))}
        columns = [rows.get(f.name, pa.nulls(n, f.type)) for f in WORDS]
        unit_at = np.append(0, ends)[word_at]
        units = [ids, to_arrow(frames.astype(np.uint16), unit_at), pa.array(["synthetic"] * n)]
        return pa.RecordBatch.from_arrays(columns, schema=WORDS), pa.RecordBatch.from_arrays(
            units, schema=units_schema(K)
        )


def write_shards(out: Path, utterances: int, shards: int, seed: int = 0) -> int:
    """`words/` and `units/` of so many utterances under `out`; returns the number of words. Memory does not grow."""
    speech = Speech.lexicon(np.random.default_rng(seed))
    total, rng = 0, np.random.default_rng(seed + 1)
    cuts = np.linspace(0, utterances, shards + 1).astype(int)
    for shard, (begin, end) in enumerate(pairwise(cuts)):
        name = shard_name(shard, shards)
        (out / "words").mkdir(parents=True, exist_ok=True)
        (out / "units").mkdir(exist_ok=True)
        with (
            ShardWriter(str(out / "words" / name), WORDS) as words,
            ShardWriter(str(out / "units" / name), units_schema(K)) as units,
        ):
            for first in range(int(begin), int(end), 4096):
                one, other = speech.batch(rng, first, min(4096, int(end) - first))
                words.write(one)
                units.write(other)
                total += len(one.column("words").flatten())
    return total


def build_vocabulary(out: Path, unit_pieces: int = 8000, text_pieces: int = 4000) -> None:
    """A vocabulary with SentencePiece models of units and text, trained on 3,000 such utterances."""
    from speechprep.tokenizers.arrays.runlength import dedup_ragged
    from speechprep.tokenizers.subword.train import train_text, train_units
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

    words, units = Speech.lexicon(np.random.default_rng(0)).batch(np.random.default_rng(1), 0, 3000)
    timed, word_at = of_arrow(words.column("words"))
    spellings = timed.flatten()[0].to_pylist()
    frames, frame_at = of_arrow(units.column("units"))
    values, _, at = dedup_ragged(np.asarray(frames), frame_at)
    out.mkdir(parents=True)
    train_text([" ".join(spellings[a:b]) for a, b in pairwise(word_at)], text_pieces, out / "text.in")
    train_units([values[a:b] for a, b in pairwise(at)], K, unit_pieces, out / "units.in")
    Vocabulary.build(out / "text.in", out / "units.in", K).save(out)
