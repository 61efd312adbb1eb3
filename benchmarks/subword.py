"""SentencePiece on units: training against the bare library, encoding against one call for each segment.

    python benchmarks/subword.py [--units 2000000] [--k 500] [--vocab-size 4000]

The units are drawn from a lexicon of unit strings with noise, so that they have the statistics that matter here: runs
are gone, words come back, no two realisations are alike throughout. Prints ratios of processor time in the same run.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.ragged import offsets_of, ranges
from speechprep.tokenizers.arrays.runlength import dedup_ragged
from speechprep.tokenizers.subword.model import UnitSubword
from speechprep.tokenizers.subword.train import train_units
from speechprep.tokenizers.subword.unit_text import to_text, to_texts

UTTERANCE, SEGMENT = 600, 25  # mean units of an utterance and of a segment between changes of modality
TRAIN_LIMIT = 1.3


def draw_units(n: int, k: int, noise: float = 0.15) -> NDArray[np.uint16]:
    """About `n` units without repeats: words of 4 to 16 units by Zipf's law, a share of the units replaced."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(4, 17, 5_000)
    lexicon = rng.integers(0, k, lengths.sum())
    words = np.minimum(rng.zipf(1.3, n // 8), len(lengths)) - 1
    units = lexicon[ranges(offsets_of(lengths)[:-1][words], lengths[words])]
    swapped = rng.random(len(units)) < noise
    units[swapped] = rng.integers(0, k, swapped.sum())
    return dedup_ragged(units.astype(np.uint16), np.array([0, len(units)]))[0][:n]


def cut(n: int, mean: int, seed: int) -> NDArray[np.int64]:
    """Offsets of segments of geometric length in `n` units."""
    edges = np.cumsum(np.random.default_rng(seed).geometric(1 / mean, 2 * n // mean + 2))
    return np.concatenate([[0], edges[edges < n], [n]])


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Processor seconds, wall seconds, result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def bare_training(lines: list[str], vocab_size: int, **options: Any) -> bytes:
    """What the library needs at least to be lossless on units, given ready strings."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_by_unicode_script=False,
        split_by_number=False,
        split_by_whitespace=False,
        max_sentence_length=1 << 24,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def training(units: NDArray[np.uint16], k: int, vocab_size: int, out: Path) -> float:
    """Prints both times; returns the ratio of processor time."""
    offsets = cut(len(units), UTTERANCE, 1)
    texts = to_texts(units, offsets)
    bare, bare_wall, _ = timed(lambda: bare_training([*texts, *to_text(np.arange(k))], vocab_size))
    parts = [units[a:b] for a, b in pairwise(offsets)]
    ours, ours_wall, coverage = timed(lambda: train_units(parts, k, vocab_size, out))
    print(f"training on {coverage['units']:,} units, k = {k}, {coverage['size']} pieces, {coverage['skipped']} skipped")
    print(f"  sentencepiece {bare:.2f} s processor, {bare_wall:.2f} s wall; speechprep {ours:.2f} s, {ours_wall:.2f} s")
    print(
        f"  ratio {ours / bare:.2f} of processor time, {ours_wall / bare_wall:.2f} of wall time (limit {TRAIN_LIMIT})"
    )
    return ours / bare


def encoding(units: NDArray[np.uint16], path: Path) -> None:
    """Prints units per second of processor time: fresh, and with segments cut elsewhere in the same units."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    offsets, others = cut(len(units), SEGMENT, 2), cut(len(units), SEGMENT, 3)
    texts = to_texts(units, offsets)
    alone, _, wanted = timed(lambda: [processor.encode(text) for text in texts])
    listed, _, _ = timed(lambda: processor.encode(texts, num_threads=1))
    model = UnitSubword.load(path)
    fresh, _, (ids, at) = timed(lambda: model.encode_ragged(units, offsets))
    if [ids[a:b].tolist() for a, b in pairwise(at)] != wanted:
        raise SystemExit("the ids differ from those of SentencePiece")
    again, _, (ids, at) = timed(lambda: model.encode_ragged(units, others))
    back, _, (decoded, _) = timed(lambda: model.decode_ragged(ids, at))
    if not np.array_equal(decoded, units):
        raise SystemExit("decoding does not give back the units")
    print(f"encoding {len(units):,} units in {len(texts):,} segments, {len(units) / len(ids):.2f} units a token")
    for name, seconds in (
        ("sentencepiece, one call a segment", alone),
        ("sentencepiece, one call with a list", listed),
        ("speechprep, first time", fresh),
        ("speechprep, the units cut elsewhere", again),
        ("speechprep, decoding", back),
    ):
        rate = len(units) / seconds / 1e6
        print(f"  {name:36} {rate:6.2f} million units/s/core, {alone / seconds:5.2f} times the first")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=2_000_000)
    parser.add_argument("--k", type=int, default=500)
    parser.add_argument("--vocab-size", type=int, default=4_000)
    args = parser.parse_args()
    units = draw_units(args.units, args.k)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "units.model"
        ratio = training(units, args.k, args.vocab_size, path)
        encoding(units, path)
    raise SystemExit(ratio > TRAIN_LIMIT)


if __name__ == "__main__":
    main()
