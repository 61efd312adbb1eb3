"""Output of the commands: JSON, tables, and formats of durations and numbers."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_json(value: Any) -> None:
    """Print a JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def print_json_line(value: Any) -> None:
    """Print a line of JSON Lines on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def console(*, stderr: bool = False) -> Console:
    """Rich console: colours on a terminal; elsewhere plain text of 160 columns."""
    from rich.console import Console

    screen = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return screen if screen.is_terminal else Console(stderr=stderr, highlight=False, width=160)


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """Empty table; the columns of `right` are aligned to the right."""
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, title_style="bold")
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", no_wrap=column in right)
    return grid


def hours(seconds: float) -> str:
    """Duration of audio in s, min or h: 52 s, 21.9 min, 3.41 h; empty for 0."""
    if seconds <= 0:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.2f} h"


def clock(seconds: float) -> str:
    """Wall time: 0:07, 12:30, 3:05:00."""
    whole = max(round(seconds), 0)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


def speed(audio: float, wall: float) -> str:
    """Times real time: seconds of audio for each second of wall time; empty if unknown."""
    if audio <= 0 or wall <= 0:
        return ""
    times = audio / wall
    return f"{times:,.0f}x" if times >= 10 else f"{times:.1f}x"


def number(value: float) -> str:
    """Number as text: 1,234 or 0.53, with separators or three significant digits."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.3g}"


def plural(count: int, noun: str) -> str:
    """Number with a noun: `1 shard`, `2 shards`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
