"""The artifact `boundaries`: read as written, refused if damaged or of another aligner."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechprep.errors import ConfigError
from speechprep.pipelines.backends.aligners.boundaries.artifact import FILE, WEIGHTS, Boundaries
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner
from speechprep.tokenizers.alignment import border_network
from speechprep.tokenizers.alignment.border_inputs import REACH, STEP
from speechprep.tokenizers.alignment.boundary_offsets import ANY, BoundaryOffset
from speechprep.tokenizers.alignment.boundary_refiner import NETWORKS, Refiner

FITTED = Boundaries(
    {ANY: BoundaryOffset(0.01, -0.02, 0.03, 9), "onset silence stop": BoundaryOffset(0.02, -0.01, 0.02, 4)},
    {"name": "pocketsphinx", "offset": 0.01},
    "CC BY 4.0",
    {"words": 9},
    {"after": 17.0},
)


def test_a_saved_artifact_is_read_as_it_was(tmp_path):
    FITTED.save(str(tmp_path / "new"))
    assert Boundaries.load(str(tmp_path / "new")) == FITTED


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"format": 2},
        {"offsets": {}},
        {"offsets": {ANY: {"seconds": 0.5, "low": 0, "high": 0, "borders": 1}}},
        {"offsets": {ANY: {"seconds": float("nan"), "low": 0, "high": 0, "borders": 1}}},
        {"fingerprint": "0"},
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, change):
    FITTED.save(str(tmp_path))
    body = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**body, **change}))
    with pytest.raises(ConfigError, match="speechprep fit boundaries") as error:
        Boundaries.load(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_missing_folder_and_a_text_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        Boundaries.load(str(tmp_path / "absent"))
    (tmp_path / FILE).write_text("[]")
    with pytest.raises(ConfigError, match="cannot be read"):
        Boundaries.load(str(tmp_path))


def test_another_aligner_is_refused_with_the_difference():
    FITTED.check({"name": "pocketsphinx", "offset": 0.01, "window": 30})
    with pytest.raises(ConfigError, match=r"offset = 0\.01, this aligner has 0\.02"):
        FITTED.check({"name": "pocketsphinx", "offset": 0.02})


def refiner(move=0):
    """A refiner that moves every border by the same number of frames."""
    weights = tuple(np.zeros(shape, np.float32) for shape in border_network.SHAPES)
    weights[5][REACH + move] = 50
    return Refiner((weights,) * NETWORKS, 0.01)


REFINED = replace(FITTED, refiner=refiner(3))


def test_a_saved_refiner_is_read_as_it_was(tmp_path):
    REFINED.save(str(tmp_path))
    loaded = Boundaries.load(str(tmp_path))
    assert loaded.fingerprint == REFINED.fingerprint
    assert loaded.fingerprint != FITTED.fingerprint
    assert loaded.refiner.widening == 0.01
    for found, saved in zip(loaded.refiner.networks, REFINED.refiner.networks, strict=True):
        assert border_network.packed(found).tobytes() == border_network.packed(saved).tobytes()
    first = (tmp_path / WEIGHTS).read_bytes()
    REFINED.save(str(tmp_path))
    assert (tmp_path / WEIGHTS).read_bytes() == first


def array_bytes(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


SHAPE = (NETWORKS, border_network.SIZE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        array_bytes(np.zeros((1, 3), np.float32)),
        array_bytes(np.zeros(SHAPE)),
        array_bytes(np.full(SHAPE, np.nan, np.float32)),
        array_bytes(np.zeros(SHAPE, np.float32)),
        array_bytes(np.array([{}], object), allow_pickle=True),
    ],
    ids=["empty", "text", "shape", "type", "nan", "other weights", "pickle"],
)
def test_damaged_weights_are_refused_in_one_line(tmp_path, content):
    REFINED.save(str(tmp_path))
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(ConfigError, match="speechprep fit boundaries") as error:
        Boundaries.load(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_refiner_without_its_weights_is_refused(tmp_path):
    REFINED.save(str(tmp_path))
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        Boundaries.load(str(tmp_path))


@pytest.mark.parametrize("window", [30.0, 10.0])
def test_borders_are_moved_by_the_refiner_in_short_and_in_long_audio(tmp_path, english, window):
    """The same sentence several times: one window, or two."""
    audio, text = english
    plain = PocketSphinxAligner(window=window)
    plain.load()
    Boundaries({ANY: BoundaryOffset(0.03, 0, 0, 1)}, plain.timing_identity(), "CC0", refiner=refiner(4)).save(
        str(tmp_path)
    )
    fitted = PocketSphinxAligner(window=window, boundaries=str(tmp_path))
    fitted.load()
    before, after = plain.align(audio, text).words, fitted.align(audio, text).words
    assert [word.text for word in after] == [word.text for word in before]
    moves = [new.start - old.start for old, new in zip(before, after, strict=True)]
    assert np.median(moves) == pytest.approx(4 * STEP, abs=STEP / 2)
    for word in after:
        if word.timing == "aligned":
            span = word.interval
            assert span.start_low <= word.start <= span.start_high
            assert span.end_low <= word.end <= span.end_high
            assert 0.02 <= span.start_high - span.start_low <= 0.2 or span.start_low == 0
    ends = [0.0]
    for word in after:
        assert ends[-1] - 1e-4 <= word.start < word.end
        ends.append(word.end)
    assert fitted.align(audio, text) == fitted.align(audio, text)


@pytest.fixture(scope="module")
def english():
    """About 17 s of the demo corpus, and its text."""
    from speechprep.artifacts.media.audio import decode
    from speechprep.demo import corpus_path

    manifest = next(path for path in sorted(Path(corpus_path()).rglob("*.jsonl")))
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    parts, texts, seconds = [], [], 0.0
    for row in rows:
        if row.get("text") and seconds < 16:
            parts.append(decode(str(manifest.parent / row["audio"]), sample_rate=16_000))
            texts.append(row["text"])
            seconds += len(parts[-1]) / 16_000
    return np.concatenate(parts), " ".join(texts)
