"""`pack` in tokens a second of one core, from Parquet to Parquet, and its peak memory at ten times the size.

Compared, in the same run on the same rows, with the usual way: all documents in memory, shuffled, appended to a buffer
token by token list, cut in Python.

    python benchmarks/pack.py --utterances 10000
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

import interleave
import measure
import pyarrow as pa
import pyarrow.parquet as pq
import synthetic

from speechprep.artifacts.schemas import PACKED
from speechprep.tokenizers.subword.vocabulary import Vocabulary

CONTEXT = 2048


def make_tokens(root: Path) -> None:
    """`tokens` below `root`, from words and units made there."""
    from speechprep.pipelines.stages.interleave import STAGE

    inputs = {role: measure.stand_in(role, root / role, interleave.FACTS) for role in ("words", "units")}
    inputs["subword"] = measure.stand_in("subword", root.parent / "subword", {})
    measure.run_stage(STAGE, {}, inputs, root / "tokens")


def run(root: Path) -> dict[str, float]:
    """The stage over all of `tokens`."""
    from speechprep.pipelines.stages.pack import STAGE

    inputs = {
        "tokens": measure.stand_in("tokens", root / "tokens", {}),
        "subword": measure.stand_in("subword", root.parent / "subword", {}),
    }
    with tempfile.TemporaryDirectory() as out:
        return measure.run_stage(STAGE, {"context": CONTEXT}, inputs, Path(out))


def straightforward(root: Path) -> dict[str, float]:
    """The same rows' worth of work in plain Python lists."""
    began = time.process_time()
    modality = Vocabulary.load(root.parent / "subword").token_modality.tolist()
    documents = [
        (f"{row['id']}#{row['kind']}", row["input_ids"])
        for path in sorted((root / "tokens").glob("*.parquet"))
        for row in pq.read_table(path, columns=["id", "kind", "input_ids"]).to_pylist()
    ]
    random.Random(0).shuffle(documents)  # the usual way
    rows, tokens, owners, names, total = [], [], [], [], 0
    for name, ids in documents:
        total += len(ids)
        while ids:
            names.append(name)
            part, ids = ids[: CONTEXT - len(tokens)], ids[CONTEXT - len(tokens) :]
            tokens += part
            owners += [len(names) - 1] * len(part)
            if len(tokens) == CONTEXT:
                rows.append(
                    {
                        "input_ids": tokens,
                        "document_ids": owners,
                        "modality_ids": [modality[t] for t in tokens],
                        "ids": names,
                    }
                )
                tokens, owners, names = [], [], []
    with tempfile.TemporaryDirectory() as out:
        pq.write_table(pa.Table.from_pylist(rows, schema=PACKED), Path(out) / "packed.parquet", compression="zstd")
    return {"tokens": total, "cpu": time.process_time() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=10_000)
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        measure.report_child(run(Path(given.child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root, found = Path(folder), {}
        synthetic.build_vocabulary(root / "subword")
        for size in (1, 10):
            synthetic.write_shards(root / f"x{size}", given.utterances * size, shards=size)
            make_tokens(root / f"x{size}")
            found[size] = f = measure.in_fresh_process(__file__, root / f"x{size}")
            print(
                f"{f['documents']:10,.0f} documents {f['tokens']:12,.0f} tokens: "
                f"{f['tokens'] / f['cpu']:12,.0f} tokens/s/core, peak {f['peak_mb']:4.0f} MB"
            )
        plain = straightforward(root / "x1")
    one, ten = found[1], found[10]
    print(f"plain Python: {plain['tokens'] / plain['cpu']:,.0f} tokens/s/core")
    print(f"ratio to plain Python: {ten['tokens'] / ten['cpu'] / (plain['tokens'] / plain['cpu']):.1f}")
    print(
        f"10x the documents: {ten['cpu'] / one['cpu']:.1f}x the time, {ten['peak_mb'] / one['peak_mb']:.2f}x the memory"
    )


if __name__ == "__main__":
    main()
