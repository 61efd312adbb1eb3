"""Tables of labels with times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import ConfigError
from speechprep.pipelines.labels import read_labels, rows_at

TIMES = st.lists(st.integers(0, 40), max_size=12)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_a_table_of_labels_is_read_in_any_order_and_form(tmp_path: Path, suffix: str) -> None:
    rows = [("7", 0.2, 0.3, "b"), ("8", 0.0, 0.1, "a"), ("7", 0.0, 0.2, "1")]
    path = tmp_path / f"labels.{suffix}"
    if suffix == "parquet":
        names = ["id", "start", "end", "label"]
        pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), path)
    else:
        mark = "," if suffix == "csv" else "\t"
        lines = [
            mark.join(map(str, row))
            for row in [("label", "id", "end", "start"), *((r[3], r[0], r[2], r[1]) for r in rows)]
        ]
        path.write_text("\n".join(lines) + "\n")
    found = [(id, starts.tolist(), ends.tolist(), forms) for id, starts, ends, forms in read_labels(str(path))]
    assert found == [("7", [0.0, 0.2], [0.2, 0.3], ["1", "b"]), ("8", [0.0], [0.1], ["a"])]


@pytest.mark.parametrize(
    "text", ["id,start,end\nu,0,1\n", "id,start,end,label\nu,zero,1,a\n", "id,start,end,label\nu,,1,a\n", ""]
)
def test_a_table_that_is_none_of_labels_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(ConfigError, match=r"l\.csv.*id, start, end, label"):
        list(read_labels(str(tmp_path / "l.csv")))
    with pytest.raises(ConfigError, match="nowhere"):
        list(read_labels(str(tmp_path / "nowhere.csv")))


@given(TIMES, st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=6))
def test_the_last_label_that_has_begun_counts_and_only_before_its_end(times, spans):
    spans = sorted(spans)
    starts, ends = np.array([s for s, _ in spans], float), np.array([s + n for s, n in spans], float)
    for time, row in zip(times, rows_at(np.array(times, float), starts, ends), strict=True):
        begun = [i for i, (start, _) in enumerate(spans) if start <= time]
        assert row == (begun[-1] if begun and time < ends[begun[-1]] else -1)
