"""Commands from declarations: each field of an options class becomes an option of the command."""

from __future__ import annotations

import types
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from speechprep.options import Options


def parameters(options: type[Options]) -> list[Parameter]:
    """One keyword parameter for each field, in order.

    The option is the name of the field with hyphens. `json_schema_extra` of a field may hold another name (`flag`) and
    the placeholder of the value (`metavar`).
    """
    return [_parameter(name, field) for name, field in options.model_fields.items()]


def _parameter(name: str, field: FieldInfo) -> Parameter:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    flag = str(extra.get("flag", f"--{name.replace('_', '-')}"))
    kind = _plain(field.annotation)
    arguments: dict[str, Any] = {"help": field.description}
    if kind is not bool:
        arguments["metavar"] = str(extra.get("metavar", "N" if kind in (int, float) else "NAME"))
    for bound in field.metadata:
        if hasattr(bound, "ge"):
            arguments["min"] = bound.ge
    default = Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
    declared: Any = field.annotation
    annotation = Annotated[declared, typer.Option(flag, **arguments)]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _plain(annotation: Any) -> Any:
    """The type without None."""
    if get_origin(annotation) in (Union, types.UnionType):
        (kind,) = (part for part in get_args(annotation) if part is not type(None))
        return kind
    return annotation


def command(body: Callable[..., None], signature: list[Parameter], text: str) -> Callable[..., None]:
    """A function with a signature, for typer.

    Args:
        body: function for the values, by name.
        signature: parameters of the command.
        text: help of the command.
    """

    def run(**values: Any) -> None:
        body(**values)

    function: Any = run
    function.__doc__ = text
    function.__signature__ = Signature(signature)
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in signature}
    return run


def examples(lines: tuple[str, ...]) -> str:
    """The epilogue of a command with example lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
