"""Completion of backend classes from other packages: defaults are added, and missing required members are reported."""

from __future__ import annotations

from abc import ABCMeta
from functools import lru_cache
from inspect import getattr_static
from typing import Any

from speechprep.errors import ConfigError
from speechprep.pipelines.backends.base import Backend

ABSENT = object()


def completed(base: type[Backend], target: Any, label: str) -> Any:
    """The registered target, with the defaults of its family.

    A class without the base becomes a subclass of both: its own methods come first, the defaults of the base after
    them. A function is returned unchanged; `check_members` then checks its result.

    Args:
        base: base class of the family.
        target: the registered object.
        label: the backend in messages.

    Raises:
        ConfigError: the class lacks a required method.
    """
    if not isinstance(target, type):
        return target
    whole: Any = target
    if not issubclass(target, base):
        whole = _with_defaults(base, whole)
    lacking = ", ".join(f"{name}()" for name in sorted(getattr_static(whole, "__abstractmethods__", ())))
    if lacking:
        raise ConfigError(f"{label}: {_path(target)} lacks {lacking}; implement it as {base.__name__} declares")
    return whole


@lru_cache(maxsize=64)
def _with_defaults(base: type[Backend], target: Any) -> Any:
    namespace = {"__doc__": target.__doc__, "__module__": target.__module__, "__qualname__": target.__qualname__}
    return ABCMeta(target.__name__, (target, base), namespace)


def check_members(base: type[Backend], backend: Any, label: str) -> None:
    """Check the methods and attributes of an instance against its family. No property is evaluated.

    Raises:
        ConfigError: naming the missing members.
    """
    methods = [] if isinstance(backend, base) else [name for name in dir(base) if callable(getattr_static(base, name))]
    names = [*base.attributes, *(name for name in methods if not name.startswith("_"))]
    lacking = [name for name in names if getattr_static(backend, name, ABSENT) is ABSENT]
    if lacking:
        path = _path(type(backend))
        raise ConfigError(f"{label}: {path} lacks {', '.join(lacking)}; add the members of {base.__name__}")


def _path(target: type) -> str:
    return f"{target.__module__}.{target.__qualname__}"
