"""Fields that select samples of a file: start and end in seconds, milliseconds or samples, and one channel."""

from __future__ import annotations

import math
from typing import Any

from speechprep.artifacts import timebase
from speechprep.errors import BadInput
from speechprep.pipelines.sources.entry import printable

MAX_SECONDS = 1e15  # of an offset or a duration; their milliseconds are exact integers of 64 bits
MAX_CHANNEL = 1023  # channels are counted from 0; libsndfile reads up to 1,024

_ENDS = ("start", "end", "start_ms", "end_ms", "start_sample", "end_sample")
_CHANNELS = {"a": 0, "left": 0, "l": 0, "b": 1, "right": 1, "r": 1}
_MEAN = ("average", "avg", "mean", "mix", "all")


def number(value: Any, name: str) -> float | None:
    """A finite number, also one written as a string.

    Raises:
        BadInput: `bad_field`.
    """
    if value is None or value == "":
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not abs(seconds) <= MAX_SECONDS:  # also true for NaN
        raise BadInput("bad_field", f"{name} = {printable(repr(value), 60)} is not a number of seconds; correct it")
    return seconds


def segment(fields: dict[str, Any]) -> tuple[float | None, float | None] | None:
    """(offset, duration) in seconds from the fields for the start and the end of a segment; None without any of them.

    A duration of None is to the end of the file. `num_samples` without a start is a fact about the file.

    Raises:
        BadInput: `bad_field`.
    """
    if not any(name in fields for name in _ENDS):
        return None
    start = _seconds(fields, "start")
    end = _seconds(fields, "end")
    if start is None and end is None:
        return None
    offset = start if start is not None else number(fields.get("offset"), "offset") or 0.0
    if end is not None:
        if not end > offset:
            raise BadInput("bad_field", f"the segment from {offset:g} s to {end:g} s is empty; correct its end")
        return offset, end - offset
    length = number(fields.get("num_samples"), "num_samples") if "start_sample" in fields else None
    if length is not None:
        return offset, timebase.seconds(int(length), _rate(fields))
    return offset, number(fields.get("duration"), "duration")


def _seconds(fields: dict[str, Any], name: str) -> float | None:
    """Start or end in seconds, from the first of its fields: in seconds, in milliseconds, in samples."""
    value = number(fields.get(name), name)
    if value is not None:
        return value
    milliseconds = number(fields.get(f"{name}_ms"), f"{name}_ms")
    if milliseconds is not None:
        return milliseconds / 1000
    samples = number(fields.get(f"{name}_sample"), f"{name}_sample")
    return None if samples is None else timebase.seconds(int(samples), _rate(fields))


def _rate(fields: dict[str, Any]) -> int:
    rate = number(fields.get("sample_rate"), "sample_rate")
    if rate is None or rate < 1:
        raise BadInput("bad_field", "a segment in samples needs a field sample_rate in Hz; add it, or give seconds")
    return int(rate)


def channel_number(value: Any) -> int | None:
    """The channel of a field, counted from 0; None: the mean of all channels.

    Raises:
        BadInput: `bad_channel` for several channels and for unknown names.
    """
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if value is None or value == "":
        return None
    if isinstance(value, str):
        name = value.strip().lower()
        if name in _MEAN:
            return None
        value = _CHANNELS.get(name, name)
    try:
        channel = -1 if isinstance(value, bool | list | tuple) else int(value)
        whole = channel == float(value) if channel >= 0 else False
    except (TypeError, ValueError, OverflowError):
        channel, whole = -1, False
    if not whole or not 0 <= channel <= MAX_CHANNEL:
        raise BadInput(
            "bad_channel",
            f"channel = {printable(repr(value), 60)} is not one channel; give one number from 0, one record for each "
            "channel",
        )
    return channel
