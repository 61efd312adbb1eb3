"""Training corpus of DMLM: units, transcripts, translations and image codes of runs, joined by id, in memory.

1,000 hours of units at 50 Hz are 180 million codes: 360 MB as uint16, and twice as much while they are joined. Codes of
65,536 and more units need 4 bytes each.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts import manifest
from speechprep.artifacts.run import Run, open_run
from speechprep.errors import StaleArtifact
from speechprep.models.dmlm.text_tokenizer import TextTokenizer
from speechprep.tokenizers.arrays import ragged
from speechprep.tokenizers.arrays.ragged import Ints, offsets_of
from speechprep.tokenizers.arrays.runlength import dedup_ragged

KINDS = ("units", "utterances", "words", "image_codes")  # dataset folders of a run, read if present


@dataclass(frozen=True)
class Items:
    """Ragged sequences by id: the sequence of `ids[i]` is flat[offsets[i] : offsets[i + 1]]."""

    ids: list[str]
    flat: NDArray[Any]
    offsets: Ints

    def __getitem__(self, i: int) -> NDArray[Any]:
        """The sequence of `ids[i]`, int64."""
        return self.flat[self.offsets[i] : self.offsets[i + 1]].astype(np.int64)


@dataclass(frozen=True)
class Corpus:
    """Sequences of each modality.

    Attributes:
        speech: units of each utterance.
        transcripts, captions: text token ids of each utterance or image. An image may have several captions.
        images: image codes of each image.
        translations: language -> text token ids of each utterance.
        k, codebook: number of units, and content fingerprint of their codebook.
        n_image, image_codes: number of image codes, and fingerprint of their codec.
        facts: content fingerprints of all inputs.
    """

    speech: Items
    transcripts: Items
    images: Items
    captions: Items
    translations: dict[str, Items]
    k: int
    codebook: str
    n_image: int
    image_codes: str
    facts: list[str]


def load(
    runs: Sequence[str],
    text: TextTokenizer,
    *,
    split: str | None = None,
    dedup: bool = False,
    translations: Mapping[str, str] | None = None,
    ids: Container[str] | None = None,
) -> Corpus:
    """Read the corpus of runs.

    Args:
        runs: folders with `units`, and `utterances` or `words` for transcripts; or with `image_codes`.
        text: tokenizer of the texts.
        split: only utterances of this split.
        dedup: remove repeats of a unit.
        translations: language -> JSONL file of {"id", "text"}.
        ids: only these utterances and images; None: all.

    Raises:
        StaleArtifact: units of different codebooks, an id in two runs, or no units and no image codes.
    """
    units, images = _CodeCollector("units"), _CodeCollector("image codes")
    texts: dict[str, str] = {}
    captions: list[tuple[str, str]] = []
    facts = []
    for run in runs:
        opened = open_run(run)
        facts += [opened[kind].manifest.content for kind in KINDS if kind in opened]
        chosen = _read_units(opened, run, units, split, ids)
        texts |= {id: t for id, t in transcripts(run).items() if chosen is None or id in chosen}
        captions += _read_images(opened, run, images, split, ids)
    if not (units.ids or images.ids):
        where = f" in split {split!r}" if split else ""
        raise StaleArtifact(f"{', '.join(runs)} has no units and no image_codes{where}; run the stage 'units'")
    speech = units.items()
    if dedup:
        flat, _, offsets = dedup_ragged(speech.flat, speech.offsets)
        speech = Items(speech.ids, flat, offsets)
    other = {language: _jsonl(path) for language, path in (translations or {}).items()}
    return Corpus(
        speech=speech,
        transcripts=_encoded(list(texts.items()), text),
        images=images.items(),
        captions=_encoded(captions, text),
        translations={language: _encoded(list(rows.items()), text) for language, rows in other.items()},
        k=units.size,
        codebook=units.codebook,
        n_image=images.size,
        image_codes=images.codebook,
        facts=facts,
    )


def _read_units(
    run: Run, uri: str, units: _CodeCollector, split: str | None, ids: Container[str] | None
) -> Container[str] | None:
    """Add the units of a run; returns the ids of its utterances, None for all, nothing without units."""
    coded = run.get("units")
    if coded is None:
        return ()
    known = coded.extra
    units.start_run(known.get("codebook", known["k"]), known["k"], uri, known.get("grid"))
    chosen = _split(run, split)
    if ids is not None:
        every = {row["id"] for row in coded.records(("id",))} if chosen is None else chosen
        chosen = {id for id in every if id in ids}
    for batch in coded.batches(("id", "units")):
        units.add(batch, "units", chosen, uri)
    return chosen


def _read_images(
    run: Run, uri: str, images: _CodeCollector, split: str | None, ids: Container[str] | None
) -> list[tuple[str, str]]:
    """Add the image codes of a run; returns (id, caption) of its captions."""
    captions: list[tuple[str, str]] = []
    pictures = run.get("image_codes")
    if pictures is None:
        return captions
    images.start_run(manifest.digest(pictures.extra["codec"]), pictures.extra["vocab"], uri)
    for batch in pictures.batches(("id", "codes", "captions", "split")):
        rows = batch.select(["id", "captions", "split"]).to_pylist()
        rows = [row for row in rows if split is None or row["split"] == split]
        rows = [row for row in rows if ids is None or row["id"] in ids]
        images.add(batch, "codes", {row["id"] for row in rows}, uri)
        captions += [(row["id"], caption) for row in rows for caption in row["captions"] or []]
    return captions


class _CodeCollector:
    """Codes of one kind from several runs, by id, with a check for one codebook."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.codebook, self.size, self._run = "", 0, ""
        self._grid: dict[str, Any] | None = None
        self.ids: dict[str, None] = {}
        self._parts: list[tuple[NDArray[Any], NDArray[np.int64]]] = []

    def start_run(self, codebook: str | int, size: int, run: str, grid: dict[str, Any] | None = None) -> None:
        """Check the codebook and the frame grid of a run. Its codes are below `size`.

        Raises:
            StaleArtifact: an earlier run has another codebook or frame grid.
        """
        if self._run and self.codebook != str(codebook):
            raise StaleArtifact(
                f"{self.name} of {self._run} have codebook {self.codebook[:12]}, {self.name} of {run} have codebook "
                f"{str(codebook)[:12]}; make the {self.name} of all runs with one codebook"
            )
        if self._grid and grid and self._grid != grid:
            raise StaleArtifact(
                f"{self.name} of {self._run} have the frame grid {self._grid}, {self.name} of {run} have {grid}; make "
                f"the {self.name} of all runs with one codebook"
            )
        self.codebook, self.size, self._run, self._grid = str(codebook), size, run, grid or self._grid

    def add(self, batch: pa.RecordBatch, column: str, chosen: Container[str] | None, run: str) -> None:
        """Add the codes of the chosen rows of a batch.

        Raises:
            StaleArtifact: an id was added before.
        """
        ids = batch.column("id").to_pylist()
        rows = np.array([i for i, id in enumerate(ids) if chosen is None or id in chosen], np.int64)
        for i in rows.tolist():
            if ids[i] in self.ids:
                raise StaleArtifact(f"{run}: id {ids[i]!r} is in another run too; train on runs with different ids")
            self.ids[ids[i]] = None
        values, offsets = ragged.of_arrow(batch.column(column))
        lengths = np.diff(offsets)[rows]
        codes = ragged.gather(np.asarray(values), offsets[:-1][rows], lengths)
        self._parts.append((codes.astype(np.uint16 if self.size <= 1 << 16 else np.int32), lengths))

    def items(self) -> Items:
        """All items in the order of reading. The collector is empty afterwards."""
        dtype = np.uint16 if self.size <= 1 << 16 else np.int32
        flat = np.concatenate([np.zeros(0, dtype), *(codes for codes, _ in self._parts)])
        offsets = offsets_of(np.concatenate([np.zeros(0, np.int64), *(lengths for _, lengths in self._parts)]))
        self._parts = []
        return Items(list(self.ids), flat, offsets)


def _encoded(pairs: list[tuple[str, str]], text: TextTokenizer) -> Items:
    flat, offsets = text.encode([t for _, t in pairs])
    return Items([id for id, _ in pairs], flat, offsets)


def _split(run: Run, split: str | None) -> set[str] | None:
    if split is None:
        return None
    return {row["id"] for row in run["utterances"].records(("id", "split")) if row["split"] == split}


def transcripts(run: str) -> dict[str, str]:
    """Transcripts by id: the aligned text of kept rows of `words`, or without `words` the transcripts of the corpus."""

    opened = open_run(run)
    if "words" not in opened and "utterances" not in opened:
        return {}
    return {id: text for id, text in opened.transcripts() if text}


def _jsonl(path: str) -> dict[str, str]:
    with Path(path).open(encoding="utf-8") as f:
        return {row["id"]: row["text"] for row in map(json.loads, f)}
