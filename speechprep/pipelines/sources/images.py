"""Inputs of the stage `images`: folders and globs of images, tables, JSON Lines, and the caption files of COCO.

folder, glob    captions from a .txt of the same name, one a line; the id is the path without its suffix
jsonl, table    columns image (file_name, path, ...), caption or captions, id, split, licence
coco            {"images": [...], "annotations": [...]} of COCO's captions_*.json, or {"images": [{"sentences": ...}]}
                of Karpathy's dataset_coco.json; the id is COCO's

Several lines with one image path and without an id are one image with several captions.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError, first_line
from speechprep.pipelines.sources import files, lines
from speechprep.pipelines.sources.entry import ALIASES, Entry, Options, Record, Rejected, check_id, printable, storable
from speechprep.pipelines.sources.fields import Fields, describe, normalise, reject, scalar
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.manifests import jsonl, table
from speechprep.pipelines.sources.trees import tree

FORMATS = ("folder", "jsonl", "table", "coco")
IMAGE = ("image", "image_path", "image_file", "img", "img_path", "file_name", "filename", "filepath", "file", "path")
SUFFIXES = re.compile(r".*\.(jpg|jpeg|jpe|jfif|png|webp|gif|bmp|tif|tiff|ppm|pgm|jp2|avif)", re.IGNORECASE)
CAPTIONS = ".txt"
MAX_CAPTIONS = 1 << 20  # bytes of a caption file beside an image
MAX_JSON = 1 << 31  # bytes of a COCO file; COCO 2014 has 70 MB


class ImageOptions(Options):
    """Options for the input; the field `audio` of an entry is the image here."""

    @cached_property
    def naming(self) -> dict[str, list[tuple[str, int]]]:
        """Column -> fields, as in `Options`, for images."""
        aliases = {"id": ("id", "image_id", "key"), "audio": IMAGE}
        aliases |= {"captions": ("captions", "caption", "text", "title", "sentence", "sentences")}
        aliases |= {name: ALIASES[name] for name in ("split", "licence")}
        fields_of: dict[str, list[tuple[str, int]]] = {}
        for name, default_columns in aliases.items():
            column_option = self.columns.get("image" if name == "audio" else name)
            for rank, column in enumerate((column_option,) if column_option else default_columns):
                fields_of.setdefault(column, []).append((name, rank))
        return fields_of


def read(uri: str, format: str, options: ImageOptions) -> Iterator[Record]:
    """Entries and rejects of one input.

    Raises:
        ConfigError: absent input, or input of an unknown form.
    """
    if not storable(uri):
        raise ConfigError(f"the path {printable(uri)!r} is not valid Unicode; rename it")
    if storage.exists(uri):
        yield from _of_folder(uri, format, options) if storage.is_dir(uri) else _of_file(uri, format, options)
        return
    matches = files.expand(uri) if any(mark in uri for mark in "*?[") else []
    if not matches:
        raise ConfigError(f"no such input: {uri}; correct the path")
    root = files.root_of(uri)
    for match in matches:
        if SUFFIXES.fullmatch(match):
            yield _beside(root, match, storage.exists)
        elif not match.endswith(CAPTIONS):
            yield from _of_file(match, format, options)


def _of_folder(root: str, format: str, options: ImageOptions) -> Iterator[Record]:
    """Entries of the manifest in a folder; without a manifest, of its images."""
    if format in ("auto", "jsonl", "table"):
        manifests = [n for n in tree.names_in(root) if n in ("metadata.jsonl", "metadata.csv", "manifest.jsonl")]
        if manifests:
            yield from _of_file(storage.join(root, manifests[0]), format, options)
            return
    for folder, names in files.walk(root):
        place = storage.join(root, folder) if folder else root
        there = {storage.join(place, name) for name in names}
        for name in names:
            if SUFFIXES.fullmatch(name):
                yield _beside(root, storage.join(place, name), there.__contains__)


def _of_file(uri: str, format: str, options: ImageOptions) -> Iterator[Record]:
    form = _form(uri) if format == "auto" else format
    base = Base.of(uri, options.audio_root)
    if form == "folder":
        yield _beside(posixpath.dirname(uri), uri, storage.exists)
    elif form == "coco":
        yield from _coco(uri, base, options)
    else:
        rows = jsonl.objects(uri) if form == "jsonl" else _table(uri, options)
        yield from _merged(_rows(rows, base, options))


def _form(uri: str) -> str:
    """The form of a file, by its name and its first bytes."""
    if SUFFIXES.fullmatch(uri):
        return "folder"
    head = lines.head(uri).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"{"):
        try:  # COCO's files are one line of many megabytes, Karpathy's too
            first = json.loads(head.split(b"\n", 1)[0])
        except (ValueError, RecursionError):
            return "jsonl" if uri.endswith((".jsonl", ".jsonl.gz")) else "coco"
        return "coco" if first.keys() & {"images", "annotations"} else "jsonl"
    if uri.endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz")):
        return "table"
    raise ConfigError(f"{uri} is no image, manifest or caption file; --set format= one of {', '.join(FORMATS)}")


def _beside(root: str, uri: str, there: Any) -> Record:
    """An image file, with the captions in the text file of its name."""
    where = printable(uri)
    try:
        stem = posixpath.splitext(uri)[0]
        id = check_id(stem.removeprefix(root).strip("/"))
        captions = _captions(stem + CAPTIONS) if there(stem + CAPTIONS) else None
        return Entry(id=id, where=where, audio=uri, captions=captions)
    except BadInput as error:
        return Rejected(where, error, where)


def _captions(uri: str) -> list[str] | None:
    try:
        with lines.open_regular(uri) as file:
            data = file.read(MAX_CAPTIONS + 1)
    except OSError as error:
        reason = error.strerror or error
        raise BadInput("bad_captions", f"{printable(uri)} cannot be read ({reason}); repair or remove it") from None
    if len(data) > MAX_CAPTIONS:
        raise BadInput(
            "bad_captions", f"{uri} is larger than {MAX_CAPTIONS >> 20} MiB, the limit of captions; shorten it"
        )
    try:
        captions = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadInput("text_encoding", f"{uri} is not UTF-8; save it as UTF-8") from None
    entry = Entry(id="", where="", audio="")
    describe(entry, {"captions": [(0, "captions", captions)]}, ImageOptions())
    return entry.captions


def _table(uri: str, options: ImageOptions) -> Iterator[table.Row]:
    name = posixpath.basename(uri)
    cells = table.cells(uri)
    _, header = next(cells, (name, BadInput("bad_row", "no header")))
    if isinstance(header, BadInput):
        raise ConfigError(f"{uri} is not a table with a header line: {header}")
    columns = [column.strip().lower() for column in header]
    if not any(field == "audio" for column in columns for field, _ in options.naming.get(column, ())):
        raise ConfigError(
            f"{name} has the columns {', '.join(map(repr, columns))}; there is none for the image, "
            f"one of {', '.join(IMAGE)} (--set columns.image=NAME)"
        )
    yield from table.by_column(columns, cells)


def _rows(
    rows: Iterable[tuple[str, Mapping[str, Any] | BadInput]], base: Base, options: ImageOptions
) -> Iterator[tuple[Record, bool]]:
    """(record, whether its id is its path)."""
    for where, row in rows:
        if isinstance(row, BadInput):
            yield Rejected(where, row), False
        else:
            fields = normalise(row, options)
            yield to_record(fields, base, where, options), "id" not in fields


def to_record(fields: Fields, base: Base, where: str, options: ImageOptions) -> Record:
    """The entry of a manifest record, from its values by field name."""
    try:
        path = fields.get("audio")
        if not isinstance(path, str) or not path:
            raise BadInput("missing_field", f"no path of an image; add one of {', '.join(IMAGE)}")
        entry = Entry(id="", where=where, audio=base.resolve(path))
        describe(entry, fields, options)
        id = fields.get("id")
        entry.id = check_id(scalar(id, "id") if id is not None else base.id_of(path))
    except BadInput as error:
        return reject(fields, error, where)
    return entry


def _merged(records: Iterable[tuple[Record, bool]]) -> Iterator[Record]:
    """Captions of records with one image path, gathered in their order."""
    images: dict[str, Entry] = {}
    for record, by_path in records:
        if isinstance(record, Rejected) or not by_path:
            yield record
        elif record.id in images:
            image = images[record.id]
            image.captions = list(dict.fromkeys([*(image.captions or []), *(record.captions or [])])) or None
        else:
            images[record.id] = record
    yield from images.values()


def _coco(uri: str, base: Base, options: ImageOptions) -> Iterator[Record]:
    """Entries of a COCO caption file, in the form of COCO or of Karpathy."""
    name = posixpath.basename(uri)
    body = _json(uri)
    captions_of: dict[Any, list[Any]] = {}
    for note in body.get("annotations", []):
        if isinstance(note, dict) and isinstance(note.get("image_id"), int | str):
            captions_of.setdefault(note["image_id"], []).append(note.get("caption"))
    for number, image in enumerate(body["images"]):
        where = f"{name}: image {number + 1}"
        if not isinstance(image, dict):
            yield Rejected(where, BadInput("bad_json", f"{where} is not an object; correct the file"))
            continue
        id = image.get("cocoid", image.get("id", image.get("imgid")))
        path = image.get("file_name") or image.get("filename")
        folder = image.get("filepath")
        captions = [s.get("raw") if isinstance(s, dict) else s for s in image.get("sentences") or []]
        captions += captions_of.get(id, []) if isinstance(id, int | str) else []
        fields: Fields = {"id": id, "split": image.get("split"), "captions": [(0, "captions", captions)]}
        fields["audio"] = posixpath.join(folder, path) if isinstance(folder, str) and isinstance(path, str) else path
        yield to_record({key: value for key, value in fields.items() if value is not None}, base, where, options)


def _json(uri: str) -> dict[str, Any]:
    with lines.open_plain(uri) as file:
        try:
            body = json.loads(file.read(MAX_JSON))
        except (ValueError, RecursionError, OSError, EOFError) as error:
            raise ConfigError(f"{uri} is not a caption file of COCO: {first_line(error)[:160]}") from None
    if not isinstance(body, dict) or not isinstance(body.get("images"), list):
        raise ConfigError(f"{uri} is not a caption file of COCO: it has no list of images; set another format")
    if not isinstance(body.get("annotations", []), list):
        raise ConfigError(f"{uri} is not a caption file of COCO: its annotations are not a list; set another format")
    return body
