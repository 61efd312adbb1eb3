"""The table of dataset and artifact kinds: schema, parents, row checks and order.

`verify`, the report, the run reader, the dataset cards and the documentation read this table. Another package adds a
kind through the entry-point group `speechprep.datasets` (name -> "module:KIND").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from speechprep import registry
from speechprep.artifacts import schemas

Extra = dict[str, Any]  # `extra` of a manifest


@dataclass(frozen=True)
class Kind:
    """One kind of folder.

    Attributes:
        name: kind in the manifest, and default name of the folder.
        description: one line for the documentation.
        schema: of the shards; a function of the manifest's `extra` if it depends on it; None without declared shards.
        example: `extra` for the documentation, if `schema` is a function.
        ids_from: role of the input with the same ids in the shard of the same name; of several, the first that the
            folder has.
        complete: True if each id of this input is either a row or a reject.
        unique_ids: True if no id occurs twice in the folder.
        check: row check of `verify`: name of a method `check_<name>` of `RowChecks`, or "module:function".
        check_folder: check of `verify` over all files of the folder: "module:function".
    """

    name: str
    description: str
    schema: pa.Schema | Callable[[Extra], pa.Schema | None] | None = None
    example: Extra | None = None
    ids_from: str | tuple[str, ...] | None = None
    complete: bool = False
    unique_ids: bool = False
    check: str | None = None
    check_folder: str | None = None

    def schema_of(self, extra: Extra) -> pa.Schema | None:
        """The schema declared for a folder with this `extra`; None if none is declared."""
        return self.schema(extra) if callable(self.schema) else self.schema


def _units(extra: Extra) -> pa.Schema | None:
    return schemas.units_schema(extra["k"]) if "k" in extra else None


def _vectors(extra: Extra) -> pa.Schema | None:
    return schemas.vector_schema(extra["dim"]) if "dim" in extra else None


KINDS = (  # in the order of the chain
    Kind(
        "utterances",
        "one row for each utterance: audio, transcript, speaker, language, split, licence",
        schemas.UTTERANCES,
        unique_ids=True,
        check="utterances",
    ),
    Kind(
        "words",
        "transcripts with word times, scores and the verdict of the thresholds",
        schemas.WORDS,
        ids_from="utterances",
        unique_ids=True,
        check="words",
    ),
    Kind("sample", "frames drawn for k-means", ids_from="utterances", unique_ids=True),
    Kind("codebook", "centroids of the units, with the codebook metadata", check="codebook"),
    Kind(
        "units",
        "units of each utterance at the frame rate",
        _units,
        {"k": 500},
        ids_from="utterances",
        complete=True,
        unique_ids=True,
        check="units",
    ),
    Kind("subword", "SentencePiece models and the joint vocabulary of units and text"),
    Kind("wordpiece", "a WordPiece vocabulary in the files of `transformers.BertTokenizerFast`"),
    Kind("vocabulary", "a joint vocabulary without models"),
    Kind("tokens", "token rows: units, text, CST and AST", schemas.TOKENS, check="tokens"),
    Kind("packed", "token rows of a fixed length, shuffled", schemas.PACKED, check="packed"),
    Kind(
        "clips",
        "clips of N words, with a matched and an unmatched pairing of text and audio",
        schemas.CLIPS,
        unique_ids=True,
        check="speechprep.pipelines.inspect.verify_clips:check_rows",
        check_folder="speechprep.pipelines.inspect.verify_clips:check_pairing",
    ),
    Kind(
        "quality",
        "scores of each recording: noise, bandwidth, clipping, share of speech, DNSMOS",
        schemas.QUALITY,
        ids_from="utterances",
        complete=True,
        unique_ids=True,
    ),
    Kind(
        "fingerprints",
        "fingerprints of audio and text, for the search of duplicates",
        schemas.FINGERPRINTS,
        ids_from="utterances",
        complete=True,
        unique_ids=True,
    ),
    Kind(
        "duplicates",
        "for each utterance the smallest id with the same audio, and with the same text",
        schemas.DUPLICATES,
        ids_from="fingerprints",
        complete=True,
        unique_ids=True,
    ),
    Kind(
        "pooled",
        "one teacher vector for each utterance or clip",
        schemas.POOLED,
        ids_from=("clips", "utterances"),
        unique_ids=True,
    ),
    Kind(
        "vectors",
        "teacher vectors as memory-mapped arrays, with an index of the ids",
        check_folder="speechprep.pipelines.inspect.verify_clips:check_vectors",
    ),
    Kind("embeddings", "audio or text embeddings", _vectors, {"dim": 512}, check="embeddings"),
    Kind("index", "embeddings with a FAISS index", _vectors, {"dim": 512}, check="embeddings"),
    Kind("image_codes", "codes of images, with captions", schemas.IMAGE_CODES, unique_ids=True, check="image_codes"),
)


def kinds() -> dict[str, Kind]:
    """All kinds by name, in the order of the chain; kinds of other packages follow."""
    table = {kind.name: kind for kind in KINDS}
    for name in registry.names("datasets"):
        table.setdefault(name, registry.resolve("datasets", name))
    return table


def find_kind(name: str) -> Kind:
    """The record of a kind; a kind of an absent package has neither schema nor checks."""
    return kinds().get(name) or Kind(name, "")
