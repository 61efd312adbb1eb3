"""cluster: sample -> codebook, the centroids of the units.

Reads all shards of `sample` and, if present, of `words`. Writes the artifact `codebook`.

The folder holds the codebook (centroids and metadata) and `quality.json`: dead units, duplicates, perplexity, bit
rate, inertia by iteration. With `words` or a table of labels it also has purity and PNMI of the units, as in HuBERT
(arXiv 2106.07447, section IV-C), with silence as one more class. With a table of labels, `unit_labels.json` has the
sampled frames of each label and unit.

The sample is copied into one raw file in the scratch folder and read by blocks, so memory does not hold the features.
All sampled frames are used, except for silent frames beyond a share of `max_silence`. The state is saved after each
iteration. A killed run resumes with the next iteration and ends with the same bytes.

A collapsed codebook is refused: perplexity below `min_perplexity` * k, or more than `max_unused` of its units dead or
duplicates. For an extractor with a fixed window (Whisper), a codebook with units of the position is refused too: less
than `min_shift_kept` of the units stay after some seconds of faint noise before the same speech.

`center` and `standardize` normalise the frames first. Their means and scale are learnt from the sample and are part
of the codebook (tokenizers/kmeans/transform.py).
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from speechprep.artifacts import storage
from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.manifest import digest
from speechprep.artifacts.timebase import FrameGrid
from speechprep.pipelines.backends.quantizers.kmeans import KMeansQuantizer
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig
from speechprep.pipelines.engine.task import STATE
from speechprep.pipelines.labels import read_labels
from speechprep.pipelines.stages.cluster.position import Batches, Normalisation, learn, position_pnmi, shift_test
from speechprep.pipelines.stages.cluster.quality import (
    UNIT_LABELS,
    agreement,
    frame_labels,
    gate,
    label_counts,
    quality,
    word_rows,
)
from speechprep.pipelines.stages.cluster.selection import FrameSample, limit_silence, places, read_frames, spill
from speechprep.tokenizers.kmeans.fit import Device, Init, schedule
from speechprep.tokenizers.kmeans.frames import FrameFile
from speechprep.tokenizers.kmeans.nearest import Centroids
from speechprep.tokenizers.kmeans.state import Checkpoint, KMeansFit, Progress

VERSION = 3
QUALITY = "quality.json"
SAVED = "k-means.npz"
SPILLED = "frames.f32"
FEW_FRAMES = 40  # for each unit: below, cluster warns
ROWS = 16  # utterances read at once, with their features in memory


class Config(StageConfig):
    """Options of `cluster`."""

    ADDED_LATER: ClassVar[frozenset[str]] = frozenset({"center", "center_window", "standardize", "min_shift_kept"})

    k: int = Field(100, ge=1, description="number of units (centroids)")
    iterations: int = Field(
        11,
        ge=1,
        description="k-means iterations. With 400 frames a unit in a quarter of the sample, they run on that "
        "quarter, then half as many on the whole sample",
    )
    progressive: bool = Field(
        default=True,
        description="run the first iterations on a part of the frames; false: plain Lloyd iterations on all frames",
    )
    restarts: int = Field(
        1, ge=1, description="number of runs from different starting points; the run with the lowest inertia is kept"
    )
    init: Init = Field("random", description="method for the starting points: random frames or kmeans++")
    device: Device = Field(
        "auto",
        description="device of k-means; auto: a GPU if torch or FAISS has one, else the CPU; the result is the same",
    )
    labels: str | None = Field(
        None,
        description="table (CSV, TSV, Parquet) with id, start, end (seconds) and label, e.g. phones, for "
        "purity and PNMI; default: none",
    )
    max_silence: float = Field(
        0.3, ge=0.0, le=1.0, description="largest fraction of silent frames; further silent frames are left out"
    )
    min_perplexity: float = Field(
        0.2, ge=0.0, le=1.0, description="refuse a codebook with a perplexity below this fraction of k"
    )
    max_unused: float = Field(
        0.1, ge=0.0, le=1.0, description="refuse a codebook with a larger fraction of dead or duplicate units"
    )
    center: Literal["none", "position"] = Field(
        "none",
        description="position: subtract the mean frame of each frame number in the window of the extractor, for "
        "example of Whisper; none: no centring",
    )
    center_window: float | None = Field(
        None,
        gt=0.0,
        description="seconds of the longest audio for which units are made; `center` then needs no frames beyond it, "
        "and `units` rejects longer audio; default: the whole window of the extractor",
    )
    standardize: bool = Field(
        default=False, description="divide each dimension of the frames by its standard deviation"
    )
    min_shift_kept: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="refuse a codebook if a smaller fraction of units stays after 0.5, 3 or 10 s of faint noise before "
        "the same speech; only for extractors with a fixed window, for example Whisper",
    )


def fitted(ctx: ShardContext, sample: FrameSample, dim: int, normalisation: Normalisation) -> KMeansFit:
    """Cluster the frames of a sample; `units` of the result are in the order of the sample."""
    config: Config = ctx.config
    kmeans: KMeansQuantizer = ctx.backend
    keys = sample.keys(ctx.seed)
    phases = schedule(len(keys), config.k, config.iterations, progressive=config.progressive)
    first = np.zeros(len(keys), bool)
    first[np.argsort(keys, kind="stable")[: phases[0][0]]] = True
    place = places(first)
    in_file = np.empty_like(keys)
    in_file[place] = keys
    file = ctx.scratch / SPILLED
    spill(sample, ctx.batches("sample", ["features"], rows=ROWS), dim, first, file, normalisation.transform)
    made_of = [VERSION, kmeans.identity(), config.k, config.max_silence, ctx.seed, ctx.content("sample")]
    made_of += [normalisation.record] if normalisation.record else []
    saved = Checkpoint(storage.join(ctx.folder, STATE, SAVED), digest(made_of))

    def report_progress(at: Progress) -> None:
        restart = f"restart {at.restart + 1} of {config.restarts}, " if config.restarts > 1 else ""
        ctx.note(f"{restart}iteration {at.iteration} of {at.iterations}, inertia {at.inertia:.6g}")

    with FrameFile(file, dim) as frames:
        fit = kmeans.fit(frames, config.k, ctx.seed, keys=in_file, checkpoint=saved, on_iteration=report_progress)
    file.unlink()
    return replace(fit, units=fit.units[place])


def run(ctx: ShardContext) -> None:
    """Fit, judge, save."""
    config: Config = ctx.config
    made_from = ctx.extra("sample")  # noqa: S610
    grid = FrameGrid(**made_from["grid"])
    window_frames = int(made_from.get("window_frames", 0))
    columns = ["id", "frames", "silent", *(["positions"] if window_frames else [])]
    everything = read_frames(ctx.batches("sample", columns))
    normalisation = learn(config, everything, _batches(ctx), made_from["dim"], window_frames, grid)
    sample = limit_silence(everything, config.max_silence, ctx.seed)
    fit = fitted(ctx, sample, made_from["dim"], normalisation)
    report = {**quality(fit, grid.rate), "frames_sampled": len(everything.frame)}
    report["silent_share"] = float(sample.silent.mean())
    if ctx.has("words"):
        rows = word_rows(ctx.batches("words", ["id", "words"]))
        report["words"] = agreement(fit.units, frame_labels(sample, rows, grid))
    if config.labels is not None:
        numbers: dict[str, int] = {}
        labels = frame_labels(sample, read_labels(config.labels), grid, numbers)
        report["labels"] = agreement(fit.units, labels)
        counts = label_counts(fit.units, labels, numbers, config.k)
        (ctx.out / UNIT_LABELS).write_text(json.dumps(counts, ensure_ascii=False) + "\n", encoding="utf-8")
    position = position_facts(ctx, sample, fit, normalisation)
    report.update(position)
    text = json.dumps(report, indent=1, sort_keys=True) + "\n"
    # If the gate refuses, the folder is not committed; the report stays in the folder of the unfinished work.
    storage.write_bytes(storage.join(ctx.folder, STATE, QUALITY), text.encode())
    gate(report, config)
    codebook = Codebook(
        centroids=fit.centroids,
        extractor=made_from["extractor"],
        grid=grid,
        backend=made_from["backend"],
        quantizer={**ctx.backend.identity(), "seed": ctx.seed, "schedule": report["schedule"]},
        sampling={**made_from["plan"], "seed": ctx.seed, "max_silence": config.max_silence},
        frames_used=fit.frames_used,
        frames_seen=len(everything.frame),
        counts=fit.counts.tolist(),
        inertia=fit.inertia,
        versions={"numpy": version("numpy")},
        means=normalisation.transform.means,
        scale=normalisation.transform.scale,
        normalisation=normalisation.record,
        quality=position,
    )
    codebook.save(ctx.out)
    (ctx.out / QUALITY).write_text(text)
    plain = {key: value for key, value in report.items() if isinstance(value, int | float | str)}
    agreements = {name: report.get(name, {}) for name in ("words", "labels")} | position
    agreements |= {"normalisation": normalisation.record} if normalisation.record else {}
    ctx.facts.update({**plain, **agreements, "device": fit.device, **codebook.facts()})
    ctx.done(frames=fit.frames_used)


def _batches(ctx: ShardContext) -> Batches:
    return lambda columns: ctx.batches("sample", columns, rows=ROWS)


def position_facts(
    ctx: ShardContext, sample: FrameSample, fit: KMeansFit, normalisation: Normalisation
) -> dict[str, Any]:
    """Shift test and PNMI with position; nothing for a sample without frame numbers."""
    if sample.position is None:
        return {}
    made_from = ctx.extra("sample")  # noqa: S610
    grid = FrameGrid(**made_from["grid"])
    centroids = Centroids(fit.centroids, transform=normalisation.transform)
    shift = shift_test(_batches(ctx), centroids, made_from["shift_leads"], normalisation.covered, grid)
    pnmi = position_pnmi(sample, fit.units, sample.keys(ctx.seed), _batches(ctx), ctx.config.k, grid)
    return {name: value for name, value in (("shift", shift), ("position", pnmi)) if value}


def warning(facts: dict[str, Any]) -> str:
    """Warning for few frames for each unit."""
    k, frames = facts["k"], facts["frames_used"]
    if frames >= FEW_FRAMES * k:
        return ""
    return (
        f"{frames:,} frames for {k:,} units are {frames / k:.1f} frames for each, below {FEW_FRAMES}: the units follow "
        f"chance; lower k to {max(1, frames // FEW_FRAMES):,}, or raise max_frames or add audio"
    )


def make_quantizer(config: Config) -> KMeansQuantizer:
    """The quantizer of a configuration."""
    return KMeansQuantizer(
        config.iterations, config.restarts, config.init, config.device, progressive=config.progressive
    )


STAGE = Stage(
    name="cluster",
    version=VERSION,
    reads=(Read("sample", "sample", sharded=False), Read("words", "words", sharded=False, optional=True)),
    writes="codebook",
    config=Config,
    run=run,
    schema=None,
    warning=warning,
    backend=lambda config, extras: make_quantizer(config),
    help=(
        "Fit the codebook of speech units: k-means on a sample of frames.\n\nThe sample is drawn first if the"
        " input has none. The options of `sample` can then be set here too."
    ),
    examples=(
        "speechprep cluster --input run/utterances --out run/codebook --set k=500",
        "speechprep cluster --input run --out run/codebook --set k=500 --set iterations=20",
    ),
)
