"""Inventory of the input files: the files read, and the files not read, by kind and reason.

The listing reports each file that it uses. Afterwards the input folders are walked, and each unused file is counted.
Memory holds 8 bytes for each used file, and at most `MAX_NAMES` names.
"""

from __future__ import annotations

import bisect
import hashlib
import posixpath
import re
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from speechprep.artifacts import storage
from speechprep.artifacts.manifest import Shard
from speechprep.errors import ConfigError
from speechprep.pipelines.sources.entry import printable
from speechprep.pipelines.sources.files import Omitted, walk
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.audio_names import is_audio

MAX_NAMES = 100  # names of unused transcripts that are kept; the smallest in order of code points
TRANSCRIPT = "transcript"
UNDERSTOOD = ("no_audio_of_this_name", "another_transcript_read")  # reasons of transcripts in a form that is read

_DOCUMENTATION = re.compile(
    r"(readme|licen[cs]e|copying|changelog|changes|notice|citation|authors|requirements|about)\b.*"
    r"|_export\.json|.*\.(md|rst|pdf|html?|docx?|bib|css|js|py|sh)",
    re.IGNORECASE,
)
_TRANSCRIPT = re.compile(
    r".*\.(txt|text|lab|normalized\.txt|trn|trans|transcript|transcription|srt|vtt|sbv|ass|ssa|lrc|ttml|textgrid|ctm|stm|eaf|cha|rttm|wrd|phn|tg"
    r"|json|jsonl|csv|tsv|ndjson|arrow|parquet|xml|yaml|yml|scp|mlf|lst|trs|sub|words|dfxp|smi|sami|xlsx?|ods|feather"
    r"|sqlite3?|db)(\.(gz|bz2|xz))?"
    r"|text|segments|utt2spk|wav\.scp|.*transcript(ion)?s?([-_. ].*)?",
    re.IGNORECASE,
)
# Forms that are read beside audio of the same name, or for audio of the same name elsewhere.
_BESIDE_AUDIO = re.compile(
    r".*\.(txt|lab|text|trn|trans|transcript|transcription|json|textgrid|eaf|srt|vtt|ass|ssa|ctm|stm|wrd|phn)",
    re.IGNORECASE | re.DOTALL,
)
_ARCHIVE = re.compile(r".*\.(tar|tgz|tbz2?|txz|zip|7z|rar|gz|bz2|xz|zst)", re.IGNORECASE)
_IMAGE = re.compile(r".*\.(jpe?g|png|gif|bmp|webp|tiff?|svg)", re.IGNORECASE)


def kind_of(name: str) -> str:
    """Kind of a file by its name: audio, documentation, transcript, archive, image or other."""
    if is_audio(name):
        return "audio"
    for kind, pattern in (
        ("documentation", _DOCUMENTATION),
        (TRANSCRIPT, _TRANSCRIPT),
        ("archive", _ARCHIVE),
        ("image", _IMAGE),
    ):
        if pattern.fullmatch(name):
            return kind
    return "other"


@dataclass
class Inventory:
    """The files of the inputs of one listing.

    Attributes:
        read: kind -> files or members of archives that were read.
        unread: (kind, reason) -> files or members that were not read.
        unused_transcripts: names of the first unused transcripts, sorted.
        not_understood: number of transcripts in a form that is not read.
    """

    read: Counter[str] = field(default_factory=Counter)
    unread: Counter[tuple[str, str]] = field(default_factory=Counter)
    unused_transcripts: list[str] = field(default_factory=list)
    not_understood: int = 0
    _used: dict[str, array[int]] = field(default_factory=dict)
    _archives: dict[str, None] = field(default_factory=dict)

    def use(self, uri: str, kind: str) -> None:
        """A file that is read; it may be reported several times."""
        kind = f"{kind} in an archive" if tree.split(uri) is not None else kind
        self._used.setdefault(kind, array("Q")).append(_digest(uri))

    def archive(self, uri: str) -> None:
        """An archive that is read; each of its members is counted."""
        self._archives[uri] = None

    def leave(self, name: str, kind: str, reason: str) -> None:
        """A file or member that is not read."""
        self.unread[kind, reason] += 1
        if kind != TRANSCRIPT:
            return
        self.not_understood += reason not in UNDERSTOOD
        bisect.insort(self.unused_transcripts, printable(name))
        del self.unused_transcripts[MAX_NAMES:]

    def finish(self, inputs: list[str]) -> None:
        """Count the used files, and walk the input folders for the others."""
        used = {kind: np.unique(np.frombuffer(digests, np.uint64)) for kind, digests in self._used.items()}
        self._used = {}
        everything = np.unique(np.concatenate([*used.values(), np.zeros(0, np.uint64)]))
        for kind, digests in used.items():
            self.read[kind] += len(digests)
        for uri in dict.fromkeys(uri.rstrip("/") for uri in inputs):
            if storage.exists(uri) and storage.is_dir(uri):
                self._walk(uri, everything)
        for uri in self._archives:
            self._walk(tree.root_of_archive(uri), everything, f"{posixpath.basename(uri)}:")

    def _walk(self, root: str, used: NDArray[np.uint64], prefix: str = "") -> None:
        def omitted(item: Omitted) -> None:
            self.leave(prefix + item.path, item.kind, item.reason)

        for folder, names in walk(root, omitted):
            uris = [storage.join(root, folder, name) if folder else storage.join(root, name) for name in names]
            digests = np.fromiter(map(_digest, uris), np.uint64, len(uris))
            keys: set[str] | None = None
            for name, is_used in zip(names, np.isin(digests, used).tolist(), strict=True):
                if is_used:
                    continue
                kind = kind_of(name)
                if kind == TRANSCRIPT:
                    keys = keys if keys is not None else {n.split(".")[0] for n in names if is_audio(n)}
                self.leave(prefix + posixpath.join(folder, name), kind, _reason(kind, name, keys or set()))

    def facts(self) -> dict[str, Any]:
        """The counts for the manifest, as JSON values."""
        unread: dict[str, dict[str, int]] = {}
        for (kind, reason), count in sorted(self.unread.items()):
            unread.setdefault(kind, {})[reason] = count
        transcripts = sum(count for (kind, _), count in self.unread.items() if kind == TRANSCRIPT)
        return {
            "files": {
                "seen": sum(self.read.values()) + sum(self.unread.values()),
                "read": dict(sorted(self.read.items())),
                "not_read": unread,
            },
            "unused_transcripts": {"count": transcripts, "names": self.unused_transcripts},
        }


