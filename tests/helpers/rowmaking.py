"""Small corpora with words, units and a trained vocabulary: what the tests of interleave, pack and decode share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from speechprep.artifacts import manifest, shards
from speechprep.artifacts.schemas import WORDS, units_schema
from speechprep.artifacts.timebase import FrameGrid
from speechprep.tokenizers.arrays import ragged
from speechprep.tokenizers.arrays.runlength import dedup
from speechprep.tokenizers.interleave.policies import LengthRule, PolicyOptions
from speechprep.tokenizers.interleave.render import Utterances
from speechprep.tokenizers.subword.train import train_text, train_units
from speechprep.tokenizers.subword.vocabulary import Vocabulary

GRID = FrameGrid(sample_rate=16_000, stride=320, window=400)
K = 20
LEXICON = ("you", "are", "how", "today", "don't", "Zürich,", "a", "I", "EM3985771", "naïve", "…", "日本", "the")
FIVE = LengthRule.parse("poisson:5")
TWO = LengthRule.parse("poisson:1")
OPTIONS = PolicyOptions(TWO, TWO)


def utterance(rng: np.random.Generator, id: str) -> dict:
    """A record with words that may start late, together, out of order or after the end; with 0 to 200 frames."""
    n_words, n_frames = int(rng.integers(0, 14)), int(rng.integers(0, 200))
    if rng.random() < 0.1:
        n_words, n_frames = (0, n_frames) if rng.random() < 0.5 else (n_words, 0)
    starts = np.round(rng.random(n_words) * n_frames * 0.022, 3)
    if rng.random() < 0.8:
        starts = np.sort(starts)
    if n_words > 2 and rng.random() < 0.3:
        starts[1] = starts[0]
    ends = starts + np.round(rng.random(n_words) * 0.3, 3)
    words = [
        {"text": LEXICON[int(w)], "start": float(a), "end": float(b)}
        for w, a, b in zip(rng.integers(0, len(LEXICON), n_words), starts, ends, strict=True)
    ]
    runs = rng.integers(1, 6, n_frames)
    return {"id": id, "words": words, "units": np.repeat(rng.integers(0, K, n_frames), runs)[:n_frames].tolist()}


def corpus(n: int, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [utterance(rng, f"utt-{i:05d}") for i in range(n)]


def flat(records: list[dict]) -> Utterances:
    words = [w for r in records for w in r["words"]]
    return Utterances(
        pa.array([r["id"] for r in records], pa.string()),
        pa.array([w["text"] for w in words], pa.string()),
        np.array([w["start"] for w in words], np.float64),
        np.array([w["end"] for w in words], np.float64),
        ragged.offsets_of(np.array([len(r["words"]) for r in records], np.int64)),
        np.array([u for r in records for u in r["units"]], np.uint16),
        ragged.offsets_of(np.array([len(r["units"]) for r in records], np.int64)),
    )


def build_vocabulary(folder: Path, algorithm: str | None = "bpe") -> Vocabulary:
    """A vocabulary trained on a corpus of this module; `None`: units without subwords."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(9)
    sentences = [" ".join(rng.choice(LEXICON, 6)) for _ in range(300)]
    train_text(sentences, 330, folder / "t.model")
    if algorithm is None:
        return Vocabulary.build(folder / "t.model", None, K)
    units = [dedup(np.array(r["units"], np.uint16))[0] for r in corpus(200, seed=5)]
    train_units([u for u in units if len(u)], K, 90, folder / "u.model", algorithm=algorithm)
    return Vocabulary.build(folder / "t.model", folder / "u.model", K)


def write_dataset(
    folder: Path, kind: str, schema: pa.Schema, parts: list[list[dict]], extra: dict | None = None
) -> Path:
    """A complete folder of Parquet shards with its manifest."""
    made = []
    folder.mkdir(parents=True)
    for i, rows in enumerate(parts):
        name = shards.shard_name(i, len(parts))
        with shards.ShardWriter(str(folder / name), schema) as writer:
            writer.write(rows)
        made.append(manifest.Shard(name, f"key-{i}", writer.sha256, writer.size, rows=writer.rows))
    content = manifest.digest([s.sha256 for s in made])
    manifest.write(
        str(folder), manifest.Manifest(kind, content, content, {"kind": kind}, made, {}, [], {}, extra or {})
    )
    return folder


def write_vocabulary(folder: Path, vocab: Vocabulary) -> Path:
    vocab.save(folder)
    made = [manifest.Shard(p.name, "key", shards.sha256_file(p), p.stat().st_size) for p in sorted(folder.iterdir())]
    content = manifest.digest([s.sha256 for s in made])
    manifest.write(
        str(folder), manifest.Manifest("subword", content, content, {}, made, {}, [], {}, {"size": vocab.size})
    )
    return folder


def words_row(record: dict, kept: bool = True) -> dict:
    words = [{"score": None, "timing": "aligned", **w} for w in record["words"]]
    text = " ".join(w["text"] for w in words)
    return {"id": record["id"], "text": text, "words": words, "kept": kept}


def write_inputs(root: Path, words: list[list[dict]], units: list[list[dict]], vocab: Vocabulary) -> dict[str, Path]:
    """`words`, `units` and `subword` folders of records, by shard."""
    unit_rows = [[{"id": r["id"], "units": r["units"], "codebook": "c"} for r in part] for part in units]
    extra = {"grid": GRID.as_dict(), "k": K}
    return {
        "words": write_dataset(root / "words", "words", WORDS, words),
        "units": write_dataset(root / "units", "units", units_schema(K), unit_rows, extra),
        "subword": write_vocabulary(root / "subword", vocab),
    }


def read_rows(folder: Path) -> list[dict]:
    return [
        row
        for path in sorted(folder.glob("part-*.parquet"))
        for batch in shards.read_batches(str(path))
        for row in batch.to_pylist()
    ]
