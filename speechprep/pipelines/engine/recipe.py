"""Recipes: YAML files with the steps of a run, and the resolution of their folders and inputs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field

from speechprep import yaml12
from speechprep.artifacts import manifest, storage
from speechprep.errors import ConfigError, DamagedManifest, SpeechprepError
from speechprep.options import Options, checked, read_mapping, typed, with_setting
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.stage import Stage, find_stage
from speechprep.registry import names


class RecipeStep(Options):
    """One step of a recipe.

    Attributes:
        stage: name of the stage.
        name: name of the step; default: the name of the stage.
        out: folder below the run folder; default: the kind of the output.
        options: options of the stage.
        inputs: role -> name of an earlier step; default: the last earlier step with this kind of output.
    """

    stage: str
    name: str = ""
    out: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)

    def title(self) -> str:
        """Name of the step."""
        return self.name or self.stage


class Recipe(Options):
    """Steps in order, and the seed of the run."""

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
    """Names of the recipes in the package -> descriptions."""
    folder = resources.files("speechprep") / "recipes"
    names = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
    return {name: load(name).description for name in names}


def load(recipe: str) -> Recipe:
    """A shipped recipe by name, or a recipe by path.

    Raises:
        ConfigError: an absent file, not YAML, or unknown keys.
    """
    path = resources.files("speechprep") / "recipes" / f"{recipe}.yaml"
    if not ("/" in recipe or recipe.endswith((".yaml", ".yml"))) and path.is_file():
        text = path.read_text()
    elif Path(recipe).is_file():
        try:
            text = Path(recipe).read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(f"recipe {recipe!r}: not UTF-8 ({error}); save it as UTF-8") from None
    else:
        raise ConfigError(
            f"unknown recipe {recipe!r}: no such file and no shipped recipe; name a file or one of: {_names()}"
        )
    try:
        return _parse(text)
    except ConfigError as error:
        raise ConfigError(f"recipe {recipe!r}: {error}") from None


def _parse(text: str) -> Recipe:
    """A recipe from its text; options of type str keep their text as written."""
    values = read_mapping(text, Recipe)
    if not isinstance(values.get("steps"), list):
        raise ConfigError(
            "it is no mapping with the keys name and steps; see the shipped recipe speech.yaml for the form"
        )
    written = yaml12.load_as_text(text)
    steps = []
    for step, step_written in zip(values["steps"], written["steps"], strict=True):
        if not isinstance(step, dict):
            raise ConfigError(f"step {step!r} is no mapping with the key stage; write it as: stage: NAME")
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
            raise ConfigError(
                f"step {entry.title()!r} writes into {folder}, as an earlier step; set another out for it"
            )
        inputs = {}
        for read in stage.reads_for(entry.options, {step.stage.writes for step in steps}):
            source = _input_step(steps, read.kind, entry.inputs.get(read.role), entry.title())
            if source is not None:
                inputs[read.role] = source.folder
            elif not read.optional:
                raise ConfigError(
                    f"step {entry.title()!r} needs {read.kind!r}, and no earlier step writes it; add a step for it"
                )
        steps.append(Step(entry.title(), stage, stage.configure(entry.options), recipe.seed, inputs, folder, sources))
    return steps


def _input_step(steps: list[Step], kind: str, name: str | None, reader: str) -> Step | None:
    """The earlier step with this kind of output: by its name, or else the last one."""
    if name is not None:
        named = [step for step in steps if step.name == name]
        if not named or named[0].stage.writes != kind:
            raise ConfigError(
                f"step {reader!r} takes its {kind!r} from {name!r}, and no earlier step "
                "of this name writes it; name another step"
            )
        return named[0]
    writers = [step for step in steps if step.stage.writes == kind]
    return writers[-1] if writers else None


def single(stage: Stage, options: dict[str, Any], seed: int, sources: list[str], out: str) -> list[Step]:
    """The steps for one stage, after the steps for its missing inputs.

    A missing input is computed beside `out` if a stage can compute it from the sources. For example, `cluster` needs a
    `sample` of the frames.

    Args:
        stage: the stage.
        options: options of the stage, and of the stages of its missing inputs.
        seed: seed of the run.
        sources: dataset, artifact or run folders; for a stage with its own plan (`ingest`, `images`) the files to read.
        out: output folder.

    Raises:
        ConfigError: a missing input that no stage can compute from the sources.
    """
    if stage.plan is not None:
        return [Step(stage.name, stage, stage.configure(options), seed, {}, out, sources)]
    folders, rivals = _by_kind(sources)
    steps: list[Step] = []
    inputs: dict[str, str] = {}
    for read in stage.reads_for(options, folders):
        if read.kind in rivals:
            raise ConfigError(
                f"{stage.name} reads one folder of {read.kind!r}, the inputs hold {' and '.join(rivals[read.kind])}; "
                "name one of them, or ingest both corpora into one run"
            )
        if read.kind in folders:
            inputs[read.role] = folders[read.kind]
        elif not read.optional:
            writer = _writer(read.kind, options, folders)
            if writer is None:
                raise _missing(stage.name, read.kind, sources, folders)
            folder = storage.join(out.rstrip("/").rsplit("/", 1)[0] if "/" in out else ".", read.kind)
            needs = {r.role: folders[r.kind] for r in writer.reads_for(options, folders) if r.kind in folders}
            writer_options = {
                name: value
                for name, value in options.items()
                if name in writer.config.model_fields and name not in stage.config.model_fields
            }
            options = {name: value for name, value in options.items() if name not in writer_options}
            steps.append(Step(writer.name, writer, writer.configure(writer_options), seed, needs, folder, []))
            inputs[read.role] = folder
    steps.append(Step(stage.name, stage, stage.configure(options), seed, inputs, out, sources))
    return steps


def _missing(stage: str, kind: str, sources: list[str], folders: dict[str, str]) -> SpeechprepError:
    """The error for a missing input: a damaged manifest, or no folder of the kind."""
    for source in sources:
        try:
            manifest.find(storage.join(source, kind))
        except DamagedManifest as error:
            return error
    listed = ", ".join(f"{kind} ({folder})" for kind, folder in sorted(folders.items())) or "no dataset"
    return ConfigError(f"{stage} needs {kind!r}, the inputs hold {listed}; add it with --input")


def _by_kind(sources: list[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Kind -> folder, of the sources and of the folders in them; and kind -> folders for kinds with several folders.

    A dataset folder named as a source comes before the folders in run folders.
    """
    named: dict[str, list[str]] = {}
    in_runs: dict[str, list[str]] = {}
    for source in sources:
        whole = manifest.find(source)
        if whole is not None:
            _append(named.setdefault(whole.kind, []), source)
            continue
        # A damaged folder may be the output of this command; as an input it is missing, see `_missing`.
        inner = {name: manifest.find_intact(storage.join(source, name)) for name in storage.folders(source)}
        kinds = [(name != body.kind, name, body.kind) for name, body in inner.items() if body is not None]
        first: dict[str, str] = {}
        for _, name, kind in sorted(kinds):  # the folder named after its kind comes first
            first.setdefault(kind, storage.join(source, name))
        for kind, folder in first.items():
            _append(in_runs.setdefault(kind, []), folder)
    folders = in_runs | named
    return {kind: paths[0] for kind, paths in folders.items()}, {k: paths for k, paths in folders.items() if paths[1:]}


def _append(folders: list[str], folder: str) -> None:
    """Add a folder that is not in the list yet."""
    if storage.absolute(folder) not in map(storage.absolute, folders):
        folders.append(folder)


def _writer(kind: str, options: dict[str, Any], folders: dict[str, str]) -> Stage | None:
    """A stage with this kind of output that reads only the kinds in `folders`."""
    for name in names("stages"):
        stage = find_stage(name)
        if stage.writes != kind or stage.plan is not None:
            continue
        reads = stage.reads_for(options, folders)
        if reads and all(read.optional or read.kind in folders for read in reads):
            return stage
    return None
