"""Facts about a Whisper model for `speechprep models check`."""

from __future__ import annotations

import math
from typing import Any

from speechprep.pipelines.backends.whisper.sizes import Sizes, languages
from speechprep.pipelines.backends.whisper.weights import WhisperWeights

PUBLISHED = {  # width, encoder layers, decoder layers -> name
    (384, 4, 4): "tiny",
    (512, 6, 6): "base",
    (768, 12, 12): "small",
    (1024, 24, 24): "medium",
    (1280, 32, 32): "large",
    (1280, 32, 4): "turbo",
}


def facts(weights: WhisperWeights) -> dict[str, Any]:
    """Sizes, languages, form and identity of a model, as JSON values. All weights are read.

    Raises:
        ConfigError: a file is damaged, or not a Whisper model.
        MissingBackend: a file or a package is absent.
    """
    sizes = weights.sizes
    shapes = {**sizes.encoder(), **sizes.decoder()}
    return {
        "path": str(weights.path),
        "kind": "Whisper, multilingual" if sizes.multilingual else "Whisper, English-only",
        "form": weights.form,
        "dtype": "+".join(weights.stored()),
        "dequantised": weights.dequantised,
        "size": name_of(sizes),
        "parameters": sum(math.prod(shape) for shape in shapes.values()),
        "encoder_layers": sizes.encoder_layers,
        "decoder_layers": sizes.decoder_layers,
        "width": sizes.width,
        "heads": sizes.encoder_heads,
        "mels": sizes.mels,
        "vocabulary": sizes.vocabulary,
        "languages": list(languages(sizes.vocabulary)),
        "encoder_sha256": weights.digest("encoder"),
        "decoder_sha256": weights.digest("decoder"),
    }


def name_of(sizes: Sizes) -> str:
    """The published name of a size, for example "base.en"; "other" for other sizes."""
    name = PUBLISHED.get((sizes.width, sizes.encoder_layers, sizes.decoder_layers), "other")
    return name if sizes.multilingual or name == "other" else f"{name}.en"
