"""JSON of Whisper, faster-whisper and WhisperX: segments with words; words without times are aligned later."""

from __future__ import annotations

from typing import Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources.timed.transcript import Segment, Timed, Word


def is_result(value: Any) -> bool:
    """Whether a JSON value is a result of Whisper: segments with a start, an end and a text."""
    segments = value.get("segments") if isinstance(value, dict) else None
    return (
        isinstance(segments, list)
        and bool(segments)
        and all(
            isinstance(s, dict) and {"start", "end"} <= s.keys() and ("text" in s or "words" in s) for s in segments
        )
    )


def read(value: dict[str, Any]) -> Timed:
    """The segments of a result.

    Raises:
        BadInput: `bad_transcript`.
    """
    try:
        segments = [
            Segment(
                float(item["start"]),
                float(item["end"]),
                str(item["text"]).strip() if item.get("text") is not None else None,
                str(item["speaker"]) if item.get("speaker") else None,
                language=str(item["language"]) if item.get("language") else None,
                words=_words(item.get("words")),
            )
            for item in value["segments"]
        ]
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        fault = f"{type(error).__name__} {error}"[:200]
        raise BadInput("bad_transcript", f"the result of Whisper cannot be read: {fault}; correct the file") from None
    language = value.get("language")
    return Timed(segments, language=language if isinstance(language, str) else None)


def _words(items: Any) -> list[Word]:
    """Words with both times; WhisperX gives none for numbers and other symbols."""
    words = []
    for item in items or []:
        text = item.get("word", item.get("text"))
        if text is not None and item.get("start") is not None and item.get("end") is not None:
            words.append((str(text).strip(), float(item["start"]), float(item["end"])))
    return words
