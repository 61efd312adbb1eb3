"""Preflight of a run: missing packages, missing model files and bad options of all steps, before the first step runs.

No model is loaded and nothing is downloaded. The backend of a step is made from its options and from the metadata of
its inputs. If an input does not exist yet, the extractor of an earlier step is used for its metadata. For
example, `sample` has the extractor of the codebook and of `units`.
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
    """The problems that would end the run later: bad options, missing packages and missing model files.

    A step is skipped if its backend depends on the metadata of an input that does not exist yet.

    Args:
        steps: steps of a recipe, in order.

    Returns:
        One line for each problem, with the names of its steps, the value and the remedy.
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
    """Metadata of an input: from its manifest, or else as expected from an earlier step."""
    if folder not in extras:
        existing = manifest.find_intact(folder)
        extras[folder] = existing.extra if existing is not None else {}
    return extras[folder]


def _expected(step: Step, inputs: dict[str, Extra]) -> Extra:
    """Expected metadata of the output of a step: the extractor from its options, or from its inputs."""
    if isinstance(step.config, ExtractorConfig):
        return {"backend": {"extractor": step.config.backend, "options": step.config.options}}
    return next(({"backend": extra["backend"]} for extra in inputs.values() if "backend" in extra), {})


def _backend(step: Step, inputs: dict[str, Extra]) -> Backend | None:
    """The unloaded backend of a step; None without a backend, or if its metadata do not exist yet."""
    if step.stage.backend is None:
        return None
    try:
        return step.stage.backend(step.config, inputs)
    except KeyError:
        return None
