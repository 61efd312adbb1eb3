"""ingest: a corpus in almost any layout -> utterances.

Reads any number of inputs in the forms of `speechprep.pipelines.sources`. Writes `utterances`.

Row: one utterance in the schema UTTERANCES; times in seconds. The driver lists and sorts the entries (`plan`). A shard
then reads each of its audio files once: content hash, header, bounds. Samples are decoded only with `verify_audio`;
without it, the first stage with decoding rejects damage inside a file.

Rejected, one row each:

- unreadable records: `bad_json`, `bad_row`, `text_encoding`, `missing_field`, `bad_field`, `bad_transcript`
- unusable or repeated ids: `bad_id`, `duplicate_id`
- paths outside of the manifest's folder: `path_outside`
- missing, empty or unreadable audio files: `audio_missing`, `audio_empty`, `audio_unreadable` and others
- segments outside of their file: `segment_outside`
- several or absent channels: `bad_channel`
- impossible word times: `bad_words`
- broken archives: `archive_damaged`

Absolute paths and URIs in a manifest are read unchanged, because the user wrote them. Relative paths start from the
manifest's folder, or from `audio_root` and stay below it. Those of a remote manifest lead to its parent at most.

With `format=text` each record is a text without audio; its columns of the audio are null.

A record with a channel is one channel of its segment. It is stored as embedded FLAC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from speechprep.artifacts import storage
from speechprep.artifacts.languages import language_code
from speechprep.artifacts.media import audio
from speechprep.artifacts.media.audio import AudioInfo
from speechprep.artifacts.schemas import UTTERANCES
from speechprep.errors import BadInput
from speechprep.pipelines import sources
from speechprep.pipelines.engine.recovery.time_limit import limited, limited_blocks, result_or_reject
from speechprep.pipelines.engine.stage import ShardPlan, Stage
from speechprep.pipelines.sources import listing
from speechprep.pipelines.sources.config import Config
from speechprep.pipelines.sources.dialect import ArchiveReader, find_dialect
from speechprep.pipelines.sources.entry import Options, Record
from speechprep.pipelines.sources.inventory import Inventory, require_transcripts, sentence, transcript_counts, warning
from speechprep.pipelines.sources.timed.word_times import check_words
from speechprep.pipelines.splits import with_split
from speechprep.pipelines.text_rows import text_row

if TYPE_CHECKING:
    from speechprep.pipelines.engine.context import ShardContext

REMOTE_THREADS = 16  # concurrent requests to object storage; local files are read one by one in each worker
FILES_AHEAD = 256  # files examined together
BYTES_AHEAD = 16  # the same if their bytes are kept
_NO_AUDIO = ("", "")  # place of text without audio
PIECE = 1 << 20  # bytes read and hashed at a time
CLAIM_TOLERANCE = (0.1, 0.05)  # tolerance of a stated duration: seconds, and share of the duration


def plan(config: Config, inputs: list[str], scratch: Path) -> ShardPlan:
    """List all inputs and deal their entries to shards; no audio file is opened.

    Raises:
        ConfigError: no input, an input of an unknown form, or not a single record.
    """
    inventory = Inventory()
    options = Options(
        config.audio_root,
        config.words,
        config.archive_ids,
        {str(name): column for name, column in config.columns.items()},
        inventory,
    )

    def records(uri: str) -> Iterator[Record]:
        corpus = config.corpus or sources.corpus_of(uri)
        stated = {
            "language": language_code(config.language),
            "licence": config.licence,
            "split": config.split,
            "corpus": corpus,
        }
        return listing.with_defaults(sources.read(uri, config.format, options), stated)

    forms = "a folder, manifest, table or archive"
    thing, remedy = "audio and no record", ", or set --set format=text for text without audio"
    if config.format == "text":
        thing, remedy = "text", ", or name the column of the text with --set columns.text=NAME"
    planned = listing.plan(
        inputs, records, config.shards, scratch, forms=forms, thing=thing, remedy=remedy, inventory=inventory
    )
    if config.transcripts == "required":
        require_transcripts(planned.payloads, inventory)
    return planned


@dataclass(frozen=True)
class AudioFile:
    """Header and content hash of an audio file. `data`: its bytes if they are stored, else None."""

    info: AudioInfo
    sha256: str
    data: bytes | None


def examine(source: str | bytes | BadInput, *, keep: bool) -> AudioFile | BadInput:
    """Read a file once: content hash and header."""
    if isinstance(source, BadInput):
        return source
    try:
        if isinstance(source, bytes):
            return AudioFile(audio.probe(source), hashlib.sha256(source).hexdigest(), source)
        with audio.opened(source) as file:
            if keep:
                data = file.read()
                return AudioFile(audio.probe(file), hashlib.sha256(data).hexdigest(), data)
            digest = hashlib.sha256()
            while piece := file.read(PIECE):
                digest.update(piece)
            return AudioFile(audio.probe(file), digest.hexdigest(), None)
    except BadInput as error:
        return error
    except OSError as error:
        return BadInput("audio_unreadable", f"reading failed ({error}): {source!r}")


def to_row(entry: dict[str, Any], file: AudioFile) -> dict[str, Any]:
    """A row of UTTERANCES from an entry and the header of its file.

    Raises:
        BadInput: `segment_outside` or `bad_words`.
    """
    offset, duration = _segment(entry, file.info)
    return {
        **{name: entry[name] for name in UTTERANCES.names if name in entry},
        "audio": entry["audio"] if file.data is None else None,
        "audio_bytes": file.data,
        "offset": offset,
        "duration": duration,
        "sample_rate": file.info.sample_rate,
        "words": check_words(entry["words"], duration),
        "audio_sha256": file.sha256,
    }


def _segment(entry: dict[str, Any], info: AudioInfo) -> tuple[float, float]:
    """(offset, duration) inside the file.

    Corpora such as AMI store cut files beside their start and end in the uncut recording. A segment outside of its file
    is therefore the whole file, if it has the length of the file.

    Raises:
        BadInput: `segment_outside`.
    """
    whole = entry["offset"] is None
    try:
        return audio.clip_segment(info, entry["offset"] or 0.0, None if whole else entry["duration"])
    except BadInput:
        if entry["source_times"] and abs((entry["duration"] or 0.0) - info.duration) <= audio.TOLERANCE:
            return 0.0, info.duration
        raise


def _one_channel(row: dict[str, Any], source: str | bytes, channel: int) -> dict[str, Any]:
    """The row with one channel of its segment as embedded FLAC, so that all later stages decode this channel only."""
    data = audio.encode_channel(source, row["offset"], row["duration"], channel)
    info = audio.probe(data)
    digest = hashlib.sha256(data).hexdigest()
    return row | {
        "audio": None,
        "audio_bytes": data,
        "offset": 0.0,
        "duration": info.duration,
        "audio_sha256": digest,
    }


def run(ctx: ShardContext) -> None:
    """Examine the files of one shard's entries and write its rows."""
    config: Config = ctx.config
    drawn = partial(with_split, seed=ctx.seed, shares=config.splits, by=config.split_by)
    make_row = partial(_row, time_limit=ctx.time_limit, verify=config.verify_audio, drawn=drawn)
    read = partial(examine, keep=config.embed_audio)
    cache: dict[str, AudioFile | BadInput] = {}  # of the previous block, because segments of one file are adjacent
    for archive, entries in groupby(listing.dealt(ctx), key=_place):
        if archive == _NO_AUDIO:
            while block := list(islice(entries, FILES_AHEAD)):
                _write(ctx, block, [drawn(text_row(entry)) for entry in block])
            continue
        with _archive(archive) as reader:
            size = BYTES_AHEAD if archive or config.embed_audio else FILES_AHEAD
            while block := list(islice(entries, 1 if ctx.one_by_one else size)):
                with ctx.guard([entry["id"] for entry in block]):
                    if reader is not None:
                        files = [examine(_member(reader, entry), keep=True) for entry in block]
                    else:
                        files = _files([entry["audio"] for entry in block], cache, read, ctx.time_limit)
                    rows = [make_row(e, f) for e, f in zip(block, files, strict=True)]
                _write(ctx, block, rows)


