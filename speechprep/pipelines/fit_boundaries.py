"""Corrections of word boundaries from a run and a table of labelled words: the artifact `boundaries`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from speechprep.artifacts import storage
from speechprep.artifacts.run import Dataset
from speechprep.errors import ConfigError
from speechprep.pipelines.backends.aligners.boundaries.artifact import Boundaries
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner
from speechprep.pipelines.labelled_borders import labelled_borders
from speechprep.pipelines.labels import read_labels
from speechprep.pipelines.stages.align import aligner_of
from speechprep.tokenizers.alignment import boundary_offsets, boundary_refiner
from speechprep.tokenizers.alignment.boundary_offsets import LabelledBorder, TimedWord
from speechprep.tokenizers.alignment.boundary_refiner import Refiner, TrueBorder
from speechprep.tokenizers.english.word_pairs import word_groups

FEWEST_WORDS = 50  # labelled words for offsets
FEWEST_REFINED = 300  # and for a refiner
LEVELS = (20.0, 10.0, 5.0, 0.0)  # dB, of the noise in the training of a refiner

Labels = dict[str, tuple[list[str], list[tuple[float, float]]]]
"""Utterance id -> its words, and the start and end of each in seconds."""


class Options(NamedTuple):
    """Options of the refiner.

    Attributes:
        refine: fit one; without it, only offsets are fitted.
        levels: signal-to-noise ratios of the training, dB; clean speech comes first.
        seed: of the training and of the noise.
        progress: called with the number of finished and of all trainings.
    """

    refine: bool = True
    levels: Sequence[float] = LEVELS
    seed: int = 0
    progress: Callable[[int, int], None] | None = None


class Fit(NamedTuple):
    """The artifact, and the reason for offsets instead of a refiner (None: it has a refiner)."""

    boundaries: Boundaries
    reason: str | None


def fit_boundaries(words: Dataset, utterances: Dataset | None, labels: str, licence: str, options: Options) -> Fit:
    """Fit offsets, intervals and the refiner on the utterances with labels.

    Args:
        words: aligned words of `pocketsphinx`.
        utterances: for the speakers and the audio; without speakers, or with one, each utterance is its own group.
        labels: table of words with id, start, end and label.
        licence: of the labels.
        options: of the refiner.

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
    found, texts = _found(aligner, words, table, _speakers(utterances))
    count = sum(map(len, found.values())) // 2
    if count < FEWEST_WORDS:
        raise ConfigError(f"labels = {labels!r} have {count} words of {words.uri}; label at least {FEWEST_WORDS} words")
    speakers = len({borders[0].group for borders in found.values()})
    groups = {id: borders[0].group if speakers > 1 else id for id, borders in found.items()}
    borders = [border._replace(group=groups[id]) for id, borders in found.items() for border in borders]
    evaluation: dict[str, Any] = {
        "over": "speakers" if speakers > 1 else "utterances",
        **(boundary_offsets.cross_validated(borders) or {}),
    }
    refiner, reason = None, _reason(options, utterances, count, len(set(groups.values())))
    if reason is None and utterances is not None:
        labelled = labelled_borders(aligner, utterances, texts, table, groups, options.levels, options.seed)
        refiner, errors, reason = _refiner(labelled, options)
        evaluation |= {"refiner": errors} if errors else {}
    sha256 = hashlib.sha256(storage.read_bytes(labels)).hexdigest()
    artifact = Boundaries(
        boundary_offsets.fit(borders),
        aligner.timing_identity(),
        licence,
        {"sha256": sha256, "utterances": len(found), "words": count, "speakers": speakers},
        evaluation,
        refiner,
    )
    return Fit(artifact, reason)


def _found(
    aligner: PocketSphinxAligner, words: Dataset, table: Labels, speakers: dict[str, str | None]
) -> tuple[dict[str, list[LabelledBorder]], dict[str, str]]:
    """Borders and text of each utterance with labelled words, by id."""
    found: dict[str, list[LabelledBorder]] = {}
    texts: dict[str, str] = {}
    for row in words.records(["id", "text", "words"]):
        if row["id"] not in table:
            continue
        timed = [
            TimedWord(word["start"], word["end"], phones, word["timing"] == "aligned")
            for word, phones in zip(row["words"], aligner.phones(row["text"]), strict=True)
        ]
        names = [word["text"] for word in row["words"]]
        borders = _labelled(timed, names, *table[row["id"]], speakers.get(row["id"]) or row["id"])
        if borders:
            found[row["id"]], texts[row["id"]] = borders, row["text"]
    return found, texts


def _refiner(
    borders: Sequence[TrueBorder], options: Options
) -> tuple[Refiner | None, dict[str, Any] | None, str | None]:
    """A refiner with its errors, or the reason against it."""
    result = boundary_refiner.fit(borders, options.seed, options.progress)
    if result is None:
        return None, None, "fewer than two speakers have readable audio"
    clean = result[1]["levels"][0]
    if clean["after"] < clean["offsets"]:
        return *result, None
    reason = f"a refiner has {clean['after']:.1f} ms on others, offsets have {clean['offsets']:.1f} ms"
    return None, result[1], reason


def _reason(options: Options, utterances: Dataset | None, words: int, groups: int) -> str | None:
    """Reason against the training of a refiner."""
    if not options.refine:
        return "option --offsets-only"
    if utterances is None:
        return "a refiner needs the audio: name the run, with utterances and words"
    if words < FEWEST_REFINED:
        return f"{words} labelled words; a refiner needs {FEWEST_REFINED}"
    return "all labels are in one utterance" if groups < 2 else None


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
