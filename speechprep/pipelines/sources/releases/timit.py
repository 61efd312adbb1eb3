"""The TIMIT layout: `SA1.WAV` with `SA1.TXT`, and words in `SA1.WRD`, in folders of speakers and dialect regions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, Folder
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected, check_id, clean_text, printable
from speechprep.pipelines.sources.timed import columns
from speechprep.pipelines.sources.timed.sidecars import read_text
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.audio_names import is_audio


def read(uri: str, options: Options) -> Iterator[Record]:
    """One entry for each utterance of a speaker's folder; times in samples at 16 kHz become seconds.

    The copies `SA1.WAV.wav` beside `SA1.WAV` are left out.
    """
    names = tree.names_in(uri)
    there = {name.upper(): name for name in names}
    for name in names:
        stem = posixpath.splitext(name)[0]
        if is_audio(name) and not (is_audio(stem) and stem.upper() in there):
            stem = posixpath.splitext(stem)[0] if is_audio(stem) else stem
            yield _record(uri, name, stem, there, options)


def _record(folder: str, name: str, stem: str, there: dict[str, str], options: Options) -> Record:
    audio = storage.join(folder, name)
    root = options.search.root if options.search is not None else folder
    id = posixpath.join(folder.removeprefix(root).strip("/"), stem)
    parts = folder.split("/")
    try:
        text = _beside(folder, there.get(f"{stem}.TXT".upper()), options)
        words = _beside(folder, there.get(f"{stem}.WRD".upper()), options)
        timed = columns.timit_words(words) if words is not None and options.words == "use" else []
        said = (
            clean_text(columns.timit_text(text))
            if text is not None
            else clean_text(" ".join(word[0] for word in timed))
        )
        return Entry(
            id=check_id(id),
            where=printable(audio),
            audio=audio,
            text=said or None,
            words=[{"text": clean_text(word), "start": start, "end": end} for word, start, end in timed] or None,
            speaker=parts[-1].rpartition("-")[2] or None,
            split=next((p.lower() for p in reversed(parts) if p.lower() in ("train", "test")), None),
            language="en",
            place=audio,
        )
    except BadInput as error:
        has_id = error.code != "bad_id"
        reason = BadInput(error.code, f"{printable(audio)}: {error}")
        return Rejected(printable(id), reason, printable(audio), claims=has_id)


def _beside(folder: str, name: str | None, options: Options) -> str | None:
    if name is None:
        return None
    text = read_text(storage.join(folder, name))
    options.ledger.use(storage.join(folder, name), "transcript")
    return text


def _is_timit(folder: Folder) -> bool:
    return any(
        name.upper().endswith((".WRD", ".PHN")) and name.split(".")[0] in folder.audio_keys for name in folder.names
    )


DIALECT = Dialect(
    name="timit",
    summary="a release of TIMIT: folders of speakers with .WAV, .TXT, .WRD and .PHN",
    read=read,
    folder=_is_timit,
)
