"""subword: units + words -> SentencePiece models and the joint vocabulary.

Reads all shards of `units` and, if present, `words`. Writes the artifact `subword`. It holds:

- vocab.json: sizes, id ranges, special tokens
- token_modality.npy, and the SentencePiece models text.model and units.model
- the files for `transformers.AutoTokenizer.from_pretrained(folder)`; see `speechprep.tokenizers.subword.vocabulary`
- coverage.json: counts of read and used records, and the compression from frames to runs to tokens

The models are trained on units without repeats and on kept transcripts. Memory is bounded: beyond `max_units`
(`max_characters` for text), training uses the utterances with the lowest hashes of their ids. The choice depends on
the seed and the ids, not on shards or order.

Text without audio needs no units: from `utterances` alone the vocabulary has markers and text pieces.

Rejected: nothing.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig
from speechprep.pipelines.hash_sample import HashSample
from speechprep.pipelines.text_rows import text_rows
from speechprep.tokenizers.arrays.ragged import of_arrow, offsets_of
from speechprep.tokenizers.arrays.runlength import dedup_ragged
from speechprep.tokenizers.subword.train import train_text, train_units
from speechprep.tokenizers.subword.vocabulary import TEXT_MODEL, UNIT_MODEL, Vocabulary

COVERAGE = "coverage.json"
RARE = 0.1  # of the merged pieces, at most once in the training sample: more of them are a warning
_ROWS = 1024


class Config(StageConfig):
    """Options of `subword`."""

    algorithm: Literal["bpe", "unigram", "none"] = Field(
        "bpe", description="kind of the SentencePiece model over units; none: each unit is a token"
    )
    unit_vocab_size: int = Field(
        10_000, ge=2, description="number of pieces of the model over units, single units included"
    )
    text_vocab_size: int = Field(
        10_000, ge=0, description="number of pieces of the text model; 0: a vocabulary of units only"
    )
    max_units: int = Field(
        5_000_000, ge=1, description="largest number of units, without repeats, to train on; 5 million need 0.5 GB"
    )
    max_characters: int = Field(20_000_000, ge=1, description="largest number of characters of transcripts to train on")
    language: str = Field("en", description="language code in the names of the marker tokens")


def sample_units(ctx: ShardContext) -> HashSample:
    """Units without repeats, uint16 or uint32 (m,), and the number of frames, of each utterance of the sample."""
    sample = HashSample(ctx.config.max_units, f"{ctx.seed}\0{ctx.stage}")
    for batch in ctx.batches("units", ["id", "units"], rows=_ROWS):
        flat, offsets = of_arrow(batch.column("units"))
        values, _, edges = dedup_ragged(flat.to_numpy(zero_copy_only=False), offsets)
        frames = np.diff(offsets).tolist()
        for row, id in enumerate(batch.column("id").to_pylist()):
            units = values[edges[row] : edges[row + 1]]
            sample.add(id, len(units), (units.copy(), frames[row]))
        ctx.done(utterances=batch.num_rows, frames=int(offsets[-1]))
    return sample


def sample_texts(ctx: ShardContext) -> HashSample:
    """Transcript, and seconds of its speech, of each kept utterance of the sample."""
    sample = HashSample(ctx.config.max_characters, f"{ctx.seed}\0{ctx.stage}")
    if not ctx.has("words"):
        for rows in text_rows(ctx, ["id", "text"], rows=_ROWS):
            for id, text in zip(rows.column("id").to_pylist(), rows.column("text").to_pylist(), strict=True):
                sample.add(id, len(text), (text, 0.0))
            ctx.done(utterances=rows.num_rows)
        return sample
    for batch in ctx.batches("words", ["id", "text", "duration", "kept"], rows=_ROWS):
        kept = batch.filter(pc.fill_null(batch.column("kept"), pa.scalar(value=False)))
        for id, text, duration in zip(*(kept.column(i).to_pylist() for i in range(3)), strict=True):
            if text and not text.isspace():
                sample.add(id, len(text), (text, duration or 0.0))
    return sample


def compression_of_units(
    vocabulary: Vocabulary, records: list[tuple[NDArray[Any], int]], grid: FrameGrid, seen: NDArray[np.int64]
) -> dict[str, float]:
    """Frames, runs and tokens of the units trained on, and each of these for one second. Adds to the counts `seen`."""
    frames = sum(count for _, count in records)
    runs = sum(len(units) for units, _ in records)
    tokens = 0
    for start in range(0, len(records), _ROWS):
        part = [units for units, _ in records[start : start + _ROWS]]
        ids, _ = vocabulary.encode_units(np.concatenate(part), offsets_of(np.array([*map(len, part)])))
        tokens += len(ids)
        seen += np.bincount(ids, minlength=len(seen))
    return _rates({"frames": frames, "runs": runs, "tokens": tokens}, frames / grid.rate)


def compression_of_text(
    vocabulary: Vocabulary, records: list[tuple[str, float]], seen: NDArray[np.int64]
) -> dict[str, float]:
    """Characters, words and tokens of the text trained on, and each of these for one second of its speech.

    Adds to the counts `seen`.
    """
    characters = words = tokens = 0
    for start in range(0, len(records), _ROWS):
        texts = ["".join(" " + word for word in text.split()) for text, _ in records[start : start + _ROWS]]
        characters, words = characters + sum(map(len, texts)), words + sum(text.count(" ") for text in texts)
        ids, _ = vocabulary.encode_texts(texts)
        tokens += len(ids)
        seen += np.bincount(ids, minlength=len(seen))
    counts = {"characters": characters, "words": words, "tokens": tokens}
    return _rates(counts, sum(duration for _, duration in records))


def _rates(counts: dict[str, int], seconds: float) -> dict[str, float]:
    rates = {f"{name}_per_second": round(count / seconds, 4) for name, count in counts.items() if seconds > 0}
    return {"seconds": round(seconds, 4), **counts, **rates}


def pieces(vocabulary: Vocabulary, config: Config, seen: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Pieces asked for, made, and rare: longer than one unit or character, and at most once in the training sample.

    Args:
        vocabulary: the vocabulary.
        config: the options.
        seen: (vocabulary,) count of each token in the encoded training sample.
    """
    asked = {"unit": config.unit_vocab_size, "text": config.text_vocab_size}
    if config.algorithm == "none":
        del asked["unit"]
    counts = {}
    for modality, number in asked.items():
        start, stop = vocabulary.describe()["ranges"][modality]
        if stop > start:
            long = np.array([_is_long(piece) for piece in vocabulary.tokens[start:stop]], np.bool_)
            rare = int(np.count_nonzero(long & (seen[start:stop] <= 1)))
            counts[modality] = {"asked": number, "made": stop - start, "merged": int(long.sum()), "rare": rare}
    return counts


