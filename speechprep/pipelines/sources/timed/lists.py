"""A timed transcript that the user names: CTM and STM of any number of recordings, and the forms of one recording."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.folder import recording
from speechprep.pipelines.sources.timed.companions import Companions
from speechprep.pipelines.sources.timed.sidecars import MAX_TIMED, is_timed_form, read_text
from speechprep.pipelines.sources.trees.search import Search


def read(uri: str, options: Options) -> Iterator[Record]:
    """The utterances of the recordings in a timed transcript; the audio is found by its name in the same folder, or in
    any folder of the input."""
    folder = posixpath.dirname(uri)
    companions = Companions(options.search or Search(folder))
    try:
        companions.add(uri, lambda place: read_text(place, MAX_TIMED))
    except BadInput as error:
        name = posixpath.basename(uri)
        yield Rejected(name, BadInput(error.code, f"{name}: {error}"))
        return
    for name in [*companions.by_stem, *companions.recordings]:
        found = companions.search.by_stem(name, folder)
        if not found:
            reason = f"{posixpath.basename(uri)}: no audio file {name}.* in {companions.search.root}; add the audio"
            yield Rejected(name, BadInput("audio_missing", reason), claims=True)
        for audio in found:
            id = posixpath.splitext(audio.removeprefix(companions.search.root).lstrip("/"))[0]
            if companions.by_stem:
                yield from recording(id, audio, {uri.lower().rpartition(".")[2]: uri}, options)
            else:
                yield from recording(id, audio, {}, options, companions)


DIALECT = Dialect(
    name="timed",
    summary="a timed transcript: CTM, STM, TextGrid, EAF, SRT, VTT; found beside the audio in folders",
    read=read,
    file=lambda head: head.named and is_timed_form(head.name),
    pattern=re.compile(r".+\.(ctm|stm|textgrid|eaf|srt|vtt|ass|ssa)", re.IGNORECASE),
)
