"""Steps of a run from the arguments of the command line or of the Python API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechprep.artifacts import storage
from speechprep.errors import ConfigError
from speechprep.pipelines.engine import recipe as recipes
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.recipe import Recipe


def recipe_steps(
    recipe: str,
    sources: list[str],
    out: str,
    *,
    settings: list[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int | None = None,
) -> tuple[Recipe, list[Step]]:
    """A recipe with its options, and its steps over the sources.

    Args:
        recipe: name of a shipped recipe, or path of a YAML file.
        sources: folders, files, globs or URIs to read.
        out: the run folder.
        settings: "STEP.OPTION=VALUE"; the value is parsed by the type of the option.
        options: step -> option -> value.
        seed: seed of the run; None: the seed of the recipe.

    Raises:
        ConfigError: unknown recipe, step, option, value or source; a run folder within a source.
    """
    body = recipes.load(recipe).with_options(settings or []).with_values(options or {})
    if seed is not None:
        body = body.model_copy(update={"seed": seed})
    check_places(sources, out)
    return body, recipes.build(body, sources, out)


def check_places(sources: list[str], out: str) -> None:
    """Check that each source exists, and that the out folder is not inside a source.

    The next run would read an out folder inside a source as input.

    Raises:
        ConfigError: naming the source, and the out folder.
    """
    for source in sources:
        if storage.is_local(source) and not storage.exists(source) and not any(c in source for c in "*?["):
            raise ConfigError(f"--input {source}: no such file or folder; correct the path")
        inner, outer = storage.absolute(out) + "/", storage.absolute(source).rstrip("/") + "/"
        if storage.is_dir(source) and inner.startswith(outer):
            raise ConfigError(
                f"--out {out} is inside --input {source} and would be read as input; choose a folder outside of it"
            )