def _is_long(piece: str) -> bool:
    """True for a piece of several units or characters; bytes like <0x41> and <unk> are single."""
    return len(piece) > 1 and not (piece.startswith("<") and piece.endswith(">"))


def warning(facts: dict[str, Any]) -> str:
    """Warning for fewer pieces than asked for, and for pieces learnt by heart."""
    problems = []
    for modality, count in (facts.get("pieces") or {}).items():
        option = f"{modality}_vocab_size"
        if count["made"] < count["asked"]:
            problems.append(
                f"{count['made']:,} {modality} pieces were made of {count['asked']:,} asked for: the corpus has no "
                f"more; set {option}={count['made']}, or add data"
            )
        if count["rare"] > RARE * max(count["merged"], 1):
            problems.append(
                f"{count['rare']:,} of {count['merged']:,} merged {modality} pieces occur at most once in the training "
                f"sample: the vocabulary memorises the corpus; lower {option}, or add data"
            )
    return "; ".join(problems)


def run(ctx: ShardContext) -> None:
    """The whole corpus."""
    config: Config = ctx.config
    models = ctx.scratch / "models"
    models.mkdir(exist_ok=True)
    if not ctx.has("units"):
        run_text_only(ctx, config, models)
        return
    facts = ctx.extra("units")  # noqa: S610
    units = sample_units(ctx)
    unit_records, text_records = units.records(), []
    coverage: dict[str, Any] = {"units": units.coverage()}
    if config.text_vocab_size and ctx.has("words"):
        texts = sample_texts(ctx)
        text_records = texts.records()
        coverage["text"] = texts.coverage()

    unit_model = text_model = None
    if config.algorithm != "none":
        unit_model = models / UNIT_MODEL
        sequences = (sequence for sequence, _ in unit_records)
        trained = train_units(sequences, facts["k"], config.unit_vocab_size, unit_model, algorithm=config.algorithm)
        coverage["units"] |= trained
    if text_records:
        text_model = models / TEXT_MODEL
        coverage["text"] |= train_text((text for text, _ in text_records), config.text_vocab_size, text_model)

    vocabulary = Vocabulary.build(text_model, unit_model, facts["k"], config.language)
    vocabulary.save(ctx.out)
    grid = FrameGrid(**facts["grid"])
    seen = np.zeros(vocabulary.size, np.int64)
    coverage["compression"] = {"speech": compression_of_units(vocabulary, unit_records, grid, seen)}
    if text_records:
        coverage["compression"]["text"] = compression_of_text(vocabulary, text_records, seen)
    (ctx.out / COVERAGE).write_text(json.dumps(coverage, indent=2) + "\n", encoding="utf-8")
    _describe(ctx, vocabulary, coverage, seen)
    ctx.facts["grid"] = facts["grid"]
    if facts.get("codebook"):  # `interleave` refuses units of another codebook
        ctx.facts["codebook"] = facts["codebook"]


