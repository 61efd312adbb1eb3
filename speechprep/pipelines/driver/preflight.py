"""Preflight of a run: missing packages, missing model files and bad options of all steps, before the first step runs.

No model is loaded and nothing is downloaded. The backend of a step is made from its options and from the metadata of
its inputs. If an input does not exist yet, the extractor named by an earlier step stands in for its metadata: the
extractor of `sample` is also the extractor of the codebook, and so of `units`.
"""

from __future__ import annotations

from typing import Any

from speechprep.artifacts import manifest
from speechprep.errors import SpeechprepError
from speechprep.pipelines.backends import Backend
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.features import ExtractorConfig

Extra = dict[str, Any]  # metadata of an input, as in `Manifest.extra`


def preflight(steps: list[Step]) -> list[str]:
    """The problems that would end the run later, one line each: steps, value, and what to do.

    Args:
        steps: of a recipe, in order. A step whose backend depends on an input that does not exist yet is skipped.

    Returns:
        One line for each problem, with the names of all steps that have it; empty if there is none.
    """
    extras: dict[str, Extra] = {}  # folder -> metadata, existing or expected
    problems: dict[str, list[str]] = {}  # message -> names of the steps
    for step in steps:
        try:
            inputs = {role: _extra(folder, extras) for role, folder in step.inputs.items()}
            extras[step.folder] = _expected(step, inputs)
            backend = _backend(step, inputs)
            if backend is not None:
                backend.check()
        except SpeechprepError as error:
            problems.setdefault(str(error), []).append(step.name)
    return [f"step {', '.join(names)}: {message}" for message, names in problems.items()]


def _extra(folder: str, extras: dict[str, Extra]) -> Extra:
    """Metadata of an input: of the folder if it is complete, else as expected from an earlier step."""
    if folder not in extras:
        existing = manifest.find(folder)
        extras[folder] = existing.extra if existing is not None else {}
    return extras[folder]


def _expected(step: Step, inputs: dict[str, Extra]) -> Extra:
    """Metadata of a step's output as far as its options tell: the extractor, its own or of its inputs."""
    if isinstance(step.config, ExtractorConfig):
        return {"backend": {"extractor": step.config.backend, "options": step.config.options}}
    return next(({"backend": extra["backend"]} for extra in inputs.values() if "backend" in extra), {})


def _backend(step: Step, inputs: dict[str, Extra]) -> Backend | None:
    """The unloaded backend of a step; None if it has none, or if it needs metadata that no input has yet."""
    if step.stage.backend is None:
        return None
    try:
        return step.stage.backend(step.config, inputs)
    except KeyError:
        return None
