"""images: images + captions -> image_codes.

Reads folders and globs of images, CSV, TSV and JSONL manifests and caption files of COCO (`sources.images`). Writes
`image_codes`.

Row: id, image (URI), width, height (as shown, before the codec's resizing), codes list<uint16> row by row from the top
left, captions list<string>, split, licence, image_sha256. The driver lists and sorts the images. A shard reads each of
its files once. The codes of an image do not depend on the shards, the workers or the other images of the batch.

Rejected, one row each: files without a usable image (missing, empty, damaged, no image, too large, no RGB pixels;
`image_*`, see `artifacts.image`), unusable or repeated ids, unreadable records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts import storage
from speechprep.artifacts.media import image
from speechprep.artifacts.schemas import IMAGE_CODES
from speechprep.errors import BadInput
from speechprep.pipelines.backends import ImageCodec
from speechprep.pipelines.engine.stage import Finished, ShardPlan, Stage, StageConfig
from speechprep.pipelines.sources import images as sources
from speechprep.pipelines.sources import listing
from speechprep.pipelines.sources.entry import Record
from speechprep.pipelines.sources.lines import open_regular
from speechprep.registry import make

if TYPE_CHECKING:
    from speechprep.pipelines.engine.context import ShardContext

BLOCK = 16  # images read, encoded and written together
REMOTE_THREADS = 8  # requests at a time to an object store
MAX_BYTES = 1 << 28  # of an image file


class Config(StageConfig):
    """Options of `images`."""

    ALIASES: ClassVar[Mapping[str, str]] = {"codec": "backend"}

    backend: str = Field("dvae", description="name of the image codec; see: speechprep backends list")
    options: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the image codec, for example {model: M, size: 128}"
    )
    format: Literal["auto", "folder", "jsonl", "table", "coco"] = Field(
        "auto", description="form of the input; auto: recognised by its content"
    )
    image_root: str | None = Field(
        None,
        description="base folder of relative image paths; records with a path outside of it are rejected; "
        "default: the folder of the manifest",
    )
    columns: dict[Literal["id", "image", "captions", "split", "licence"], str] = Field(
        {}, description="names of your columns by field, e.g. columns.captions=alt_text"
    )
    split: str | None = Field(None, description="split for records without a split")
    licence: str | None = Field(None, description="licence for records without a licence")
    max_pixels: int = Field(
        image.MAX_PIXELS, ge=1, description="reject images with more pixels (width x height) without decoding them"
    )
    shards: int | None = Field(
        None, ge=1, description="number of output shards; default: up to 16, then one for 512 images"
    )


def plan(config: Config, inputs: list[str], scratch: Path) -> ShardPlan:
    """List all inputs and deal their images to shards; none is opened.

    Raises:
        ConfigError: no input, an input of an unknown form, or not a single image.
    """
    columns = {str(name): column for name, column in config.columns.items()}
    options = sources.ImageOptions(audio_root=config.image_root, columns=columns)

    def records(uri: str) -> Iterator[Record]:
        stated = {"licence": config.licence, "split": config.split}
        return listing.with_defaults(sources.read(uri, config.format, options), stated)

    forms = "a folder, glob, manifest or COCO caption file"
    return listing.plan(inputs, records, config.shards, scratch, forms=forms, thing="image")


@dataclass(frozen=True)
class PreparedImage:
    """One decoded image, ready for the codec."""

    prepared: NDArray[np.float32]
    width: int
    height: int
    animated: bool
    sha256: str


def fetch(uri: str) -> bytes | BadInput:
    """The bytes of a file."""
    try:
        with open_regular(uri) as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return BadInput(
            "image_missing",
            "the file does not exist; correct its path, or set image_root to the folder of relative paths",
        )
    except (OSError, ValueError, ImportError, TypeError) as error:  # the last three: URI of an unknown scheme
        reason = getattr(error, "strerror", None) or error
        return BadInput("image_unreadable", f"reading failed ({reason}); repair the file or correct its path")
    if len(data) > MAX_BYTES:
        return BadInput(
            "image_too_large", f"the file has more than {MAX_BYTES >> 20} MiB; make it smaller or leave it out"
        )
    return data


def prepare_image(codec: ImageCodec, data: bytes | BadInput, max_pixels: int) -> PreparedImage | BadInput:
    """Hash, decode and prepare one image."""
    if isinstance(data, BadInput):
        return data
    try:
        picture = image.decode(data, max_pixels)
    except BadInput as error:
        return error
    digest = hashlib.sha256(data).hexdigest()
    return PreparedImage(codec.prepare(picture.pixels), picture.width, picture.height, picture.animated, digest)


def run(ctx: ShardContext) -> None:
    """One shard: the next block of files is read and decoded while the model encodes the current block."""
    entries = listing.dealt(ctx)
    first = list(islice(entries, BLOCK))
    remote = any(not storage.is_local(entry["audio"]) for entry in first)
    with ThreadPoolExecutor(REMOTE_THREADS if remote else 1) as readers, ThreadPoolExecutor(1) as decoder:

        def decode(entry: dict[str, Any], data: Future[bytes | BadInput]) -> PreparedImage | BadInput:
            content = data.result()
            with ctx.guard([entry["id"]]):  # a decoder can bring the process down, the model cannot
                return prepare_image(ctx.backend, content, ctx.config.max_pixels)

        def start(block: list[dict[str, Any]]) -> list[Future[PreparedImage | BadInput]]:
            read = [readers.submit(fetch, entry["audio"]) for entry in block]
            return [decoder.submit(decode, *both) for both in zip(block, read, strict=True)]

        block, coming = first, start(first)
        while block:
            following = list(islice(entries, BLOCK))
            ahead = start(following)
            _write(ctx, block, [one.result() for one in coming])
            block, coming = following, ahead


def _write(ctx: ShardContext, block: list[dict[str, Any]], images: list[PreparedImage | BadInput]) -> None:
    good = []
    for entry, picture in zip(block, images, strict=True):
        if isinstance(picture, BadInput):
            ctx.reject(entry["id"], BadInput(picture.code, f"{entry['where']}: {picture}"), entry["audio"])
        else:
            good.append((entry, picture))
    codes = ctx.backend.encode([picture.prepared for _, picture in good])
    rows = [
        {
            "id": entry["id"],
            "image": entry["audio"],
            "width": picture.width,
            "height": picture.height,
            "codes": code,
            "captions": entry["captions"] or [],
            "split": entry["split"],
            "licence": entry["licence"],
            "image_sha256": picture.sha256,
        }
        for (entry, picture), code in zip(good, codes, strict=True)
    ]
    if rows:
        ctx.write(rows)
    captions = sum(len(row["captions"]) for row in rows)
    ctx.licences.update(row["licence"] for row in rows if row["licence"])
    ctx.done(utterances=len(rows), captions=captions, animated=sum(picture.animated for _, picture in good))


def make_codec(config: Config) -> ImageCodec:
    """The unloaded codec of a configuration."""
    codec: ImageCodec = make("image_codecs", config.backend, config.options)
    return codec


def facts(finished: Finished) -> dict[str, Any]:
    """The codec, the size of its codebook, and the number of codes for each image."""
    codec = make_codec(finished.config)
    return {"codec": codec.identity(), "vocab": codec.vocab, "length": codec.length}


STAGE = Stage(
    name="images",
    version=1,
    reads=(),
    writes="image_codes",
    config=Config,
    run=run,
    schema=IMAGE_CODES,
    backend=lambda config, extras: make_codec(config),
    plan=plan,
    facts=facts,
    help=(
        "Turn images into codes of a discrete VAE, with their captions.\n\nInputs: folders and globs of "
        "images with captions beside them, CSV, TSV and JSONL manifests, and the caption files of COCO "
        "(Karpathy's split too)."
    ),
    examples=(
        "speechprep images --input pictures --out run/image_codes --set options.model=models/flava-image-codebook",
        "speechprep images --input captions_val2014.json --out run/image_codes --set image_root=val2014",
    ),
)
