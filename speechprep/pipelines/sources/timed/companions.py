"""Transcripts in other folders than their audio, and transcripts of several recordings in one file.

A file belongs to the audio file with the same name. Lists have a line for each recording: `ID TEXT` as in `text` of
Kaldi and `transcripts.txt` of MLS, `TEXT (ID)` as in NIST's `.trn`, and `( ID "TEXT" )` as in Festival.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from speechprep.errors import BadInput
from speechprep.pipelines.sources.entry import Rejected, printable
from speechprep.pipelines.sources.lines import read_all_lines
from speechprep.pipelines.sources.timed import columns
from speechprep.pipelines.sources.timed.transcript import Timed
from speechprep.pipelines.sources.trees.audio_names import is_audio
from speechprep.pipelines.sources.trees.search import Search

READERS: dict[str, Callable[[str], dict[str, Timed]]] = {"stm": columns.stm, "ctm": columns.ctm}
TEXT_ENDINGS = ("normalized.txt", "lab", "txt", "text", "trn", "trans", "transcript", "transcription", "sentence")
_LIST_NAMES = re.compile(
    r".*\.(txt|text|trn|trans|data|lst|tsv|csv)|text|(.*[-_.])?(transcripts?|transcriptions?|prompts)([-_.].*)?",
    re.IGNORECASE | re.DOTALL,
)
_FESTIVAL = re.compile(r'\(\s*(\S+)\s+"(.*)"\s*\)')
_TRN = re.compile(r"(.*?)\s*\((\S+)\)")
_SIGN = 20  # lines that must name audio files


@dataclass
class Companions:
    """Transcripts by the name of their recording.

    Attributes:
        search: search of the audio files of the input.
        by_stem: name without ending -> URIs of the files about one recording.
        recordings: name of a recording -> its timed transcript and the URIs of the files.
        texts: name of a recording -> (URI of the list, its id there, text).
    """

    search: Search
    by_stem: dict[str, list[str]] = field(default_factory=dict)
    recordings: dict[str, tuple[Timed, list[str]]] = field(default_factory=dict)
    texts: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
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
        if not self.search.by_stem(stem) and _LIST_NAMES.fullmatch(name):
            for id, text in self._listed(uri):
                key = _stem_of(id)
                self.texts.setdefault(key, []).append((uri, id, text))
        else:
            self.by_stem.setdefault(stem, []).append(uri)

    def _listed(self, uri: str) -> Iterator[tuple[str, str]]:
        """(id, text) of each line of a list; nothing from other texts."""
        rows: list[tuple[str, str]] = []
        for number, line in enumerate(self._lines(uri)):
            row = self._split(line)
            if number < _SIGN and (row is None or not self.search.by_stem(_stem_of(row[0]))):
                return
            if row is not None:
                rows.append(row)
        yield from rows

    @staticmethod
    def _lines(uri: str) -> Iterator[str]:
        for row in read_all_lines(uri):
            if isinstance(row, BadInput):
                return
            if row[1].strip():
                yield row[1].strip()

    def _split(self, line: str) -> tuple[str, str] | None:
        if match := _FESTIVAL.fullmatch(line):
            return match[1], match[2].replace('\\"', '"')
        if (match := _TRN.fullmatch(line)) and self.search.by_stem(_stem_of(match[2])):
            return match[2], match[1]
        for mark in ("\t", "|", None):
            id, *rest = line.split(mark, 1)
            if rest and self.search.by_stem(_stem_of(id.strip())):
                return id.strip(), rest[0].strip()
        id, *rest = line.split(None, 1)
        return (id, rest[0] if rest else "") if id else None

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

    def text_of(self, audio: str) -> tuple[str, str] | None:
        """(text, URI of the list) of an audio file; of several lists, that in the nearest folder."""
        path, name = posixpath.split(audio)
        stem = posixpath.splitext(name)[0]
        lines = self.texts.get(stem)
        if not lines:
            return None
        audios = self.search.by_stem(stem)
        whole = posixpath.join(path, stem)
        fitting = [
            line for line in lines if "/" in line[1] and whole.endswith("/" + _without_suffix(line[1]).lstrip("./"))
        ]
        if not fitting:
            most = max(_shared(line[0], audio) for line in lines)
            fitting = [line for line in lines if _shared(line[0], audio) == most]
            others = [a for a in audios if posixpath.dirname(a) != path and _shared(fitting[0][0], a) >= most]
            if others:
                return None
        uri, _, text = min(fitting)
        self._used.add(stem)
        return text, uri

    def without_audio(self) -> Iterator[Rejected]:
        """A reject for each recording in a list or timed transcript without an audio file."""
        for stem, (_, uris) in self.recordings.items():
            if stem not in self._used and not self.search.by_stem(stem):
                yield _missing(stem, uris[0])
        for stem, lines in self.texts.items():
            if stem not in self._used and not self.search.by_stem(stem):
                yield _missing(lines[0][1], lines[0][0])


def is_list_name(name: str) -> bool:
    """True for names of files that may be a list of transcripts."""
    return _LIST_NAMES.fullmatch(name) is not None


def _missing(id: str, uri: str) -> Rejected:
    name = posixpath.basename(uri)
    return Rejected(
        printable(id), BadInput("audio_missing", f"{printable(name)}: no audio file {printable(id)}.*; add it")
    )


def _without_suffix(path: str) -> str:
    return posixpath.splitext(path)[0] if is_audio(path) else path


def _tail(id: str) -> str:
    """The path in an id, without suffix and dots in front."""
    return _without_suffix(id).lstrip("./")


def _stem_of(id: str) -> str:
    return posixpath.basename(_without_suffix(id))


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
