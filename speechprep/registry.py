"""Registry of plug-ins: name -> "module:attribute", imported on first use.

Families: stages, dataset kinds, input dialects, backends (recognisers, aligners, extractors, embedders, image codecs,
quantizers), models of the zoo and scorers. Another package adds a name by an entry point of the group
`speechprep.<family>`. The meaning of a name never changes.
"""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from speechprep.errors import ConfigError

FAMILIES: dict[str, dict[str, str]] = {
    "stages": {  # in the order of the chain; `speechprep --help` shows the first line of the docstring of the module
        "ingest": "speechprep.pipelines.stages.ingest:STAGE",
        "align": "speechprep.pipelines.stages.align:STAGE",
        "quality": "speechprep.pipelines.stages.quality:STAGE",
        "fingerprint": "speechprep.pipelines.stages.dedup.fingerprint:STAGE",
        "dedup": "speechprep.pipelines.stages.dedup.stage:STAGE",
        "filter": "speechprep.pipelines.stages.filter:STAGE",
        "sample": "speechprep.pipelines.stages.sample:STAGE",
        "cluster": "speechprep.pipelines.stages.cluster.stage:STAGE",
        "import_codebook": "speechprep.pipelines.stages.import_codebook.stage:STAGE",
        "units": "speechprep.pipelines.stages.units:STAGE",
        "subword": "speechprep.pipelines.stages.subword:STAGE",
        "wordpiece": "speechprep.pipelines.stages.wordpiece:STAGE",
        "interleave": "speechprep.pipelines.stages.interleave:STAGE",
        "pack": "speechprep.pipelines.stages.pack:STAGE",
        "clips": "speechprep.pipelines.stages.clips.stage:STAGE",
        "pool": "speechprep.pipelines.stages.pool:STAGE",
        "vectors": "speechprep.pipelines.stages.vectors:STAGE",
        "index": "speechprep.pipelines.stages.index.stage:STAGE",
        "images": "speechprep.pipelines.stages.images:STAGE",
    },
    "models": {
        "sutlm": "speechprep.models.sutlm.declaration:SUTLM",
        "dmlm": "speechprep.models.dmlm.declaration:DMLM",
        "slue": "speechprep.models.sutlm.declaration:SLUE",
        "bert": "speechprep.models.bert.declaration:BERT",
        "teachme": "speechprep.models.teachme.declaration:TEACHME",
    },
    "scorers": {
        "wer": "speechprep.models.evaluation.wer:WER",
        "cer": "speechprep.models.evaluation.wer:CER",
        "captions": "speechprep.models.evaluation.captions:CAPTIONS",
        "bleu": "speechprep.models.evaluation.bleu:BLEU",
        "slue-sa": "speechprep.models.evaluation.slue_sentiment:SLUE_SENTIMENT",
        "slue-ner": "speechprep.models.evaluation.slue_ner:SLUE_NER",
    },
    "dialects": {},  # the built-in dialects are declared in `pipelines/sources`
    "datasets": {},  # the built-in kinds are declared in `artifacts.datasets`
    "recognisers": {
        "whisper": "speechprep.pipelines.backends.recognisers.whisper:WhisperRecogniser",
    },
    "aligners": {
        "pocketsphinx": "speechprep.pipelines.backends.aligners.pocketsphinx:PocketSphinxAligner",
        "ctc": "speechprep.pipelines.backends.aligners.ctc:CtcAligner",
        "whisperx": "speechprep.pipelines.backends.aligners.whisperx:WhisperxAligner",
        "whisper": "speechprep.pipelines.backends.aligners.whisper:WhisperAttentionAligner",
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
        "kmeans": "speechprep.pipelines.backends.quantizers.kmeans:KMeansQuantizer",
    },
}

_BASES = {
    "recognisers": "Recogniser",
    "aligners": "Aligner",
    "extractors": "Extractor",
    "embedders": "Embedder",
    "image_codecs": "ImageCodec",
    "quantizers": "Quantizer",
}
BACKENDS = tuple(_BASES)
"""Families in `speechprep backends`."""


