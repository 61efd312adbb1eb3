"""Plug-ins by name: name -> "module:attribute", imported on first use.

Families: stages, dataset kinds, input dialects, backends (aligners, extractors, embedders, image codecs, quantizers),
models of the zoo and scorers. Another package adds a
name through the entry-point group `speechprep.<family>`. A name never changes its meaning.
"""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from speechprep.errors import ConfigError

FAMILIES: dict[str, dict[str, str]] = {
    "stages": {  # in the order of the chain; the first line of a module's docstring is its line in `speechprep --help`
        "ingest": "speechprep.pipelines.stages.ingest:STAGE",
        "align": "speechprep.pipelines.stages.align:STAGE",
        "filter": "speechprep.pipelines.stages.filter:STAGE",
        "sample": "speechprep.pipelines.stages.sample:STAGE",
        "cluster": "speechprep.pipelines.stages.cluster.stage:STAGE",
        "import_codebook": "speechprep.pipelines.stages.import_codebook.stage:STAGE",
        "units": "speechprep.pipelines.stages.units:STAGE",
        "subword": "speechprep.pipelines.stages.subword:STAGE",
        "interleave": "speechprep.pipelines.stages.interleave:STAGE",
        "pack": "speechprep.pipelines.stages.pack:STAGE",
        "pool": "speechprep.pipelines.stages.pool:STAGE",
        "index": "speechprep.pipelines.stages.index.stage:STAGE",
        "images": "speechprep.pipelines.stages.images:STAGE",
    },
    "models": {
        "sutlm": "speechprep.models.sutlm.declaration:SUTLM",
        "dmlm": "speechprep.models.dmlm.declaration:DMLM",
        "slue": "speechprep.models.sutlm.declaration:SLUE",
    },
    "scorers": {
        "wer": "speechprep.models.evaluation.wer:WER",
        "cer": "speechprep.models.evaluation.wer:CER",
        "captions": "speechprep.models.evaluation.captions:CAPTIONS",
        "bleu": "speechprep.models.evaluation.bleu:BLEU",
        "slue-sa": "speechprep.models.evaluation.slue_sentiment:SLUE_SENTIMENT",
        "slue-ner": "speechprep.models.evaluation.slue_ner:SLUE_NER",
    },
    "dialects": {},  # the built-in input dialects are found in `pipelines/sources`
    "datasets": {},  # the built-in kinds are the table of `artifacts.datasets`
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

BACKENDS = ("aligners", "extractors", "embedders", "image_codecs", "quantizers")
"""Families listed by `speechprep backends`."""


def names(family: str) -> dict[str, str]:
    """All names of a family with their targets, the built-in ones first."""
    targets = dict(FAMILIES[family])
    for point in entry_points(group=f"speechprep.{family}"):
        targets.setdefault(point.name, point.value)
    return targets


def resolve(family: str, name: str) -> Any:
    """The class behind a name.

    Raises:
        ConfigError: unknown name; the message lists the names of the family.
    """
    targets = names(family)
    if name not in targets:
        raise ConfigError(f"unknown {singular(family)} {name!r}; there are: {', '.join(targets)}")
    module, _, attribute = targets[name].partition(":")
    return getattr(import_module(module), attribute)


def singular(family: str) -> str:
    """A family's name for one of its members, as messages use it."""
    return family[:-1].replace("_", " ")


def summary(family: str, name: str) -> str:
    """First sentence of the docstring of a plug-in's module, without importing the module."""
    source = _source(names(family)[name].partition(":")[0])
    if source is None:
        return ""
    line = (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
    text = " ".join(line.split()).partition(": ")
    return (text[2] if text[0].strip("`") == name else " ".join(line.split())).partition(". ")[0].rstrip(".")


def _source(module: str) -> Path | None:
    """File of a module. Only the top-level package is looked up: its sub-packages need not be imported."""
    root, *rest = module.split(".")
    spec = find_spec(root)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    path = origin.parent.joinpath(*rest) if rest else origin.with_suffix("")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def make(family: str, name: str, options: dict[str, Any]) -> Any:
    """The unloaded backend of a name and its options.

    Raises:
        ConfigError: unknown name or option, or an option of the wrong type.
    """
    try:
        return resolve(family, name)(**options)
    except TypeError as error:
        raise ConfigError(f"{singular(family)} {name!r} with options {options!r}: {error}") from None
