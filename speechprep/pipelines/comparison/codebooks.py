"""Figures of codebooks, side by side: purity, PNMI, ABX, shift test, bitrate and tokens for a second of speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from speechprep.artifacts import storage
from speechprep.artifacts.run import Dataset, Run, open_run
from speechprep.errors import StaleArtifact
from speechprep.pipelines.comparison.abx import AbxOptions, abx
from speechprep.pipelines.comparison.phones import Labels, phone_agreement


@dataclass(frozen=True)
class Compared:
    """Figures of one codebook; None for an unknown one.

    Attributes:
        codebook: folder as named by the user.
        extractor: name, layer and normalisation of the frames.
        k: number of units.
        purity, pnmi: of the units against phones.
        phones: frames behind `purity` and `pnmi`: "units" of the run, or the "sample" of the fit.
        abx_within, abx_across: ABX error rates, from 0 to 1.
        shift_kept: seconds of noise -> share of units kept in the shift test; empty without a window.
        bits_per_second: frame rate times log2 of the perplexity.
        tokens_per_second: subwords for a second of speech, by the subword model of the run.
    """

    codebook: str
    extractor: str
    k: int
    purity: float | None = None
    pnmi: float | None = None
    phones: str | None = None
    abx_within: float | None = None
    abx_across: float | None = None
    shift_kept: dict[str, float] | None = None
    bits_per_second: float | None = None
    tokens_per_second: float | None = None

    @property
    def kept(self) -> float | None:
        """Smallest share of the shift test."""
        return min(self.shift_kept.values()) if self.shift_kept else None

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)


def compare(folders: Sequence[str], labels: Labels | None = None, options: AbxOptions | None = None) -> list[Compared]:
    """The figures of codebooks, in the order of the folders.

    Args:
        folders: codebook folders, or run folders with a codebook. Units and the subword model are read from the run,
            if they belong to the codebook.
        labels: phones of each utterance, for purity, PNMI and ABX on the units of each run. None: purity and PNMI
            come from the option `labels` of `cluster`.
        options: of ABX.

    Raises:
        StaleArtifact: a folder without a codebook, or without units if there are labels.
    """
    return [_figures(folder, labels, options or AbxOptions()) for folder in folders]


def _figures(folder: str, labels: Labels | None, options: AbxOptions) -> Compared:
    codebook, run = _find(folder)
    facts = codebook.extra
    shares: dict[str, Any] = {"phones": "sample", **(facts.get("labels") or {})}
    errors: tuple[float | None, float | None] = (None, None)
    if labels is not None:
        if "units" not in run:
            raise StaleArtifact(
                f"{folder}: phones need the units of this codebook beside it, in one run folder; run the stage units"
            )
        shares = {"phones": "units", **phone_agreement(run, labels)}
        result = abx(run, labels, options)
        errors = result.within.error, result.across.error
    return Compared(
        codebook=folder,
        extractor=_extractor(facts),
        k=int(facts["k"]),
        purity=shares.get("label_purity"),
        pnmi=shares.get("pnmi"),
        phones=shares["phones"] if "pnmi" in shares else None,
        abx_within=errors[0],
        abx_across=errors[1],
        shift_kept=(facts.get("shift") or {}).get("kept"),
        bits_per_second=facts.get("bits_per_second"),
        tokens_per_second=_tokens(run),
    )


def _find(folder: str) -> tuple[Dataset, Run]:
    """The codebook, and the run with the datasets of this codebook only."""
    named = open_run(folder)
    codebook = named["codebook"]
    run = named if len(named.datasets) > 1 else open_run(storage.parent(codebook.uri))
    fingerprint = codebook.extra["codebook"]
    fitting = {
        kind: dataset
        for kind, dataset in run.datasets.items()
        if kind not in ("units", "subword") or dataset.extra.get("codebook") == fingerprint
    }
    return codebook, Run(run.uri, {**fitting, "codebook": codebook})


def _extractor(facts: dict[str, Any]) -> str:
    identity, normalisation = facts.get("extractor") or {}, facts.get("normalisation") or {}
    parts = [str(identity.get("model") or identity.get("name") or "?")]
    if identity.get("layer") is not None:
        parts.append(f"layer {identity['layer']}")
    if identity.get("truncate") is not None:
        parts.append("truncated" if identity["truncate"] else "padded")
    if normalisation.get("center", "none") != "none":
        parts.append("centred")
    if normalisation.get("standardize"):
        parts.append("standardised")
    return ", ".join(parts)


def _tokens(run: Run) -> float | None:
    facts: Any = run.facts("subword")
    for key in ("coverage", "compression", "speech", "tokens_per_second"):
        facts = (facts or {}).get(key)
    return None if facts is None else float(facts)
