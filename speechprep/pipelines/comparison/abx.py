"""ABX error rates of the units of a run, within and across speakers.

The distance of two segments is that of DTW over their frames (`tokenizers.abx.dtw`). A frame is the one-hot vector of
its unit, as in the k-means baseline of the Zero Resource Speech Benchmark 2021 (Nguyen et al. 2020, section 4), or its
centroid. Centroids of a centred or standardised codebook are compared in the space of k-means.

Frames themselves are not tested: no dataset holds all frames of an utterance, and `sample` holds a random part.

Subsampling as in Libri-light (Kahn et al. 2020): a limit of segments for each phone, context and speaker, and a limit
of speakers of X for each speaker of A and B. A limit of phones bounds the memory: utterances are drawn up to it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.run import Run
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.comparison.phones import Contexts, Labels, drawn, sample_segments
from speechprep.tokenizers.abx.dtw import AngularDistance, FrameDistance, one_hot
from speechprep.tokenizers.abx.score import Context, ErrorRate, error_rates, possible_triples
from speechprep.tokenizers.arrays.keyed_random import record_keys

Vectors = Literal["one-hot", "centroids"]


@dataclass(frozen=True)
class AbxOptions:
    """Options of an ABX test.

    Attributes:
        context: triphone: a phone with its neighbours, compared in equal neighbours; phone: the phone alone, in any
            context (Hallap et al. 2023).
        vectors: of the frames: "one-hot" or "centroids".
        segments: largest number of segments of each phone, context and speaker.
        speakers: largest number of speakers of X for each speaker of A and B, in each context.
        phones: largest number of phones of the drawn utterances.
        seed: of the subsampling.
    """

    context: Contexts = "triphone"
    vectors: Vectors = "one-hot"
    segments: int = 10
    speakers: int = 5
    phones: int = 200_000
    seed: int = 0


@dataclass(frozen=True)
class AbxResult:
    """Error rates with their counts.

    Attributes:
        within, across: error rates.
        options: of the test.
        possible: triples within and across speakers in the drawn utterances.
        segments, used: segments of the drawn utterances, and those behind the triples.
        utterances: drawn utterances, and all of the run with labels.
        left_out: reason -> phones without a segment.
    """

    within: ErrorRate
    across: ErrorRate
    options: AbxOptions
    possible: tuple[int, int]
    segments: int
    used: int
    utterances: tuple[int, int]
    left_out: dict[str, int]

    def require_triples(self) -> None:
        """Check that there is a triple.

        Raises:
            ConfigError: no triple within speakers and none across.
        """
        if self.within.cells or self.across.cells:
            return
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in self.left_out.items()) or "none"
        advice = "set --context phone, or use more speech" if self.options.context == "triphone" else "use more speech"
        raise ConfigError(
            f"{self.segments:,} segments of phones give no ABX triple (phones left out: {reasons}); {advice}"
        )

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values; errors are fractions, null without a triple."""
        names = ("context", "vectors", "segments", "speakers", "phones", "seed")
        rates = {}
        for name, rate, possible in zip(("within", "across"), (self.within, self.across), self.possible, strict=True):
            facts = {"error": rate.error, "triples": rate.triples, "possible_triples": possible}
            rates[name] = {**facts, "phone_pairs": len(rate.cells), "by_phone": rate.by_phone()}
        return {
            "options": {name: getattr(self.options, name) for name in names},
            **rates,
            "segments": self.segments,
            "segments_used": self.used,
            "utterances": self.utterances[1],
            "utterances_used": self.utterances[0],
            "phones_left_out": self.left_out,
        }


def abx(run: Run, labels: Labels, options: AbxOptions) -> AbxResult:
    """ABX error rates of the units of a run.

    Args:
        run: with `units` and `utterances`, and `codebook` for the vectors "centroids".
        labels: id -> its phones.
        options: see `AbxOptions`.

    Raises:
        StaleArtifact: the run lacks a dataset, or its units are of another codebook.
    """
    distance = _distance(run, options.vectors)
    labelled = {
        row["id"]: row["speaker"] for row in run["utterances"].records(["id", "speaker"]) if row["id"] in labels
    }
    speakers = {id: speaker for id, speaker in labelled.items() if speaker}
    chosen = drawn({id: labels[id] for id in labelled} or labels, options.phones, options.seed)
    sample = sample_segments(run, chosen, speakers, options.context, options.segments, options.seed)
    segments = sample.segments()

    def partners(context: Context, speaker: str, others: Sequence[str]) -> list[str]:
        keys = record_keys(options.seed, "abx speakers\0".join(("", *context, speaker)), others)
        return [other for _, other in sorted(zip(keys.tolist(), others, strict=True))[: options.speakers]]

    within, across = error_rates(segments, distance, partners)
    counts = sample.counts
    total = sum(n for by_speaker in counts.values() for phones in by_speaker.values() for n in phones.values())
    possible = possible_triples(counts)  # type: ignore[arg-type]
    left_out = dict(sorted(sample.left_out.items()))
    sizes = len(chosen), len(labelled)
    return AbxResult(within, across, options, possible, total, len(segments.phones), sizes, left_out)


def _distance(run: Run, vectors: Vectors) -> FrameDistance:
    if vectors == "one-hot":
        return one_hot
    with tempfile.TemporaryDirectory() as local:
        codebook = Codebook.load(run["codebook"].path(Path(local)))
    units_of = run["units"].extra.get("codebook")
    if units_of != codebook.fingerprint:
        raise StaleArtifact(
            f"{run.uri}: its units are of codebook {str(units_of)[:12]}, its codebook is {codebook.fingerprint[:12]}; "
            "run units again"
        )
    return AngularDistance(codebook.centroids)
