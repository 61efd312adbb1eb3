"""A small corpus of synthetic sounds, as an `utterances` dataset, for stages that hear audio."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechprep.artifacts import manifest, shards
from speechprep.artifacts.schemas import UTTERANCES

RATE = 16_000


def babble(seconds: float, seed: int, silence: float = 0.0) -> np.ndarray:
    """Noise through a slowly moving resonance, which has many kinds of frames; its last part is silent."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    t = np.arange(n) / RATE
    pitch = 120 + 60 * np.sin(2 * np.pi * 0.7 * t + seed) + 400 * np.cumsum(rng.standard_normal(n)) / n**0.5 / 4
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    loud = 0.55 + 0.45 * np.sin(2 * np.pi * 2.1 * t + seed)
    sound = sum(np.sin(h * phase) * np.exp(-((h * 150 - 300 * (1 + seed % 5)) ** 2) / 4e5) for h in range(1, 12))
    sound = loud * (0.2 * sound + 0.03 * rng.standard_normal(n))
    sound[n - round(silence * n) :] = 0
    return np.clip(sound, -1, 1).astype(np.float32)


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Path]:
    """make_corpus(rows, shards=1, name="utterances") -> folder.

    A row: id, sound (an array), and any column of `utterances`. The files are 16-bit WAV.
    """

    def make(rows: list[dict[str, Any]], n_shards: int = 1, name: str = "utterances") -> Path:
        folder = tmp_path / name
        audio = tmp_path / "audio"
        audio.mkdir(exist_ok=True)
        made = []
        per = -(-len(rows) // n_shards)
        for i in range(n_shards):
            mine = []
            for row in rows[i * per : (i + 1) * per]:
                known = {key: value for key, value in row.items() if key != "sound"}
                if "sound" in row:
                    path = audio / f"{row['id']}.wav"
                    soundfile.write(path, row["sound"], RATE, subtype="PCM_16")
                    known = {"audio": str(path), "duration": len(row["sound"]) / RATE, **known}
                mine.append({"offset": 0.0, "sample_rate": RATE, **known})
            shard = shards.shard_name(i, n_shards)
            with shards.ShardWriter(str(folder / shard), UTTERANCES) as writer:
                writer.write([{field.name: row.get(field.name) for field in UTTERANCES} for row in mine])
            seconds = sum(row.get("duration") or 0.0 for row in mine)
            made.append(manifest.Shard(shard, shard, writer.sha256, writer.size, rows=len(mine), seconds=seconds))
        content = manifest.digest([shard.sha256 for shard in made])
        manifest.write(
            str(folder), manifest.Manifest("utterances", content, content, {}, made, {}, [], versions={}, extra={})
        )
        return folder

    return make


@pytest.fixture
def talkers() -> list[dict[str, Any]]:
    """Eight utterances of three speakers, one of whom says most."""
    lengths = [3.0, 2.5, 4.0, 1.7, 2.0, 1.0, 1.3, 0.9]
    speakers = ["a", "a", "a", "a", "b", "b", "c", None]
    return [
        {"id": f"u{i}", "sound": babble(length, i, silence=0.2), "speaker": speaker}
        for i, (length, speaker) in enumerate(zip(lengths, speakers, strict=True))
    ]


@pytest.fixture(scope="session")
def tiny_clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny CLAP model of random weights; what needs it skips where torch is not installed."""
    from helpers import tiny_clap as tiny

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tiny.folder(tmp_path_factory.mktemp("tiny_clap"))
