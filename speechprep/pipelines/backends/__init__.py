"""Backends: the models and algorithms that stages call, in six families with one base class each.

`Recogniser`, `Aligner`, `Extractor`, `Embedder`, `ImageCodec` and `Quantizer` declare the methods of a family and the
defaults of all optional ones. A registered name is made by `speechprep.registry.make`.
"""

from __future__ import annotations

from speechprep.pipelines.backends.base import Audio, Backend
from speechprep.pipelines.backends.protocols import Embedder, Extractor, ImageCodec, Quantizer
from speechprep.pipelines.backends.recognition import Aligner, Recogniser
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
