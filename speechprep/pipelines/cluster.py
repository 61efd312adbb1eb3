"""cluster: k-means over sampled frames, the unit vocabulary.

Reads all shards of `sample` and, where there are some, of `words`. Writes the artifact `codebook`.
The folder holds the codebook (centroids and passport) and `quality.json`: dead units, duplicates, perplexity, bit rate,
inertia by iteration and, where `words` are there, how well units tell words apart (purity and PNMI as in HuBERT, arXiv
2106.07447, section IV-C, with words for phones and silence as one more class).

K-means sees every sampled frame, but that silent ones are thinned to a share of `max_silence`. A codebook that has
collapsed is refused: perplexity below `min_perplexity` * k, or more than `max_unused` of its units dead or duplicates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts import storage
from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.index import require_faiss
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.execute import STATE
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig
from speechprep.pipelines.sample import uniform
from speechprep.tokenizers.quantizer import Centroids, Device, FaissQuantizer, Init, KMeansFit, perplexity

QUALITY = "quality.json"
DUPLICATE = 0.05  # of the root mean square distance of a frame to its centroid: two centroids closer than this are one
GAP = ""  # the label of frames outside all words

F32 = NDArray[np.float32]


class Config(StageConfig):
    """Options of `cluster`."""

    k: int = Field(100, ge=1, description="number of units")
    iterations: int = Field(25, ge=1, description="k-means iterations")
    restarts: int = Field(1, ge=1, description="runs from other starting points; the best is kept")
    init: Init = Field("random", description="starting points: random, kmeans++ or afk-mc2")
    device: Device = Field("auto", description="auto takes GPUs where FAISS sees some; they give other centroids")
    max_silence: float = Field(0.3, ge=0.0, le=1.0, description="largest share of silent frames in the sample")
    min_perplexity: float = Field(0.2, ge=0.0, le=1.0, description="refuse a codebook below this times k")
    max_unused: float = Field(0.1, ge=0.0, le=1.0, description="refuse more dead or duplicate units than this share")


@dataclass(frozen=True)
class FrameSample:
    """Sampled frames. `ids[utterance[i]]` and `frame[i]` say where row i of `features` (n, dim) comes from."""

    ids: list[str]
    utterance: NDArray[np.int64]
    frame: NDArray[np.int64]
    silent: NDArray[np.bool_]
    features: F32

    def take(self, kept: NDArray[np.int64]) -> FrameSample:
        """Only these rows."""
        return FrameSample(self.ids, self.utterance[kept], self.frame[kept], self.silent[kept], self.features[kept])


def read_sample(batches: Iterator[Any], dim: int) -> FrameSample:
    """All rows of a `sample` dataset."""
    ids: list[str] = []
    counts, frame, silent, features = [], [], [], []
    for batch in batches:
        ids += batch.column("id").to_pylist()
        counts.append(batch.column("frames").value_lengths().to_numpy(zero_copy_only=False))
        frame.append(batch.column("frames").flatten().to_numpy(zero_copy_only=False))
        silent.append(batch.column("silent").flatten().to_numpy(zero_copy_only=False))
        features += [np.frombuffer(b.as_buffer(), "<f4").reshape(-1, dim) for b in batch.column("features")]
    if not ids:
        raise ConfigError("cluster: the sample is empty; no utterance gave a frame, see the rejects of sample")
    return FrameSample(
        ids=ids,
        utterance=np.repeat(np.arange(len(ids)), np.concatenate(counts)),
        frame=np.concatenate(frame).astype(np.int64),
        silent=np.concatenate(silent).astype(np.bool_),
        features=np.concatenate(features).astype(np.float32, copy=False),
    )


def limit_silence(sample: FrameSample, max_share: float, seed: int) -> FrameSample:
    """The sample with at most `max_share` silent frames; which of them stay depends on (seed, id, frame) alone."""
    silent = np.flatnonzero(sample.silent)
    voiced = len(sample.silent) - len(silent)
    allowed = len(silent) if max_share >= 1 else int(max_share / (1 - max_share) * voiced)
    if len(silent) <= allowed or not voiced:  # a corpus of nothing but silence is the gate's business
        return sample
    draws = np.empty(len(silent))
    owners = sample.utterance[silent]
    for owner in np.unique(owners):
        mine = owners == owner
        draws[mine] = uniform(seed, f"silence\0{sample.ids[owner]}", sample.frame[silent[mine]])
    # Equal draws are a matter of 2^-53; the order of rows is that of the corpus, so even they are settled.
    kept = silent[np.argsort(draws, kind="stable")[:allowed]]
    return sample.take(np.sort(np.concatenate([np.flatnonzero(~sample.silent), kept])))


def word_labels(sample: FrameSample, batches: Iterator[Any], grid: FrameGrid) -> NDArray[np.int64]:
    """For each sampled frame the number of the word (form, in lower case) at its centre; 0 is no word.

    -1 where the utterance has no row in `words`.
    """
    numbers = {GAP: 0}
    row_of = {id: i for i, id in enumerate(sample.ids)}
    first = np.searchsorted(sample.utterance, np.arange(len(sample.ids) + 1))
    labels = np.full(len(sample.frame), -1, np.int64)
    for batch in batches:
        for id, words in zip(batch.column("id").to_pylist(), batch.column("words").to_pylist(), strict=True):
            if id not in row_of:
                continue
            mine = slice(first[row_of[id]], first[row_of[id] + 1])
            centre = grid.starts(sample.frame[mine]) + grid.window / 2 / grid.sample_rate
            starts, ends = (np.array([w[key] for w in words or []], np.float64) for key in ("start", "end"))
            forms = [numbers.setdefault(w["text"].casefold(), len(numbers)) for w in words or []]
            at = np.searchsorted(starts, centre, side="right") - 1
            inside = (at >= 0) & (centre < np.append(ends, 0.0)[at])
            labels[mine] = np.where(inside, np.array([*forms, 0], np.int64)[at], 0)
    return labels


def agreement(units: NDArray[Any], labels: NDArray[np.int64]) -> dict[str, float]:
    """Purity and PNMI of units against labels, over frames whose label is not negative.

    `label_purity`: share of frames that have their unit's most frequent label; `cluster_purity`: the other way round;
    `pnmi`: I(label; unit) / H(label), the share of the label's information that the unit tells.
    """
    known = labels >= 0
    if not known.any():
        return {}
    pairs, counts = np.unique(np.stack([labels[known], units[known].astype(np.int64)]), axis=1, return_counts=True)
    total = counts.sum()
    of_label = np.bincount(pairs[0], counts)
    of_unit = np.bincount(pairs[1], counts)
    best_in_unit, best_in_label = np.zeros(len(of_unit)), np.zeros(len(of_label))
    np.maximum.at(best_in_unit, pairs[1], counts)
    np.maximum.at(best_in_label, pairs[0], counts)
    joint = counts / total
    information = (joint * np.log(joint * total**2 / (of_label[pairs[0]] * of_unit[pairs[1]]))).sum()
    p = of_label[of_label > 0] / total
    entropy = -(p * np.log(p)).sum()
    return {
        "label_purity": float(best_in_unit.sum() / total),
        "cluster_purity": float(best_in_label.sum() / total),
        "pnmi": float(information / entropy) if entropy > 0 else 0.0,
        "labelled_frames": int(total),
        "labels": int((of_label > 0).sum()),
    }


def duplicates(centroids: F32, radius: float) -> int:
    """Centroids that lie within `radius` of one with a lower index."""
    found = np.zeros(len(centroids), bool)
    wide = centroids.astype(np.float64)
    for i in range(1, len(wide)):
        found[i] = bool((((wide[:i] - wide[i]) ** 2).sum(axis=1) <= radius**2).any())
    return int(found.sum())


def quality(fit: KMeansFit, frame_rate: float) -> dict[str, Any]:
    """What `quality.json` says of a fit, without words."""
    k = len(fit.counts)
    varied = perplexity(fit.counts)
    dead = int((fit.counts == 0).sum())
    double = duplicates(fit.centroids[fit.counts > 0], DUPLICATE * fit.final_inertia**0.5)
    return {
        "k": k,
        "frames_used": fit.frames_used,
        "frames_seen": fit.frames_seen,
        "dead_units": dead,
        "duplicate_units": double,
        "unused_share": (dead + double) / k,
        "perplexity": varied,
        "perplexity_share": varied / k,
        "bits_per_second": frame_rate * float(np.log2(max(varied, 1.0))),
        "inertia": fit.final_inertia,
        "inertia_by_iteration": fit.inertia,
        "counts": fit.counts.tolist(),
        "device": fit.device,
    }


def gate(report: dict[str, Any], config: Config) -> None:
    """Refuse a codebook that has collapsed.

    Raises:
        ConfigError: with the numbers.
    """
    k, varied = report["k"], report["perplexity"]
    problems = []
    if varied < config.min_perplexity * k:
        problems.append(f"perplexity {varied:.1f} of {k} units, at least {config.min_perplexity * k:.1f} is asked for")
    if report["unused_share"] > config.max_unused:
        problems.append(
            f"{report['dead_units']} dead and {report['duplicate_units']} duplicate units of {k}, "
            f"at most {config.max_unused:.0%} may be"
        )
    if problems:
        raise ConfigError(
            f"the codebook has collapsed: {'; '.join(problems)} ({report['frames_used']} frames used). "
            "Look for silent or damaged audio, lower k, raise max_frames, or lower min_perplexity or raise max_unused"
        )


def run(ctx: ShardContext) -> None:
    """Fit, judge, save."""
    config: Config = ctx.config
    made_from = ctx.extra("sample")  # noqa: S610
    grid = FrameGrid(**made_from["grid"])
    everything = read_sample(ctx.batches("sample"), made_from["dim"])
    sample = limit_silence(everything, config.max_silence, ctx.seed)
    fit = ctx.backend.fit(sample.features, config.k, int(ctx.rng("k-means").integers(1 << 31)))
    report = {**quality(fit, grid.rate), "frames_sampled": len(everything.frame)}
    report["silent_share"] = float(sample.silent.mean())
    if ctx.has("words"):
        labels = word_labels(sample, ctx.batches("words", ["id", "words"]), grid)
        report["words"] = agreement(Centroids(fit.centroids).assign(sample.features), labels)
    text = json.dumps(report, indent=1, sort_keys=True) + "\n"
    # Where the gate refuses, the folder is not committed; the numbers stay beside the plan of the unfinished work.
    storage.write_bytes(storage.join(ctx.work.out_folder, STATE, QUALITY), text.encode())
    gate(report, config)
    codebook = Codebook(
        centroids=fit.centroids,
        extractor=made_from["extractor"],
        grid=grid,
        backend=made_from["backend"],
        quantizer={**ctx.backend.identity(), "seed": ctx.seed, "device": fit.device},
        sampling={**made_from["plan"], "seed": ctx.seed, "max_silence": config.max_silence},
        frames_used=fit.frames_used,
        frames_seen=len(everything.frame),
        counts=fit.counts.tolist(),
        inertia=fit.inertia,
        versions={"faiss": require_faiss("k-means").__version__, "numpy": version("numpy")},
    )
    codebook.save(ctx.out)
    (ctx.out / QUALITY).write_text(text)
    plain = {key: value for key, value in report.items() if isinstance(value, int | float | str)}
    ctx.facts.update({**plain, "words": report.get("words", {}), **codebook.facts()})
    ctx.done(frames=fit.frames_used)


def make_quantizer(config: Config) -> FaissQuantizer:
    """The quantizer of a configuration."""
    return FaissQuantizer(config.iterations, config.restarts, config.init, config.device)


STAGE = Stage(
    name="cluster",
    version=1,
    reads=(Read("sample", "sample", sharded=False), Read("words", "words", sharded=False, optional=True)),
    writes="codebook",
    config=Config,
    run=run,
    schema=None,
    backend=lambda config, extras: make_quantizer(config),
)
