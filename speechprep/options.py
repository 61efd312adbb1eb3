"""Options: base class of all options, and the parser of `NAME=VALUE` settings.

The text of a setting is parsed by the type of its option. An option of type str keeps the text as written
(`corpus=2024`, `language=no`). Every other option follows YAML 1.2: `k=050` is 50, `k=1e3` is 1000, `k=true` is an
error.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from speechprep import yaml12
from speechprep.errors import ConfigError


class Options(BaseModel):
    """Base class of all options: frozen; unknown names, and a boolean for a number, are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ALIASES: ClassVar[Mapping[str, str]] = {}
    """Older name of an option -> name. Settings accept both. Manifests hold the older name, for stable fingerprints."""

    ADDED_LATER: ClassVar[frozenset[str]] = frozenset()
    """Options absent from older manifests: left out of a manifest at their default, so fingerprints stay."""

    @model_validator(mode="before")
    @classmethod
    def _check_names_and_booleans(cls, values: Any) -> Any:
        if isinstance(values, dict):
            values = cls._renamed(values)
            for name, value in values.items():
                field = cls.model_fields.get(name)
                if isinstance(value, bool) and field is not None and not _accepts(field.annotation, value):
                    raise ValueError(f"{name} = {str(value).lower()}: it takes {type_name(field.annotation)}")
        return values

    @classmethod
    def _renamed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The values under the names of the fields."""
        renamed: dict[str, Any] = {}
        for name, value in values.items():
            field = cls.ALIASES.get(name, name)
            if field in renamed and renamed[field] != value:
                raise ValueError(
                    f"{name} = {value!r}: it is the older name of {field}, set to {renamed[field]!r}; set one of them"
                )
            renamed[field] = value
        return renamed

    def stored(self) -> dict[str, Any]:
        """The options as JSON values, with their names in manifests."""
        older = {field: name for name, field in self.ALIASES.items()}
        fields = {name: type(self).model_fields[name] for name in self.ADDED_LATER}
        unset = {name for name, f in fields.items() if getattr(self, name) == f.get_default(call_default_factory=True)}
        values = self.model_dump(mode="json", exclude=unset)
        return {older.get(name, name): value for name, value in values.items()}

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Validated options.

        Raises:
            ConfigError: naming each bad option, its value and the allowed values.
        """
        instance: Self = checked(cls, values, "")
        return instance


def checked(model: type[Any], values: dict[str, Any], owner: str) -> Any:
    """An instance of a pydantic model.

    Args:
        model: the class.
        values: values of its fields.
        owner: prefix of each message, for example the name of the stage.

    Raises:
        ConfigError: naming each bad option, its value and the allowed values.
    """
    try:
        return model(**values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(model, e, owner) for e in error.errors())) from None


def _explain(model: type[Any], error: Any, owner: str) -> str:
    option = ".".join(str(part) for part in error["loc"])
    prefix = f"{owner}: " if owner else ""
    if error["type"] == "extra_forbidden":
        return f"{owner or 'this'} has no option {option!r}; it has: {', '.join(model.model_fields)}"
    if not option:
        return prefix + str(error["msg"]).removeprefix("Value error, ")
    return f"{prefix}{option} = {error['input']!r}: {str(error['msg']).removeprefix('Value error, ')}"


def with_setting(options: dict[str, Any], path: str, text: str, model: type[Any] | None = None) -> dict[str, Any]:
    """The options with one further option, from the text of a setting.

    Args:
        options: earlier options.
        path: name of the option; `columns.text` sets the key `text` of the mapping `columns`.
        text: value as written.
        model: class of the options, for the types; None: the text is parsed as YAML.

    Raises:
        ConfigError: the text is not YAML.
    """
    name, dot, key = path.partition(".")
    annotation = _annotation(model, name)
    if dot:
        inner = options.get(name)
        return {**options, name: _with_key(inner if isinstance(inner, dict) else {}, key, text, _values_of(annotation))}
    return {**options, name: read_value(text, annotation)}