def _place(entry: dict[str, Any]) -> tuple[str, str] | None:
    if not entry["audio"]:
        return _NO_AUDIO
    return (entry["archive"], entry["audio"]) if entry["archive"] else None


@contextmanager
def _archive(place: tuple[str, str] | None) -> Iterator[ArchiveReader | None]:
    """The open archive, or None where the entries are files."""
    if place is None:
        yield None
        return
    form, uri = place
    archive = find_dialect(form).archive
    if archive is None:
        raise ValueError(f"the dialect {form!r} has no container files")
    with archive(uri) as reader:
        yield reader


def _member(reader: ArchiveReader, entry: dict[str, Any]) -> bytes | BadInput:
    try:
        return reader.read(entry)
    except BadInput as error:
        return error


def _files(
    uris: list[str], cache: dict[str, AudioFile | BadInput], read: Callable[[str], AudioFile | BadInput], seconds: float
) -> list[AudioFile | BadInput]:
    """Results for the files of a block, each file read once; `cache` has those of the previous block."""
    new = [uri for uri in dict.fromkeys(uris) if uri not in cache]
    with ThreadPoolExecutor(1 if all(map(storage.is_local, new)) else REMOTE_THREADS) as pool:
        results = dict(zip(new, pool.map(lambda uri: result_or_reject(partial(read, uri), seconds), new), strict=True))
    block = {uri: results.get(uri) or cache[uri] for uri in dict.fromkeys(uris)}
    cache.clear()
    cache.update(block)
    return [block[uri] for uri in uris]


