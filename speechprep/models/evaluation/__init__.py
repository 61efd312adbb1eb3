"""Scorers: references and hypotheses, keyed by id, into a `Score`. They need no model and, most of them, only NumPy."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from speechprep.errors import ConfigError

SCORERS: dict[str, str] = {
    "wer": "speechprep.models.evaluation.wer:wer",
    "cer": "speechprep.models.evaluation.wer:cer",
    "captions": "speechprep.models.evaluation.captions:captions",
    "bleu": "speechprep.models.evaluation.bleu:bleu",
    "slue-sa": "speechprep.models.evaluation.slue_sentiment:slue_sentiment",
    "slue-ner": "speechprep.models.evaluation.slue_ner:slue_ner",
}
"""Name of a benchmark -> "module:function"; imported on first use. A name never changes its meaning."""


def scorer(name: str) -> Any:
    """The function behind a name: (references, hypotheses, *, bootstrap, ...) -> Score.

    Raises:
        ConfigError: no such name; the message lists those there are.
    """
    if name not in SCORERS:
        raise ConfigError(f"unknown scorer {name!r}; there are: {', '.join(SCORERS)}")
    module, _, function = SCORERS[name].partition(":")
    return getattr(import_module(module), function)
