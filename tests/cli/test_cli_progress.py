"""What is shown while a run goes on: figures, plain lines without control characters, a live line on a terminal."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace

import pytest

from speechprep.cli import output, progress
from speechprep.pipelines.engine.progress import StepResult

STEP = SimpleNamespace(name="align")


def result(**changes) -> StepResult:
    values = {
        "name": "align",
        "folder": "o/words",
        "kind": "words",
        "tasks": 4,
        "tasks_run": 4,
        "rows": 104,
        "seconds": 1314.0,
        "rejected": 2,
        "counters": {},
        "wall": 12.0,
    }
    return StepResult(**{**values, **changes})


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, ""), (12.4, "12 s"), (1314, "21.9 min"), (7200, "2.00 h"), (36_000_000, "10,000.00 h")]
)
def test_audio_is_said_in_the_unit_of_its_size(seconds, text):
    assert output.hours(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(7, "0:07"), (750, "12:30"), (11_100, "3:05:00"), (-1, "0:00")])
def test_waiting_is_said_as_a_clock(seconds, text):
    assert output.clock(seconds) == text


def test_times_real_time_has_no_value_where_there_is_no_audio():
    assert output.speed(0, 3) == ""
    assert output.speed(60, 30) == "2.0x"
    assert output.speed(3000, 30) == "100x"


def test_the_time_left_follows_from_the_audio_done():
    state = progress.State("align", todo=4, audio=100.0, audio_done=25.0, began=time.monotonic() - 10)
    assert state.fraction == 0.25
    assert state.remaining == "0:30 left"


def test_the_time_left_follows_from_the_utterances_in_a_stage_without_audio():
    shown = progress.Display()
    shown.started(SimpleNamespace(name="interleave"), 1, 1, 100.0, 400)
    shown.progressed(0, 100, 0.0, 0)
    shown.state.began -= 10
    assert shown.state.remaining == "0:30 left"
    shown.progressed(0, 400, 0.0, 0)
    assert shown.state.remaining == "", "the time of the work after the last utterance is unknown"


def test_shards_count_where_the_audio_is_not_known():
    assert progress.State("pack", todo=4, tasks=1).fraction == 0.25
    assert progress.State("pack").fraction == 0.0


def test_plain_lines_tell_begin_and_end_without_control_characters():
    stream = io.StringIO()
    shown = progress.Plain(stream)
    with shown:
        shown.started(STEP, 4, 4, 1314.0, 104)
        shown.progressed(1, 26, 300.0, 1)
        shown.finished(result())
    lines = stream.getvalue().splitlines()
    assert lines == [
        "[align] 4 of 4 shards to do, 21.9 min of audio",
        "[align] 104 rows, 21.9 min, 2 rejects, 12.0 s, 110x",
    ]
    assert "\x1b" not in stream.getvalue()


def test_plain_lines_come_every_ten_seconds_while_a_step_goes_on(monkeypatch):
    stream = io.StringIO()
    shown = progress.Plain(stream)
    shown.started(STEP, 4, 4, 1314.0, 104)
    now = time.monotonic()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now + 11)
    shown.progressed(1, 26, 300.0, 1)
    shown.progressed(1, 26, 301.0, 1)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("[align] 1/4 shards, 5.0 min, ")
    assert "1 reject," in lines[1]


def test_a_step_with_nothing_to_do_is_one_word():
    assert progress.summary(result(tasks_run=0)).startswith("unchanged: 104 rows")


def test_the_live_line_shows_the_figures_on_a_terminal(monkeypatch):
    from rich.console import Console

    screen = Console(file=io.StringIO(), force_terminal=True, width=120, highlight=False)
    monkeypatch.setattr(progress, "console", lambda **_: screen)
    with progress.Live() as shown:
        shown.started(STEP, 4, 4, 1314.0, 104)
        shown.progressed(2, 52, 657.0, 3)
        shown.state.began -= 10
        drawn = Console(file=io.StringIO(), width=120)
        drawn.print(shown._draw())
        shown.finished(result())
    line = drawn.file.getvalue()
    for figure in ("align", "2/4 shards", "10.9 min", "66x", "3 rejects", "0:10 left"):
        assert figure in line
    assert "104 rows" in screen.file.getvalue()


def test_quiet_and_json_show_nothing():
    assert type(progress.display(quiet=True, json=False)) is progress.Display
    assert type(progress.display(quiet=False, json=True)) is progress.Display
