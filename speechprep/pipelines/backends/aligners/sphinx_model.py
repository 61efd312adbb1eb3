"""The US English model inside the package of PocketSphinx: its folder and its sha256."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from speechprep.errors import MissingBackend


def model_folder() -> Path:
    """Folder of the models in the package; nothing is imported.

    Raises:
        MissingBackend: the package is not installed.
    """
    spec = find_spec("pocketsphinx")
    if spec is None or not spec.submodule_search_locations:
        raise MissingBackend("aligner 'pocketsphinx' needs the package 'pocketsphinx'; install it with pip")
    return Path(spec.submodule_search_locations[0]) / "model" / "en-us"


@lru_cache(maxsize=2)
def digest(model: Path) -> str:
    """sha256 over the dictionary and the acoustic model."""
    digest = hashlib.sha256((model / "cmudict-en-us.dict").read_bytes())
    for file in sorted((model / "en-us").iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
