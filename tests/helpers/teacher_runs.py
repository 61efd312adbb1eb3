"""Run folders for the encoders, without audio: utterances, teacher vectors and a WordPiece tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from helpers import rowmaking as made

from speechprep.artifacts import manifest, shards
from speechprep.artifacts.schemas import UTTERANCES
from speechprep.artifacts.vectors import INDEX, INDEX_SCHEMA
from speechprep.tokenizers.wordpiece.tokenizer import save_tokenizer
from speechprep.tokenizers.wordpiece.train import train_pieces

DIM = 24
WORDS = "the cat dog saw a bird and then went home with its old friend under some tall green tree"
LEXICON = WORDS.split()
EXTRACTOR = {"name": "whisper", "weights": "a" * 64, "layer": 6}


def rows_of(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Utterances of 5 to 12 words by four speakers."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        words = rng.integers(0, len(LEXICON), int(rng.integers(5, 13)))
        text = " ".join(LEXICON[w] for w in words)
        seconds = round(0.3 * len(words) + float(rng.random()) * 0.2, 3)
        split = "test" if i % 5 == 4 else "train"
        speaker = f"s{i % 4}"
        rows.append({"id": f"{speaker}-{i:03d}", "text": text, "speaker": speaker, "duration": seconds, "split": split})
    return rows


def vectors_of(rows: list[dict[str, Any]]) -> np.ndarray:
    """(n, DIM) counts of the words in a fixed random basis, plus a large common part."""
    rng = np.random.default_rng(1)
    basis, common = rng.normal(size=(len(LEXICON), DIM)), 5 * rng.normal(size=DIM)
    counts = np.array([[row["text"].split().count(word) for word in LEXICON] for row in rows])
    return (counts @ basis + common).astype(np.float32)


def write_vectors(folder: Path, ids: list[str], mean: np.ndarray, extractor: dict[str, Any] = EXTRACTOR) -> None:
    """An artifact `vectors`."""
    folder.mkdir(parents=True, exist_ok=True)
    order = np.argsort(ids)
    for name, values in (("mean", mean), ("mean_all", mean * 0.5)):
        np.save(folder / f"{name}.npy", values[order])
    with shards.ShardWriter(str(folder / INDEX), INDEX_SCHEMA) as writer:
        columns = [[ids[i] for i in order], list(range(len(ids))), [10] * len(ids)]
        arrays = [pa.array(c, field.type) for c, field in zip(columns, INDEX_SCHEMA, strict=True)]
        writer.write(pa.RecordBatch.from_arrays(arrays, schema=INDEX_SCHEMA))
    extra = {"dim": mean.shape[1], "extractor": extractor, "mean": mean.mean(0).tolist(), "std": mean.std(0).tolist()}
    content = manifest.digest([ids, mean.tolist()])
    manifest.write(str(folder), manifest.Manifest("vectors", content, content, {"inputs": {}}, [], {}, [], {}, extra))


def write_tokenizer(folder: Path, texts: list[str], size: int = 90) -> None:
    """An artifact `wordpiece`."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces, _ = train_pieces(lambda: texts, size, min_count=1)
    save_tokenizer(folder, pieces, lowercase=True)
    content = manifest.digest(pieces)
    manifest.write(
        str(folder), manifest.Manifest("wordpiece", content, content, {}, [], {}, [], {}, {"size": len(pieces)})
    )


def write_teacher_run(root: Path, count: int = 64, seed: int = 0) -> Path:
    """`utterances`, `vectors` and `wordpiece` in a folder."""
    rows = rows_of(count, seed)
    made.write_dataset(root / "utterances", "utterances", UTTERANCES, [rows[: count // 2], rows[count // 2 :]])
    write_vectors(root / "vectors", [row["id"] for row in rows], vectors_of(rows))
    write_tokenizer(root / "wordpiece", [row["text"] for row in rows])
    return root
