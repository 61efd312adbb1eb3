"""Transcripts in other folders than their audio, and transcripts of several recordings in one file.

A file belongs to the audio file with the same name, or is a list of transcripts (`text_lists`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from speechprep.errors import BadInput
from speechprep.pipelines.sources.entry import Rejected, printable
from speechprep.pipelines.sources.lines import read_all_lines
from speechprep.pipelines.sources.timed import columns, text_lists
from speechprep.pipelines.sources.timed.text_lists import Listed
from speechprep.pipelines.sources.timed.transcript import Timed
from speechprep.pipelines.sources.trees.search import Search

READERS: dict[str, Callable[[str], dict[str, Timed]]] = {"stm": columns.stm, "ctm": columns.ctm}
TEXT_ENDINGS = ("normalized.txt", "lab", "txt", "text", "trn", "trans", "transcript", "transcription", "sentence")


@dataclass
class Companions:
    """Transcripts by the name of their recording.

    Attributes:
        search: search of the audio files of the input.
        by_stem: name without ending -> URIs of the files about one recording.
        recordings: name of a recording -> its timed transcript and the URIs of the files.
        texts: name of a recording -> (URI of the list, its row there).
    """

    search: Search
    by_stem: dict[str, list[str]] = field(default_factory=dict)
    recordings: dict[str, tuple[Timed, list[str]]] = field(default_factory=dict)
    texts: dict[str, list[tuple[str, Listed]]] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.by_stem or self.recordings or self.texts)

    def add(self, uri: str, read: Callable[[str], str]) -> None:
        """Add a file.

        Args:
            uri: URI of the file.
            read: function from a URI to its text.

        Raises:
            BadInput: `bad_transcript` for a file about several recordings.
        """
        name = posixpath.basename(uri)
        form = name.lower().rpartition(".")[2]
        if form in READERS:
            for recording, timed in READERS[form](read(uri)).items():
                if recording in self.recordings:
                    self.recordings[recording][0].add(timed)
                    self.recordings[recording][1].append(uri)
                else:
                    self.recordings[recording] = timed, [uri]
            return
        ending = next((end for end in TEXT_ENDINGS if name.lower().endswith("." + end)), form)
        stem = name[: -len(ending) - 1] if "." in name else name
        if not self.search.by_stem(stem) and text_lists.is_list_name(name):
            for row in text_lists.read(name, self._lines(uri), self._is_recording):
                self.texts.setdefault(text_lists.stem_of(row.id), []).append((uri, row))
        else:
            self.by_stem.setdefault(stem, []).append(uri)

    def _is_recording(self, id: str) -> bool:
        return bool(self.search.by_stem(text_lists.stem_of(id)))

    @staticmethod
    def _lines(uri: str) -> Iterator[str]:
        for row in read_all_lines(uri):
            if isinstance(row, BadInput):
                return
            if row[1].strip():
                yield row[1].strip()

    def of(self, audio: str) -> dict[str, str]:
        """Ending -> URI of the files about an audio file. Equal names need an equal folder as well."""
        stem = posixpath.splitext(posixpath.basename(audio))[0]
        if stem not in self.by_stem:
            return {}
        found: dict[str, str] = {}
        endings: dict[str, list[str]] = {}
        for uri in self.by_stem[stem]:
            endings.setdefault(posixpath.basename(uri)[len(stem) + 1 :].lower(), []).append(uri)
        audios = self.search.by_stem(stem)
        alone = len({posixpath.dirname(uri) for uri in audios}) == 1
        for ending, uris in endings.items():
            if alone and len(uris) == 1:
                found[ending] = uris[0]
            elif (best := _nearest(audio, uris)) is not None:
                back = _nearest(best, audios)
                if back is not None and posixpath.dirname(back) == posixpath.dirname(audio):
                    found[ending] = best
        return found

    def timed_of(self, audio: str) -> tuple[Timed, list[str]] | None:
        """The timed transcript of an audio file in a file about several recordings."""
        stem = posixpath.splitext(posixpath.basename(audio))[0]
        if stem not in self.recordings or len(self.search.by_stem(stem)) > 1:
            return None
        self._used.add(stem)
        return self.recordings[stem]

    def text_of(self, audio: str) -> tuple[Listed, str] | None:
        """(row, URI of the list) of an audio file.

        Of several lists with a text, those count whose name says most clearly that they hold transcripts, and among
        them those in the nearest folder.

        Raises:
            BadInput: `texts_differ`: two such lists with different texts.
        """
        path, name = posixpath.split(audio)
        stem = posixpath.splitext(name)[0]
        lines = self.texts.get(stem)
        if not lines:
            return None
        lines = [line for line in lines if line[1].text] or lines
        first = min(text_lists.rank(posixpath.basename(uri)) for uri, _ in lines)
        lines = [line for line in lines if text_lists.rank(posixpath.basename(line[0])) == first]
        audios = self.search.by_stem(stem)
        whole = posixpath.join(path, stem)
        fitting = [line for line in lines if "/" in line[1].id and whole.endswith("/" + _without_dots(line[1].id))]
        if not fitting:
            most = max(_shared(line[0], audio) for line in lines)
            fitting = [line for line in lines if _shared(line[0], audio) == most]
            others = [a for a in audios if posixpath.dirname(a) != path and _shared(fitting[0][0], a) >= most]
            if others:
                return None
        fitting.sort(key=lambda line: (line[0], line[1].text))
        uri, row = fitting[0]
        other = next((line for line in fitting if line[1].text.split() != row.text.split()), None)
        if other is not None:
            raise BadInput(
                "texts_differ",
                f"{printable(uri)} and {printable(other[0])} have different texts of {printable(stem)}; keep one file",
            )
        self._used.add(stem)
        return row, uri

    def without_audio(self) -> Iterator[Rejected]:
        """A reject for each recording in a list or timed transcript without an audio file."""
        for stem, (_, uris) in self.recordings.items():
            if stem not in self._used and not self.search.by_stem(stem):
                yield _missing(stem, uris[0])
        for stem, lines in self.texts.items():
            if stem not in self._used and not self.search.by_stem(stem):
                yield _missing(lines[0][1].id, lines[0][0])


def _missing(id: str, uri: str) -> Rejected:
    name = posixpath.basename(uri)
    return Rejected(
        printable(id), BadInput("audio_missing", f"{printable(name)}: no audio file {printable(id)}.*; add it")
    )


def _without_dots(id: str) -> str:
    """The path in an id, without suffix and dots in front."""
    return text_lists.without_suffix(id).lstrip("./")


def _shared(a: str, b: str) -> int:
    """Number of folders that two URIs have in common, from the start."""
    count = 0
    for x, y in zip(a.split("/")[:-1], b.split("/")[:-1], strict=False):
        if x != y:
            break
        count += 1
    return count


def _nearest(uri: str, others: Iterable[str]) -> str | None:
    """The one file with the most folders in common, counted from the end; None without one, or with several."""
    parts = uri.split("/")[-2::-1]
    ranked: list[tuple[int, str]] = []
    for other in others:
        shared = 0
        for a, b in zip(parts, other.split("/")[-2::-1], strict=False):
            if a != b:
                break
            shared += 1
        ranked.append((shared, other))
    ranked.sort(reverse=True)
    if not ranked or ranked[0][0] == 0 or (len(ranked) > 1 and ranked[1][0] == ranked[0][0]):
        return None
    return ranked[0][1]
