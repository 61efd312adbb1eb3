"""dvae: the codes of transformers' FlavaImageProcessor and FlavaImageCodebook, whatever the batch."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import tiny_models as tiny

from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends.image_codecs.dvae import DvaeCodec
from speechprep.pipelines.stages.images import STAGE

pytestmark = pytest.mark.reference

RGB = np.ndarray


@pytest.fixture(scope="module")
def torch() -> Any:
    pytest.importorskip("transformers")
    pytest.importorskip("PIL")
    found = pytest.importorskip("torch")
    found.set_num_threads(1)
    return found


@pytest.fixture(scope="module")
def model(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small FlavaImageCodebook whose random weights give many different codes, with its processor."""
    return tiny.image_codebook(tmp_path_factory.mktemp("flava"))


@pytest.fixture(scope="module")
def codec(model: Path) -> DvaeCodec:
    return loaded(model)


def loaded(model: Path, **options: Any) -> DvaeCodec:
    found = DvaeCodec(str(model), device="cpu", **options)
    found.load()
    return found


def pictures(n: int = 12) -> list[RGB]:
    """Noise and slopes of many shapes."""
    rng = np.random.default_rng(0)
    shapes = [
        (112, 112),
        (4, 5),
        (480, 640),
        (640, 427),
        (30, 900),
        *(tuple(rng.integers(8, 300, 2)) for _ in range(n)),
    ]
    made = []
    for i, (height, width) in enumerate(shapes[:n]):
        x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 6, height))
        slope = np.stack([np.sin(x + i), np.cos(y * (i % 5)), np.sin(x * y / 3 + i)], axis=2)
        noise = rng.normal(0, 0.05 + 0.2 * (i % 3), slope.shape)
        made.append(np.clip(127.5 * (1 + slope + noise), 0, 255).astype(np.uint8))
    return made


@cache
def library(model: Path) -> tuple[Any, Any]:
    from transformers import FlavaImageCodebook, FlavaImageProcessor

    return FlavaImageProcessor.from_pretrained(model), FlavaImageCodebook.from_pretrained(model).eval()


def reference(model: Path, picture: RGB, size: int = 112) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and codes by the library alone."""
    import torch
    from PIL import Image

    processor, plain = library(model)
    sizes = {"codebook_size": {"height": size, "width": size}, "codebook_crop_size": {"height": size, "width": size}}
    made = processor(Image.fromarray(picture), return_codebook_pixels=True, return_tensors="pt", **sizes)
    with torch.inference_mode():
        codes = plain.get_codebook_indices(made.codebook_pixel_values)
    return made.codebook_pixel_values[0].numpy(), codes.numpy().reshape(-1)


@pytest.mark.parametrize("size", [112, 128, 64])
def test_pixels_and_codes_are_those_of_transformers(model: Path, size: int) -> None:
    codec = loaded(model, size=size)
    seen = set()
    for picture in pictures():
        pixels, codes = reference(model, picture, size)
        mine = codec.prepare(picture)
        assert np.array_equal(mine, pixels)
        assert mine.dtype == pixels.dtype
        found = codec.encode([mine])[0]
        assert found.dtype == np.uint16
        assert found.shape == (codec.length,) == ((size // 8) ** 2,)
        assert np.array_equal(found, codes)
        seen.update(found.tolist())
    assert len(seen) > 25, "the model's codes do not vary: nothing was compared"


@pytest.mark.parametrize("batch", [1, 5])
def test_codes_do_not_depend_on_the_company(model: Path, batch: int) -> None:
    codec = loaded(model, batch=batch)
    prepared = [codec.prepare(p) for p in pictures()]
    alone = [codec.encode([one])[0] for one in prepared]
    for order in (range(12), range(11, -1, -1), [3, 3, 3, 0, 7, 1, 2, 4, 5, 6, 8, 9, 10, 11]):
        for i, codes in zip(order, codec.encode([prepared[i] for i in order]), strict=True):
            assert np.array_equal(codes, alone[i])
    assert codec.encode([]) == []


def test_crop_takes_the_middle_square(model: Path, codec: DvaeCodec) -> None:
    crop = loaded(model, fit="crop")
    wide = pictures(3)[2]
    middle = wide[:, (640 - 480) // 2 : (640 + 480) // 2]
    assert np.array_equal(crop.prepare(wide), codec.prepare(np.ascontiguousarray(middle)))
    square = pictures(1)[0]
    assert np.array_equal(crop.prepare(square), codec.prepare(square))


def test_the_identity_names_all_that_decides_a_code(model: Path, tmp_path: Path, torch: Any) -> None:
    told = [DvaeCodec(str(model), **o).identity() for o in ({}, {"size": 64}, {"fit": "crop"}, {"batch": 4})]
    told.append(DvaeCodec(str(tiny.image_codebook(tmp_path / "other", seed=1))).identity())
    assert len({json.dumps(one, sort_keys=True) for one in told}) == len(told)
    same = [DvaeCodec(str(model), **o).identity() for o in ({"device": "cpu"}, {"threads": 2})]
    assert same == [told[0], told[0]]
    moved = shutil.copytree(model, tmp_path / "moved")
    assert DvaeCodec(str(moved)).identity() == told[0]


@pytest.fixture
def broken(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "broken"))


def changed(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_folder_that_is_not_whole_is_one_line(broken: Path) -> None:
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(MissingBackend, match="cannot be read as a FlavaImageCodebook"):
        DvaeCodec(str(broken)).load()
    (broken / "model.safetensors").unlink()
    with pytest.raises(MissingBackend, match=r"lacks model\.safetensors"):
        DvaeCodec(str(broken)).identity()


def test_weights_of_another_shape_are_one_line(broken: Path) -> None:
    changed(broken, "config.json", num_blocks_per_group=3)
    with pytest.raises(MissingBackend, match="lacks weights"):
        DvaeCodec(str(broken)).load()


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("config.json", {"model_type": "flava"}, "model of type 'flava'; a 'flava_image_codebook' is needed"),
        ("config.json", {"vocab_size": 70_000}, "must fit into 16 bits"),
        ("preprocessor_config.json", {"codebook_resample": 3}, "codebook_resample = 3"),
        ("preprocessor_config.json", {"codebook_do_map_pixels": False}, "codebook_do_map_pixels = False"),
        ("preprocessor_config.json", {"codebook_image_mean": [0.5, 0.5, 0.5]}, "codebook_image_mean"),
    ],
)
def test_a_model_that_wants_something_else_is_refused(
    broken: Path, name: str, values: dict[str, Any], says: str
) -> None:
    changed(broken, name, **values)
    with pytest.raises(ConfigError, match=says):
        DvaeCodec(str(broken)).identity()


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"size": 113}, {"size": 112.0}, {"fit": "pad"}, {"batch": 0}, {"threads": 0}]
)
def test_options_that_cannot_be_are_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="dvae: "):
        DvaeCodec("model", **options)


def test_the_stage_gives_the_codes_of_the_library(model: Path, tmp_path: Path, run_stage: Any) -> None:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, picture in enumerate(pictures()):
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
    options = {"model": str(model), "device": "cpu"}
    rows = {}
    for shards, workers in ((1, 1), (5, 2)):
        out = run_stage(
            STAGE, {"options": options, "shards": shards}, sources=[folder], workers=workers, out=tmp_path / str(shards)
        )
        rows[shards] = [row for file in sorted(out.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    assert rows[1] == rows[5]
    for row, picture in zip(rows[1], pictures(), strict=True):
        assert row["codes"] == reference(model, picture)[1].tolist()
