"""The artifact `boundaries`: read as written, refused if damaged or of another aligner."""

from __future__ import annotations

import json

import pytest

from speechprep.errors import ConfigError
from speechprep.pipelines.backends.aligners.boundaries import FILE, Boundaries
from speechprep.tokenizers.alignment.boundary_offsets import ANY, BoundaryOffset

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
