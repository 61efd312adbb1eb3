"""The declared Parquet schema of every dataset. Nothing is ever inferred.

All times are seconds (float64) from the start of the utterance; ids are strings. `SCHEMA_VERSION` is part of every
fingerprint: raise it when a column changes its meaning.
"""

from __future__ import annotations

import pyarrow as pa

from speechprep.artifacts.scores import SCORES
from speechprep.errors import SchemaMismatch

SCHEMA_VERSION = 1

_GIVEN_WORD = pa.struct([pa.field("text", pa.string()), pa.field("start", pa.float64()), pa.field("end", pa.float64())])
_WORD = pa.struct(
    [
        pa.field("text", pa.string()),  # as written in `text`
        pa.field("start", pa.float64()),
        pa.field("end", pa.float64()),
        pa.field("score", pa.float32()),  # the aligner's own scale; null where it has none
        pa.field("timing", pa.string()),  # aligned | interpolated | given
    ]
)
_BORDERS = pa.struct([pa.field(name, pa.float64()) for name in ("start_low", "start_high", "end_low", "end_high")])
_RUN = pa.struct(
    [
        pa.field("modality", pa.string()),  # unit | text
        pa.field("start", pa.int32()),  # [start, stop) in input_ids, marker tokens outside
        pa.field("stop", pa.int32()),
        pa.field("word_start", pa.int32()),  # [word_start, word_stop) in the utterance's words
        pa.field("word_stop", pa.int32()),
        pa.field("t0", pa.float64()),
        pa.field("t1", pa.float64()),
    ]
)


def units_schema(k: int) -> pa.Schema:
    """Schema of `units` for a codebook of `k` units."""
    kind = pa.uint16() if k <= 1 << 16 else pa.uint32()
    return pa.schema([("id", pa.string()), ("units", pa.list_(kind)), ("codebook", pa.string())])


