"""Split of a recording or a speaker, drawn by a hash: one rule for `ingest` and `clips`.

The draw depends on the seed of the run and on the name of the group only. New recordings change no split.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator

from speechprep.tokenizers.arrays.keyed_random import Draws, record_keys

Row = dict[str, Any]


def check_shares(shares: dict[str, float]) -> dict[str, float]:
    """The shares after a check: at least one, none below 0, and a finite sum above 0."""
    if not shares or min(shares.values()) < 0 or not 0 < sum(shares.values()) < math.inf:
        raise ValueError(f"give shares of at least 0, one of them above 0, not {shares}")
    return shares


Shares = Annotated[dict[str, float], AfterValidator(check_shares)]


def drawn_split(seed: int, group: str, shares: dict[str, float]) -> str:
    """The split of a group: its draw from [0, 1) in the cumulated shares, in the order of their names.

    Args:
        seed: of the run.
        group: name of the recording or speaker.
        shares: split -> share; the sum is any number above 0.
    """
    names = sorted(shares)  # manifests do not keep the order of names
    limits = np.cumsum([shares[name] for name in names]) / sum(shares.values())
    zero = np.zeros(1, np.int64)
    draw = Draws(record_keys(seed, "clips.split", [group])).uniform(0, zero, zero)
    return names[int(np.searchsorted(limits[:-1], draw[0], side="right"))]


def recording_of(row: Row) -> str:
    """Recording of an utterance: the sha256 of its audio file; without a hash its URI, else the id."""
    recording: str = row["audio_sha256"] or row["audio"] or row["id"]
    return recording


def with_split(row: Row, seed: int, shares: dict[str, float] | None, by: str) -> Row:
    """A row of `utterances`; the column `split` is drawn if it is empty and there are shares.

    Args:
        row: with the hash of the whole audio file.
        seed: of the run.
        shares: split -> share; None: the row is left as it is.
        by: "speaker" draws for the speaker of a corpus, and for the recording of a row without one; else for the
            recording.
    """
    if shares is not None and row["split"] is None:
        speaker = row["speaker"] if by == "speaker" else None
        group = f"{row['corpus'] or ''}\0{speaker}" if speaker is not None else recording_of(row)
        row["split"] = drawn_split(seed, group, shares)
    return row
