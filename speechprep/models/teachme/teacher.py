"""Teacher vectors for the texts of a training, and the controls.

    own        the vector of the same speech
    shuffled   the vector of another clip of the same corpus and speaker, of another utterance and text, and of similar
               duration; each vector is used once, and the assignment is fixed (`tokenizers.clips.pairing`)
    constant   the mean vector of the training side for each clip, not centred
    duration   sines and cosines of the logarithm of the duration; no audio

`vector=mean_all` takes the mean over all frames of the window, padding included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.run import Run, open_run
from speechprep.artifacts.vectors import Vectors
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.encoder.texts import Text, Texts
from speechprep.tokenizers.arrays.keyed_random import record_keys
from speechprep.tokenizers.clips.pairing import UNPAIRED, derangement

Audio = Literal["own", "shuffled", "constant", "duration"]
F32 = NDArray[np.float32]
TOLERANCES = (0.05, 0.1, 0.2, 0.5, 1e6)  # relative differences of durations; the last one takes any of the speaker
_FREQUENCIES = 32


@dataclass(frozen=True)
class Teacher:
    """Vectors of the texts of a training.

    Attributes:
        parts: vectors of each run, memory-mapped.
        part, row: (n,) run, and row in its vectors, of each text; row -1: no vector.
        column: "mean" or "mean_all".
        extractor: description of the extractor, for comparison.
        contents: content hash of each artifact of vectors.
        dim: dimension.
    """

    parts: list[Vectors]
    part: NDArray[np.int64]
    row: NDArray[np.int64]
    column: Literal["mean", "mean_all"]
    extractor: dict[str, Any]
    contents: list[str]
    dim: int

    def take(self, texts: NDArray[np.int64]) -> F32:
        """(n, dim) vectors of texts; zeros for a text without a vector."""
        out = np.zeros((len(texts), self.dim), np.float32)
        for number, part in enumerate(self.parts):
            here = np.flatnonzero((self.part[texts] == number) & (self.row[texts] >= 0))
            out[here] = getattr(part, self.column)[self.row[texts[here]]]
        return out

    def mean(self, texts: NDArray[np.int64], block: int = 4096) -> NDArray[np.float64]:
        """(dim,) mean of the vectors of texts, in float64."""
        total = np.zeros(self.dim)
        for start in range(0, len(texts), block):
            total += self.take(texts[start : start + block]).astype(np.float64).sum(0)
        return total / max(len(texts), 1)


def load_teacher(
    sources: Sequence[str], texts: Texts, column: Literal["mean", "mean_all"], missing: Literal["refuse", "drop"]
) -> tuple[Texts, Teacher]:
    """The texts that have a vector, and the vectors.

    Args:
        sources: run folders with `vectors`.
        texts: texts of these runs.
        column: mean over the valid frames, or over all frames.
        missing: texts without a vector are an error, or left out.

    Raises:
        StaleArtifact: no vectors, vectors of different extractors, or of other clips or utterances than the run's.
        ConfigError: a text without a vector, with `missing="refuse"`; or none has one.
    """
    parts = [_open(source) for source in sources]
    for source, part in zip(sources, parts, strict=True):
        if part.facts.get("extractor") != parts[0].facts.get("extractor"):
            raise StaleArtifact(
                f"the vectors of {source} are of {describe(part.facts)}, the vectors of {sources[0]} of "
                f"{describe(parts[0].facts)}; make the vectors of all runs with one extractor"
            )
    ids = texts.ids
    of_part, of_row = np.full(len(ids), -1), np.full(len(ids), -1)
    for number, part in enumerate(parts):
        rows = _rows(part, ids)
        new = (rows >= 0) & (of_row < 0)
        of_part[new], of_row[new] = number, rows[new]
    absent = of_row < 0
    if absent.all():
        raise StaleArtifact(
            f"no text has a vector: the texts have ids like {ids[0]!r}, the vectors of {sources[0]} ids like "
            f"{parts[0].ids[0].as_py() if len(parts[0]) else ''!r}; run pool and vectors on the rows of the texts, or "
            "set texts=clips or texts=utterances"
        )
    if absent.any() and missing == "refuse":
        raise ConfigError(
            f"{int(absent.sum()):,} of {len(ids):,} texts have no vector, for example {ids[int(np.argmax(absent))]!r}; "
            "see the rejects of pool, or set missing=drop to train without them"
        )
    present = np.flatnonzero(~absent)
    kept = Texts([texts.rows[i] for i in present.tolist()], texts.facts)
    extractor, dim = parts[0].facts.get("extractor") or {}, int(parts[0].facts["dim"])
    contents = [open_run(source)["vectors"].manifest.content for source in sources]
    teacher = Teacher(parts, of_part[present], of_row[present], column, extractor, contents, dim)
    return kept, teacher


def _open(source: str) -> Vectors:
    run = open_run(source)
    found = Vectors.load(storage.local_path(run["vectors"].uri))
    _check_origin(run)
    return found


def _check_origin(run: Run) -> None:
    """Check that the vectors were made of the clips or utterances of this run, if the run holds the pooled vectors.

    Raises:
        StaleArtifact: other clips or utterances; the message names both fingerprints.
    """
    recorded = run["vectors"].manifest.made_of.get("inputs", {}).get("pooled")
    folders = [storage.join(run.uri, name) for name in storage.folders(run.uri)] if "pooled" in run else []
    stored = [(folder, manifest.find(folder)) for folder in folders]
    for folder, pooled in stored:
        if pooled is None or pooled.kind != "pooled" or pooled.fingerprint != recorded:
            continue
        inputs = pooled.made_of.get("inputs", {})
        role = "clips" if "clips" in inputs else "utterances"
        if role in run and inputs.get(role) != run[role].manifest.fingerprint:
            raise StaleArtifact(
                f"the vectors of {run.uri} come from {folder}, made of {role} {str(inputs.get(role))[:12]}; "
                f"{run[role].uri} is {run[role].manifest.fingerprint[:12]}; run pool and vectors again"
            )


def _rows(vectors: Vectors, ids: list[str]) -> NDArray[np.int64]:
    """(n,) row of each id, -1 without."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.index_in(pa.array(ids, pa.string()), value_set=vectors.ids)
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)


