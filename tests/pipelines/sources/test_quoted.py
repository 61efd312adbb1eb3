"""One stray quote costs at most one row of a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.pipelines import sources
from speechprep.pipelines.sources.entry import Entry, Options
from speechprep.pipelines.sources.manifests.quoted import quoted_rows

TEXTS = st.text(st.sampled_from('ab "\n,;'), max_size=12)


def rows(text: str, delimiter: str = ",") -> list[list[str]]:
    return [cells for _, cells in quoted_rows(iter(enumerate(text.split("\n"), 1)), delimiter)]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8), st.sampled_from(",;"))
def test_written_rows_come_back(table: list[tuple[str, str]], delimiter: str):
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("audio", "text"), *table])
    assert rows(buffer.getvalue().removesuffix("\n"), delimiter) == [["audio", "text"], *map(list, table)]


@pytest.mark.parametrize("stray", ['"text', 'te"xt', 'text"', '"te"xt', '""text', '"'])
@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("places", [(2,), (0,), (19,), (2, 7), (3, 4)])
def test_a_stray_quote_costs_no_neighbour(tmp_path: Path, stray: str, delimiter: str, places: tuple[int, ...]):
    lines = [f"{i}.wav{delimiter}{stray if i in places else f'text {i}'}" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join([f"audio{delimiter}text", *lines]))
    entries = [e for e in sources.read(str(tmp_path / "t.csv"), "auto", Options()) if isinstance(e, Entry)]
    assert {e.id: e.text for e in entries if int(e.id) not in places} == {
        str(i): f"text {i}" for i in range(20) if i not in places
    }
