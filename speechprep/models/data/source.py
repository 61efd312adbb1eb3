"""A source of a mixture: its folder, the selection of its rows, and its weight."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from speechprep.errors import ConfigError
from speechprep.models.data.rendering import Rendering

DocumentLayout = Literal["split", "whole", "single"]
Part = Literal["train", "validation"]


@dataclass(frozen=True)
class Source:
    """A folder of `packed` or `tokens`, and a selection of its documents.

    Attributes:
        folder: path or URI of a complete dataset folder.
        weight: share of the tokens, relative to the other sources. None for all sources: shares by size, so all sources
            end together.
        kinds: kinds of rows to select, for example unit, text, cst_ut, cst_tu and ast. None selects all kinds. Only
            for `tokens`, because rows of `packed` mix kinds.
        documents: how documents of `tokens` fill rows. "split": end to end; a document continues in the next row, and
            only the end of an epoch has padding. "whole": best fit, padded. "single": one document in each row, padded.
            Rows of `packed` stay as stored.
        long: treatment of documents longer than the context in "whole" and "single": "refuse", or "cut" into pieces.
        part: None selects all documents, "train" and "validation" one side of a split by a hash of the utterance id.
            All kinds of an utterance are on one side. Only for `tokens`.
        validation: fraction of the groups on the side "validation".
        group: regular expression. Documents with the same match at the start of their ids are on one side, for example
            r"[^-]+" for the speaker in LibriSpeech's ids. None: each utterance is a group.
        render: None reads stored rows. Otherwise `folder` is a run folder, and its `words` and `units` are rendered as
            they are read: each utterance once an epoch, with a kind of `kinds` and spans drawn anew in each epoch.
            `documents` is "whole" or "single"; with `long="cut"` utterances longer than the context are left out.

    Raises:
        ConfigError: a value out of range.
    """

    folder: str
    weight: float | None = None
    kinds: tuple[str, ...] | None = None
    documents: DocumentLayout = "split"
    long: Literal["refuse", "cut"] = "refuse"
    part: Part | None = None
    validation: float = 0.01
    group: str | None = None
    render: Rendering | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and not 0 < self.weight < float("inf"):
            raise ConfigError(f"{self.folder}: weight={self.weight:g} is not positive; set a finite weight above 0")
        if self.documents not in ("split", "whole", "single"):
            raise ConfigError(f"{self.folder}: documents={self.documents!r} is unknown; set split, whole or single")
        if self.render is not None and self.documents == "split":
            raise ConfigError(f"{self.folder}: documents='split' does not apply to render; set documents='whole'")
        if self.long not in ("refuse", "cut"):
            raise ConfigError(f"{self.folder}: long={self.long!r} is unknown; set refuse or cut")
        if self.part not in (None, "train", "validation"):
            raise ConfigError(f"{self.folder}: part={self.part!r} is unknown; set train or validation, or omit it")
        if self.part is not None and not 0 < self.validation < 1:
            raise ConfigError(f"{self.folder}: validation={self.validation:g} is out of range; set it between 0 and 1")
        if self.kinds is not None and not self.kinds:
            raise ConfigError(f"{self.folder}: kinds is empty; name at least one kind, or omit it for all kinds")
        if self.group is not None:
            try:
                re.compile(self.group)
            except re.error as error:
                raise ConfigError(
                    f"{self.folder}: group={self.group!r} is not a regular expression ({error}); correct it"
                ) from error
