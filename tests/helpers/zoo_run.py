"""A small run folder, made without audio: what the models are trained on and asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from helpers import rowmaking as made

from speechprep.artifacts import manifest
from speechprep.artifacts.schemas import IMAGE_CODES, TOKENS, UTTERANCES
from speechprep.tokenizers.interleave.rows import Interleaver

BOOK = "0123456789abcdef"  # content of the codebook that the units claim


def spoken(i: int, rng: np.random.Generator, prefix: str = "s") -> dict[str, Any]:
    """An utterance of 8 to 12 words in order, of one of four speakers."""
    n = int(rng.integers(8, 13))
    starts = 0.1 + np.arange(n) * 0.25 + np.round(rng.random(n) * 0.1, 3)
    frames = int((starts[-1] + 0.4) * 50)
    words = [
        {"text": made.LEXICON[int(w)], "start": float(a), "end": float(a) + 0.2}
        for w, a in zip(rng.integers(0, len(made.LEXICON), n), starts, strict=True)
    ]
    runs = rng.integers(1, 6, frames)
    units = np.repeat(rng.integers(0, made.K, frames), runs)[:frames].tolist()
    return {"id": f"{prefix}{i % 4}-{i:03d}", "speaker": f"{prefix}{i % 4}", "words": words, "units": units}


def write_run(root: Path, count: int = 48, seed: int = 0, prefix: str = "s") -> Path:
    """`utterances`, `words`, `units`, `subword`, `tokens` and `image_codes` in a folder."""
    rng = np.random.default_rng(seed)
    records = [spoken(i, rng, prefix) for i in range(count)]
    vocab = made.build_vocabulary(root / "models")
    halves = [records[: count // 2], records[count // 2 :]]
    folders = made.write_inputs(root, [[made.words_row(r) for r in part] for part in halves], [], vocab)
    units = [[{"id": r["id"], "units": r["units"], "codebook": BOOK} for r in part] for part in halves]
    folders["units"].joinpath(manifest.NAME).unlink()
    folders["units"].rmdir()
    extra = {"grid": made.GRID.as_dict(), "k": made.K, "codebook": BOOK}
    made.write_dataset(root / "units", "units", made.units_schema(made.K), units, extra)
    about = [[{"id": r["id"], "speaker": r["speaker"]} for r in part] for part in halves]
    made.write_dataset(root / "utterances", "utterances", UTTERANCES, about)
    one = Interleaver(vocab, made.GRID, ("unit", "text", "cst_both", "ast"), "ast", made.OPTIONS, 0)
    rows = one.rows(made.flat(records)).tokens.to_pylist()
    content = manifest.read(str(root / "subword")).content
    tokens = {"grid": made.GRID.as_dict(), "vocabulary": content, "k": made.K, "codebook": BOOK}
    made.write_dataset(root / "tokens", "tokens", TOKENS, [rows[::2], rows[1::2]], tokens)
    images = [
        {"id": f"image-{i}", "codes": rng.integers(0, 30, 9).tolist(), "captions": ["a you", "the"]} for i in range(6)
    ]
    made.write_dataset(
        root / "image_codes",
        "image_codes",
        IMAGE_CODES,
        [images],
        {"codec": {"name": "test"}, "vocab": 30, "length": 9},
    )
    return root
