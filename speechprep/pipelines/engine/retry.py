"""Retry command: the command line of a step, in the column `retry` of its rejects."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any

from speechprep.artifacts import storage
from speechprep.options import Options

MAX_REJECT_FRACTION = 0.05  # default of `--max-reject-fraction`


def retry_command(stage: str, config: Options, seed: int, inputs: Iterable[str], folder: str) -> str:
    """The command of a step, for the parent folder of its output.

    Inputs beside the output are relative, so the text does not depend on the location of the run folder. Options with
    their default value are omitted.

    Args:
        stage: name of the stage.
        config: options of the stage.
        seed: seed of the run.
        inputs: input folders or sources.
        folder: output folder.
    """
    around = storage.parent(storage.absolute(folder))
    words = ["speechprep", stage]
    for source in dict.fromkeys(inputs):
        words += ["--input", _relative(source, around)]
    words += ["--out", _relative(folder, around)]
    for name, value in _changed(config).items():
        words += ["--set", f"{name}={_setting(value)}"]
    if seed:
        words += ["--seed", str(seed)]
    return shlex.join(words)


def with_reject_limit(command: str, max_reject_fraction: float) -> str:
    """The command with `--max-reject-fraction`, if the value is not the default.

    Without the option, the retry of a run with many rejects would end at the default limit.
    """
    if max_reject_fraction == MAX_REJECT_FRACTION:
        return command
    return f"{command} --max-reject-fraction {max_reject_fraction:.12g}"


def _relative(uri: str, around: str) -> str:
    return storage.absolute(uri).removeprefix(around.rstrip("/") + "/")


def _changed(config: Options) -> dict[str, Any]:
    """Options with a value other than their default, as JSON values."""
    values = config.model_dump(mode="json")
    fields = type(config).model_fields
    defaults = {
        name: json.loads(json.dumps(field.get_default(call_default_factory=True), default=str))
        for name, field in fields.items()
        if not field.is_required()
    }
    return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}


def _setting(value: Any) -> str:
    """Text of a value for `--set`."""
    if isinstance(value, str) and value and value[0] not in "'\"" and value not in ("~", "null", "Null", "NULL"):
        return value
    return json.dumps(value, ensure_ascii=False)
