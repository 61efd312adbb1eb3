"""Entries from the records of manifests and tables, for any column names of `ALIASES` and the option `columns`."""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from speechprep.artifacts.languages import language_code
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources.entry import (
    ALIASES,
    LISTS,
    MAX_RANK,
    Entry,
    Options,
    Rejected,
    check_id,
    clean_text,
    printable,
)
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.selection import channel_number, number, segment

Fields = dict[str, Any]  # by the names of ALIASES
_SPLITS = ("train", "training", "dev", "valid", "validation", "val", "test", "eval")
_SPLIT_FOLDER = re.compile("(" + "|".join(_SPLITS) + ")([-.].*)?")


def normalise(row: Mapping[str, Any], options: Options) -> Fields:
    """Values of a record by field name, without nulls.

    If several columns give one field, the preferred column counts; captions and labels are gathered from all.
    """
    fields: Fields = {}
    ranks: dict[str, int] = {}
    for key, value in row.items():
        if value is None:
            continue
        for name, rank in options.naming.get(key) or options.naming.get(key.lower()) or []:
            if name in LISTS:
                fields.setdefault(name, []).append((rank, key, value))
            elif rank < ranks.get(name, MAX_RANK):
                fields[name], ranks[name] = value, rank
    return fields


def check_columns(names: list[str], options: Options, where: str) -> None:
    """A table must have a column with audio, and the columns named by the user.

    Raises:
        ConfigError: naming the present columns.
    """
    lacking = [column for column in options.columns.values() if column not in names]
    if lacking or not ("audio" in options.columns or any(alias in names for alias in ALIASES["audio"])):
        missing = f"{lacking}" if lacking else f"for the audio, one of {', '.join(ALIASES['audio'])}"
        raise ConfigError(
            f"{where} has the columns {', '.join(map(repr, names))}; there is none {missing}; "
            "name it with --set columns.audio=NAME"
        )


def to_record(row: Mapping[str, Any], base: Base, where: str, options: Options) -> Entry | Rejected:
    """A manifest record as an entry, or as a reject with the reason."""
    return from_fields(normalise(row, options), base, where, options)


def from_fields(fields: Fields, base: Base, where: str, options: Options) -> Entry | Rejected:
    """An entry, or a reject with the reason, from the values of a record by field name."""
    try:
        path = _path(fields.get("audio"))
        if path is None:
            raise BadInput("missing_field", f"no audio; add one of {', '.join(ALIASES['audio'])}")
        entry = Entry(id="", where=where, audio=base.resolve(path))
        describe(entry, fields, options)
        entry.split = entry.split or split_of(base.manifest)
        id = fields.get("id")
        if id is not None:
            entry.id = check_id(scalar(id, "id"))
        else:
            entry.id = _id_of_path(path, base, entry)
            entry.place = f"{posixpath.splitext(base.manifest)[0]}-{where.rpartition(':')[2]:0>8}"
    except BadInput as error:
        return reject(fields, error, where)
    return entry


def split_of(uri: str) -> str | None:
    """The split in the name of a file ("train-00000-of-00001.parquet", "dev_manifest.json") or of its folder."""
    *folders, name = uri.rpartition("://")[2].split("/")
    parts = {part for part in re.split(r"[-_.]", name.lower()) if part in _SPLITS}
    if len(parts) == 1:
        return parts.pop()
    folder = folders[-1] if folders else ""
    return folder if _SPLIT_FOLDER.fullmatch(folder) else None


def reject(fields: Fields, error: BadInput, where: str) -> Rejected:
    """A reject with the id of the record if it is usable, else with its place."""
    id, path = fields.get("id"), fields.get("audio")
    has_id = isinstance(id, str | int) and error.code != "bad_id"
    return Rejected(
        printable(str(id)) if has_id else where,
        BadInput(error.code, f"{where}: {error}"),
        printable(path) if isinstance(path, str) else None,
        claims=has_id,
    )


