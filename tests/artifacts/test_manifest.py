"""Manifests come back as written and say what differs."""

from __future__ import annotations

import json

import pytest
from helpers.strategies import JSON
from hypothesis import given
from hypothesis import strategies as st

from speechprep.artifacts import manifest
from speechprep.errors import SchemaMismatch, StaleArtifact


def example(extra=None) -> manifest.Manifest:
    shard = manifest.Shard("part-00000-of-00001.parquet", "k", "s", 10, 3, 1.5, "", {"utterances": 3.0}, ["CC0"])
    return manifest.Manifest(
        "words", "f", "c", {"stage": "align"}, [shard], {"utterances": 3.0}, ["CC0"], {}, extra or {}
    )


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_manifest_comes_back_as_it_was(extra):
    one = example(extra)
    assert manifest.Manifest.from_json(one.to_json(), "here") == one
    assert manifest.Manifest.from_json(one.to_json(), "here").to_json() == one.to_json()


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_digest_does_not_depend_on_the_order_of_keys(value):
    assert manifest.digest(value) == manifest.digest(dict(reversed(value.items())))


@given(JSON, JSON)
def test_values_differ_exactly_where_their_digests_do(a, b):
    same = manifest.digest(a) == manifest.digest(b)
    if same:
        assert not manifest.differences(a, b)


def test_differences_name_the_place_and_both_values():
    old, new = {"config": {"k": 100, "x": [1]}, "version": 1}, {"config": {"k": 200, "x": [1]}, "version": 1}
    assert manifest.differences(old, new) == ["config.k: 100 -> 200"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "kind": "words"}', "not json"])
def test_what_is_not_a_manifest_is_refused_with_its_place(tmp_path, text):
    (tmp_path / "_manifest.json").write_text(text)
    with pytest.raises(SchemaMismatch, match="manifest"):
        manifest.read(str(tmp_path))


def test_an_incomplete_folder_is_refused(tmp_path):
    with pytest.raises(StaleArtifact, match="not complete"):
        manifest.read(str(tmp_path))


@pytest.mark.parametrize(
    "name", ["", "..", "../a", "a/../b", "a/./b", "a//b", "/a", "a/", "a\\b", "a\0b", "a" * 256, 7]
)
def test_a_shard_outside_the_folder_is_refused(name):
    body = json.loads(example().to_json())
    body["shards"] = [{**body["shards"][0], "name": name}]
    with pytest.raises(SchemaMismatch, match="a path below the folder"):
        manifest.Manifest.from_json(json.dumps(body), "here")


@pytest.mark.parametrize("name", ["part-0.parquet", "sub/part-0.parquet", "..a/b..", "a" * 255])
def test_a_shard_in_the_folder_is_accepted(name):
    body = json.loads(example().to_json())
    body["shards"] = [{**body["shards"][0], "name": name}]
    del body["digest"]
    body["digest"] = manifest.digest(body)
    assert manifest.Manifest.from_json(json.dumps(body), "here").shards[0].name == name
