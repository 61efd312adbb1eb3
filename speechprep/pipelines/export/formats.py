"""The table of export formats: tiers, packages and writers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.export.rows import TIERS
from speechprep.pipelines.export.writer import Writer

EXTRA = "export"  # of pyproject.toml


@dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        name: value of `--to`.
        summary: one line for help and documentation.
        default: tiers exported without `--rows`, as far as the run has them.
        writer: "module:class" below `writers`.
        package: package that writes the format; None for plain text.
    """

    name: str
    summary: str
    default: tuple[str, ...]
    writer: str
    package: str | None = None
    tiers: tuple[str, ...] = TIERS

    def load(self) -> type[Writer]:
        """The class of the writer.

        Raises:
            MissingBackend: the package is not installed.
        """
        if self.package is not None and find_spec(self.package) is None:
            raise MissingBackend.package(f"export to {self.name!r}", self.package, EXTRA)
        module, _, name = self.writer.partition(":")
        writer: type[Writer] = getattr(import_module(f"speechprep.pipelines.export.writers.{module}"), name)
        return writer


_TABLE = (
    Format("textgrid", "TextGrid of Praat for each recording", TIERS, "textgrid:TextGrid", "praatio"),
    Format("ctm", "CTM of NIST over all recordings", ("words",), "labels:Ctm"),
    Format("srt", "SubRip subtitles for each recording", ("segments",), "subtitles:Srt", "pysubs2"),
    Format("vtt", "WebVTT subtitles for each recording", ("segments",), "subtitles:Vtt", "pysubs2"),
    Format("audacity", "label track of Audacity for each recording", ("words",), "labels:Audacity"),
    Format("lhotse", "recordings, supervisions and cuts of lhotse", TIERS, "lhotse:Lhotse", "lhotse"),
    Format("nemo", "manifest of NeMo", TIERS, "nemo:Nemo"),
    Format("kaldi", "data directory of Kaldi", TIERS, "kaldi:Kaldi"),
    Format("fairseq", "TSV, letters, words and units of fairseq", ("segments", "units"), "fairseq:Fairseq",
           tiers=("segments", "units")),
    Format("webdataset", "tar files of WebDataset", TIERS, "webdataset:WebDataset", "webdataset"),
    Format("hf", "Parquet with an audio column for `datasets`", TIERS, "huggingface:HuggingFace", "datasets"),
)  # fmt: skip
FORMATS = {form.name: form for form in _TABLE}


def find_format(name: str) -> Format:
    """The record of a format.

    Raises:
        ConfigError: no such format; the message lists them.
    """
    if name not in FORMATS:
        raise ConfigError(f"no export format {name!r}; choose one of {', '.join(FORMATS)}")
    return FORMATS[name]


def choose_tiers(form: Format, wanted: tuple[str, ...], present: tuple[str, ...]) -> tuple[str, ...]:
    """Tiers of an export, in the order of TIERS.

    Raises:
        ConfigError: an unknown tier, or one that the format or the run does not have.
    """
    for tier in wanted:
        if tier not in TIERS:
            raise ConfigError(f"--rows {tier!r}; choose from {', '.join(TIERS)}")
        if tier not in form.tiers:
            raise ConfigError(f"the format {form.name!r} holds no {tier}; it holds {', '.join(form.tiers)}")
        if tier not in present:
            raise ConfigError(f"the run has no {tier}; run the stage that writes them, or leave out --rows {tier}")
    chosen = wanted or form.default
    return tuple(tier for tier in TIERS if tier in chosen and tier in present)
