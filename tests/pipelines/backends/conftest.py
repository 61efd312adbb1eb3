"""Fixtures over all registered backends of a family, and over one with the required methods only."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.small_backends import PLAIN, SMALL, loaded

from speechprep import registry


@pytest.fixture(autouse=True)
def plain_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    for family, target in PLAIN.items():
        monkeypatch.setitem(registry.FAMILIES[family], "plain", target)


def each(family: str) -> Any:
    """A fixture over the backends of a family; loaded once for each test."""

    @pytest.fixture(params=list(SMALL[family]))
    def backend(request: pytest.FixtureRequest, plain_backends: None) -> Any:
        return loaded(family, request.param)

    return backend


aligner, extractor, embedder = each("aligners"), each("extractors"), each("embedders")
recogniser, codec = each("recognisers"), each("image_codecs")
quantizer = each("quantizers")
