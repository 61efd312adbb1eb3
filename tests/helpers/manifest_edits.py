"""Edits of manifests that keep their digest true: as if another version had written them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from speechprep.artifacts import manifest


def write(path: Path, body: dict[str, Any]) -> None:
    """Write the content of a manifest, with the digest of it if it had one."""
    if body.pop("digest", None) is not None:
        body["digest"] = manifest.digest(body)
    path.write_text(json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