def _id_of_path(path: str, base: Base, entry: Entry) -> str:
    id = base.id_of(path)
    # Segments of one file: NeMo manifests have no ids.
    segment = f"@{round(entry.offset * 1000):08d}" if entry.offset else ""
    channel = f"#{entry.channel}" if entry.channel is not None else ""
    return check_id(f"{id}{segment}{channel}")


def _path(value: Any) -> str | None:
    """The path in a record; of an exported Hugging Face audio struct, its field `path`."""
    if isinstance(value, Mapping):
        value = value.get("path")
    if value is not None and not isinstance(value, str):
        raise BadInput("bad_field", f"audio = {printable(repr(value), 60)} is not a path; write it as a string")
    return value or None


def describe(entry: Entry, fields: Fields, options: Options) -> None:
    """Fill in all fields but the id and the audio.

    Raises:
        BadInput: `bad_field`, `bad_words` or `text_encoding`.
    """
    entry.channel = channel_number(fields.get("channel"))
    _select(entry, fields)
    entry.text = _text(fields, "text") or None  # an empty transcript is no transcript, as in a table
    entry.speaker = _text(fields, "speaker")
    entry.language = language_code(_text(fields, "language"))
    entry.split = _text(fields, "split")
    entry.licence = _text(fields, "licence")
    entry.corpus = _text(fields, "corpus")
    entry.captions = _texts(fields, "captions")
    entry.labels = _texts(fields, "labels")
    if options.words == "use":
        entry.words = _words(fields.get("words"))


def _select(entry: Entry, fields: Fields) -> None:
    """Offset and duration of the segment; without one, the stated duration of the file.

    Raises:
        BadInput: `bad_field`.
    """
    stated = segment(fields)
    if stated is None and fields.get("offset") is not None:
        stated = number(fields["offset"], "offset"), number(fields.get("duration"), "duration")
    elif stated is not None:
        entry.source_times = True
    offset, duration = stated or (None, None)
    if offset is None:
        entry.duration = _stated_duration(fields.get("duration"))
        return
    if offset < 0:
        raise BadInput("bad_field", f"offset = {offset:g}; it is seconds from the start of the file, 0 or more")
    if duration is not None and duration <= 0:
        raise BadInput("bad_field", f"duration = {duration:g}; a segment needs more than 0 seconds; correct it")
    entry.offset, entry.duration = offset, duration


def _stated_duration(value: Any) -> float | None:
    """The stated duration of a whole file in seconds; None if unusable, because the file's header has the true one."""
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:
        return None


def _text(fields: Fields, name: str) -> str | None:
    value = fields.get(name)
    return None if value is None else clean_text(scalar(value, name), name)


def scalar(value: Any, name: str) -> str:
    """A string, or a number as one."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise BadInput("bad_field", f"{name} = {printable(repr(value), 60)} is not a string; correct it")


def _texts(fields: Fields, name: str) -> list[str] | None:
    """All distinct values of a list field, in the order of its names."""
    if name not in fields:
        return None
    values: dict[str, None] = {}
    for _, key, value in sorted(fields[name], key=lambda f: f[:2]):
        value = _unpack(value)
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is not None and item != "":
                values[clean_text(scalar(item, key), key)] = None
    return list(values) or None


def _unpack(value: Any) -> Any:
    """A list from a JSON cell of a table."""
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _words(value: Any) -> list[dict[str, Any]] | None:
    """Word times of the corpus; `ingest` compares them with the length of the audio later."""
    value = _unpack(value)
    if value is None or value == []:
        return None
    try:
        return [
            {
                "text": clean_text(scalar(next(word[key] for key in ("w", "word", "text") if key in word), "word")),
                "start": float(word["start"]),
                "end": float(word["end"]),
            }
            for word in value
        ]
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError, StopIteration) as error:
        if isinstance(error, BadInput) and error.code == "text_encoding":
            raise
        raise BadInput(
            "bad_words",
            "words must be a list of {w, start, end}, times in seconds; correct them, or ignore them "
            "with --set words=ignore",
        ) from None
