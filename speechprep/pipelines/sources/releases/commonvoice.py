"""The Common Voice layout: `validated.tsv`, `train.tsv` ... with `client_id`, `path`, `sentence`; audio in `clips/`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.fields import to_record
from speechprep.pipelines.sources.files import Base, names_in
from speechprep.pipelines.sources.manifests.table import rows

CLIPS = "clips"
_SPLITS = ("train", "dev", "test")
_COLUMNS = {"audio": "path", "text": "sentence", "speaker": "client_id", "language": "locale"}


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of one table, or of a release folder.

    In a folder, `validated.tsv` is read if it is present: it holds all of train, dev and test, and these give the
    split. Else the present ones are read. `invalidated.tsv` and `other.tsv` are read only by name. The id is the
    clip's name.
    """
    if not storage.is_dir(uri):
        split = posixpath.basename(uri).removesuffix(".tsv")
        yield from _table(uri, options, {}, split if split in _SPLITS else None)
        return
    there = [split for split in _SPLITS if f"{split}.tsv" in names_in(uri)]
    if "validated.tsv" in names_in(uri):
        splits = {path: split for split in there for path in _paths(storage.join(uri, f"{split}.tsv"), options)}
        yield from _table(storage.join(uri, "validated.tsv"), options, splits, None)
        return
    if not there:
        raise ConfigError(f"{uri}: none of validated.tsv, train.tsv, dev.tsv, test.tsv; name the table to read")
    for split in there:
        yield from _table(storage.join(uri, f"{split}.tsv"), options, {}, split)


def _paths(uri: str, options: Options) -> Iterator[str]:
    options.ledger.use(uri, "manifest")
    for _, row in rows(uri, options):
        if not isinstance(row, BadInput) and row.get("path"):
            yield row["path"] or ""


def _table(uri: str, options: Options, splits: dict[str, str], split: str | None) -> Iterator[Record]:
    options.ledger.use(uri, "manifest")
    clips = options.audio_root or storage.join(posixpath.dirname(uri), CLIPS)
    base = Base(clips, clips)
    named = Options(clips, options.words, columns={**_COLUMNS, **options.columns})
    for where, row in rows(uri, Options()):
        if isinstance(row, BadInput):
            yield Rejected(where, row)
            continue
        path = row.get("path")
        row["split"] = splits.get(path or "", split)
        if path:
            row["path"] = path if posixpath.splitext(path)[1] else f"{path}.mp3"  # as in the first releases
            row["id"] = posixpath.splitext(posixpath.basename(path))[0]
        yield to_record(row, base, where, named)


DIALECT = Dialect(
    name="commonvoice",
    summary="a release of Common Voice: validated.tsv, train.tsv, ..., audio in clips/",
    read=read,
    rank=35,
    whole_folder=True,
    file=lambda head: {"client_id", "path", "sentence"} <= head.columns,
    top=lambda names, uri: any(name.endswith(".tsv") for name in names) and storage.is_dir(storage.join(uri, CLIPS)),
)
