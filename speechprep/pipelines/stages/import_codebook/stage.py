"""import_codebook: published centroids -> codebook.

Reads a file: a scikit-learn k-means model dumped by joblib (fairseq, textless, mHuBERT) or a `.npy` matrix (Seamless),
(k, dim) centroids. Writes the artifact `codebook`, as `cluster` does. Nothing in the file is executed.

A file does not say what its centroids are centroids of: the extractor must be named, or the file be a published one
(`known_codebooks`), of which layer and normalisation are known and held against the extractor. Refused: a file that is
damaged or of another kind, centroids with NaN, and centroids of another dimension than the extractor's frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, ClassVar

from pydantic import Field

from speechprep.artifacts.codebook import Codebook
from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Backend, Extractor
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Stage, StageConfig
from speechprep.pipelines.stages.import_codebook.codebook_files import read_centroids
from speechprep.pipelines.stages.import_codebook.published import recognise
from speechprep.registry import make


class Config(StageConfig):
    """Options of `import_codebook`."""

    ALIASES: ClassVar[Mapping[str, str]] = {"extractor": "backend"}

    file: str = Field(description="the codebook's file: joblib dump of scikit-learn's k-means, or .npy")
    backend: str | None = Field(None, description="name of the extractor of its frames; default: the preset's")
    options: dict[str, Any] = Field(
        default_factory=dict, description="its parameters, for example {model: M, layer: 9}"
    )
    preset: str | None = Field(
        None, description="published codebook that it is; default: by its sha256; none: take it for an unknown one"
    )


def imported(config: Config) -> Codebook:
    """The codebook in a file, with its passport.

    Raises:
        ConfigError: see the module's text.
    """
    centroids, origin = read_centroids(config.file)
    known = recognise(origin["sha256"], config.preset)
    name = config.backend or (known.extractor if known else None)
    if name is None:
        raise ConfigError(
            f"{origin['file']} does not say whose frames it quantizes, and it is no published file that is known; "
            "name the extractor, with its model and layer"
        )
    options = known.options(config.options) if known and name == known.extractor else dict(config.options)
    extractor: Extractor = make("extractors", name, options)
    identity = extractor.identity()
    if known is not None:
        known.check(centroids, extractor)
        origin["preset"] = known.name
    if extractor.dim != centroids.shape[1]:
        raise ConfigError(
            f"{origin['file']} has centroids of {centroids.shape[1]} values, frames of {name} with {options} have "
            f"{extractor.dim}; choose the model that the codebook was made with"
        )
    return Codebook(
        centroids=centroids,
        extractor=identity,
        grid=extractor.grid,
        backend={"extractor": name, "options": options},
        quantizer={"name": "imported"},
        versions={"numpy": version("numpy")},
        origin=origin,
    )


class Importer(Backend):
    """What the engine asks who made a folder: the file's bytes and the extractor."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def identity(self) -> dict[str, Any]:
        """The file, by content, and the codebook that it makes."""
        book = imported(self.config)
        return {"name": "imported", "sha256": book.origin["sha256"], "codebook": book.fingerprint}


def run(ctx: ShardContext) -> None:
    """Read, check, save."""
    book = imported(ctx.config)
    book.save(ctx.out)
    ctx.facts.update({**book.facts(), "origin": book.origin})


STAGE = Stage(
    name="import_codebook",
    version=1,
    reads=(),
    writes="codebook",
    config=Config,
    run=run,
    schema=None,
    backend=lambda config, extras: Importer(config),
    help="Import published centroids as a codebook.",
)
