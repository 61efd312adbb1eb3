"""Parquet files with an audio column for the library `datasets`, written by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from speechprep.pipelines.export.names import safe_name
from speechprep.pipelines.export.recording import Recording
from speechprep.pipelines.export.writer import Target, Writer
from speechprep.pipelines.export.writers.nemo import fields

FILE_BYTES = 256 << 20  # of encoded audio in one Parquet file
FILE_ROWS = 5_000
_TEXTS = ("id", "text", "speaker", "language", "split", "licence", "corpus")


class HuggingFace(Writer):
    """`data/SPLIT-00000.parquet` with the columns audio, id, text, speaker, language, words and units, and a README.md.

    `datasets.load_dataset(FOLDER)` reads it. Segments are cut to 16-bit mono FLAC. Utterances without a split are in
    "train".
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        import datasets

        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._bytes: dict[str, int] = {}
        self._files: dict[str, int] = {}
        text = datasets.Value("string")
        columns: dict[str, Any] = {"audio": datasets.Audio(), **dict.fromkeys(_TEXTS, text)}
        columns["duration"] = datasets.Value("float64")
        if "words" in self.tiers:
            time = datasets.Value("float64")
            columns["words"] = datasets.List({"word": text, "start": time, "end": time})
        if "units" in self.tiers:
            columns["units"] = datasets.List(datasets.Value("int32"))
        self._features = datasets.Features(columns)

    def add(self, recording: Recording) -> None:
        """See `Writer`."""
        for utterance, data, ending in self.encoded(recording):
            described = fields(utterance, self.tiers, language="language")
            row = {name: described.get(name) for name in self._features}
            row |= {"audio": {"bytes": data, "path": f"{utterance.name}.{ending}"}, "duration": utterance.duration}
            split = split_name(utterance.split)
            self._rows.setdefault(split, []).append(row)
            self._bytes[split] = self._bytes.get(split, 0) + len(data)
            self.counts.exported(utterance)
            if self._bytes[split] >= FILE_BYTES or len(self._rows[split]) >= FILE_ROWS:
                self._flush(split)

    def _flush(self, split: str) -> None:
        import datasets

        number = self._files.get(split, 0)
        folder = self.target.folder / "data"
        folder.mkdir(exist_ok=True)
        # `Dataset.from_dict` would load an audio decoder, although the audio is encoded.
        table = pa.Table.from_pylist(self._rows[split], schema=self._features.arrow_schema)
        with _no_bars():
            datasets.Dataset(table).to_parquet(str(folder / f"{split}-{number:05d}.parquet"))
        self._files[split], self._rows[split], self._bytes[split] = number + 1, [], 0

    def close(self) -> None:
        """See `Writer`."""
        for split in sorted(self._rows):
            if self._rows[split]:
                self._flush(split)
        if self._files:
            front = ["---", "configs:", "- config_name: default", "  data_files:"]
            for split in sorted(self._files):
                front += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
            front.append("---")
            self.lines("README.md", [*front, "", "# Utterances", "", "Exported by speechprep."])


@contextmanager
def _no_bars() -> Iterator[None]:
    """No progress bars of `datasets`: they would mix with those of this program."""
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def split_name(split: str | None) -> str:
    """Name of a split for `datasets`: letters, digits, `_` and `.`, separated by no dash."""
    name = safe_name(split or "train")
    return "".join(c if (c.isascii() and c.isalnum()) or c == "_" else "_" for c in name) or "train"
