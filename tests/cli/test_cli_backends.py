"""`speechprep backends`: the list of every family, and the trial of a backend of each."""

from __future__ import annotations

import json

import pytest
from helpers.small_backends import PLAIN
from typer.testing import CliRunner

from speechprep import registry
from speechprep.cli.commands.backends import app


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for family, target in PLAIN.items():
        monkeypatch.setitem(registry.FAMILIES[family], f"plain-{family}", target)


def call(*arguments: str):
    return CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)


def test_the_list_has_every_name_of_every_family():
    found = {(row["family"], row["name"]) for row in json.loads(call("list").stdout)}
    assert found == {(family, name) for family in registry.BACKENDS for name in registry.names(family)}


@pytest.mark.parametrize("family", registry.BACKENDS)
def test_a_backend_of_each_family_is_tried(family):
    (result,) = json.loads(call("check", f"plain-{family}").stdout)
    assert result["family"] == family
    assert result["identity"]["name"] == "plain" or family == "image_codecs"
    assert result["gave"]
