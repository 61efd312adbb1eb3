"""Names of backends: name -> "module:attribute", resolved on first use.

Third parties join through the entry-point group `speechprep.<family>` of their own package; nothing is imported
until the name is asked for. A name never changes its meaning.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from speechprep.errors import ConfigError

FAMILIES: dict[str, dict[str, str]] = {
    "aligners": {
        "pocketsphinx": "speechprep.pipelines.backends.aligners.pocketsphinx:PocketSphinxAligner",
        "ctc": "speechprep.pipelines.backends.aligners.ctc:CtcAligner",
        "whisperx": "speechprep.pipelines.backends.aligners.whisperx:WhisperxAligner",
    },
    "extractors": {
        "mfcc": "speechprep.pipelines.backends.extractors.mfcc:MfccExtractor",
        "hubert": "speechprep.pipelines.backends.extractors.hubert:HubertExtractor",
        "whisper": "speechprep.pipelines.backends.extractors.whisper:WhisperExtractor",
    },
    "embedders": {
        "caption": "speechprep.pipelines.backends.embedders.caption:CaptionEmbedder",
        "clap": "speechprep.pipelines.backends.embedders.clap:ClapEmbedder",
    },
    "image_codecs": {
        "dvae": "speechprep.pipelines.backends.image_codecs.dvae:DvaeCodec",
    },
    "quantizers": {
        "kmeans": "speechprep.tokenizers.kmeans.fit:KMeans",
    },
}


def names(family: str) -> dict[str, str]:
    """All names of a family with their targets, the built-in ones first."""
    found = dict(FAMILIES[family])
    for point in entry_points(group=f"speechprep.{family}"):
        found.setdefault(point.name, point.value)
    return found


def resolve(family: str, name: str) -> Any:
    """The class behind a name.

    Raises:
        ConfigError: no such name in the family; the message lists those there are.
    """
    known = names(family)
    if name not in known:
        raise ConfigError(f"unknown {family[:-1]} {name!r}; there are: {', '.join(sorted(known))}")
    module, _, attribute = known[name].partition(":")
    return getattr(import_module(module), attribute)


def make(family: str, name: str, options: dict[str, Any]) -> Any:
    """The unloaded backend of a name and its options.

    Raises:
        ConfigError: no such name, or it has no such option, or an option of the wrong kind.
    """
    try:
        return resolve(family, name)(**options)
    except TypeError as error:
        raise ConfigError(f"{family[:-1]} {name!r} with options {options!r}: {error}") from None