def vector_schema(dim: int) -> pa.Schema:
    """Schema of `embeddings` of `dim` dimensions, unit length."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("t0", pa.float64()),
            ("t1", pa.float64()),
            ("vector", pa.list_(pa.float32(), dim)),
            ("caption", pa.string()),
        ]
    )


UTTERANCES = pa.schema(
    [
        ("id", pa.string()),
        ("audio", pa.string()),  # URI; null where audio_bytes holds the encoded file, and in text without audio
        ("audio_bytes", pa.large_binary()),
        ("offset", pa.float64()),  # where the utterance starts in its audio
        ("duration", pa.float64()),
        ("sample_rate", pa.int32()),  # of the audio as stored
        ("text", pa.string()),  # null: not transcribed
        ("speaker", pa.string()),
        ("language", pa.string()),
        ("split", pa.string()),
        ("licence", pa.string()),
        ("corpus", pa.string()),  # of the record, else the name of the ingested folder
        ("captions", pa.list_(pa.string())),
        ("labels", pa.list_(pa.string())),
        ("words", pa.list_(_GIVEN_WORD)),  # word times of the corpus; null without any
        ("audio_sha256", pa.string()),
    ]
)
WORDS = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),  # the aligned transcript
        ("source_text", pa.string()),  # the transcript of the corpus
        ("words", pa.list_(_WORD)),
        ("duration", pa.float64()),
        *[(score.column, pa.float32()) for score in SCORES if score.column != "language_probability"],
        ("language", pa.string()),  # detected by the aligner, else of the corpus
        ("language_probability", pa.float32()),
        ("kept", pa.bool_()),
        ("reason", pa.string()),
        ("border_intervals", pa.list_(_BORDERS)),  # 90 % of each border; null without fitted boundaries
    ]
)
TOKENS = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),  # unit | text | cst_ut | cst_tu | ast
        ("input_ids", pa.list_(pa.int32())),
        ("runs", pa.list_(_RUN)),
        # For the exact inverse to frame and word times:
        ("durations", pa.list_(pa.uint16())),  # frames of each unit after run-length encoding, as they stand in the row
        ("word_t0", pa.list_(pa.float64())),  # of the utterance's words, each word once, also where the row has it as
        ("word_t1", pa.list_(pa.float64())),  # units and as text; indexed by word_start..word_stop of the runs
    ]
)
PACKED = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("document_ids", pa.list_(pa.int32())),  # 0, 0, .. 1, 1, ..; -1 on padding
        ("modality_ids", pa.list_(pa.int8())),  # see tokenizers.vocabulary.MODALITIES
        ("ids", pa.list_(pa.string())),  # "<utterance id>#<kind>" of each document, in order
    ]
)
CLIPS = pa.schema(
    [
        ("id", pa.string()),  # "<utterance id>#<words>w<first word>"
        ("utterance", pa.string()),  # id
        ("audio", pa.string()),  # URI; null: the audio is stored in `utterances`
        ("offset", pa.float64()),  # where the clip starts in its audio
        ("duration", pa.float64()),
        ("recording", pa.string()),  # sha256 of the audio file
        ("n_words", pa.int32()),
        ("first_word", pa.int32()),  # in the words of the utterance
        ("last_word", pa.int32()),
        ("t0", pa.float64()),  # start of the first word
        ("t1", pa.float64()),  # end of the last word
        ("text", pa.string()),
        ("speaker", pa.string()),
        ("corpus", pa.string()),
        ("language", pa.string()),
        ("split", pa.string()),
        ("partner", pa.string()),  # id of the clip with the audio for this text in the unmatched pairing; null: none
        ("tolerance", pa.float32()),  # smallest of the option `tolerances` that the two durations keep
    ]
)
FINGERPRINTS = pa.schema(
    [
        ("id", pa.string()),
        ("samples_digest", pa.binary(16)),  # of the decoded samples and their rate; null without audio
        ("audio_codes", pa.list_(pa.uint32())),  # one for each 16 ms, 0 where it is quiet
        ("audio_keys", pa.list_(pa.uint64())),
        ("audio_places", pa.list_(pa.int32())),  # frame of each key
        ("text_digest", pa.binary(16)),  # of the normalised text; null without words
        ("text_shingles", pa.list_(pa.uint64())),
        ("text_keys", pa.list_(pa.uint64())),
    ]
)
DUPLICATES = pa.schema(
    [
        ("id", pa.string()),
        ("audio_duplicate_of", pa.string()),  # smallest id of the group; null for this id, and without duplicates
        ("audio_similarity", pa.float32()),  # largest similarity to another one in the group
        ("text_duplicate_of", pa.string()),
        ("text_similarity", pa.float32()),
    ]
)
QUALITY = pa.schema(
    [
        ("id", pa.string()),
        ("snr_db", pa.float32()),  # signal-to-noise ratio in dB
        ("bandwidth_hz", pa.float32()),
        ("clipped_share", pa.float32()),  # of the samples, 0 to 1
        ("speech_share", pa.float32()),  # of the frames, 0 to 1
        ("dnsmos_overall", pa.float32()),  # mean opinion scores, 1 to 5; null without the option `dnsmos`
        ("dnsmos_speech", pa.float32()),
        ("dnsmos_background", pa.float32()),
        ("dnsmos_p808", pa.float32()),
    ]
)
POOLED = pa.schema(
    [
        ("id", pa.string()),  # of an utterance or a clip
        ("mean", pa.list_(pa.float32())),  # over the valid frames
        ("mean_all", pa.list_(pa.float32())),  # over all frames the extractor makes, padding included
        ("n_valid", pa.int32()),
    ]
)
IMAGE_CODES = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.string()),  # URI
        ("width", pa.int32()),  # of the picture as shown
        ("height", pa.int32()),
        ("codes", pa.list_(pa.uint16())),  # row by row from the top left
        ("captions", pa.list_(pa.string())),
        ("split", pa.string()),
        ("licence", pa.string()),
        ("image_sha256", pa.string()),
    ]
)
REJECTS = pa.schema(
    [
        ("id", pa.string()),
        ("stage", pa.string()),
        ("code", pa.string()),
        ("message", pa.string()),
        ("audio", pa.string()),
        ("retry", pa.string()),
    ]
)


LATER = frozenset(score.column for score in SCORES if score.later) | {"border_intervals"}
"""Columns of `words` absent from datasets of earlier versions."""


def check_schema(schema: pa.Schema, declared: pa.Schema, where: str) -> None:
    """Names and types must be the declared ones, in order; columns of `LATER` may be absent.

    Raises:
        SchemaMismatch: naming the place, the column and both types.
    """
    declared = pa.schema([field for field in declared if field.name in schema.names or field.name not in LATER])
    if schema.names != declared.names:
        raise SchemaMismatch(f"{where}: columns {schema.names}, declared are {declared.names}")
    for field in declared:
        if schema.field(field.name).type != field.type:
            raise SchemaMismatch(
                f"{where}: column {field.name!r} is {schema.field(field.name).type}, declared is {field.type}"
            )
