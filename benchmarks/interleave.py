"""`interleave` in words a second of one core, from Parquet to Parquet, with SentencePiece on the units.

Compared, in the same run on the same shards, with the way the field does it: utterance by utterance in Python, units
deduplicated, word times found by bisection in the running sum of durations, each span encoded by a call of its own.

    python benchmarks/interleave.py --utterances 5000
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from bisect import bisect_left
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any

import measure
import pyarrow as pa
import pyarrow.parquet as pq
import synthetic

from speechprep.artifacts.schemas import TOKENS
from speechprep.tokenizers.subword.vocabulary import Vocabulary

FACTS = {"grid": synthetic.GRID.as_dict(), "k": synthetic.K}
KINDS = {"ast": ["ast"], "all": ["unit", "text", "cst", "ast"]}


def run(root: Path, kinds: str) -> dict[str, float]:
    """The stage over all shards below `root`."""
    from speechprep.pipelines.stages.interleave import STAGE

    inputs = {role: measure.stand_in(role, root / role, FACTS) for role in ("words", "units")}
    inputs["subword"] = measure.stand_in("subword", root.parent / "subword", {})
    with tempfile.TemporaryDirectory() as out:
        return measure.run_stage(STAGE, {"kinds": KINDS[kinds]}, inputs, Path(out))


def straightforward(root: Path) -> dict[str, float]:
    """AST rows in plain Python: same shards in, same columns out."""
    began, words = time.process_time(), 0
    vocab = Vocabulary.load(root.parent / "subword")
    assert vocab.text is not None
    assert vocab.units is not None
    with tempfile.TemporaryDirectory() as out:
        for path in sorted((root / "words").glob("*.parquet")):
            units = {r["id"]: r["units"] for r in pq.read_table(root / "units" / path.name).to_pylist()}
            rows = []
            for row in pq.read_table(path, columns=["id", "words"]).to_pylist():
                rows.append(_row(row["id"], row["words"], units[row["id"]], vocab))
                words += len(row["words"])
            pq.write_table(pa.Table.from_pylist(rows, schema=TOKENS), Path(out) / path.name, compression="zstd")
    return {"words": words, "cpu": time.process_time() - began}


def _row(id: str, words: list[dict[str, Any]], frames: list[int], vocab: Vocabulary) -> dict[str, Any]:
    units, durations = zip(*((u, len(list(g))) for u, g in groupby(frames)), strict=True)
    ends = list(accumulate(durations))
    rng = random.Random(id)  # the field's way
    speech = rng.random() < 0.5
    cuts = [0]
    while cuts[-1] < len(words):
        n, left = 1, rng.random()
        while left > 0.0067379:  # exp(-5): Knuth's way to a Poisson number
            n, left = n + 1, left * rng.random()
        cuts.append(min(len(words), cuts[-1] + n))
    ids, runs, held = [vocab.u_start if speech else vocab.t_start], [], []
    for a, b in pairwise(cuts):
        if a:
            ids.append(vocab.t2u if speech else vocab.u2t)
        start = len(ids)
        if speech:
            first = bisect_left(ends, words[a]["start"] * 50)
            last = bisect_left(ends, words[b]["start"] * 50) if b < len(words) else len(units)
            ids += (vocab.units.encode(synthetic.np.array(units[first:last])) + vocab.unit_offset).tolist()
            held += durations[first:last]
        else:
            text = "".join(" " + w["text"] for w in words[a:b])
            ids += (vocab.text.encode_batch([text])[0] + vocab.text_offset).tolist()
        runs.append(
            {
                "modality": "unit" if speech else "text",
                "start": start,
                "stop": len(ids),
                "word_start": a,
                "word_stop": b,
            }
            | {"t0": words[a]["start"], "t1": words[b - 1]["end"]}
        )
        speech = not speech
    ids.append(vocab.t_end if speech else vocab.u_end)
    times = {"word_t0": [w["start"] for w in words], "word_t1": [w["end"] for w in words]}
    return {"id": id, "kind": "ast", "input_ids": ids, "runs": runs, "durations": held, **times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=5000)
    parser.add_argument("--child", nargs=2)
    given = parser.parse_args()
    if given.child:
        measure.report_child(run(Path(given.child[0]), given.child[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        synthetic.build_vocabulary(root / "subword")
        for size in (1, 10):
            synthetic.write_shards(root / f"x{size}", given.utterances * size, shards=size)
        found = {}
        for kinds in KINDS:
            for size in (1, 10):
                found[kinds, size] = f = measure.in_fresh_process(__file__, root / f"x{size}", kinds)
                print(
                    f"{kinds:4} {given.utterances * size:8,} utterances {f['words']:10,.0f} words {f['tokens']:11,.0f} "
                    f"tokens: {f['words'] / f['cpu']:9,.0f} words/s/core, peak {f['peak_mb']:4.0f} MB"
                )
        plain = straightforward(root / "x1")
        print(f"plain Python, ast: {plain['words'] / plain['cpu']:,.0f} words/s/core")
    one, ten = found["ast", 1], found["ast", 10]
    print(f"ratio to plain Python: {ten['words'] / ten['cpu'] / (plain['words'] / plain['cpu']):.1f}")
    print(f"10x the input: {ten['cpu'] / one['cpu']:.1f}x the time, {ten['peak_mb'] / one['peak_mb']:.2f}x the memory")


if __name__ == "__main__":
    main()
