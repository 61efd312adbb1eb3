"""Shards into batches in tokens a second of one core, beside Hugging Face `datasets` streaming of the same shards.

All on one core in one process, in turns, so that whatever else the machine does falls on all alike; each figure is the
best of some rounds. Our reader shuffles, mixes, gives positions and boundaries of documents, and its state is taken
after every batch. `datasets` gives what it reads, and its on-the-fly packing is the `group_texts` of the language model
examples of transformers. Memory is that of fresh processes that read a folder and one of five times its shards.

    python benchmarks/loader.py --utterances 20000
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import measure
import pack
import pyarrow as pa
import pyarrow.parquet as pq
import synthetic

from speechprep.artifacts import manifest
from speechprep.artifacts.manifest import Manifest, Shard
from speechprep.artifacts.shards import sha256_file
from speechprep.models.data import Reader, Source, VocabularyMetadata, attention_mask, cu_seqlens

CONTEXT, ROWS = 2048, 8
KINDS = (("unit",), ("text",), ("cst_ut", "cst_tu", "ast"))


def declare(folder: Path, kind: str, extra: dict[str, Any]) -> str:
    """A manifest for files that were made without the engine; returns their content."""
    made = []
    for path in sorted(folder.glob("part-*.parquet")) or sorted(folder.iterdir()):
        rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else 0
        made.append(Shard(path.name, "", sha256_file(path), path.stat().st_size, rows=rows))
    content = manifest.digest([s.sha256 for s in made])
    manifest.write(str(folder), Manifest(kind, content, content, {}, made, {}, [], {}, extra))
    return content


def make(root: Path, utterances: int) -> None:
    """`subword`, `tokens` and `packed` of synthetic speech, and `packed5`: five times the shards of `packed`."""
    from speechprep.pipelines.stages.pack import STAGE

    synthetic.build_vocabulary(root / "subword")
    synthetic.write_shards(root / "x", utterances, shards=4)
    pack.make_tokens(root / "x")
    shutil.move(root / "x/tokens", root / "tokens")
    inputs = {role: measure.stand_in(role, root / role, {}) for role in ("tokens", "subword")}
    measure.run_stage(STAGE, {"context": CONTEXT, "shards": 2}, inputs, root / "packed")
    vocabulary = declare(root / "subword", "subword", {})
    (root / "packed5").mkdir()
    for i in range(5):
        for path in (root / "packed").glob("part-*"):
            shutil.copy(path, root / "packed5" / f"part-{i}{path.name[6:]}")
    declare(root / "tokens", "tokens", {"vocabulary": vocabulary})
    for name in ("packed", "packed5"):
        declare(root / name, "packed", {"vocabulary": vocabulary, "context": CONTEXT})


def ours(root: Path, sources: list[Source], *, dense: bool = False) -> Iterator[int]:
    """Tokens of each batch."""
    reader = Reader(sources, CONTEXT, vocabulary=VocabularyMetadata.load(str(root / "subword")), batch_rows=ROWS)
    for batch in reader:
        cu_seqlens(batch["document_ids"])
        if dense:
            attention_mask(batch["document_ids"])
        reader.state()
        yield batch["input_ids"].size


def bare(root: Path) -> Iterator[int]:
    """Decoding alone, of the three columns that a trainer needs."""
    while True:
        for path in sorted((root / "packed").glob("part-*")):
            columns = ["input_ids", "document_ids", "modality_ids"]
            for batch in pq.ParquetFile(path).iter_batches(64, columns=columns, use_threads=False):
                yield batch.num_rows * CONTEXT


def streamed(root: Path, folder: str, columns: list[str]) -> Any:
    """`datasets` over the shards."""
    import datasets

    files = sorted(str(p) for p in (root / folder).glob("part-*"))
    return datasets.load_dataset("parquet", data_files=files, streaming=True, split="train", columns=columns)


def sizes(read: Any, form: str) -> Iterator[int]:
    """Tokens of each row, or of each batch of arrays, epoch after epoch."""
    while True:
        if form == "lists":
            yield from (len(row["input_ids"]) for row in read)
        else:
            yield from (batch["input_ids"].size for batch in read.with_format("numpy").iter(ROWS))


def theirs(root: Path, form: str) -> Iterator[int]:
    """`datasets` on the packed shards: rows as lists; or batches of arrays; or these shuffled and mixed."""
    import datasets

    read = streamed(root, "packed", ["input_ids", "document_ids", "modality_ids"])
    if form == "mixed":
        parts = [read.shuffle(seed=i, buffer_size=1000) for i in range(2)]
        read = datasets.interleave_datasets(parts, probabilities=[2 / 3, 1 / 3], seed=0)
    yield from sizes(read, form)


def group_texts(examples: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
    """As the language model examples of transformers have it."""
    joined = {name: list(chain(*lists)) for name, lists in examples.items()}
    total = len(joined["input_ids"]) // CONTEXT * CONTEXT
    return {name: [flat[i : i + CONTEXT] for i in range(0, total, CONTEXT)] for name, flat in joined.items()}


def their_packing(root: Path, form: str) -> Iterator[int]:
    """`datasets` packing from `tokens`: rows as lists, or batches of arrays."""
    read = streamed(root, "tokens", ["input_ids"]).map(group_texts, batched=True)
    yield from sizes(read, form)


def their_thirds(root: Path, form: str) -> Iterator[int]:
    """`datasets` packing each third from `tokens` by itself and mixing them."""
    import datasets

    parts = []
    for kinds in KINDS:
        read = streamed(root, "tokens", ["kind", "input_ids"])
        read = read.filter(lambda kind, kinds=kinds: kind in kinds, input_columns="kind")
        parts.append(read.remove_columns("kind").map(group_texts, batched=True))
    yield from sizes(datasets.interleave_datasets(parts, stopping_strategy="all_exhausted"), form)


def rate(batches: Iterator[int], seconds: float) -> float:
    """Tokens a second of processor time, after the first batch."""
    next(batches)
    done, began = 0, time.process_time()
    for size in batches:
        done += size
        if time.process_time() - began > seconds:
            break
    return done / (time.process_time() - began)


def compare(root: Path, rounds: int, seconds: float) -> dict[str, float]:
    """Best rate of each contender."""
    packed, tokens = str(root / "packed"), str(root / "tokens")
    two = [Source(packed, weight=2), Source(packed, weight=1)]
    thirds = [Source(tokens, kinds=kinds, weight=1) for kinds in KINDS]
    contenders: dict[str, Callable[[], Iterator[int]]] = {
        "pyarrow alone": lambda: bare(root),
        "datasets, lists": lambda: theirs(root, "lists"),
        "datasets, arrays": lambda: theirs(root, "arrays"),
        "datasets, arrays, shuffled, mixed": lambda: theirs(root, "mixed"),
        "packed": lambda: ours(root, [Source(packed)]),
        "packed, mixed": lambda: ours(root, two),
        "packed, mixed, dense masks": lambda: ours(root, two, dense=True),
        "datasets packs, lists": lambda: their_packing(root, "lists"),
        "datasets packs, arrays": lambda: their_packing(root, "arrays"),
        "datasets packs thirds, lists": lambda: their_thirds(root, "lists"),
        "datasets packs thirds, arrays": lambda: their_thirds(root, "arrays"),
        "tokens": lambda: ours(root, [Source(tokens)]),
        "tokens, thirds": lambda: ours(root, thirds),
    }
    best = dict.fromkeys(contenders, 0.0)
    for _ in range(rounds):
        for name, start in contenders.items():
            best[name] = max(best[name], rate(start(), seconds))
    return best


def read_through(folder: Path) -> dict[str, float]:
    """Two epochs of a packed folder, for the peak of its memory."""
    reader = Reader(
        [Source(str(folder))],
        CONTEXT,
        vocabulary=VocabularyMetadata.load(str(folder.parent / "subword")),
        end="first",
        epochs=2,
    )
    return {"tokens": float(sum(batch["input_ids"].size for batch in reader))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        measure.report_child(read_through(Path(given.child)))
        return
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["HF_HOME"] = str(root / "hf")
        make(root, given.utterances)
        memory = [measure.in_fresh_process(__file__, root / name) for name in ("packed", "packed5")]
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        pa.set_cpu_count(1)
        best = compare(root, given.rounds, given.seconds)
    for name, found in best.items():
        print(f"{name:36s} {found / 1e6:8.2f} M tokens/s/core")
    print(f"packed, mixed / datasets, arrays:           {best['packed, mixed'] / best['datasets, arrays']:6.1f}")
    mixed = best["packed, mixed"] / best["datasets, arrays, shuffled, mixed"]
    print(f"packed, mixed / datasets, shuffled, mixed:  {mixed:6.1f}")
    print(f"packed, mixed / datasets, lists:            {best['packed, mixed'] / best['datasets, lists']:6.1f}")
    for form in ("arrays", "lists"):
        for name, what in (("tokens", ""), ("tokens, thirds", " thirds")):
            ratio = best[name] / best[f"datasets packs{what}, {form}"]
            print(f"{name:14s} / datasets packs{what:7s}, {form:6s}: {ratio:8.1f}")
    one, five = memory
    print(
        f"{one['tokens'] / 1e6:.0f} M tokens: peak {one['peak_mb']:.0f} MB; "
        f"{five['tokens'] / 1e6:.0f} M tokens: {five['peak_mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
