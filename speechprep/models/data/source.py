"""A source of a reader: its folder, its rows, and its share of the mixture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from speechprep.errors import ConfigError

Documents = Literal["split", "whole", "single"]
Part = Literal["train", "validation"]


@dataclass(frozen=True)
class Source:
    """A folder of `packed` or `tokens`, and a selection from it.

    Attributes:
        folder: path or URI of a complete dataset folder.
        weight: share of the tokens, relative to the other sources; None for all sources: shares by size, so that all
            end together.
        kinds: kinds of rows to take (unit, text, cst_ut, cst_tu, ast, or whatever the folder has); None: all. Only
            for `tokens`: the rows of `packed` mix them.
        documents: how documents of `tokens` fill rows. "split": end to end, cut where a row ends, the rest goes on in
            the next row; no padding but at the end of an epoch. "whole": best fit, rows padded. "single": each
            document a row, padded. For `packed` the rows are as they are.
        long: treatment of documents longer than the context in "whole" and "single": "refuse", or "cut" into pieces.
        part: None: all documents. "train" and "validation": the two sides of a split by a hash of the utterance id;
            all kinds of an utterance are on one side. Only for `tokens`.
        validation: share of the groups on the side "validation".
        group: regular expression; documents with the same match at the start of their ids are on one side, e.g.
            r"[^-]+" for the speaker in LibriSpeech's ids. None: each utterance by itself.
    """

    folder: str
    weight: float | None = None
    kinds: tuple[str, ...] | None = None
    documents: Documents = "split"
    long: Literal["refuse", "cut"] = "refuse"
    part: Part | None = None
    validation: float = 0.01
    group: str | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and not 0 < self.weight < float("inf"):
            raise ConfigError(f"{self.folder}: the weight of a source must be above 0, not {self.weight:g}")
        if self.documents not in ("split", "whole", "single"):
            raise ConfigError(f"{self.folder}: documents={self.documents!r}; there are: split, whole, single")
        if self.long not in ("refuse", "cut"):
            raise ConfigError(f"{self.folder}: long={self.long!r}; there are: refuse, cut")
        if self.part not in (None, "train", "validation"):
            raise ConfigError(f"{self.folder}: part={self.part!r}; there are: train, validation")
        if self.part is not None and not 0 < self.validation < 1:
            raise ConfigError(f"{self.folder}: validation={self.validation:g}; a share between 0 and 1 is needed")
        if self.kinds is not None and not self.kinds:
            raise ConfigError(f"{self.folder}: kinds is empty; leave it out to take all")
        if self.group is not None:
            try:
                re.compile(self.group)
            except re.error as error:
                raise ConfigError(f"{self.folder}: group={self.group!r} is no regular expression: {error}") from error
