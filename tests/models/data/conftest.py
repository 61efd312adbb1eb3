"""Small folders of `tokens` and `packed`, in many shards, that the tests of the reader read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers import rowmaking as made

from speechprep.artifacts import manifest
from speechprep.artifacts.schemas import TOKENS
from speechprep.models.data import VocabularyMetadata
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.pipelines.stages.pack import STAGE
from speechprep.tokenizers.interleave.rows import Interleaver

CONTEXT = 64


@dataclass(frozen=True)
class Corpus:
    """Folders, the vocabulary metadata, and the rows of `tokens` by name."""

    root: Path
    vocabulary: VocabularyMetadata
    rows: dict[str, dict]

    @property
    def tokens(self) -> str:
        return str(self.root / "tokens")

    @property
    def packed(self) -> str:
        return str(self.root / "packed")


def pack(tokens: Path, subword: Path, out: Path, **options) -> Path:
    inputs = {"tokens": str(tokens), "subword": str(subword)}
    step = Step("pack", STAGE, STAGE.configure(options), 0, inputs, str(out), [])
    run_steps([step], Options())
    return out


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Corpus:
    root = tmp_path_factory.mktemp("corpus")
    vocab = made.build_vocabulary(root / "models")
    one = Interleaver(vocab, made.GRID, ("unit", "text", "cst", "ast"), "ast", made.OPTIONS, 0)
    rows = one.rows(made.flat(made.corpus(300))).tokens.to_pylist()
    subword = made.write_vocabulary(root / "subword", vocab)
    parts = [[rows[i] for i in part] for part in np.array_split(np.arange(len(rows)), 7)]
    extra = {"grid": made.GRID.as_dict(), "vocabulary": manifest.read(str(subword)).content}
    made.write_dataset(root / "tokens", "tokens", TOKENS, parts, extra)
    pack(root / "tokens", subword, root / "packed", context=CONTEXT, shards=5)
    return Corpus(root, VocabularyMetadata.load(str(subword)), {f"{r['id']}#{r['kind']}": r for r in rows})
