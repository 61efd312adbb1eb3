"""Small runs for the tests of the report, made table by table."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from speechprep.artifacts import manifest, schemas
from speechprep.artifacts.manifest import Manifest, Shard
from speechprep.artifacts.shards import ShardWriter, shard_name

K = 20
EVIL = "<script>alert(1)</script>"


def tone(seconds: float, rate: int = 16000) -> bytes:
    """An encoded file of that length."""
    buffer = io.BytesIO()
    t = np.arange(round(seconds * rate)) / rate
    soundfile.write(
        buffer, 0.4 * np.sin(2 * np.pi * 220 * t) * np.hanning(len(t)), rate, format="WAV", subtype="PCM_16"
    )
    return buffer.getvalue()


def write(run: Path, kind: str, schema: pa.Schema, rows: list[dict[str, Any]], shards: int = 1, **more: Any) -> None:
    """A dataset as a stage commits it; rows go to the shards in turn."""
    made = []
    (run / kind).mkdir(parents=True)
    for shard in range(shards):
        name = shard_name(shard, shards)
        with ShardWriter(str(run / kind / name), schema) as writer:
            writer.write(rows[shard::shards])
        seconds = sum(row.get("duration") or 0.0 for row in rows[shard::shards])
        made.append(Shard(name, "key", writer.sha256, writer.size, writer.rows, seconds))
    declare(run, kind, made, **more)


def declare(run: Path, kind: str, shards: list[Shard] | None = None, **extra: Any) -> None:
    """The manifest of a folder."""
    (run / kind).mkdir(parents=True, exist_ok=True)
    licences = ["CC BY 4.0"] if kind == "utterances" else []
    made = Manifest(kind, "f" * 64, "c" * 64, {}, shards or [], {}, licences, {"speechprep": "0.1.0"}, extra)
    manifest.write(str(run / kind), made)


def write_rejects(run: Path, kind: str, rows: list[dict[str, Any]], shard: str = shard_name(0, 1)) -> None:
    (run / kind / "_rejects").mkdir(exist_ok=True)
    with ShardWriter(str(run / kind / "_rejects" / shard), schemas.REJECTS) as writer:
        writer.write([{"audio": None, "retry": None, **row} for row in rows])


def utterance(ident: str, seconds: float, **more: Any) -> dict[str, Any]:
    empty = dict.fromkeys(schemas.UTTERANCES.names)
    return (
        empty
        | {"id": ident, "audio_bytes": tone(seconds), "offset": 0.0, "duration": seconds, "sample_rate": 16000}
        | more
    )


def aligned(ident: str, seconds: float, score: float | None = 0.5, **more: Any) -> dict[str, Any]:
    texts = f"a few words said by {ident}".split()
    edges = np.linspace(0.1, seconds - 0.1, len(texts) + 1)
    words = [
        {"text": text, "start": edges[i], "end": edges[i + 1] - 0.05, "score": score, "timing": "aligned"}
        for i, text in enumerate(texts)
    ]
    row = {
        "id": ident,
        "text": " ".join(texts),
        "source_text": None,
        "words": words,
        "duration": seconds,
        "score": score,
    }
    return row | {"words_per_second": len(texts) / seconds, "wer": None, "kept": True, "reason": None} | more


def token_row(ident: str, kind: str, runs: list[tuple[str, int, float]], markers: int = 2) -> dict[str, Any]:
    made, place, t0 = [], 1, 0.0
    for modality, length, seconds in runs:
        made.append(
            {
                "modality": modality,
                "start": place,
                "stop": place + length,
                "word_start": 0,
                "word_stop": 1,
                "t0": t0,
                "t1": t0 + seconds,
            }
        )
        place, t0 = place + length, t0 + seconds
    ids = list(range(sum(length for _, length, _ in runs) + markers))
    return {"id": ident, "kind": kind, "input_ids": ids, "runs": made, "durations": [], "word_t0": [], "word_t1": []}


def make_run(run: Path, n: int = 8, shards: int = 1) -> Path:
    """A whole run of `n` utterances of 1 to 3 s."""
    rng = np.random.default_rng(0)
    names, lengths = [f"utt-{i:03d}" for i in range(n)], [1.0 + 2.0 * i / n for i in range(n)]
    pairs = list(zip(names, lengths, strict=True))
    write(
        run,
        "utterances",
        schemas.UTTERANCES,
        [utterance(i, s, text="x", licence="CC BY 4.0") for i, s in pairs],
        shards,
    )
    write(run, "words", schemas.WORDS, [aligned(i, s, i_ / n) for i_, (i, s) in enumerate(pairs)], shards)
    grid = {"sample_rate": 16000, "stride": 160, "window": 400, "padded": False}
    units = [
        {"id": i, "units": np.repeat(rng.integers(0, K - 2, round(s * 25)), 4).tolist(), "codebook": "c"}
        for i, s in pairs
    ]
    write(run, "units", schemas.units_schema(K), units, shards, k=K, grid=grid)
    tokens = [token_row(i, "unit", [("unit", round(s * 20), s)]) for i, s in pairs]
    tokens += [token_row(i, "text", [("text", round(s * 4), s)]) for i, s in pairs]
    tokens += [
        token_row(i, "ast", [("unit", round(s * 10), s / 2), ("text", round(s * 2), s / 2)], 4) for i, s in pairs
    ]
    write(run, "tokens", schemas.TOKENS, tokens, shards)
    packed = {
        "input_ids": [1] * 8,
        "document_ids": [0] * 6 + [-1] * 2,
        "modality_ids": [0, 1, 1, 2, 2, 2, 0, 0],
        "ids": ["a"],
    }
    write(run, "packed", schemas.PACKED, [packed] * 3)
    vectors = rng.normal(size=(n, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        {"id": i, "t0": 0.0, "t1": s, "vector": v.astype(np.float32), "caption": f"caption of {i}"}
        for (i, s), v in zip(pairs, vectors, strict=True)
    ]
    write(run, "embeddings", schemas.vector_schema(6), rows, shards)
    declare(run, "index", recall_at_10=0.98)
    return run


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def text_of(page: str) -> str:
    """The page without its scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
