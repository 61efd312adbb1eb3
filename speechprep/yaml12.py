"""YAML with the scalar rules of YAML 1.2 (core schema), read safely.

PyYAML follows YAML 1.1: `no` is False, `050` is 40, `1:30` is 90 and `1e3` is text. Here `no` and `1:30` are text,
`050` is 50 and `1e3` is 1000.0. Aliases are allowed, but a document that they blow up is refused.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from speechprep.errors import ConfigError

MAX_NODES = 100_000  # of a document with its aliases expanded

_RULES = (  # tag, pattern, first characters: section 10.3.2 of the YAML 1.2.2 specification
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


class _Text(yaml.SafeLoader):
    """Every plain scalar is text, as written."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - the library's form


class _Core(yaml.SafeLoader):
    """Plain scalars are resolved by the core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - the library's form

    def construct_yaml_int(self, node: Any) -> int:
        text = str(self.construct_scalar(node))
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)

    def construct_yaml_float(self, node: Any) -> float:
        text = str(self.construct_scalar(node)).lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))


for _tag, _pattern, _first in _RULES:
    _Core.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))
_Core.add_constructor("tag:yaml.org,2002:int", _Core.construct_yaml_int)
_Core.add_constructor("tag:yaml.org,2002:float", _Core.construct_yaml_float)


def load(text: str) -> Any:
    """A document as plain data: None, bool, int, float, str, list and dict.

    Raises:
        ConfigError: the text is not YAML, asks for a Python object, or its aliases expand beyond `MAX_NODES` nodes.
    """
    return _load(text, _Core)


def load_as_text(text: str) -> Any:
    """The same document with every plain scalar as text, as written.

    Raises:
        ConfigError: as of `load`.
    """
    return _load(text, _Text)


def _load(text: str, loader: Any) -> Any:
    try:
        reader = loader(text)
        try:
            node = reader.get_single_node()
            if node is None:
                return None
            _size(node, {}, set())
            return reader.construct_document(node)
        finally:
            reader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"not YAML: {' '.join(str(error).split())}") from None


def _size(node: Any, sizes: dict[int, int], open_nodes: set[int]) -> int:
    """Nodes of a tree with its aliases expanded; each node is visited once."""
    if id(node) in sizes:
        return sizes[id(node)]
    if id(node) in open_nodes:
        raise ConfigError("the YAML contains itself by an alias; write the value out")
    open_nodes.add(id(node))
    children = node.value if isinstance(node.value, list) else []
    flat = [child for entry in children for child in (entry if isinstance(entry, tuple) else (entry,))]
    total = 1 + sum(_size(child, sizes, open_nodes) for child in flat)
    open_nodes.discard(id(node))
    if total > MAX_NODES:
        raise ConfigError(f"the aliases of the YAML expand to more than {MAX_NODES:,} values; write fewer")
    sizes[id(node)] = total
    return total
