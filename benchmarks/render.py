"""Rows rendered as they are read, in tokens for each CPU second of one core: in memory, and end to end from Parquet.

python benchmarks/render.py --utterances 20000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import synthetic
from loader import declare

from speechprep.models.data import Reader, Rendering, Source, VocabularyMetadata
from speechprep.models.data.rendering import RunReader
from speechprep.tokenizers.subword.vocabulary import Vocabulary

CONTEXT = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=20_000)
    given = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        synthetic.build_vocabulary(root / "subword")
        synthetic.write_shards(root, given.utterances, shards=4)
        facts = {"grid": synthetic.GRID.as_dict(), "k": synthetic.K}
        for kind in ("units", "words"):
            declare(root / kind, kind, facts)
        declare(root / "subword", "subword", facts)
        vocabulary = VocabularyMetadata.load(str(root / "subword"))
        run = RunReader(str(root), ("ast",), Rendering(), vocabulary, 0)
        plain = Vocabulary.build(root / "subword" / "text.model", None, synthetic.K)
        batch = run.piece(0)
        for name, vocab in (("SentencePiece", run.vocab), ("plain units", plain)):
            run.interleaver.vocab = run.interleaver.words.vocab = vocab
            run.interleaver.drawn(batch, 0)
            tokens, began = 0, time.process_time()
            for turn in range(1, 4):
                tokens += len(run.interleaver.drawn(batch, turn)[0])
            rate = tokens / (time.process_time() - began) / 1e6
            print(f"in memory, {name}: {rate:.1f} M tokens a CPU second")
        source = Source(str(root), kinds=("ast",), documents="whole", render=Rendering())
        began = time.process_time()
        reader = Reader([source], CONTEXT, vocabulary=vocabulary, end="all", epochs=3)
        print(f"opening: {time.process_time() - began:.2f} CPU s, {reader.streams[0].tokens:,} tokens an epoch")
        tokens = padding = 0
        began = time.process_time()
        for rows in reader:
            tokens += int((rows["document_ids"] >= 0).sum())
            padding += int((rows["document_ids"] < 0).sum())
        spent = time.process_time() - began
        print(f"end to end from Parquet, SentencePiece: {tokens / spent / 1e6:.1f} M tokens a CPU second")
        print(f"padding: {padding / (tokens + padding):.1%} of the positions")


if __name__ == "__main__":
    main()
