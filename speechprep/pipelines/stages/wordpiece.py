"""wordpiece: transcripts or text files -> a WordPiece vocabulary for BERT.

Reads all of `words` (kept rows), or `utterances` if there are no `words`, and the files of the option `texts`. Writes
the artifact `wordpiece`. `transformers.BertTokenizerFast.from_pretrained(folder)` loads it. [PAD], [UNK], [CLS], [SEP]
and [MASK] have the ids 0 to 4.

The same texts give the same bytes, whatever their order and shards: see `speechprep.tokenizers.wordpiece.train`. Beyond
`max_characters`, training uses the texts with the lowest hashes of their ids.

Rejected: nothing.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from speechprep.artifacts import storage
from speechprep.artifacts.text_files import read_texts
from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Backend
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig
from speechprep.pipelines.hash_sample import HashSample
from speechprep.tokenizers.wordpiece.tokenizer import WordPiece, save_tokenizer
from speechprep.tokenizers.wordpiece.train import train_pieces

COVERAGE = "coverage.json"
_ROWS = 4096


class Config(StageConfig):
    """Options of `wordpiece`."""

    vocab_size: int = Field(
        30_522, ge=6, description="number of pieces; fewer if the texts have no more; the default is that of BERT"
    )
    lowercase: bool = Field(default=True, description="fold upper case and strip accents, as in bert-base-uncased")
    min_count: int = Field(2, ge=1, description="smallest number of occurrences of a pair of pieces that is merged")
    characters: int = Field(
        1000, ge=1, description="largest number of different characters; words with a rarer one become [UNK]"
    )
    max_characters: int = Field(
        200_000_000, ge=1, description="largest number of characters of texts to train on; 200 million need 0.6 GB"
    )
    texts: list[str] = Field(
        default_factory=list,
        description="files with further texts, one on each line: .txt, or .jsonl with a column text, also with .gz",
    )


class TextFiles(Backend):
    """Identity of the text files for the engine: their bytes, not their paths."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def identity(self) -> dict[str, Any]:
        """Hash of each file, in order."""
        hashes = []
        for path in self.paths:
            if not storage.exists(path):
                raise ConfigError(f"texts: {path}: no such file; name an existing file")
            hashes.append(sha256(storage.read_bytes(path)).hexdigest())
        return {"name": "text files", "sha256": hashes}


UTTERANCES = Read("utterances", "utterances", sharded=False, optional=True)
WORDS = Read("words", "words", sharded=False, optional=True)


def choose_reads(options: Mapping[str, Any], kinds: Container[str]) -> tuple[Read, ...]:
    """Transcripts of `words`, else of `utterances`."""
    return (WORDS,) if "words" in kinds else (UTTERANCES,)


def transcripts(ctx: ShardContext) -> Iterator[tuple[str, str]]:
    """(id, text) of the inputs."""
    for role, columns in (("words", ["id", "text", "kept"]), ("utterances", ["id", "text"])):
        if ctx.has(role):
            for batch in ctx.batches(role, columns, rows=_ROWS):
                rows = batch
                if role == "words":
                    rows = batch.filter(pc.fill_null(batch.column("kept"), pa.scalar(value=False)))
                yield from zip(rows.column("id").to_pylist(), rows.column("text").to_pylist(), strict=True)
                ctx.done(utterances=batch.num_rows)


def sample(ctx: ShardContext) -> HashSample:
    """The texts to train on."""
    kept = HashSample(ctx.config.max_characters, f"{ctx.seed}\0{ctx.stage}")
    for id, text in transcripts(ctx):
        if text and not text.isspace():
            kept.add(id, len(text), text)
    for number, path in enumerate(ctx.config.texts):
        for id, text in read_texts(path):
            kept.add(f"{number}/{id}", len(text), text)
    return kept


def run(ctx: ShardContext) -> None:
    """The whole corpus."""
    config: Config = ctx.config
    kept = sample(ctx)
    texts = kept.records()
    pieces, counts = train_pieces(
        lambda: texts,
        config.vocab_size,
        lowercase=config.lowercase,
        min_count=config.min_count,
        max_characters=config.characters,
    )
    ctx.out.mkdir(exist_ok=True)
    save_tokenizer(ctx.out, pieces, lowercase=config.lowercase)
    coverage = {**kept.coverage(), **counts}
    (ctx.out / COVERAGE).write_text(json.dumps(coverage, indent=2) + "\n", encoding="utf-8")
    tokenizer = WordPiece.load(ctx.out)
    ctx.facts.update(size=tokenizer.size, tokenizer=tokenizer.fingerprint, coverage=coverage)


def note(extra: dict[str, Any]) -> str:
    """Size of the vocabulary, in words."""
    coverage = extra.get("coverage", {})
    return (
        f"{extra.get('size', 0):,} pieces from {coverage.get('words', 0):,} words of {coverage.get('texts', 0):,} texts"
    )


STAGE = Stage(
    name="wordpiece",
    version=1,
    reads=(WORDS, UTTERANCES),
    choose_reads=choose_reads,
    writes="wordpiece",
    config=Config,
    run=run,
    schema=None,
    backend=lambda config, extras: TextFiles(config.texts) if config.texts else None,
    note=note,
    help="Train a WordPiece vocabulary for BERT on transcripts and text files.",
    examples=(
        "speechprep wordpiece --input run --out run/wordpiece",
        "speechprep wordpiece --input run --out run/wordpiece --set vocab_size=2000",
        "speechprep wordpiece --out wordpiece --set texts='[corpus.txt]'",
    ),
)
