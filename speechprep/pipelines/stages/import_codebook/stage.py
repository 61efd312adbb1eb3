"""import_codebook: published centroids -> codebook.

Reads a file with (k, dim) centroids: a scikit-learn k-means model dumped by joblib (fairseq, textless, mHuBERT) or a
`.npy` matrix (Seamless). Writes the artifact `codebook`, in the form of `cluster`. Nothing in the file is executed.

The file alone does not identify its extractor. You must name the extractor, except for the codebooks of `published`.
Their layer and normalisation are compared with the extractor.

Refused: damaged files and other kinds of files, centroids with NaN, and centroids of another dimension than the frames
of the extractor.
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

    file: str = Field(
        description="path of the codebook file: a joblib dump of a scikit-learn k-means model, or a .npy matrix"
    )
    backend: str | None = Field(
        None, description="name of the extractor of the frames; default: the extractor of the preset"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the extractor, for example {model: M, layer: 9}"
    )
    preset: str | None = Field(
        None,
        description="name of the published codebook; default: recognised by its sha256; none: "
        "treat the file as unknown",
    )


def imported(config: Config) -> Codebook:
    """The codebook of a file, with its metadata.

    Raises:
        ConfigError: see the module docstring.
    """
    centroids, origin = read_centroids(config.file)
    published = recognise(origin["sha256"], config.preset)
    name = config.backend or (published.extractor if published else None)
    if name is None:
        raise ConfigError(
            f"{origin['file']} is not a published codebook of the list, so its extractor is unknown; "
            "name the extractor, with its model and layer"
        )
    options = published.options(config.options) if published and name == published.extractor else dict(config.options)
    extractor: Extractor = make("extractors", name, options)
    identity = extractor.identity()
    if published is not None:
        published.check(centroids, extractor)
        origin["preset"] = published.name
    if extractor.dim != centroids.shape[1]:
        raise ConfigError(
            f"{origin['file']} has centroids of {centroids.shape[1]} values, frames of {name} with {options} have "
            f"{extractor.dim}; choose the model of the codebook"
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
    """Identity of the folder for the engine: the bytes of the file, and the extractor."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def identity(self) -> dict[str, Any]:
        """Content hash of the file, and fingerprint of its codebook."""
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
