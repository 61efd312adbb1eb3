"""A recipe: stages, their options and their inputs. Data, not code."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field

from speechprep import yaml12
from speechprep.artifacts import manifest, storage
from speechprep.errors import ConfigError
from speechprep.options import Options, checked, read_mapping, typed, with_setting
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.stage import Stage, find_stage
from speechprep.registry import names


class RecipeStep(Options):
    """One stage of a recipe.

    Attributes:
        stage: its name; `name`: how the recipe calls this use of it (default: the stage's name).
        out: folder below the run folder (default: the kind written by the stage); `options`: of the stage.
        inputs: role -> name of an earlier step, where the nearest earlier one of the right kind is not meant.
    """

    stage: str
    name: str = ""
    out: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)

    def title(self) -> str:
        """How the step is called."""
        return self.name or self.stage


class Recipe(Options):
    """Steps in order, with the run's seed."""

    name: str
    description: str = ""
    seed: int = 0
    steps: list[RecipeStep]

    def with_options(self, settings: list[str]) -> Recipe:
        """The recipe with `step.option=value` settings applied; values are YAML.

        Raises:
            ConfigError: a setting of another form, or of an unknown step.
        """
        steps = list(self.steps)
        titles = [step.title() for step in steps]
        for setting in settings:
            path, equals, value = setting.partition("=")
            step, dot, option = path.partition(".")
            if not equals or not dot:
                raise ConfigError(f"--set {setting!r}: write it as STEP.OPTION=VALUE, for example cluster.k=100")
            if step not in titles:
                raise ConfigError(f"--set {setting!r}: the recipe has no step {step!r}; it has: {', '.join(titles)}")
            at = titles.index(step)
            config = find_stage(steps[at].stage).config
            options = with_setting(steps[at].options, option, value, config)
            steps[at] = steps[at].model_copy(update={"options": options})
        return self.model_copy(update={"steps": steps})

    def with_values(self, options: Mapping[str, Mapping[str, Any]]) -> Recipe:
        """The recipe with the options of some steps replaced: step -> option -> value.

        Raises:
            ConfigError: unknown step.
        """
        titles = [step.title() for step in self.steps]
        for name in options:
            if name not in titles:
                raise ConfigError(f"the recipe has no step {name!r}; it has: {', '.join(titles)}")
        steps = [
            step.model_copy(update={"options": {**step.options, **options.get(step.title(), {})}})
            for step in self.steps
        ]
        return self.model_copy(update={"steps": steps})


def shipped() -> dict[str, str]:
    """Names of the recipes in the package, with their descriptions."""
    folder = resources.files("speechprep") / "recipes"
    names = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
    return {name: load(name).description for name in names}


def load(recipe: str) -> Recipe:
    """A recipe by the name of a shipped one or by path.

    Raises:
        ConfigError: an absent file, not YAML, or unknown keys.
    """
    path = resources.files("speechprep") / "recipes" / f"{recipe}.yaml"
    if not ("/" in recipe or recipe.endswith((".yaml", ".yml"))) and path.is_file():
        text = path.read_text()
    elif Path(recipe).is_file():
        text = Path(recipe).read_text()
    else:
        raise ConfigError(f"no recipe {recipe!r}: neither a file nor one of the shipped ones ({_names()})")
    try:
        return _parse(text)
    except ConfigError as error:
        raise ConfigError(f"recipe {recipe!r}: {error}") from None


def _parse(text: str) -> Recipe:
    """A recipe from its text; options of type str keep their text as written."""
    values = read_mapping(text, Recipe)
    if not isinstance(values.get("steps"), list):
        raise ConfigError("a mapping with the keys name and steps is needed")
    written = yaml12.load_as_text(text)
    steps = []
    for step, step_written in zip(values["steps"], written["steps"], strict=True):
        if not isinstance(step, dict):
            raise ConfigError(f"step {step!r}: a mapping with the key stage is needed")
        step = typed(step, step_written, RecipeStep)
        options = step.get("options")
        if isinstance(options, dict) and isinstance(step.get("stage"), str):
            step["options"] = typed(options, step_written["options"], find_stage(step["stage"]).config)
        steps.append(step)
    recipe: Recipe = checked(Recipe, {**values, "steps": steps}, "")
    return recipe


def _names() -> str:
    folder = resources.files("speechprep") / "recipes"
    return ", ".join(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def build(recipe: Recipe, sources: list[str], out: str) -> list[Step]:
    """The steps of a recipe with their folders and inputs resolved.

    Raises:
        ConfigError: an unknown stage or option, an input without an earlier step, two steps with one folder.
    """
    steps: list[Step] = []
    for entry in recipe.steps:
        stage = find_stage(entry.stage)
        folder = storage.join(out, entry.out or stage.writes)
        if any(step.folder == folder for step in steps):
            raise ConfigError(f"step {entry.title()!r} writes into {folder}, as an earlier one does; give it an out:")
        inputs = {}
        for read in stage.reads:
            found = _provider(steps, read.kind, entry.inputs.get(read.role), entry.title())
            if found is not None:
                inputs[read.role] = found.folder
            elif not read.optional:
                raise ConfigError(f"step {entry.title()!r} needs {read.kind!r}, which no earlier step makes")
        steps.append(Step(entry.title(), stage, stage.configure(entry.options), recipe.seed, inputs, folder, sources))
    return steps


def _provider(steps: list[Step], kind: str, name: str | None, asker: str) -> Step | None:
    if name is not None:
        named = [step for step in steps if step.name == name]
        if not named or named[0].stage.writes != kind:
            raise ConfigError(f"step {asker!r} takes its {kind!r} from {name!r}, which makes no such thing before it")
        return named[0]
    makers = [step for step in steps if step.stage.writes == kind]
    return makers[-1] if makers else None


def single(stage: Stage, options: dict[str, Any], seed: int, sources: list[str], out: str) -> list[Step]:
    """The steps for one stage: before it, the small stages with missing output.

    `sources` are folders of this tool (recognised by their manifests) or run folders; for `ingest`, the files to
    read. A missing input is made beside `out` if a stage can make it from the given folders: `cluster` needs a
    `sample` of the features.
    """
    if stage.plan is not None:
        return [Step(stage.name, stage, stage.configure(options), seed, {}, out, sources)]
    found = _by_kind(sources)
    steps: list[Step] = []
    inputs: dict[str, str] = {}
    for read in stage.reads:
        if read.kind in found:
            inputs[read.role] = found[read.kind]
        elif not read.optional:
            maker = _maker(read.kind, found)
            if maker is None:
                have = ", ".join(f"{kind} ({folder})" for kind, folder in sorted(found.items())) or "nothing"
                raise ConfigError(f"{stage.name} needs --input with {read.kind!r}; given was {have}")
            folder = storage.join(out.rstrip("/").rsplit("/", 1)[0] if "/" in out else ".", read.kind)
            needs = {r.role: found[r.kind] for r in maker.reads if r.kind in found}
            own = {
                k: v
                for k, v in options.items()
                if k in maker.config.model_fields and k not in stage.config.model_fields
            }
            options = {k: v for k, v in options.items() if k not in own}
            steps.append(Step(maker.name, maker, maker.configure(own), seed, needs, folder, []))
            inputs[read.role] = folder
    steps.append(Step(stage.name, stage, stage.configure(options), seed, inputs, out, sources))
    return steps


def _by_kind(sources: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in sources:
        known = manifest.find(source)
        if known is not None:
            found[known.kind] = source
            continue
        inner = {name: manifest.find(storage.join(source, name)) for name in storage.folders(source)}
        ours = [(name != known.kind, name, known.kind) for name, known in inner.items() if known is not None]
        for _, name, kind in sorted(ours):  # of two folders of a kind, the one with its name comes first
            found.setdefault(kind, storage.join(source, name))
    return found


def _maker(kind: str, found: dict[str, str]) -> Stage | None:
    for name in names("stages"):
        stage = find_stage(name)
        from_inputs = stage.reads and stage.plan is None
        if stage.writes == kind and from_inputs and all(r.optional or r.kind in found for r in stage.reads):
            return stage
    return None
