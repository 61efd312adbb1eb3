"""Files about one recording: its transcript, timed or plain, and facts such as the speaker.

The ending of the name says what a file holds: `a.TextGrid`, `a.txt`, `a.speaker.txt` and `a.json` describe `a.wav`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable
from typing import Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources.entry import Entry, Options, clean_text, printable
from speechprep.pipelines.sources.fields import describe, normalise
from speechprep.pipelines.sources.lines import decoded, open_regular
from speechprep.pipelines.sources.selection import channel_number
from speechprep.pipelines.sources.timed import columns, elan, praat, subtitles, whisper
from speechprep.pipelines.sources.timed.companions import READERS as MANY
from speechprep.pipelines.sources.timed.companions import TEXT_ENDINGS, Companions
from speechprep.pipelines.sources.timed.transcript import Timed

MAX_TRANSCRIPT = 1 << 20  # bytes of a plain transcript
MAX_TIMED = 64 << 20  # bytes of a timed transcript

# Ending -> reader of the text of the file. Of several forms the first counts: it holds more, or is more exact.
READERS: dict[str, Callable[[str, str], Timed]] = {
    "textgrid": praat.read,
    "eaf": elan.read,
    "vtt": subtitles.read,
    "srt": subtitles.read,
    "ass": subtitles.read,
    "ssa": subtitles.read,
}
_RANK = ("textgrid", "eaf", "stm", "ctm", "json", "vtt", "srt", "ass", "ssa", "tsv")
_FACTS = {
    "cls": "label",
    "speaker": "speaker",
    "spk": "spk",
    "language": "language",
    "lang": "lang",
    "caption": "caption",
}
_FORM = re.compile(
    r".*\.(" + "|".join([*_RANK, *(end.rpartition(".")[2] for end in TEXT_ENDINGS), *_FACTS]) + ")",
    re.IGNORECASE | re.DOTALL,
)


def is_sidecar_form(name: str) -> bool:
    """True for the names of files that may describe one recording."""
    return _FORM.fullmatch(name) is not None


def is_timed_form(name: str) -> bool:
    """True for the names of timed transcripts; of JSON and tables only the content says it."""
    return name.lower().rpartition(".")[2] in (*READERS, *MANY)


def described(
    entry: Entry, sidecars: dict[str, str], companions: Companions | None, options: Options
) -> tuple[Timed | None, str]:
    """Fill in the facts of a recording from the files about it.

    Args:
        entry: the recording, changed in place.
        sidecars: ending -> URI of each file beside it.
        companions: files in other folders.
        options: options of the stage.

    Returns:
        The timed transcript, if any, and the URI of its file.

    Raises:
        BadInput: `bad_transcript`, `bad_json`, `text_encoding` and the codes of fields.
    """
    files = {**(companions.of(entry.audio) if companions else {}), **sidecars}
    timed, place = _timed(entry, files, companions, options)
    plain = [end for end in TEXT_ENDINGS if end in files]
    plain += [end for end in sorted(files) if _is_text(end, options)]
    listed = None
    if companions and not plain and (timed is None or not timed.segments):
        listed = companions.text_of(entry.audio)
    facts: dict[str, Any] = {} if listed is None else dict(listed[0].facts)
    for ending, uri in sorted(files.items()):
        field_name = _field_of(ending, options)
        if field_name is not None:
            facts[field_name] = _text_of(uri, options)
        elif ending.endswith("json"):
            facts |= _facts(uri, options)
    if facts:
        describe(entry, normalise(facts, options), options)
    if listed is not None:
        options.ledger.use(listed[1], "transcript")
        entry.text = clean_text(listed[0].text, posixpath.basename(listed[1])) or None
    elif plain and files[plain[0]] != place and (timed is None or not timed.segments):
        entry.text = _text_of(files[plain[0]], options) or None
    return timed, place


def _timed(
    entry: Entry, files: dict[str, str], companions: Companions | None, options: Options
) -> tuple[Timed | None, str]:
    """The best timed transcript among the files, and the URI of its file."""
    best: Timed | None = None
    place = ""
    for form in _RANK:
        for ending, uri in sorted(files.items()):
            if ending.rpartition(".")[2] != form or (best is not None and form not in MANY):
                continue
            found = _read_timed(uri, form, entry)
            if found is not None and (found.segments or found.words):
                options.ledger.use(uri, "transcript")
                if best is None:
                    best, place = found, uri
                else:
                    best.add(found)
        if best is not None and form != "stm":  # words of CTM go to the segments of STM
            break
    shared = companions.timed_of(entry.audio) if companions else None
    if best is None and shared is not None:
        for uri in shared[1]:
            options.ledger.use(uri, "transcript")
        return shared[0], shared[1][0]
    labels = files.get("txt") if best is None else None
    if labels is not None and (found := columns.labels(read_text(labels))) is not None:
        options.ledger.use(labels, "transcript")
        return found, labels
    return best, place


def _read_timed(uri: str, form: str, entry: Entry) -> Timed | None:
    if form == "json":
        value = _json(uri)
        return whisper.read(value) if whisper.is_result(value) else None
    text = read_text(uri, MAX_TIMED)
    if not text.strip():
        return None
    name = posixpath.basename(uri)
    try:
        if form == "tsv":
            return columns.whisper_table(text)
        if form in READERS:
            return READERS[form](text, form)
        recordings = MANY[form](text)
    except BadInput as error:
        raise BadInput(error.code, f"{name}: {error}") from None
    stem = posixpath.splitext(posixpath.basename(entry.audio))[0]
    return recordings.get(stem) or (next(iter(recordings.values())) if len(recordings) == 1 else None)


def _field_of(ending: str, options: Options) -> str | None:
    """Column of a file with one fact, for example `speaker.txt` or `cls`."""
    first, _, rest = ending.partition(".")
    if not rest:
        return _FACTS.get(first)
    if rest.rpartition(".")[2] not in ("txt", "text"):
        return None
    named = options.naming.get(first)
    return first if named and named[0][0] not in ("text", "audio", "words") else None


def _is_text(ending: str, options: Options) -> bool:
    last = ending.rpartition(".")[2]
    return last in [end.rpartition(".")[2] for end in TEXT_ENDINGS] and _field_of(ending, options) is None


def _facts(uri: str, options: Options) -> dict[str, Any]:
    """Fields of a JSON object beside the audio; of a result of Whisper, and of a list, none."""
    value = _json(uri)
    if whisper.is_result(value) or isinstance(value, list):
        return {}
    if not isinstance(value, dict):
        raise BadInput("bad_json", f"its .json is not an object but {type(value).__name__}")
    options.ledger.use(uri, "transcript")
    return {key: item for key, item in value.items() if not _is_name_of_channel(key, item, options)}


def _is_name_of_channel(key: str, value: Any, options: Options) -> bool:
    """Whether a field `channel` is a name, for example of a channel with videos."""
    if not any(name == "channel" for name, _ in options.naming.get(key) or options.naming.get(key.lower()) or ()):
        return False
    try:
        channel_number(value)
    except BadInput:
        return True
    return False


def _json(uri: str) -> Any:
    text = read_text(uri, MAX_TIMED)
    try:
        return json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadInput("bad_json", f"its .json is not JSON: {error}") from None


def _text_of(uri: str, options: Options) -> str:
    text = clean_text(read_text(uri), posixpath.basename(uri))
    options.ledger.use(uri, "transcript")
    return text


def read_text(uri: str, limit: int = MAX_TRANSCRIPT) -> str:
    """The text of a small file.

    Raises:
        BadInput: `bad_transcript` for files that are too large or cannot be read.
    """
    try:
        with open_regular(uri) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise unreadable_transcript(uri, error) from None
    if len(data) > limit:
        raise BadInput(
            "bad_transcript", f"{uri} is larger than {limit >> 20} MiB, the limit of a transcript; shorten it"
        )
    try:
        return decoded(data)
    except UnicodeDecodeError:
        raise BadInput("text_encoding", f"{uri} is damaged UTF-16; save it as UTF-8") from None


def unreadable_transcript(uri: str, error: OSError) -> BadInput:
    """The reason of a reject for a transcript that cannot be opened or read."""
    reason = error.strerror or error
    return BadInput("bad_transcript", f"the transcript {printable(uri)} cannot be read ({reason}); repair or remove it")
