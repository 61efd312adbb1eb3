"""Validation split: utterances excluded from training by a hash of their ids, as in `Source(part="validation")`."""

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
        ids: (n,) utterance ids.
        share: fraction of the groups on the validation side.
        group: regular expression; ids with the same match at their start are one group, see `models.data.Source`.

    Raises:
        ConfigError: an id that does not begin with a match of `group`.
    """
    names = list(ids)
    if group is not None:
        matches = [re.match(group, id) for id in names]
        unmatched = next((id for id, match in zip(names, matches, strict=True) if match is None), None)
        if unmatched is not None:
            raise ConfigError(f"id {unmatched!r} does not begin with the group {group!r}; change the expression")
        names = [match[0] for match in matches if match is not None]
    hashes = record_keys(0, "models.data.split", names)
    validation: NDArray[np.bool_] = unit_interval(hashes) < share
    return validation


def unseen_of(split: dict[str, Any]) -> Callable[[Sequence[str]], NDArray[np.bool_]]:
    """Function of ids that selects the validation split of a trained model.

    Args:
        split: arguments of `held_out` in the configuration of the model; empty without a split.

    Raises:
        ConfigError: the model was trained without a validation split.
    """
    if not split:
        raise ConfigError("the model was trained on all utterances (validation = 0); evaluate it on another run")

    return lambda ids: held_out(ids, **split)
