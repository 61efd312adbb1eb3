"""Options of ingest."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from speechprep.pipelines.engine.stage import StageConfig
from speechprep.pipelines.sources.dialect import dialects
from speechprep.pipelines.splits import Shares

FieldName = Literal[
    "id",
    "audio",
    "offset",
    "duration",
    "start",
    "end",
    "channel",
    "text",
    "speaker",
    "language",
    "split",
    "licence",
    "corpus",
    "words",
    "captions",
    "labels",
]


class Config(StageConfig):
    """Options of ingest."""

    ADDED_LATER: ClassVar[frozenset[str]] = frozenset({"transcripts", "splits", "split_by"})

    format: str = Field(
        "auto",
        description="form of the input; auto: recognised by its content. Folders: folder, librispeech, ljspeech, "
        "commonvoice, vctk, timit, kaldi, shar. Files: jsonl, table, filelist, parquet, arrow, tar, zip, nemo_tarred, "
        "lhotse, fairseq, timed. Text without audio: text, never recognised by itself. Installed packages add others",
    )
    shards: int | None = Field(
        None, ge=1, description="number of output shards; default: up to 16, then one for 512 utterances"
    )
    audio_root: str | None = Field(
        None,
        description="base folder of relative audio paths; records with a path outside of it are rejected; "
        "default: the folder of the manifest",
    )
    words: Literal["use", "ignore"] = Field("use", description="use or ignore the word times of the corpus")
    transcripts: Literal["optional", "required"] = Field(
        "optional",
        description="required: stop before the first stage with recognition if a record has no transcript, or if a "
        "transcript in an unknown form is not read",
    )
    columns: dict[FieldName, str] = Field({}, description="names of your columns by field, e.g. columns.text=utterance")
    archive_ids: bool = Field(
        default=False,
        description="prefix the ids of tar and Parquet inputs with the name of the archive; needed if "
        "archives repeat ids",
    )
    language: str | None = Field(None, description="language code for records without a language")
    splits: Shares | None = Field(
        None, description="shares of the splits that rows without a split are drawn for, e.g. {train: 0.9, test: 0.1}"
    )
    split_by: Literal["recording", "speaker"] = Field(
        "recording",
        description="draw the split of a recording, or of a speaker (and of the recording of rows without a speaker)",
    )
    licence: str | None = Field(None, description="licence for records without a licence")
    split: str | None = Field(None, description="split for records without a split")
    corpus: str | None = Field(
        None, description="corpus for records without a corpus; default: the name of the input folder"
    )
    embed_audio: bool = Field(
        default=False, description="store the encoded audio files in the shards; audio of archives is always stored"
    )
    verify_audio: bool = Field(
        default=False, description="decode every utterance and reject damaged audio; takes longer"
    )

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str) -> str:
        if name != "auto" and name not in dialects():
            raise ValueError(f"choose auto or one of: {', '.join(sorted(dialects()))}")
        return name