def describe(facts: dict[str, Any]) -> str:
    """An extractor in a few words, for messages."""
    backend, extractor = facts.get("backend") or {}, facts.get("extractor") or {}
    name = extractor.get("name") or (backend.get("extractor") if isinstance(backend, dict) else backend) or "?"
    details = [f"{key} {str(extractor[key])[:12]}" for key in ("layer", "weights", "model") if extractor.get(key)]
    return " ".join([str(name), *details])


def shuffled(rows: list[Text], seed: int) -> NDArray[np.int64]:
    """(n,) number of the text with the vector for each text; -1 for a text without a partner.

    Args:
        rows: texts with speaker, corpus and duration.
        seed: orders clips of equal duration.
    """
    groups: dict[tuple[str, str], int] = {}
    utterances: dict[str, int] = {}
    group = [groups.setdefault((row.corpus, row.speaker), len(groups)) for row in rows]
    utterance = [utterances.setdefault(row.utterance or row.id, len(utterances)) for row in rows]
    partner = derangement(
        np.array([max(row.seconds, 1e-3) for row in rows]),
        np.array(group, np.int64),
        np.array(utterance, np.int64),
        text_hashes(rows),
        record_keys(seed, "teachme.shuffled", [row.id for row in rows]),
        TOLERANCES,
    )
    return np.where(partner == UNPAIRED, -1, partner)


def text_hashes(rows: list[Text]) -> NDArray[np.uint64]:
    """(n,) hash of each text, without regard to case and spaces."""
    return record_keys(0, "clips.text", [" ".join(row.text.casefold().split()) for row in rows])


def duration_vectors(seconds: NDArray[np.float64], dim: int) -> F32:
    """(n, dim) cos and sin of k log(duration), k = 1 .. 32; the other components are 0."""
    count = min(_FREQUENCIES, dim // 2)
    angle = np.log(np.maximum(seconds, 1e-3))[:, None] * np.arange(1, count + 1)
    out = np.zeros((len(seconds), dim), np.float32)
    out[:, :count], out[:, count : 2 * count] = np.cos(angle), np.sin(angle)
    return out
