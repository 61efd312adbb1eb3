"""The Common Voice layout: `validated.tsv`, `train.tsv` ... with `client_id`, `path`, `sentence`; audio in `clips/`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from speechprep.artifacts import storage
from speechprep.artifacts.languages import language_code
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources.dialect import Dialect, Folder
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.fields import to_record
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.manifests.table import rows
from speechprep.pipelines.sources.trees import tree

CLIPS = "clips"
_SPLITS = ("train", "dev", "test")
_COLUMNS = {"audio": "path", "text": "sentence", "speaker": "client_id", "language": "locale"}


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of one table, or of a release folder.

    In a folder, `validated.tsv` is read if it is present: it holds all of train, dev and test, and these give the
    split. Else the present ones are read. `invalidated.tsv` and `other.tsv` are read only by name. The id is the
    clip's name.
    """
    if not tree.is_dir(uri):
        split = posixpath.basename(uri).removesuffix(".tsv")
        yield from _table(uri, options, {}, split if split in _SPLITS else None)
        return
    there = [split for split in _SPLITS if f"{split}.tsv" in tree.names_in(uri)]
    if "validated.tsv" in tree.names_in(uri):
        splits = {path: split for split in there for path in _paths(storage.join(uri, f"{split}.tsv"), options)}
        yield from _table(storage.join(uri, "validated.tsv"), options, splits, None)
        return
    if not there:
        raise ConfigError(f"{uri}: none of validated.tsv, train.tsv, dev.tsv, test.tsv; name the table to read")
    for split in there:
        yield from _table(storage.join(uri, f"{split}.tsv"), options, {}, split)


def _language(folder: str) -> str | None:
    """The language of a release as it unpacks: `cv-corpus-17.0-2024-03-15/en`. Older tables have no column `locale`."""
    above, name = posixpath.split(folder)
    return language_code(name) if posixpath.basename(above).startswith("cv-corpus") else None


def _paths(uri: str, options: Options) -> Iterator[str]:
    options.ledger.use(uri, "manifest")
    for _, row in rows(uri, options):
        if not isinstance(row, BadInput) and row.get("path"):
            yield row["path"] or ""


def _table(uri: str, options: Options, splits: dict[str, str], split: str | None) -> Iterator[Record]:
    options.ledger.use(uri, "manifest")
    clips = options.audio_root or storage.join(posixpath.dirname(uri), CLIPS)
    base = Base(
        clips if options.audio_root or tree.is_dir(clips) else posixpath.dirname(uri), clips, "", uri, options.search
    )
    language = _language(posixpath.dirname(uri))
    named = Options(clips, options.words, columns={**_COLUMNS, **options.columns})
    for where, row in rows(uri, Options()):
        if isinstance(row, BadInput):
            yield Rejected(where, row)
            continue
        path = row.get("path")
        row["locale"] = row.get("locale") or language
        row["split"] = splits.get(path or "", split)
        if path:
            row["path"] = path if posixpath.splitext(path)[1] else f"{path}.mp3"  # as in the first releases
            row["id"] = posixpath.splitext(posixpath.basename(path))[0]
        yield to_record(row, base, where, named)


def _is_release(folder: Folder) -> bool:
    return any(f"{name}.tsv" in folder.names for name in ("validated", *_SPLITS)) and folder.has_folder(CLIPS)


DIALECT = Dialect(
    name="commonvoice",
    summary="a release of Common Voice: validated.tsv, train.tsv, ..., audio in clips/",
    read=read,
    file=lambda head: {"client_id", "path", "sentence"} <= head.columns,
    pattern=re.compile(r".+\.tsv", re.IGNORECASE),
    folder=_is_release,
    subtree=True,
)
