"""`run.json`: record of a run.

It holds the recipe, the options, the workers, and the result and wall time of each step. It is written at the end of
a run, also of a failed one. A step without tasks to run keeps its earlier entry. A complete run does not change the
file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from speechprep.artifacts import manifest, storage
from speechprep.pipelines.driver.outcome import Outcome, now, stage_entry
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.recipe import Recipe
from speechprep.pipelines.engine.run import Options

NAME = "run.json"
FORMAT = 1


def read_record(folder: str) -> dict[str, Any]:
    """`run.json` of a run folder; empty if the file is absent or not a JSON object."""
    uri = storage.join(folder, NAME)
    if not storage.exists(uri):
        return {}
    try:
        record = json.loads(storage.read_bytes(uri))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def write_record(folder: str, record: dict[str, Any]) -> None:
    """Replace `run.json`."""
    text = json.dumps(record, indent=1, ensure_ascii=False, sort_keys=False) + "\n"
    storage.write_bytes(storage.join(folder, NAME), text.encode())


def record_run(recipe: Recipe, outcome: Outcome, options: Options, steps: Sequence[Step] = ()) -> None:
    """Write `run.json`, unless the run folder is empty: then the command itself was wrong."""
    if not storage.folders(outcome.out):
        return
    entries = read_record(outcome.out).get("stages", [])
    earlier = {entry["name"]: entry for entry in entries if isinstance(entry, dict) and "name" in entry}
    stages: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    for result in outcome.results:
        complete = manifest.find_intact(result.folder)
        versions |= complete.versions if complete else {}
        fingerprint = complete.fingerprint if complete else None
        entry = earlier.get(result.name)
        if result.tasks_run == 0 and entry and entry.get("fingerprint") == fingerprint:
            stages.append(entry)
        else:
            stages.append({**stage_entry(result), "fingerprint": fingerprint, "workers": options.engine.workers})
    write_record(
        outcome.out,
        {
            "format": FORMAT,
            "recipe": recipe.name,
            "description": recipe.description,
            "status": outcome.status,
            "error": outcome.error,
            "started": outcome.started,
            "finished": now(),
            "wall_seconds": round(outcome.wall, 3),
            "audio_seconds": round(outcome.audio, 3),
            "runner": options.engine.runner,
            "workers": options.engine.workers,
            "max_reject_fraction": options.max_reject_fraction,
            "stages": stages,
            "steps": recipe.model_dump(mode="json"),
            "sources": sorted({storage.absolute(source) for step in steps for source in step.sources}),
            "versions": versions,
        },
    )
