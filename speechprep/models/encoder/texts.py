"""Texts for the encoders: rows of runs and lines of text files, with the facts that the controls need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import manifest
from speechprep.artifacts.run import Run, open_run
from speechprep.artifacts.text_files import is_text_file, read_texts
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.split import held_out
from speechprep.tokenizers.arrays.ragged import offsets_of, ranges
from speechprep.tokenizers.wordpiece.tokenizer import Encoded, WordPiece

Rows = Literal["auto", "utterances", "clips"]


@dataclass(frozen=True)
class Text:
    """One text.

    Attributes:
        id: id of the utterance or clip, or "<file name>:<line>".
        text: the transcript.
        utterance: id of the utterance behind a clip, else the id.
        speaker, corpus: "" if unknown.
        seconds: duration; 0 if unknown.
    """

    id: str
    text: str
    utterance: str = ""
    speaker: str = ""
    corpus: str = ""
    seconds: float = 0.0


@dataclass
class Texts:
    """Texts of runs and files.

    Attributes:
        rows: the texts, in the order of the sources.
        facts: content hashes of the sources.
    """

    rows: list[Text] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """(n,) ids."""
        return [row.id for row in self.rows]

    def select(self, keep: NDArray[np.bool_]) -> Texts:
        """The rows with `keep`."""
        return Texts([row for row, kept in zip(self.rows, keep, strict=True) if kept], self.facts)


def load_texts(sources: Sequence[str], *, rows: Rows = "auto", split: str | None = None) -> Texts:
    """Texts of run folders and text files; texts without a word are left out.

    Args:
        sources: run folders, dataset folders, or files of `artifacts.text_files`.
        rows: dataset of the texts of a run; auto: clips if the run has them, else utterances.
        split: only rows of this split; text files have no split.

    Raises:
        ConfigError: no text in a source, or an id twice.
        StaleArtifact: a run without transcripts.
    """
    texts = Texts()
    seen: dict[str, str] = {}
    for number, source in enumerate(sources):
        count = len(texts.rows)
        if is_text_file(source):
            lines = [Text(f"{number}/{id}", text, f"{number}/{id}") for id, text in read_texts(source)]
            texts.rows += lines
            texts.facts.append(manifest.digest([line.text for line in lines]))
        else:
            run = open_run(source)
            kind, found = _of_run(run, rows, split)
            texts.rows += [row for row in found if row.text.strip()]
            texts.facts.append(run[kind].manifest.content)
        if len(texts.rows) == count:
            raise ConfigError(f"{source} has no text{f' in split {split!r}' if split else ''}; name another source")
        for row in texts.rows[count:]:
            if row.id in seen:
                raise ConfigError(
                    f"id {row.id!r} is in {seen[row.id]} and in {source}; name sources with different ids"
                )
            seen[row.id] = source
    return texts


def _of_run(run: Run, rows: Rows, split: str | None) -> tuple[str, Iterable[Text]]:
    """Kind of the dataset with the texts of a run, and the texts."""
    if rows == "clips" or (rows == "auto" and "clips" in run):
        return "clips", _clips(run, split)
    if "words" not in run and "utterances" not in run:
        raise StaleArtifact(f"{run.uri} has no transcripts: it has {', '.join(run.datasets) or 'nothing complete'}")
    return "words" if "words" in run else "utterances", _utterances(run, split)


def _clips(run: Run, split: str | None) -> Iterator[Text]:
    for row in run["clips"].records(["id", "text", "utterance", "speaker", "corpus", "duration", "split"]):
        if split in (None, row["split"]):
            yield Text(
                row["id"], row["text"], row["utterance"], row["speaker"] or "", row["corpus"] or "", row["duration"]
            )


def _utterances(run: Run, split: str | None) -> Iterator[Text]:
    about: dict[str, dict[str, Any]] = {}
    if "utterances" in run:
        columns = ["id", "speaker", "corpus", "duration", "split"]
        about = {row["id"]: row for row in run["utterances"].records(columns)}
    elif split is not None:
        raise StaleArtifact(f"{run.uri} has no utterances, so the split {split!r} is unknown; add the folder")
    for id, text in run.transcripts():
        facts = about.get(id, {})
        if split in (None, facts.get("split")):
            speaker, corpus = facts.get("speaker") or "", facts.get("corpus") or ""
            yield Text(id, text, id, speaker, corpus, facts.get("duration") or 0.0)


@dataclass(frozen=True)
class Examples:
    """Texts as rows of pieces, the input of training.

    Attributes:
        ids: (n,) ids; parts of a split text have "#1", "#2", .. behind.
        pieces: their pieces without [CLS] and [SEP].
        rows: (n,) number of the text of each row.
        longer: number of texts longer than the context.
    """

    ids: list[str]
    pieces: Encoded
    rows: NDArray[np.int64]
    longer: int

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: NDArray[np.int64]) -> Examples:
        """The rows `chosen`."""
        starts, lengths = self.pieces.offsets[:-1][chosen], self.pieces.lengths[chosen]
        index = ranges(starts, lengths)
        pieces = Encoded(self.pieces.ids[index], offsets_of(lengths), self.pieces.begins[index])
        return Examples([self.ids[i] for i in chosen.tolist()], pieces, self.rows[chosen], self.longer)


def encode_texts(
    texts: Texts, tokenizer: WordPiece, context: int, long: Literal["refuse", "cut", "split"] = "refuse"
) -> Examples:
    """Rows of at most `context` tokens with [CLS] and [SEP].

    Args:
        texts: the texts.
        tokenizer: their tokenizer.
        context: largest number of tokens of a row.
        long: longer texts are refused, cut at the end, or split into several rows.

    Raises:
        ConfigError: a longer text, with `long="refuse"`; or no text with a piece.
    """
    limit = context - 2
    pieces = tokenizer.encode(row.text for row in texts.rows)
    lengths = pieces.lengths
    longer = lengths > limit
    if longer.any() and long == "refuse":
        worst = int(np.argmax(lengths))
        raise ConfigError(
            f"{int(longer.sum()):,} of {len(lengths):,} texts are longer than context = {context} tokens, for example "
            f"{texts.rows[worst].id!r} with {int(lengths[worst]) + 2}; raise context, or set long=cut"
        )
    parts = np.maximum(-(-lengths // limit), 1) if long == "split" else np.ones(len(lengths), np.int64)
    parts = np.where(lengths > 0, parts, 0)
    rows = np.repeat(np.arange(len(lengths)), parts)
    number = ranges(np.zeros(len(parts), np.int64), parts)
    starts = pieces.offsets[:-1][rows] + number * limit
    sizes = np.minimum(lengths[rows] - number * limit, limit)
    if not len(rows):
        raise ConfigError("no text has a piece of the vocabulary; name other sources")
    index = ranges(starts, sizes)
    cut = Encoded(pieces.ids[index], offsets_of(sizes), pieces.begins[index])
    ids = [texts.rows[row].id + (f"#{part}" if part else "") for row, part in zip(rows, number, strict=True)]
    return Examples(ids, cut, rows, int(longer.sum()))


def sides(examples: Examples, options: Any) -> tuple[Examples, Examples]:
    """Training and validation side of the rows; parts of one text are on one side.

    Without a validation split both sides have all rows.

    Raises:
        ConfigError: a side is empty.
    """
    if not options.validation:
        return examples, examples
    whole = [id.rpartition("#")[0] if _is_part(examples, i) else id for i, id in enumerate(examples.ids)]
    out = held_out(whole, options.validation, options.validation_group)
    if out.all() or not out.any():
        raise ConfigError(
            f"validation = {options.validation} leaves {int((~out).sum()):,} texts for training and {int(out.sum()):,} "
            "for validation; change it"
        )
    return examples.take(np.flatnonzero(~out)), examples.take(np.flatnonzero(out))


def _is_part(examples: Examples, i: int) -> bool:
    """True for the second and later parts of a text."""
    return i > 0 and bool(examples.rows[i] == examples.rows[i - 1])