def _digest(uri: str) -> int:
    data = uri.removeprefix("file://").encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _reason(kind: str, name: str, audio_keys: set[str]) -> str:
    """Reason of a file without a use."""
    if kind == "audio":
        return "not_in_the_manifest"
    if kind != TRANSCRIPT:
        return "no_input"
    if _BESIDE_AUDIO.fullmatch(name):
        return "another_transcript_read" if name.split(".")[0] in audio_keys else "no_audio_of_this_name"
    return "form_not_read"


def transcript_counts(shards: Iterable[Shard]) -> dict[str, int]:
    """Rows with and without a transcript, from the counters of the shards of `ingest`."""
    rows = with_transcript = 0
    for shard in shards:
        rows += shard.rows
        with_transcript += int(shard.counters.get("with_transcript", 0))
    return {"with_transcript": with_transcript, "without_transcript": rows - with_transcript}


def require_transcripts(payloads: Iterable[Path], inventory: Inventory) -> None:
    """The check of the option `transcripts=required`.

    Args:
        payloads: the listings of the shards.
        inventory: the files of the inputs.

    Raises:
        ConfigError: a record without a transcript, or a transcript in an unknown form.
    """
    missing = total = 0
    for payload in payloads:
        texts = pq.read_table(payload, columns=["text"]).column("text")
        missing += texts.null_count
        total += len(texts)
    if not missing and not inventory.not_understood:
        return
    unused = inventory.facts()["unused_transcripts"]
    names = f"; not used: {names_of(unused)}" if unused["count"] else ""
    raise ConfigError(
        f"transcripts=required: {missing:,} of {total:,} records have no transcript{names}; "
        "add the transcripts, convert them to a form that is read, or set transcripts=optional"
    )


def sentence(facts: dict[str, Any]) -> str:
    """The counts of a manifest in words: files read and not read, rows with and without a transcript."""
    files = facts.get("files")
    if not files:
        return ""
    read = ", ".join(f"{count:,} {kind}" for kind, count in files["read"].items()) or "none"
    unread = ", ".join(
        f"{count:,} {kind} ({reason.replace('_', ' ')})"
        for kind, reasons in files["not_read"].items()
        for reason, count in reasons.items()
    )
    parts = [f"files: {files['seen']:,} seen, read: {read}, not read: {unread or 'none'}"]
    with_text, without = facts.get("with_transcript"), facts.get("without_transcript")
    if with_text is not None and without is not None:
        parts.append(f"rows: {with_text:,} with a transcript, {without:,} without")
    return "; ".join(parts)


def warning(facts: dict[str, Any]) -> str:
    """Warning for transcripts that were not used while rows lack a transcript; empty without a cause."""
    unused = facts.get("unused_transcripts") or {}
    if not unused.get("count") or not facts.get("without_transcript"):
        return ""
    total = facts["with_transcript"] + facts["without_transcript"]
    return (
        f"{facts['without_transcript']:,} of {total:,} rows have no transcript, and {unused['count']:,} "
        f"transcript-like "
        f"{'file was' if unused['count'] == 1 else 'files were'} not used: {names_of(unused)}; "
        "set --set format= to their form, or stop here with --set transcripts=required"
    )


def names_of(unused: dict[str, Any], limit: int = 5) -> str:
    """The first names of unused transcripts, and the number of the others."""
    shown = unused["names"][:limit]
    others = unused["count"] - len(shown)
    return ", ".join(shown) + (f" and {others:,} more" if others else "")