def names(family: str) -> dict[str, str]:
    """Names of a family -> targets, the built-in names first."""
    targets = dict(FAMILIES[family])
    for point in entry_points(group=f"speechprep.{family}"):
        targets.setdefault(point.name, point.value)
    return targets


def resolve(family: str, name: str) -> Any:
    """Object of a name: a `Stage`, the class of a backend, or another declaration.

    Raises:
        ConfigError: unknown name; the message lists the names of the family.
    """
    targets = names(family)
    if name not in targets:
        raise ConfigError(f"unknown {singular(family)} {name!r}; there are: {', '.join(targets)}")
    module, _, attribute = targets[name].partition(":")
    return getattr(import_module(module), attribute)


def singular(family: str) -> str:
    """Name of a member of a family in messages: "aligner" for "aligners"."""
    return family[:-1].replace("_", " ")


def summary(family: str, name: str) -> str:
    """First sentence of the docstring of the module of a plug-in, without the import of the module."""
    source = _source(names(family)[name].partition(":")[0])
    if source is None:
        return ""
    line = (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
    text = " ".join(line.split()).partition(": ")
    return (text[2] if text[0].strip("`") == name else " ".join(line.split())).partition(". ")[0].rstrip(".")


def _source(module: str) -> Path | None:
    """File of a module. Only its top-level package is located by Python, so no sub-package is imported."""
    root, *rest = module.split(".")
    spec = find_spec(root)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    path = origin.parent.joinpath(*rest) if rest else origin.with_suffix("")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def backend_class(family: str, name: str) -> Any:
    """The class of a backend, with the defaults of its family.

    Raises:
        ConfigError: unknown name, or the class lacks a required method.
    """
    base, module = _base(family)
    return module.completed(base, resolve(family, name), _label(family, name))


def make(family: str, name: str, options: dict[str, Any]) -> Any:
    """The unloaded backend of a name and options, with all methods of its family.

    Raises:
        ConfigError: unknown name; unknown or missing option, or one of the wrong type; a backend without a required
            method or attribute.
    """
    base, module = _base(family)
    label = _label(family, name)
    target = backend_class(family, name)
    _check_options(label, target, options)
    try:
        backend = target(**options)
    except TypeError as error:
        raise ConfigError(f"{label} with options {options!r}: {error}") from None
    module.check_members(base, backend, label)
    return backend


def _label(family: str, name: str) -> str:
    return f"{singular(family)} {name!r}"


def _base(family: str) -> tuple[Any, Any]:
    """Base class of a family, and the module `completion`, imported on first use."""
    backends = "speechprep.pipelines.backends"
    return getattr(import_module(backends), _BASES[family]), import_module(f"{backends}.completion")


def _check_options(label: str, target: Any, options: dict[str, Any]) -> None:
    parameters, open_ended = _parameters(target)
    unknown = [option for option in options if option not in parameters]
    if unknown and not open_ended:
        has = f"its options: {', '.join(parameters)}" if parameters else "it has no options"
        raise ConfigError(f"{label} has no option {unknown[0]!r} (= {options[unknown[0]]!r}); {has}")
    absent = [name for name, value in parameters.items() if value.default is value.empty and name not in options]
    if absent:
        raise ConfigError(f"{label} needs a value for {' and '.join(absent)}; set it in its options")


def _parameters(target: Any) -> tuple[dict[str, Parameter], bool]:
    """Parameters of a constructor, and True if it accepts any further name.

    A constructor with `**shared` forwards them to its base class, so the parameters of the base class are added.
    """
    bound = not isinstance(target, type)
    chain = [target] if bound else [vars(one)["__init__"] for one in target.__mro__ if "__init__" in vars(one)]
    named: dict[str, Parameter] = {}
    for function in chain:
        parameters = list(signature(function).parameters.values())[0 if bound else 1 :]  # without self
        for parameter in parameters:
            if parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
                named.setdefault(parameter.name, parameter)
        if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
            return named, False
    return named, True
