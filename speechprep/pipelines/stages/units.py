"""units: utterances + codebook -> units, one for each frame.

Reads `utterances` and a `codebook`. Writes `units`, one output shard for each input shard.

Row: id, units list<uint16> (uint32 beyond 65,536 units) at the frame rate, codebook (fingerprint). Frame i covers
[i * stride, i * stride + window) samples and has one unit, for any length of the audio and any cut into blocks.
Frames are extracted and assigned in one pass and are never stored. Repeated units are kept.

The extractor is that of the codebook. An extractor with another identity is an error.

Rejected: undecodable audio, `audio_too_short` for less than one frame, and `audio_too_long` for audio beyond
`center_window` of a centred codebook.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.schemas import units_schema
from speechprep.pipelines.backends import Extractor
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Finished, Read, Stage, StageConfig
from speechprep.pipelines.features import Sound, for_each_utterance
from speechprep.registry import make
from speechprep.tokenizers.kmeans.nearest import Centroids

F32 = NDArray[np.float32]


class Config(StageConfig):
    """Options of `units`."""

    ALIASES: ClassVar[Mapping[str, str]] = {"extractor": "backend"}

    backend: str | None = Field(None, description="name of the extractor; default: the extractor of the codebook")
    options: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the extractor; used only together with `backend`"
    )


def units_of(extractor: Extractor, centroids: Centroids, blocks: Iterator[F32]) -> NDArray[np.unsignedinteger]:
    """Audio blocks (n,) of one utterance -> (grid.num_frames(n),) unit ids."""
    return np.concatenate(list(extractor.units_stream(blocks, centroids)))


def run(ctx: ShardContext) -> None:
    """One shard."""
    extractor: Extractor = ctx.backend
    codebook = Codebook.load(ctx.path("codebook"))
    codebook.check(extractor)
    centroids = Centroids.of(codebook)
    fingerprint = codebook.fingerprint

    def work(row: dict[str, Any], sound: Sound) -> dict[str, Any]:
        units = units_of(extractor, centroids, sound) if sound.ready is None else sound.ready
        codebook.check_length(len(units))
        ctx.done(frames=len(units))
        return {"id": row["id"], "units": units, "codebook": fingerprint}

    for_each_utterance(ctx, work, together=lambda batch: extractor.units(batch, centroids))


def backend(config: Config, extras: dict[str, dict[str, Any]]) -> Extractor:
    """The extractor of the option `backend`; without it, the extractor of the codebook."""
    name, options = config.backend, config.options
    if name is None:
        made_with = extras["codebook"]["backend"]
        name, options = made_with["extractor"], made_with["options"]
    extractor: Extractor = make("extractors", name, options)
    return extractor


def schema(ctx: ShardContext) -> pa.Schema:
    """`units_schema` of the codebook's size."""
    return units_schema(ctx.extra("codebook")["k"])  # noqa: S610


def facts(finished: Finished) -> dict[str, Any]:
    """The frame grid, the number of units and the codebook's fingerprint."""
    codebook = finished.inputs["codebook"].extra
    return {name: codebook[name] for name in ("grid", "k", "codebook")}


STAGE = Stage(
    name="units",
    version=1,
    reads=(Read("utterances", "utterances"), Read("codebook", "codebook", sharded=False)),
    writes="units",
    config=Config,
    run=run,
    schema=schema,
    backend=backend,
    facts=facts,
    help="Turn each utterance into units: the nearest centroid of the codebook, frame by frame.",
    examples=("speechprep units --input run/utterances --input run/codebook --out run/units",),
)
