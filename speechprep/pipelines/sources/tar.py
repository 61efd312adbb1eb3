"""Tar files of samples (WebDataset): members with the same name except for the suffix are one utterance.

Nothing is unpacked to disk: an entry has the byte offset of its audio in the archive.
"""

from __future__ import annotations

import json
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import IO, Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected, check_id, clean_text, printable
from speechprep.pipelines.sources.fields import describe, normalise
from speechprep.pipelines.sources.files import is_audio
from speechprep.pipelines.sources.folder import MAX_TRANSCRIPT, TRANSCRIPTS
from speechprep.pipelines.sources.inventory import TRANSCRIPT, kind_of
from speechprep.pipelines.sources.lines import decoded, open_plain

_CHUNK = 1 << 20
_BLOCK = 512
_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error)


def read(uri: str, options: Options) -> Iterator[Record]:
    """One entry for each audio member; `.txt`, `.lab` and `.json` members of the same name describe it."""
    archive = posixpath.basename(uri)
    audio: list[tuple[str, int, int]] = []  # name, first byte, bytes
    beside: dict[str, bytes] = {}
    damage = None
    with open_plain(uri) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    yield from _sort(tar, member, audio, beside, archive, options)
                damage = _leftover(file, tar.offset)
        except _DAMAGE as error:
            damage = str(error)
    used: set[str] = set()
    options.ledger.use_member("audio", len(audio))
    for position, (name, start, size) in enumerate(audio):
        place = Entry("", f"{archive}:{printable(name)}", uri, archive="tar", member=name, start=start, size=size)
        place.order = f"{uri}\0{position:09d}"
        yield _record(place, name, beside, options, used)
    _account(archive, beside, used, options)
    if damage is not None:
        message = f"{uri} breaks off after {len(audio)} audio members: {damage}"
        yield Rejected(archive, BadInput("archive_damaged", message))


def _sort(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    audio: list[tuple[str, int, int]],
    beside: dict[str, bytes],
    archive: str,
    options: Options,
) -> Iterator[Rejected]:
    name = member.name.removeprefix("./")
    if member.isdir():
        return
    if posixpath.basename(name).startswith("."):
        options.ledger.leave(f"{archive}:{name}", "hidden", "hidden")
        return
    if is_audio(name):
        if member.isreg() and not member.issparse():
            audio.append((name, member.offset_data, member.size))
        else:
            where = f"{archive}:{printable(name)}"
            yield Rejected(
                where, BadInput("bad_member", f"{where} is a link, device or sparse file; store the audio itself")
            )
    elif member.isreg() and member.size <= MAX_TRANSCRIPT and name.endswith((*TRANSCRIPTS, ".json")):
        content = tar.extractfile(member)
        beside[name] = content.read() if content else b""
    else:
        kind = kind_of(posixpath.basename(name))
        reason = "larger_than_1_MiB" if member.size > MAX_TRANSCRIPT else "form_not_read"
        options.ledger.leave(f"{archive}:{name}", kind, reason)


def _account(archive: str, beside: dict[str, bytes], used: set[str], options: Options) -> None:
    """Report the members beside the audio, used and unused."""
    if used:
        options.ledger.use_member("transcript", len(used))
    for name in sorted(beside.keys() - used):
        kind = kind_of(posixpath.basename(name))
        options.ledger.leave(f"{archive}:{name}", kind, "no_audio_of_this_name" if kind == TRANSCRIPT else "no_input")


def _leftover(file: IO[bytes], end: int) -> str | None:
    """Reason of an early end; None for a complete archive. `tarfile` ends silently at a damaged header."""
    file.seek(end)
    return "a damaged header" if file.read(_BLOCK).strip(b"\0") else None


def _record(entry: Entry, name: str, beside: dict[str, bytes], options: Options, used: set[str]) -> Record:
    id = posixpath.splitext(name)[0]
    archive = posixpath.basename(entry.audio).split(".")[0]
    entry.id = f"{archive}/{id}" if options.archive_ids else id
    entry.place = f"{posixpath.dirname(entry.audio)}/{archive}/{name}"
    try:
        check_id(id)
        check_id(entry.id)
        describe(entry, normalise(_described(name, beside, used), options), options)
    except BadInput as error:
        has_id = error.code != "bad_id"
        return Rejected(
            entry.id if has_id else entry.where, BadInput(error.code, f"{entry.where}: {error}"), claims=has_id
        )
    return entry


def _described(name: str, beside: dict[str, bytes], used: set[str]) -> dict[str, Any]:
    """Facts from the members beside an audio member; a sample's key ends at the first dot of its base name.

    The names of the members with the facts are added to `used`.
    """
    stem = posixpath.splitext(name)[0]
    folder, base = posixpath.split(name)
    stems = dict.fromkeys((stem, posixpath.join(folder, base.split(".")[0])))
    fields: dict[str, Any] = {}
    described = next((s + ".json" for s in stems if s + ".json" in beside), None)
    if described is not None:
        used.add(described)
        try:
            fields = json.loads(beside[described])
        except (ValueError, RecursionError) as error:
            raise BadInput("bad_json", f"its .json is not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise BadInput("bad_json", f"its .json is not an object but {type(fields).__name__}")
    text = next((s + suffix for s in stems for suffix in TRANSCRIPTS if s + suffix in beside), None)
    if text is not None:
        used.add(text)
        fields["text"] = clean_text(decoded(beside[text]))
    return fields


class TarReader(AbstractContextManager["TarReader"]):
    """Reader of archive members; fastest from front to back, because a compressed archive has no random access."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._opened = open_plain(uri)
        self._file = self._opened.__enter__()

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(None, None, None)

    def read(self, entry: dict[str, Any]) -> bytes:
        """The bytes of an entry of this archive.

        Raises:
            BadInput: `archive_damaged`.
        """
        start, size = entry["start"], entry["size"]
        try:
            self._file.seek(start)
            data = b"".join(_chunks(self._file, size))
        except _DAMAGE as error:
            raise BadInput("archive_damaged", f"{self._uri} cannot be read at byte {start}: {error}") from None
        if len(data) < size:
            raise BadInput("archive_damaged", f"{self._uri} breaks off: {len(data)} of {size} bytes are there")
        return data


def _chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    """At most `size` bytes; a false size costs no memory."""
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        size -= len(chunk)
        yield chunk


_SUFFIX = re.compile(r".+\.(tar|tar\.gz|tgz)$")

DIALECT = Dialect(
    name="tar",
    summary="a tar file of samples (WebDataset)",
    read=read,
    rank=20,
    file=lambda head: head.data[257:262] == b"ustar" or _SUFFIX.match(head.name) is not None,
    pattern=_SUFFIX,
    below=lambda names: any(_SUFFIX.match(name) for name in names),
    archive=TarReader,
)
