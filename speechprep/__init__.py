"""speechprep turns folders of speech recordings into training data for speech-and-text language models.

The public Python API:

    run, plan, stage, open              a recipe, its state, one stage, and finished folders
    export                              a run in the format of another tool
    vectors, pairs                      teacher vectors as arrays; pairings of text and audio clips
    align, units, interleave, decode    one recording or one row, in memory

`import speechprep` loads none of them; each is imported on first use. See docs/python.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from speechprep.version import __version__

if TYPE_CHECKING:
    from speechprep.api import align, decode, export, interleave, open, pairs, plan, run, stage, units, vectors  # noqa: A004 - public names

__all__ = [
    "align",
    "decode",
    "export",
    "interleave",
    "open",
    "pairs",
    "plan",
    "run",
    "stage",
    "units",
    "vectors",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("speechprep.api"), name)
    raise AttributeError(f"module 'speechprep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
