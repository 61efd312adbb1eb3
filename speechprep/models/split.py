"""Validation split: the utterances kept out of training, as in a `Source` with part="validation"."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.tokenizers.arrays.keyed_random import record_keys, unit_interval


def held_out(ids: Sequence[str], share: float, group: str | None = None) -> NDArray[np.bool_]:
    """(n,) True for ids on the validation side.

    Args:
        ids: of utterances.
        share: share of the groups on the validation side.
        group: regular expression; ids with the same match at their start are one group, see `models.data.Source`.

    Raises:
        ConfigError: an id without the group at its start.
    """
    names = list(ids)
    if group is not None:
        matches = [re.match(group, id) for id in names]
        lost = next((id for id, match in zip(names, matches, strict=True) if match is None), None)
        if lost is not None:
            raise ConfigError(f"id {lost!r} does not begin with the group {group!r}")
        names = [match[0] for match in matches if match is not None]
    hashes = record_keys(0, "models.data.split", names)
    found: NDArray[np.bool_] = unit_interval(hashes) < share
    return found


def unseen_of(config: Any) -> Callable[[Sequence[str]], NDArray[np.bool_]]:
    """`held_out` as a model was trained with it.

    Raises:
        ConfigError: it was trained on everything.
    """
    if not config.held_out:
        raise ConfigError("the model was trained on all utterances (validation = 0); ask it about another run")
    return lambda ids: held_out(ids, **config.held_out)
