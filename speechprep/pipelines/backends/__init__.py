"""Backends: the models and algorithms that stages call, in six families with one base class each.

`Recogniser`, `Aligner`, `Extractor`, `Embedder`, `ImageCodec` and `Quantizer` declare the methods of a family and the
defaults of all optional ones. A registered name is made by `speechprep.registry.make`.
"""

from __future__ import annotations

from speechprep.pipelines.backends.base import Backend
from speechprep.pipelines.backends.protocols import (
    Aligner,
    Audio,
    Embedder,
    Extractor,
    ImageCodec,
    Quantizer,
    Recogniser,
)
from speechprep.pipelines.backends.transcript import Language, Passage, Timing, Transcript, Word

__all__ = [
    "Aligner",
    "Audio",
    "Backend",
    "Embedder",
    "Extractor",
    "ImageCodec",
    "Language",
    "Passage",
    "Quantizer",
    "Recogniser",
    "Timing",
    "Transcript",
    "Word",
]
