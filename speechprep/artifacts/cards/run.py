"""Dataset card of a run: `README.md` in the run folder, with a configuration of `datasets` for each dataset.

`datasets.load_dataset(RUN, "tokens")` reads the shards of `tokens`. The card depends on manifests and rows alone.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import yaml

from speechprep.artifacts import storage
from speechprep.artifacts.cards.meanings import meaning
from speechprep.artifacts.datasets import find_kind
from speechprep.artifacts.languages import without_region
from speechprep.artifacts.run import Dataset, Run, open_run

NAME = "README.md"
MARK = "Made by speechprep."  # in each card; a file without it belongs to the user
_COLUMNS = ("speaker", "language", "split", "licence", "duration")
_MARKUP = re.compile(r"([\\`*_\[\]|#~])")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_LICENCES = {  # of the rows -> identifier of the Hub
    "cc0": "cc0-1.0", "cc0 1.0": "cc0-1.0", "cc by 4.0": "cc-by-4.0", "cc by sa 4.0": "cc-by-sa-4.0", "mit": "mit",
    "cc by nc 4.0": "cc-by-nc-4.0", "cc by nc sa 4.0": "cc-by-nc-sa-4.0", "apache 2.0": "apache-2.0",
    "cc by 3.0": "cc-by-3.0", "cc by nc 3.0": "cc-by-nc-3.0", "cc by sa 3.0": "cc-by-sa-3.0",
}  # fmt: skip
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))


@dataclass
class _Totals:
    """Counts over the rows of `utterances`."""

    rows: int = 0
    speakers: set[str] = field(default_factory=set)
    languages: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    splits: dict[str, list[float]] = field(default_factory=dict)  # rows, seconds

    @property
    def seconds(self) -> float:
        """Seconds of audio of all splits."""
        return sum(seconds for _, (_, seconds) in sorted(self.splits.items()))


def write(folder: str) -> bool:
    """Write the card of a run folder; False if it has no dataset. A `README.md` of the user stays."""
    run = open_run(folder)
    if not any(dataset.shards for dataset in run.datasets.values()):
        return False
    uri = storage.join(folder, NAME)
    if not storage.exists(uri) or MARK.encode() in storage.read_bytes(uri):
        storage.write_bytes(uri, text(run).encode())
    return True


def text(run: Run) -> str:
    """The card: front matter of the Hugging Face Hub, then counts, datasets, columns and licences."""
    totals = _totals(run.get("utterances"))
    datasets = [dataset for dataset in run.datasets.values() if dataset.shards]
    front = yaml.safe_dump(_front(totals, datasets), allow_unicode=True, sort_keys=False, width=1000)
    example = next((d for d in datasets if d.kind == "tokens"), datasets[-1])
    parts = [
        f"---\n{front}---\n\n# Speech dataset\n",
        f"{MARK} Each dataset is a configuration:\n",
        f'```python\nrows = datasets.load_dataset("path/to/this/folder", "{_name(example)}", split="train")\n```\n',
        _table("## Recordings", ("", ""), _recordings(totals)),
        _table("## Splits", ("split", "utterances", "hours"), [
            (name, f"{int(n):,}", f"{seconds / 3600:.2f}") for name, (n, seconds) in sorted(totals.splits.items())
        ]),
        _table("## Licences", ("licence", "utterances"), sorted(totals.licences.items())),
        _table("## Datasets", ("configuration", "content", "rows"), [
            (_name(dataset), find_kind(dataset.kind).description, f"{dataset.rows:,}") for dataset in datasets
        ]),
        *(_columns(dataset) for dataset in datasets),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def escape(value: Any) -> str:
    """Text for a cell of a Markdown table, without effect as Markdown or HTML, on one line."""
    return html.escape(_MARKUP.sub(r"\\\1", " ".join(str(value).split())), quote=False)


def _name(dataset: Dataset) -> str:
    return dataset.uri.rstrip("/").rsplit("/", 1)[-1]


def _totals(utterances: Dataset | None) -> _Totals:
    totals = _Totals()
    if utterances is None or utterances.schema is None:
        return totals
    columns = [name for name in _COLUMNS if name in utterances.schema.names]
    for batch in utterances.batches(columns):
        rows = {name: batch.column(name).to_pylist() for name in columns}
        seconds = [value or 0.0 for value in rows["duration"]]
        totals.rows += batch.num_rows
        totals.speakers |= {speaker for speaker in rows["speaker"] if speaker is not None}
        totals.languages.update(value for value in rows["language"] if value is not None)
        totals.licences.update(value or "not stated" for value in rows["licence"])
        for split, duration in zip(rows["split"], seconds, strict=True):
            counts = totals.splits.setdefault(split or "not stated", [0, 0.0])
            counts[0] += 1
            counts[1] += duration
    return totals


def _front(totals: _Totals, datasets: list[Dataset]) -> dict[str, Any]:
    codes = sorted({without_region(language) for language in totals.languages})
    named = {_LICENCES.get(re.sub(r"[\s_-]+", " ", name.lower()).strip()) for name in totals.licences}
    licence = named.pop() if len(named) == 1 else None
    size = next((name for limit, name in _SIZES if totals.rows < limit), "n>10M")
    front: dict[str, Any] = {"license": licence or "other", "tags": ["speechprep", "speech"]}
    if languages := [code for code in codes if _LANGUAGE.fullmatch(code)]:
        front["language"] = languages
    front["size_categories"] = [size]
    front["configs"] = [
        {"config_name": _name(d), "data_files": [{"split": "train", "path": f"{_name(d)}/part-*.parquet"}]}
        for d in datasets
    ]
    return front


def _recordings(totals: _Totals) -> list[tuple[str, Any]]:
    languages = ", ".join(f"{name} ({n:,})" for name, n in sorted(totals.languages.items()))
    return [
        ("utterances", f"{totals.rows:,}"),
        ("hours", f"{totals.seconds / 3600:.2f}"),
        ("speakers", f"{len(totals.speakers):,}"),
        ("languages", languages or "not stated"),
    ]


def _columns(dataset: Dataset) -> str:
    schema: pa.Schema = dataset.schema
    rows = [(f.name, kind(f.type), meaning(dataset.kind, f.name)) for f in schema]
    return _table(f"## Columns of {escape(_name(dataset))}", ("column", "type", "meaning"), rows)


def kind(of: pa.DataType) -> str:
    """A column's type in words."""
    if pa.types.is_struct(of):
        return "{" + ", ".join(f"{of.field(i).name}: {kind(of.field(i).type)}" for i in range(of.num_fields)) + "}"
    if pa.types.is_fixed_size_list(of):
        return f"list of {of.list_size} {kind(of.value_type)}"
    if pa.types.is_list(of):
        return f"list of {kind(of.value_type)}"
    return str(of)


def _table(title: str, head: tuple[str, ...], rows: list[Any]) -> str:
    """A title and a Markdown table; nothing without rows."""
    if not rows:
        return ""
    lines = [tuple(map(escape, head)), ("---",) * len(head), *(tuple(map(escape, row)) for row in rows)]
    return f"{title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
