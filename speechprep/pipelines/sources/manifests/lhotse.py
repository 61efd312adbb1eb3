"""lhotse cut manifests: one MonoCut a line becomes one utterance, its supervisions the transcript and word times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import Options, Record, Rejected, check_id, printable
from speechprep.pipelines.sources.fields import reject, to_record
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.manifests.jsonl import objects
from speechprep.pipelines.sources.selection import number


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of a cut manifest. Relative audio paths start from the manifest's folder (or `audio_root`)."""
    base = Base.of(uri, options.audio_root)
    for where, cut in objects(uri):
        if isinstance(cut, BadInput):
            yield Rejected(where, cut)
            continue
        try:
            row = _row(cut)
        except BadInput as error:
            yield reject({"id": cut.get("id")}, error, where)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            fault = BadInput("bad_cut", f"not a lhotse cut: {type(error).__name__} {error}; correct the line")
            yield reject({"id": cut.get("id")}, fault, where)
        else:
            yield to_record(row, base, where, Options(options.audio_root, options.words))


def _row(cut: dict[str, Any]) -> dict[str, Any]:
    if cut.get("type", "MonoCut") != "MonoCut":
        raise BadInput("bad_cut", f"a {cut['type']}; only MonoCut is read, so save the audio of mixes first")
    custom = cut.get("custom") or {}
    source, channel = _source(cut["recording"], cut.get("channel", 0))
    supervisions = sorted(cut.get("supervisions") or [], key=lambda s: (s["start"], s["id"]))
    texts = [s["text"] for s in supervisions if s.get("text")]
    aligned = [item for s in supervisions for item in (s.get("alignment") or {}).get("word", [])]
    return {
        "id": check_id(cut["id"]),
        "audio": source,
        "channel": channel,
        "offset": number(cut["start"], "start"),
        "duration": number(cut["duration"], "duration"),
        "text": " ".join(texts) if texts else None,
        "speaker": _only(supervisions, "speaker"),
        "language": _only(supervisions, "language"),
        "split": custom.get("split"),
        "corpus": custom.get("corpus"),
        "words": [_word(item) for item in aligned if _symbol(item)] or None,
    }


def _source(recording: dict[str, Any], channel: Any) -> tuple[str, int | None]:
    """The file with a channel of the recording, and the position of the channel in it; None for a mono file."""
    if recording.get("transforms"):
        raise BadInput("bad_cut", "the recording has transforms; save the transformed audio first")
    if not isinstance(channel, int) or isinstance(channel, bool):
        raise BadInput("bad_cut", f"channel = {printable(repr(channel), 60)}; only cuts of one channel are read")
    sources = recording["sources"]
    source = next((s for s in sources if channel in s.get("channels", [0])), None)
    if source is None:
        raise BadInput("bad_cut", f"the recording has no channel {channel}; correct the cut")
    if source["type"] not in ("file", "url"):
        raise BadInput("bad_cut", f"audio from a {source['type']!r} source; only file and url are read")
    channels = source.get("channels", [0])
    return str(source["source"]), channels.index(channel) if len(channels) > 1 else None


def _only(supervisions: list[dict[str, Any]], name: str) -> str | None:
    """The common value of all supervisions."""
    values = {s.get(name) for s in supervisions}
    return values.pop() if len(values) == 1 else None


def _symbol(item: Any) -> str:
    return str(item["symbol"] if isinstance(item, dict) else item[0])


def _word(item: Any) -> dict[str, Any]:
    """A word; alignments are [symbol, start, duration, score], in time of the cut. Silence has no symbol."""
    start, duration = (item["start"], item["duration"]) if isinstance(item, dict) else (item[1], item[2])
    return {"w": _symbol(item), "start": start, "end": start + duration}


_CUTS = re.compile(r".*cuts.*\.jsonl(\.gz)?$")


def _is_cuts(head: FileHead) -> bool:
    first = head.data.split(b"\n", 1)[0]
    return b'"start"' in first and (b'"supervisions"' in first or b'"recording"' in first)


DIALECT = Dialect(
    name="lhotse",
    summary="lhotse cut manifests: one MonoCut a line",
    read=read,
    rank=40,
    file=_is_cuts,
    pattern=_CUTS,
    top=lambda names, uri: any(_CUTS.match(name) for name in names),
)
