"""Pairings of the dataset `clips`: text clips with the clips of their audio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from speechprep.artifacts.run import Run, open_run
from speechprep.errors import ConfigError

PAIRINGS = ("matched", "unmatched")
Pairing = Literal["matched", "unmatched"]


def pairs(
    run: str | Path | Run, pairing: Pairing = "matched", *, split: str | None = None, n_words: int | None = None
) -> Iterator[tuple[str, str]]:
    """(id of the clip with the text, id of the clip with the audio) of the dataset `clips`, in its order.

    Clips without a partner are left out of both pairings: the texts are the same, and the audio is the same.

    Args:
        run: run folder, or the folder of `clips`.
        pairing: "matched": each text with its own audio; "unmatched": with the audio of its partner.
        split: only clips of this split; None: all.
        n_words: only clips of so many words; None: all.

    Raises:
        ConfigError: unknown pairing.
        StaleArtifact: the run has no `clips`.
    """
    if pairing not in PAIRINGS:
        raise ConfigError(f"unknown pairing {pairing!r}; choose one of: {', '.join(PAIRINGS)}")
    clips = (run if isinstance(run, Run) else open_run(str(run)))["clips"]
    for batch in clips.batches(["id", "partner", "split", "n_words"]):
        for id, partner, its_split, its_words in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            wanted = split in (None, its_split) and n_words in (None, its_words)
            if wanted and partner is not None:
                yield id, id if pairing == "matched" else partner
