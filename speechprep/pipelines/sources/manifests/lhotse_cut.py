"""Rows of utterances from the objects of lhotse: cuts, recordings and supervisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources.entry import check_id, printable
from speechprep.pipelines.sources.selection import number

Row = dict[str, Any] | BadInput
_COVERS = 0.02  # seconds between the ends of a cut and of a supervision that covers it
_RANGE = 64  # channels of one utterance


@dataclass(frozen=True)
class Sources:
    """The audio files of a recording: (path, its channels) of each."""

    files: tuple[tuple[str, tuple[int, ...]], ...]
    duration: float | None = None

    @property
    def channels(self) -> list[int]:
        """All channels, ascending."""
        return sorted(channel for _, channels in self.files for channel in channels)

    def select(self, wanted: list[int]) -> list[tuple[str, int | None, str]]:
        """(path, position of the channel in the file, mark for the id) of each utterance with these channels.

        All channels of one file are their mean, as position None. Other sets of channels are an utterance for each.

        Raises:
            BadInput: `bad_cut` for a channel that the recording has not.
        """
        for path, channels in self.files:
            if sorted(wanted) == sorted(channels):
                return [(path, None, "")]
        several = len(wanted) > 1
        return [(*self._one(channel), f"#{channel}" if several else "") for channel in wanted]

    def _one(self, channel: int) -> tuple[str, int | None]:
        for path, channels in self.files:
            if channel in channels:
                return path, channels.index(channel) if len(channels) > 1 else None
        raise BadInput("bad_cut", f"the recording has no channel {channel}; correct the cut")


def sources_of(recording: dict[str, Any]) -> Sources:
    """The audio files of a recording.

    Raises:
        BadInput: `bad_cut` for transforms, and for audio that is not in files.
    """
    if recording.get("transforms"):
        raise BadInput("bad_cut", "the recording has transforms; save the transformed audio first")
    files = [
        (str(source["source"]), tuple(int(channel) for channel in source.get("channels") or [0]))
        for source in recording["sources"]
        if source["type"] in ("file", "url")
    ]
    if not files:
        kinds = ", ".join(sorted({printable(repr(source["type"]), 40) for source in recording["sources"]}))
        raise BadInput("bad_cut", f"audio from a {kinds} source; only file and url are read; store the audio as files")
    duration = recording.get("duration")
    return Sources(tuple(files), float(duration) if isinstance(duration, int | float) else None)


def of_recording(recording: dict[str, Any]) -> list[Row]:
    """One utterance for a whole recording; one for each file if there are several."""
    sources = sources_of(recording)
    id = check_id(recording["id"])
    several = len(sources.files) > 1
    return [
        {"id": f"{id}#{channels[0]}" if several else id, "audio": path, "duration": sources.duration}
        for path, channels in sources.files
    ]


def of_supervision(item: dict[str, Any], sources: Sources, *, shift: float = 0.0, id: str | None = None) -> list[Row]:
    """The utterances of a supervision: one, or one for each of its channels in several files.

    Args:
        item: the supervision.
        sources: the audio of its recording.
        shift: seconds between the start of the recording and the zero of its times.
        id: id of the utterance; None: that of the supervision.
    """
    start, duration = number(item["start"], "start"), number(item["duration"], "duration")
    if start is None or duration is None:
        raise BadInput("bad_field", "a supervision needs a start and a duration in seconds; correct it")
    offset = start + shift
    if -0.01 < offset < 0:
        offset = 0.0
    if offset < 0:
        reason = f"the supervision starts {-offset:g} s before its audio; cut its text, or use trim_to_supervisions"
        raise BadInput("bad_cut", reason)
    custom = item.get("custom") or {}
    facts = {
        "offset": offset,
        "duration": duration,
        "text": item.get("text"),
        "speaker": item.get("speaker"),
        "language": item.get("language"),
        **{name: custom.get(name) for name in ("split", "corpus", "licence")},
        "words": _words(item, start),
    }
    id = check_id(item["id"] if id is None else id)
    return [
        {"id": f"{id}{mark}", "audio": path, "channel": channel, **facts}
        for path, channel, mark in sources.select(_channels(item.get("channel", 0)))
    ]


def of_cut(cut: dict[str, Any]) -> list[Row]:
    """The utterances of a cut: one for each supervision.

    Raises:
        BadInput: `bad_cut`.
    """
    cut = _unpadded(cut)
    kind = cut.get("type", "MonoCut")
    if kind not in ("MonoCut", "Cut", "MultiCut"):
        raise BadInput("bad_cut", f"a {kind}; only MonoCut and MultiCut are read, so save the audio of mixes first")
    if "recording" not in cut:
        raise BadInput("bad_cut", "the cut has no recording; add it, or give the manifest of the recordings")
    sources = sources_of(cut["recording"])
    if kind != "MultiCut" and not _is_channel(cut.get("channel", 0)):
        raise BadInput("bad_cut", f"channel = {printable(repr(cut['channel']), 60)}; a MonoCut has one channel")
    start, duration = number(cut["start"], "start"), number(cut["duration"], "duration")
    if start is None or duration is None:
        raise BadInput("bad_field", "a cut needs a start and a duration in seconds; correct it")
    id = check_id(cut["id"])
    supervisions = sorted(cut.get("supervisions") or [], key=lambda s: (s["start"], str(s["id"])))
    custom = cut.get("custom") or {}
    common = {name: custom.get(name) for name in ("split", "corpus", "licence")}
    if not supervisions:
        bounds = {"offset": start, "duration": duration, **common}
        return [
            {"id": f"{id}{mark}", "audio": path, "channel": channel, **bounds}
            for path, channel, mark in sources.select(_channels(cut.get("channel", 0)))
        ]
    rows: list[Row] = []
    for item in supervisions:
        item = item if kind == "MultiCut" else {**item, "channel": cut.get("channel", 0)}
        alone = len(supervisions) == 1
        try:
            found = of_supervision(item, sources, shift=start, id=id if alone else _id(id, item))
        except BadInput as error:
            if alone:
                raise
            rows.append(error)
            continue
        for row in found:
            if isinstance(row, dict):
                row |= {name: value for name, value in common.items() if row.get(name) is None}
                if alone and abs(row["offset"] - start) < _COVERS and abs(row["duration"] - duration) < _COVERS:
                    row |= {"offset": start, "duration": duration}
        rows += found
    return rows


def _id(cut: str, supervision: dict[str, Any]) -> str:
    """The id of one of several supervisions of a cut."""
    own = str(supervision["id"])
    return own if own.startswith(cut) else f"{cut}-{own}"


def _unpadded(cut: dict[str, Any]) -> dict[str, Any]:
    """The one cut in a mix with padding alone."""
    tracks = cut.get("tracks")
    if not isinstance(tracks, list):
        return cut
    heard = [track for track in tracks if track["cut"].get("type") != "PaddingCut" and "recording" in track["cut"]]
    padding = [track for track in tracks if track["cut"].get("type") == "PaddingCut"]
    if len(heard) == 1 and len(padding) == len(tracks) - 1:
        return {**heard[0]["cut"], "id": cut["id"]}
    raise BadInput("bad_cut", f"a mix of {len(tracks)} tracks; save the audio of mixes first, with CutSet.save_audios")


def _is_channel(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _channels(value: Any) -> list[int]:
    channels = value if isinstance(value, list) else [value]
    if not channels or len(channels) > _RANGE or not all(_is_channel(c) for c in channels):
        raise BadInput("bad_cut", f"channel = {printable(repr(value), 60)}; it is a number or a list of numbers")
    return channels


def _words(item: dict[str, Any], start: float) -> list[dict[str, Any]] | None:
    """Words from the start of the supervision. Silence has no symbol."""
    words = [_word(word, start) for word in (item.get("alignment") or {}).get("word", []) if _symbol(word)]
    return words or None


def _symbol(item: Any) -> str:
    return str(item["symbol"] if isinstance(item, dict) else item[0])


def _word(item: Any, origin: float) -> dict[str, Any]:
    """A word; alignments are [symbol, start, duration, score], in the time of the supervision's start."""
    start, duration = (item["start"], item["duration"]) if isinstance(item, dict) else (item[1], item[2])
    first = start - origin
    first = 0.0 if -0.01 < first < 0 else first
    return {"w": _symbol(item), "start": first, "end": first + duration}
