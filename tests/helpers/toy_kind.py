"""A dataset kind as another package declares it."""

from __future__ import annotations

import pyarrow as pa

from speechprep.artifacts.datasets import Kind

PHRASES = Kind("phrases", "phrases of some words", pa.schema([("id", pa.string())]), unique_ids=True)
