"""Alignment of a run's utterances once more, with Gaussian noise in the audio: how word times change with the noise.

The noise of an utterance is a function of (seed, utterance id). All levels have the same noise with another gain, so
the levels differ by nothing else. The signal power is the mean square over the whole utterance, pauses included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.media import audio
from speechprep.artifacts.run import Dataset
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Aligner, Word
from speechprep.pipelines.engine.stage import find_stage
from speechprep.pipelines.stages import align
from speechprep.tokenizers.arrays.keyed_random import generator

COLUMNS = ("id", "audio", "audio_bytes", "offset", "duration")
ROWS = 32  # utterances with embedded audio in memory

Samples = NDArray[np.float32]


def with_noise(samples: Samples, snr: float, seed: int, id: str) -> Samples:
    """Audio (n,) with Gaussian noise.

    Args:
        samples: of the utterance.
        snr: 10 log10 of the power of the speech over that of the noise, dB.
        seed, id: of the noise.
    """
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    noise = generator(seed, "alignment noise", id).standard_normal(len(samples))
    noisy: Samples = (samples + noise * np.sqrt(power / 10 ** (snr / 10))).astype(np.float32)
    return noisy


def aligner_of(words: Dataset) -> Aligner:
    """The loaded aligner of a `words` dataset, with its options.

    Raises:
        ConfigError: the dataset was not written by `align`.
        MissingBackend: a package or model of the aligner is absent.
    """
    made_of = words.manifest.made_of
    if made_of.get("stage") != align.STAGE.name:
        raise ConfigError(f"{words.uri} was written by {made_of.get('stage')!r}; name the folder written by 'align'")
    config: Any = find_stage(align.STAGE.name).configure(made_of["config"])
    aligner = align.backend(config, {})
    aligner.check()
    aligner.load()
    return aligner


def realigned(
    utterances: Dataset, texts: dict[str, str], aligner: Aligner, snr: float, seed: int
) -> Iterator[tuple[str, list[Word]]]:
    """(id, words with times) of utterances with added noise. Refusals of the aligner are left out.

    Args:
        utterances: with the audio; one utterance at a time is in memory.
        texts: id -> text to align, of the wanted utterances.
        aligner: loaded.
        snr: dB.
        seed: of the noise.
    """
    for batch in utterances.batches(COLUMNS, rows=ROWS):
        for row in batch.to_pylist():
            if row["id"] not in texts:
                continue
            source = row["audio_bytes"] if row["audio_bytes"] is not None else row["audio"]
            try:
                samples = audio.decode(source, row["offset"] or 0.0, row["duration"], aligner.sample_rate)
                transcript = aligner.align(with_noise(samples, snr, seed, row["id"]), texts[row["id"]])
            except BadInput:
                continue
            yield row["id"], align.monotone(transcript.words, len(samples) / aligner.sample_rate)