def _with_key(mapping: dict[str, Any], path: str, text: str, annotation: Any) -> dict[str, Any]:
    key, dot, rest = path.partition(".")
    if not dot:
        return {**mapping, key: read_value(text, annotation)}
    inner = mapping.get(key)
    return {**mapping, key: _with_key(inner if isinstance(inner, dict) else {}, rest, text, _values_of(annotation))}


def read_value(text: str, annotation: Any = None) -> Any:
    """Value of a setting, parsed by the type of its option; without a type, by YAML only.

    Raises:
        ConfigError: the text is not YAML.
    """
    if set(_parts(annotation)) <= {str, type(None)} and text[:1] not in ("'", '"'):
        null = text in ("", "~", "null", "Null", "NULL") and _accepts(annotation, None)
        return None if null else text  # a path or a regular expression may be no YAML
    return _as_written(yaml12.load(text), text, annotation)


def read_mapping(text: str, model: type[Any] | None = None) -> dict[str, Any]:
    """Options of a YAML file.

    Args:
        text: the file's content; an empty file has no options.
        model: class of the options.

    Raises:
        ConfigError: not YAML, or not a mapping.
    """
    values, written = yaml12.load(text), yaml12.load_as_text(text)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError("a mapping of options is needed, for example 'steps: 1000'")
    return typed(values, written, model)


def typed(values: dict[str, Any], written: dict[str, Any], model: type[Any] | None) -> dict[str, Any]:
    """Values parsed by YAML; an option of type str keeps the text as written."""
    return {
        name: _as_written(value, text, _annotation(model, str(name)))
        for (name, value), text in zip(values.items(), written.values(), strict=True)
    }


def _as_written(value: Any, written: Any, annotation: Any) -> Any:
    scalar = isinstance(value, bool | int | float)
    if scalar and isinstance(written, str) and _accepts(annotation, "") and not _accepts(annotation, value):
        return written
    return value


def _annotation(model: type[Any] | None, name: str) -> Any:
    if model is None:
        return None
    field = model.model_fields.get(getattr(model, "ALIASES", {}).get(name, name))
    return None if field is None else field.annotation


def _values_of(annotation: Any) -> Any:
    """Type of the values of a mapping, None if unknown."""
    for part in _parts(annotation):
        if get_origin(part) is dict:
            inner = get_args(part)[1]
            return None if inner is Any else inner
    return None


def _parts(annotation: Any) -> tuple[Any, ...]:
    """Members of a union, or the type itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(part for member in get_args(annotation) for part in _parts(member))
    return (annotation,)


def _accepts(annotation: Any, value: Any) -> bool:
    """True if a value is of a type without conversion."""
    for part in _parts(annotation):
        if get_origin(part) is Literal:
            if any(type(choice) is type(value) and choice == value for choice in get_args(part)):
                return True
        elif part is Any or part is object:
            return True
        elif isinstance(part, type):
            number = part is float and type(value) is int
            if type(value) is part or number:
                return True
    return False


def repeated(settings: list[str]) -> list[str]:
    """One note for each option set more than once. The last value is used."""
    times = Counter(setting.partition("=")[0] for setting in settings)
    last = {name: value for name, _, value in (setting.partition("=") for setting in settings)}
    return [
        f"note: --set {name} is set {n} times; the last value, {last[name]}, is used"
        for name, n in times.items()
        if n > 1
    ]


def option_rows(model: type[BaseModel]) -> list[tuple[str, str]]:
    """(name, description with type and default) of each option, for the help."""
    rows = []
    for name, info in model.model_fields.items():
        default = (
            "required" if info.is_required() else f"default: {_short(info.get_default(call_default_factory=True))}"
        )
        rows.append((name, f"{info.description or ''}  [{type_name(info.annotation)}; {default}]".strip()))
    return rows


def type_name(annotation: Any) -> str:
    """Name of a type in the help."""
    if get_origin(annotation) is Literal:
        return "|".join(str(choice) for choice in get_args(annotation))
    name = getattr(annotation, "__name__", None) if get_origin(annotation) is None else None
    return str(name or annotation).replace("typing.", "").replace("NoneType", "None")


def _short(value: Any) -> str:
    return "none" if value is None else str(value)
