"""Rows rendered as they are read: `words` and `units` of a run, joined by id, with the policy of `interleave`.

A piece is a shard of `units` with the shard of `words` of the same number. Words dropped by `align` or `filter` are not
used.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.run import Dataset, open_run
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.data.vocabulary import VocabularyMetadata
from speechprep.tokenizers.arrays import ragged
from speechprep.tokenizers.interleave.policies import LengthRule, PolicyOptions
from speechprep.tokenizers.interleave.render import Utterances
from speechprep.tokenizers.interleave.rows import Interleaver
from speechprep.tokenizers.subword.vocabulary import Vocabulary

_WORDS = ["id", "kept", "words.list.element.text", "words.list.element.start", "words.list.element.end"]


@dataclass(frozen=True)
class Rendering:
    """Options of rendering; the meaning and the defaults are those of `interleave`.

    Attributes:
        subword: folder of the vocabulary; None: `subword` in the run.
        policy, text_words, speech_words, p_speech, mean, share: the choice of spoken words of `ast` rows.
    """

    subword: str | None = None
    policy: str = "ast"
    text_words: str = "poisson:5"
    speech_words: str = "poisson:5"
    p_speech: float = 0.5
    mean: float = 10.0
    share: float = 0.3

    @property
    def options(self) -> PolicyOptions:
        """Options of the policy.

        Raises:
            ConfigError: a span length of another form.
        """
        text, speech = LengthRule.parse(self.text_words), LengthRule.parse(self.speech_words)
        return PolicyOptions(text, speech, self.p_speech, self.mean, self.share)


class RunReader:
    """Utterances of a run, piece by piece.

    Args:
        uri: run folder with `units`, and `words` for kinds with text.
        kinds: kinds of rows.
        rendering: options.
        vocabulary: metadata of the vocabulary of the model.
        seed: seed of the drawing.

    Raises:
        StaleArtifact: no `units`, shards of `words` and `units` that do not belong together, or another vocabulary,
            codebook or frame grid than that of the vocabulary.
        ConfigError: unknown kinds or policy.
    """

    kind = "rendered"

    def __init__(
        self, uri: str, kinds: Sequence[str], rendering: Rendering, vocabulary: VocabularyMetadata, seed: int
    ) -> None:
        run = open_run(uri)
        units, words = run["units"], run.get("words")
        subword = rendering.subword or storage.join(uri, "subword")
        body = manifest.read(subword)
        if body.content != vocabulary.fingerprint:
            raise StaleArtifact(
                f"{subword} is the vocabulary {body.content[:12]}, the model is for {vocabulary.fingerprint[:12]}; "
                "name the subword folder of the model"
            )
        for name in ("codebook", "grid", "k"):
            expected, actual = body.extra.get(name), units.extra.get(name)
            if expected and actual and expected != actual:
                raise StaleArtifact(
                    f"{uri}: the units have the {name} {actual}, the vocabulary {expected}; use units of its codebook"
                )
        if words is not None and len(words.shards) != len(units.shards):
            raise StaleArtifact(
                f"{uri} has {len(units.shards)} shards of units and {len(words.shards)} of words; make both from the "
                "same utterances"
            )
        self.uri, self.units, self.words = uri, units, words
        content = [units.manifest.content, None if words is None else words.manifest.content, body.content]
        self.content = manifest.digest(content)
        with tempfile.TemporaryDirectory() as local:
            self.vocab = Vocabulary.load(storage.fetch_folder(subword, Path(local) / "subword"))
        grid = FrameGrid(**units.extra["grid"])
        self.interleaver = Interleaver(self.vocab, grid, tuple(kinds), rendering.policy, rendering.options, seed)

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self.units.shards)

    def piece(self, number: int) -> Utterances:
        """Utterances of a piece in the order of `units`.

        Raises:
            StaleArtifact: an id stands twice.
        """
        units = _read(self.units, self.units.shards[number], ["id", "units"])
        ids = units.column("id")
        frames, unit_offsets = ragged.of_arrow(units.column("units"))
        n = len(ids)
        counts, rows = np.zeros(n, np.int64), np.zeros(0, np.int64)
        fields: list[pa.Array] = [pa.array([], pa.string()), pa.array([], pa.float64()), pa.array([], pa.float64())]
        if self.words is not None:
            words = _read(self.words, self.words.shards[number], _WORDS)
            words = words.filter(pc.fill_null(words.column("kept"), pa.scalar(value=True)))
            where = np.asarray(pc.fill_null(pc.index_in(ids, value_set=words.column("id")), -1)).astype(np.int64)
            structs, offsets = ragged.of_arrow(words.column("words"))
            rows = where[where >= 0]
            counts[where >= 0] = np.diff(offsets)[rows]
            index = pa.array(ragged.ranges(offsets[:-1][rows], np.diff(offsets)[rows]))
            fields = [field.take(index) for field in structs.flatten()[:3]]
        starts, ends = (np.asarray(pc.fill_null(field, np.nan), np.float64) for field in fields[1:])
        return Utterances(
            ids,
            fields[0].fill_null(""),
            starts,
            ends,
            ragged.offsets_of(counts),
            np.asarray(frames),
            unit_offsets,
        )


def _read(dataset: Dataset, shard: str, columns: list[str]) -> pa.RecordBatch:
    batches = list(dataset.batches(columns, shard=shard))
    table = pa.Table.from_batches(batches).combine_chunks() if batches else dataset.schema.empty_table()  # type: ignore[union-attr]
    ids = table.column("id")
    if pc.count_distinct(ids).as_py() != len(ids):
        raise StaleArtifact(f"{dataset.uri}/{shard}: an id stands twice; make the folder again")
    arrays = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in table.columns]
    return pa.RecordBatch.from_arrays(arrays, names=table.column_names)


def check_kinds_given(uri: str, kinds: Sequence[str] | None) -> tuple[str, ...]:
    """The kinds of a rendered source.

    Raises:
        ConfigError: no kinds.
    """
    if not kinds:
        raise ConfigError(f"{uri}: a rendered source needs kinds; name some of unit, text, cst_ut, cst_tu and ast")
    return tuple(kinds)
