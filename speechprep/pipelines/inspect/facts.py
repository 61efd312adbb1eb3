"""Recomputation of the facts in a manifest (`extra`), from the rows, the model files and the inputs of the folder."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import storage
from speechprep.artifacts.codebook import METADATA, Codebook
from speechprep.artifacts.index import AUTO, factory_for
from speechprep.artifacts.manifest import canonical
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import SpeechprepError
from speechprep.pipelines.backends import Extractor
from speechprep.pipelines.engine.stage import Finished
from speechprep.pipelines.inspect.folders import CheckedFolder, disagreement
from speechprep.pipelines.inspect.unverified import is_unverified
from speechprep.pipelines.shift import lead_frames
from speechprep.registry import make

ROWS = 1024
TOLERANCE = 1e-6  # relative; stored means are rounded to seven digits
UNKNOWN = object()  # value of a fact that depends on an absent input or model

Facts = dict[str, Any]


def fact_problems(folder: CheckedFolder) -> Iterator[str]:
    """Disagreements of the facts in the manifest with the data."""
    name, stored = folder.manifest.made_of.get("stage", ""), folder.manifest.extra
    recomputed = STAGES[name](folder) if name in STAGES else _other(folder)
    if recomputed is None:
        return
    for fact in sorted(stored.keys() | recomputed.keys()):
        value = recomputed.get(fact)
        optional = fact in OPTIONAL.get(name, ()) and fact not in stored
        if value is UNKNOWN or optional or is_unverified(name, f"extra.{fact}"):
            continue
        yield from _compare(f"extra.{fact}", stored.get(fact), value)


def _compare(at: str, stored: Any, recomputed: Any) -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(recomputed, dict):
        for key in sorted(stored.keys() | recomputed.keys()):
            yield from _compare(f"{at}.{key}", stored.get(key), recomputed.get(key))
    elif not _agree(stored, recomputed):
        yield disagreement(at, stored, recomputed)


def _agree(stored: Any, recomputed: Any) -> bool:
    if isinstance(stored, list) and isinstance(recomputed, list):
        return len(stored) == len(recomputed) and all(map(_agree, stored, recomputed))
    if type(stored) in (int, float) and type(recomputed) in (int, float):
        return math.isclose(stored, recomputed, rel_tol=TOLERANCE, abs_tol=1e-12)
    return type(stored) is type(recomputed) and bool(stored == recomputed)


def _json(facts: Facts) -> Facts:
    """Facts as JSON values: tuples become lists. Unknown values stay."""
    return {name: value if value is UNKNOWN else json.loads(canonical(value)) for name, value in facts.items()}


def _from_input(folder: CheckedFolder, role: str, names: tuple[str, ...]) -> Facts:
    """Facts copied from an input."""
    dataset = folder.input(role)
    return {name: UNKNOWN if dataset is None else dataset.extra.get(name) for name in names}


def _content(folder: CheckedFolder, role: str) -> Any:
    dataset = folder.input(role)
    return UNKNOWN if dataset is None else dataset.manifest.content


def _other(folder: CheckedFolder) -> Facts | None:
    """Facts of a stage of another package, if they need no backend; None if they cannot be recomputed."""
    stage = folder.stage
    if stage is None or stage.facts is None or stage.backend is not None:
        return None
    inputs = {role: folder.input(role) for role in folder.manifest.made_of.get("inputs", {})}
    manifests = {role: dataset.manifest for role, dataset in inputs.items() if dataset is not None}
    if len(manifests) != len(inputs):
        return None
    config = stage.configure(folder.config)
    return _json(stage.facts(Finished(folder.dataset.uri, config, folder.manifest.shards, manifests)))


def _none(folder: CheckedFolder) -> Facts:
    return {}


def _ingest(folder: CheckedFolder) -> Facts:
    texts = [batch.column("text") for batch in folder.dataset.batches(["text"], rows=ROWS)]
    without = sum(text.null_count for text in texts)
    return {"with_transcript": sum(map(len, texts)) - without, "without_transcript": without}


def _extractor_facts(folder: CheckedFolder, extractor: Extractor | None, dim: Any) -> Facts:
    """Facts of the extractor, from the fingerprint body; the frame grid needs the same extractor on this machine."""
    made = {"extractor": _name(folder), "options": folder.config.get("options")}
    facts = {"backend": made, "extractor": folder.manifest.made_of.get("backend"), "dim": dim, "grid": UNKNOWN}
    return facts if extractor is None else facts | {"grid": extractor.grid.as_dict(), "dim": extractor.dim}


def _name(folder: CheckedFolder) -> Any:
    """Name of the extractor in the options of a folder."""
    return folder.config.get("extractor", folder.config.get("backend"))


def _loadable(folder: CheckedFolder) -> Extractor | None:
    """The unloaded extractor of a folder; None if this machine has another one, or none. All weights are read."""
    try:
        extractor: Extractor = make("extractors", str(_name(folder)), folder.config.get("options") or {})
        same = json.loads(canonical(extractor.identity())) == folder.manifest.made_of.get("backend")
    except (SpeechprepError, ImportError, OSError):
        return None  # the model is not on this machine
    return extractor if same else None


def _sample(folder: CheckedFolder) -> Facts:
    dim: Any = UNKNOWN
    for batch in folder.dataset.batches(["frames", "features"], rows=ROWS):
        row = next((row for row in batch.slice(0, 1).to_pylist() if row["frames"]), None)
        if row is not None:
            dim = len(row["features"]) // (4 * len(row["frames"]))
            break
    extractor = _loadable(folder)
    facts = _extractor_facts(folder, extractor, dim)
    facts["plan"] = {name: folder.config.get(name) for name in ("max_frames", "balance", "spread")}
    for name in ("frames_extracted", "frames_kept"):
        facts[name] = sum(int(shard.counters.get(name, 0)) for shard in folder.manifest.shards)
    corpus, grid = folder.input("corpus"), facts["grid"]
    facts["frames_in_corpus"] = UNKNOWN
    if corpus is not None and grid is not UNKNOWN:
        facts["frames_in_corpus"] = round(corpus.manifest.seconds * FrameGrid(**grid).rate)
    return facts | _window(folder, extractor)


def _window(folder: CheckedFolder, extractor: Extractor | None) -> Facts:
    """Facts of a sample of an extractor with a fixed window; they need the same extractor on this machine."""
    if extractor is None:
        names = ("window_frames", "shift_leads") if "window_frames" in folder.manifest.extra else ()
        return dict.fromkeys(names, UNKNOWN)
    frames = extractor.window_frames
    return {"window_frames": frames, "shift_leads": lead_frames(extractor.grid, frames)} if frames else {}


def _pool(folder: CheckedFolder) -> Facts:
    from speechprep.pipelines.stages.pool import standardisation

    dim = next((len(row["mean"]) for row in folder.dataset.records(["mean"])), UNKNOWN)
    facts = _extractor_facts(folder, _loadable(folder), dim)
    if facts["dim"] is UNKNOWN:
        return {**facts, "mean": UNKNOWN, "std": UNKNOWN}
    return {**facts, **standardisation(folder.dataset.batches(["mean"], rows=ROWS), facts["dim"])}


def _clips(folder: CheckedFolder) -> Facts:
    from speechprep.pipelines.stages.clips.partners import pairing_counts

    return {"pairing": pairing_counts(folder.dataset.batches(["n_words", "tolerance"], rows=ROWS))}


def _vectors(folder: CheckedFolder) -> Facts:
    from speechprep.pipelines.stages.vectors import COPIED_FACTS

    pooled = folder.input("pooled")
    return {**_from_input(folder, "pooled", COPIED_FACTS), "rows": UNKNOWN if pooled is None else pooled.manifest.rows}


def _codebook(folder: CheckedFolder) -> Facts | None:
    """Facts of a codebook: its metadata, and the entries of `quality.json` if it was clustered here."""
    if not storage.is_local(folder.dataset.uri):
        return None
    path = storage.local_path(folder.dataset.uri)
    codebook = Codebook.load(path)
    facts: Facts = codebook.facts()
    if "origin" in json.loads((path / METADATA).read_text(encoding="utf-8")):
        facts["origin"] = codebook.origin
    quality = path / "quality.json"
    if quality.exists():
        report = json.loads(quality.read_text(encoding="utf-8"))
        facts = {
            **{name: value for name, value in report.items() if isinstance(value, int | float | str)},
            "words": report.get("words", {}),
            "labels": report.get("labels", {}),
            **{name: report[name] for name in ("shift", "position") if name in report},
            **({"normalisation": codebook.normalisation} if codebook.normalisation else {}),
            **facts,
        }
    return _json(facts)


def _units(folder: CheckedFolder) -> Facts:
    return _from_input(folder, "codebook", ("grid", "k", "codebook"))


def _subword(folder: CheckedFolder) -> Facts:
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

    with tempfile.TemporaryDirectory() as local:
        path = folder.dataset.path(Path(local))
        vocabulary = Vocabulary.load(path)
        coverage = json.loads((path / "coverage.json").read_text(encoding="utf-8"))
    described = vocabulary.describe()
    facts = {name: described[name] for name in ("size", "k", "language", "ranges", "unit_algorithm")}
    facts |= {"coverage": coverage, "transformers": vocabulary.has_tokenizer, **_from_input(folder, "units", ("grid",))}
    units = folder.input("units")
    if units is None:
        facts["codebook"] = UNKNOWN
    elif units.extra.get("codebook"):
        facts["codebook"] = units.extra["codebook"]
    return _json(facts)


def _wordpiece(folder: CheckedFolder) -> Facts:
    from speechprep.tokenizers.wordpiece.tokenizer import WordPiece

    with tempfile.TemporaryDirectory() as local:
        path = folder.dataset.path(Path(local))
        tokenizer = WordPiece.load(path)
        coverage = json.loads((path / "coverage.json").read_text(encoding="utf-8"))
    return _json({"size": tokenizer.size, "tokenizer": tokenizer.fingerprint, "coverage": coverage})


def _interleave(folder: CheckedFolder) -> Facts:
    facts = {**_from_input(folder, "units", ("grid", "k")), "vocabulary": _content(folder, "subword")}
    return facts | _known_codebook(folder, "units")


def _known_codebook(folder: CheckedFolder, role: str) -> Facts:
    facts = _from_input(folder, role, ("codebook",))
    return facts if facts["codebook"] else {}


def _pack(folder: CheckedFolder) -> Facts:
    grid = _from_input(folder, "tokens", ("grid",))
    cut = sum(int(shard.counters.get("cut_documents", 0)) for shard in folder.manifest.shards)
    grid |= _known_codebook(folder, "tokens")
    facts = {**grid, "context": folder.config.get("context"), "vocabulary": _content(folder, "subword")}
    return {**facts, "cut_documents": cut} if cut else facts


def _index(folder: CheckedFolder) -> Facts:
    from speechprep.pipelines.stages.index.quality import PROBES

    rows, schema = folder.dataset.rows, folder.dataset.schema
    factory = folder.config.get("factory")
    embedder = json.loads(storage.read_bytes(storage.join(folder.dataset.uri, "embedder.json")))
    return {
        "rows": rows,
        "dim": schema.field("vector").type.list_size if schema is not None else UNKNOWN,
        "metric": "cosine",
        "kind": factory_for(rows) if factory == AUTO else factory,
        "embedder": embedder["identity"],
        "probes": min(rows, PROBES),
    }


def _images(folder: CheckedFolder) -> Facts:
    lengths: NDArray[np.int64] = np.zeros(0, np.int64)
    for batch in folder.dataset.batches(["codes"], rows=ROWS):
        lengths = np.unique(np.append(lengths, batch.column("codes").value_lengths().to_numpy(zero_copy_only=False)))
    length = int(lengths[0]) if len(lengths) else UNKNOWN
    return {"codec": folder.manifest.made_of.get("backend"), "length": length}


OPTIONAL = {
    "subword": ("codebook", "grid"),
    "interleave": ("codebook",),
    "pack": ("codebook",),
    "ingest": ("with_transcript", "without_transcript"),
}
"""Stage -> facts absent from the manifests of earlier versions."""

STAGES: dict[str, Callable[[CheckedFolder], Facts | None]] = {
    "ingest": _ingest,
    "align": _none,
    "filter": _none,
    "sample": _sample,
    "cluster": _codebook,
    "import_codebook": _codebook,
    "units": _units,
    "subword": _subword,
    "wordpiece": _wordpiece,
    "interleave": _interleave,
    "pack": _pack,
    "clips": _clips,
    "pool": _pool,
    "vectors": _vectors,
    "index": _index,
    "images": _images,
}
"""Stage -> recomputation of its facts."""