def run_text_only(ctx: ShardContext, config: Config, models: Path) -> None:
    """The vocabulary of a corpus of text without audio: markers and text pieces, no units.

    Raises:
        ConfigError: the option `text_vocab_size` is 0.
    """
    if not config.text_vocab_size:
        raise ConfigError("subword: there are no units and text_vocab_size is 0; set text_vocab_size, or give units")
    texts = sample_texts(ctx)
    records = texts.records()
    coverage: dict[str, Any] = {"text": texts.coverage()}
    coverage["text"] |= train_text((text for text, _ in records), config.text_vocab_size, models / TEXT_MODEL)
    vocabulary = Vocabulary.build(models / TEXT_MODEL, None, 0, config.language)
    vocabulary.save(ctx.out)
    seen = np.zeros(vocabulary.size, np.int64)
    coverage["compression"] = {"text": compression_of_text(vocabulary, records, seen)}
    (ctx.out / COVERAGE).write_text(json.dumps(coverage, indent=2) + "\n", encoding="utf-8")
    _describe(ctx, vocabulary, coverage, seen)


def _describe(ctx: ShardContext, vocabulary: Vocabulary, coverage: dict[str, Any], seen: NDArray[np.int64]) -> None:
    """Entries of the manifest that are the same with and without units."""
    described = vocabulary.describe()
    ctx.facts.update({name: described[name] for name in ("size", "k", "language", "ranges", "unit_algorithm")})
    ctx.facts.update(coverage=coverage, transformers=vocabulary.has_tokenizer)
    ctx.facts["pieces"] = pieces(vocabulary, ctx.config, seen)


def choose_reads(options: Mapping[str, Any], kinds: Container[str]) -> tuple[Read, ...]:
    """Units with the transcripts; `utterances` for a corpus of text without audio, if there are no units and words."""
    text_only = "utterances" in kinds and "units" not in kinds and "words" not in kinds
    return (UTTERANCES,) if text_only else (UNITS, WORDS)


UNITS = Read("units", "units", sharded=False)
WORDS = Read("words", "words", sharded=False, optional=True)
UTTERANCES = Read("utterances", "utterances", sharded=False, optional=True)

STAGE = Stage(
    name="subword",
    version=1,
    reads=(UNITS, WORDS, UTTERANCES),
    choose_reads=choose_reads,
    writes="subword",
    config=Config,
    run=run,
    schema=None,
    warning=warning,
    help="Train SentencePiece on units and on text, and join both into one vocabulary.",
    examples=("speechprep subword --input run/units --input run/words --out run/subword",),
)
