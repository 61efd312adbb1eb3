"""Manifests of fairseq: a line with the root folder, then `path <tab> samples`; labels in files of the same name."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from itertools import zip_longest

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.fields import to_record
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.lines import read_all_lines
from speechprep.pipelines.sources.trees import tree

_LABELS = ("wrd", "txt", "ltr")  # words, text, letters with "|" between words


def read(uri: str, options: Options) -> Iterator[Record]:
    """One entry for each line below the root; its text is the line of the same number in `.wrd`, `.txt` or `.ltr`."""
    name = posixpath.basename(uri)
    rows = read_all_lines(uri)
    first = next(rows, None)
    root = "" if first is None or isinstance(first, BadInput) else first[1].strip()
    base = _base(uri, root, options)
    labels, form = _labels(uri)
    if labels is not None:
        options.ledger.use(labels, "transcript")
    texts = iter(read_all_lines(labels)) if labels is not None else iter(())
    for row, text in zip_longest(rows, texts):
        if row is None:
            reason = f"{posixpath.basename(labels or '')} has more lines than {name}; make both again"
            yield Rejected(name, BadInput("bad_row", reason))
            return
        if isinstance(row, BadInput):
            yield Rejected(name, row)
            return
        number, line = row
        if not line.strip() and (text is None or isinstance(text, BadInput) or not text[1].strip()):
            continue
        where = f"{name}:{number}"
        path, _, samples = line.partition("\t")
        record: dict[str, object] = {"audio": path, "num_samples": samples.strip() or None}
        if labels is not None:
            if text is None or isinstance(text, BadInput):
                reason = f"{where}: {posixpath.basename(labels)} has no line for it; make both again"
                yield Rejected(where, BadInput("bad_row", reason))
                continue
            record["text"] = _words(text[1]) if form == "ltr" else text[1]
        yield to_record(record, base, where, options)


def _base(uri: str, root: str, options: Options) -> Base:
    """Start of the audio paths: the root in the file if it is there, else the folder of the manifest."""
    folder = posixpath.dirname(uri)
    if options.audio_root is not None:
        return Base.of(uri, options.audio_root)
    inside = tree.split(uri) is not None
    if root and not inside and (root.startswith("/") or "://" in root) and tree.is_dir(root):
        return Base(root.rstrip("/"), None, posixpath.dirname(root.rstrip("/")), uri, options.search)
    near = storage.join(folder, root.strip("/")) if root and not root.startswith("/") and ".." not in root else folder
    base = Base.of(uri, None, options.search)
    return Base(near if tree.is_dir(near) else folder, base.limit, base.parent, uri, options.search)


def _labels(uri: str) -> tuple[str | None, str]:
    stem = posixpath.splitext(uri)[0]
    for form in _LABELS:
        if tree.is_file(f"{stem}.{form}"):
            return f"{stem}.{form}", form
    return None, ""


def _words(letters: str) -> str:
    """`H E L L O | W O R L D |` as words."""
    return " ".join("".join(word.split()) for word in letters.split("|")).strip()


def _is_fairseq(head: FileHead) -> bool:
    lines = head.lines
    return (
        len(lines) > 1
        and "\t" not in lines[0]
        and "," not in lines[0]
        and all(re.fullmatch(r"[^\t]+\t\d+\s*", line) for line in lines[1:])
    )


DIALECT = Dialect(
    name="fairseq",
    summary="a manifest of fairseq: the root folder, then path and samples; labels in .wrd, .txt or .ltr",
    read=read,
    file=_is_fairseq,
    pattern=re.compile(r".+\.tsv", re.IGNORECASE),
)
