"""Offsets of word boundaries from a run and a table of labelled words: the artifact `boundaries`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from speechprep.artifacts import storage
from speechprep.artifacts.run import Dataset
from speechprep.errors import ConfigError
from speechprep.pipelines.backends.aligners.boundaries import Boundaries
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner
from speechprep.pipelines.labels import read_labels
from speechprep.pipelines.noisy_alignment import aligner_of
from speechprep.tokenizers.alignment import boundary_offsets
from speechprep.tokenizers.alignment.boundary_offsets import LabelledBorder, TimedWord
from speechprep.tokenizers.english.word_pairs import word_groups

FEWEST_WORDS = 50  # labelled words for a fit

Labels = dict[str, tuple[list[str], list[tuple[float, float]]]]
"""Utterance id -> its words, and the start and end of each in seconds."""


def fit_boundaries(words: Dataset, utterances: Dataset | None, labels: str, licence: str) -> Boundaries:
    """Fit offsets and intervals on the utterances with labels.

    Args:
        words: aligned words of `pocketsphinx`.
        utterances: for the speakers; without them, or without speakers in them, each utterance is its own group.
        labels: table of words with id, start, end and label.
        licence: of the labels.

    Raises:
        ConfigError: another aligner, a fitted one, or too few labelled words in the run.
    """
    aligner = aligner_of(words)
    if not isinstance(aligner, PocketSphinxAligner):
        raise ConfigError(f"{words.uri}: aligner {aligner.label}; fit boundaries needs words of aligner 'pocketsphinx'")
    if aligner.boundaries is not None:
        raise ConfigError(
            f"{words.uri}: its times already contain boundaries = {aligner.boundaries!r}; align without boundaries"
        )
    table = _read(labels)
    speakers = _speakers(utterances)
    borders: list[LabelledBorder] = []
    ids, groups = [], set()
    for row in words.records(["id", "text", "words"]):
        if row["id"] not in table:
            continue
        timed = [
            TimedWord(word["start"], word["end"], phones, word["timing"] == "aligned")
            for word, phones in zip(row["words"], aligner.phones(row["text"]), strict=True)
        ]
        group = speakers.get(row["id"]) or row["id"]
        found = _labelled(timed, [word["text"] for word in row["words"]], *table[row["id"]], group)
        if found:
            borders += found
            ids.append(row["id"])
            groups.add(group)
    if len(borders) < 2 * FEWEST_WORDS:
        raise ConfigError(
            f"labels = {labels!r} have {len(borders) // 2} words of {words.uri}; label at least {FEWEST_WORDS} words"
        )
    return Boundaries(
        boundary_offsets.fit(borders),
        aligner.timing_identity(),
        licence,
        {
            "sha256": hashlib.sha256(storage.read_bytes(labels)).hexdigest(),
            "utterances": len(ids),
            "words": len(borders) // 2,
            "speakers": len(groups),
        },
        boundary_offsets.cross_validated(borders) or {},
    )


def _read(labels: str) -> Labels:
    """Words of the table; labels without text are pauses and are left out."""
    table: Labels = {}
    for id, starts, ends, names in read_labels(labels):
        rows = [(name, (float(s), float(e))) for name, s, e in zip(names, starts, ends, strict=True) if name.strip()]
        table[id] = ([name for name, _ in rows], [times for _, times in rows])
    return table


def _speakers(utterances: Dataset | None) -> dict[str, str | None]:
    if utterances is None:
        return {}
    return {row["id"]: row["speaker"] for row in utterances.records(["id", "speaker"])}


def _labelled(
    timed: Sequence[TimedWord],
    texts: Sequence[str],
    labels: Sequence[str],
    times: Sequence[tuple[float, float]],
    group: str,
) -> list[LabelledBorder]:
    """Both borders of each word with a label; words written differently on the two sides are left out."""
    kinds = boundary_offsets.kinds(timed)
    borders = []
    for left, right in word_groups(labels, texts)[0]:
        if len(left) == len(right) == 1 and timed[right[0]].aligned:
            word, (start, end) = timed[right[0]], times[left[0]]
            onset, offset = kinds[right[0]]
            borders.append(LabelledBorder(onset, word.start - start, group))
            borders.append(LabelledBorder(offset, word.end - end, group))
    return borders