def _row(
    entry: dict[str, Any],
    file: AudioFile | BadInput,
    *,
    time_limit: float,
    verify: bool,
    drawn: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row,
) -> dict[str, Any] | BadInput:
    if isinstance(file, BadInput):
        return file
    try:
        row, channel = drawn(to_row(entry, file)), entry["channel"]
        seconds = time_limit + row["duration"]
        if channel is not None and (file.info.channels > 1 or channel > 0):
            row = limited(partial(_one_channel, row, file.data or entry["audio"], channel), seconds)
        if verify:
            source = row["audio_bytes"] or row["audio"]
            for _ in limited_blocks(audio.decode_blocks(source, row["offset"], row["duration"]), seconds):
                pass
    except BadInput as error:
        return error
    return row


def _write(ctx: ShardContext, block: list[dict[str, Any]], rows: list[dict[str, Any] | BadInput]) -> None:
    good, wrong = [], 0
    for entry, row in zip(block, rows, strict=True):
        if isinstance(row, BadInput):
            ctx.reject(entry["id"], BadInput(row.code, f"{entry['where']}: {row}"), entry["audio"])
            continue
        good.append(row)
        if entry["duration"] is not None and row["duration"] is not None:
            off = abs(entry["duration"] - row["duration"])
            wrong += off > max(CLAIM_TOLERANCE[0], CLAIM_TOLERANCE[1] * row["duration"])
    columns = [pa.array([row[field.name] for row in good], field.type) for field in UTTERANCES]
    ctx.write(pa.RecordBatch.from_arrays(columns, schema=UTTERANCES))
    ctx.done(
        utterances=len(good),
        seconds=sum(row["duration"] or 0.0 for row in good),
        stated_duration_wrong=wrong,
        with_transcript=sum(row["text"] is not None for row in good),
    )


STAGE = Stage(
    name="ingest",
    version=2,
    reads=(),
    writes="utterances",
    config=Config,
    run=run,
    schema=UTTERANCES,
    plan=plan,
    facts=lambda finished: transcript_counts(finished.shards),
    note=sentence,
    warning=warning,
    help=(
        "Read a corpus and write one row for each utterance.\n\nInputs: folders of audio with transcripts "
        "beside them; JSONL, CSV, TSV and NeMo manifests; releases of LibriSpeech, LJSpeech and Common Voice;"
        " Hugging Face Parquet; WebDataset tar files; lhotse cuts. Duplicate ids and unreadable audio are "
        "rejected with a reason."
    ),
    examples=(
        "speechprep ingest --input corpus --out run/utterances",
        "speechprep ingest --input 'shards/*.tar' --out run/utterances",
    ),
)
