"""Options: YAML 1.2 scalars, text as written for options of type str, no boolean for a number."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from speechprep import yaml12
from speechprep.errors import ConfigError
from speechprep.options import Options, read_mapping, repeated, with_setting


class Example(Options):
    k: int = 100
    rate: float = 1.0
    on: bool = False
    corpus: str | None = None
    language: str = "en"
    min_score: float | Literal["auto"] | None = "auto"
    columns: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    names: list[str] = Field(default_factory=list)


def set_one(path: str, text: str) -> Example:
    return Example.of(with_setting({}, path, text, Example))


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("k", "050", 50),
        ("k", "1e3", 1000),
        ("k", "0x10", 16),
        ("k", "0o17", 15),
        ("k", "+7", 7),
        ("rate", "3", 3.0),
        ("rate", ".5", 0.5),
        ("rate", "1e-4", 1e-4),
        ("on", "true", True),
        ("on", "False", False),
        ("language", "no", "no"),
        ("language", "on", "on"),
        ("language", "y", "y"),
        ("corpus", "2024", "2024"),
        ("corpus", "1e3", "1e3"),
        ("corpus", "007", "007"),
        ("corpus", "true", "true"),
        ("corpus", "'2024'", "2024"),
        ("corpus", "null", None),
        ("corpus", "1:30", "1:30"),
        ("corpus", "{not yaml", "{not yaml"),
        ("min_score", "auto", "auto"),
        ("min_score", "-6", -6.0),
        ("min_score", "null", None),
        ("columns.text", "2024", {"text": "2024"}),
        ("options.layer", "6", {"layer": 6}),
        ("options.language", "no", {"language": "no"}),
        ("names", "[a, b]", ["a", "b"]),
    ],
)
def test_a_setting_is_read_by_the_type_of_its_option(path, text, value):
    assert getattr(set_one(path, text), path.split(".")[0]) == value


@pytest.mark.parametrize(
    ("path", "text"),
    [("k", "true"), ("k", "1:30"), ("k", "1.5"), ("rate", "true"), ("min_score", "false"), ("on", "maybe"), ("z", "1")],
)
def test_a_value_of_another_type_is_refused_by_name(path, text):
    with pytest.raises(ConfigError, match=path):
        set_one(path, text)


def test_a_file_follows_the_rules_of_a_setting():
    options = read_mapping("k: 050\ncorpus: 2024\nlanguage: no\noptions: {layer: 6}\n", Example)
    assert Example.of(options) == Example(k=50, corpus="2024", language="no", options={"layer": 6})


@pytest.mark.parametrize("text", ["- 1\n- 2", "just text", "7"])
def test_a_file_that_is_no_mapping_is_refused(text):
    with pytest.raises(ConfigError, match="a mapping of options is needed"):
        read_mapping(text, Example)


@given(st.text(alphabet="abcxyz019.+-eE:_~&*[{#", min_size=1, max_size=6).filter(lambda text: text != "~"))
def test_an_option_of_type_str_keeps_the_text_as_written(text):
    assert set_one("language", text).language == text


@given(st.integers(-(10**9), 10**9))
def test_decimal_integers_are_read_with_any_leading_zeros(n):
    assert yaml12.load(f"{'-' if n < 0 else ''}00{abs(n)}") == n


def test_an_alias_bomb_is_refused_at_once():
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(ConfigError, match="aliases"):
        yaml12.load("\n".join(lines))


def test_an_alias_to_itself_is_refused():
    with pytest.raises(ConfigError, match="contains itself"):
        yaml12.load("a: &a [*a]")


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['true']", "a: [1", "\x00"])
def test_what_is_not_plain_data_is_one_line(text):
    with pytest.raises(ConfigError) as error:
        yaml12.load(text)
    assert "\n" not in str(error.value)


def test_an_option_given_twice_is_noted_with_the_value_that_counts():
    assert repeated(["k=1", "rate=2", "k=3"]) == ["note: --set k is set 2 times; the last value, 3, is used"]
    assert repeated(["k=1", "rate=2"]) == []


@pytest.mark.parametrize("stage", ["sample", "pool", "units", "index", "images", "align"])
def test_every_stage_accepts_the_option_backend_for_its_plug_in(stage):
    from speechprep.pipelines.engine.stage import find_stage

    config = find_stage(stage).config
    assert "backend" in {*config.model_fields, *config.ALIASES}


def test_the_older_name_of_an_option_is_read_and_kept_in_manifests():
    from speechprep.pipelines.engine.stage import find_stage

    stage = find_stage("pool")
    by_older, by_name = stage.configure({"extractor": "hubert"}), stage.configure({"backend": "hubert"})
    assert by_older == by_name
    assert by_name.stored() == {"extractor": "hubert", "options": {}}
    with pytest.raises(ConfigError, match="the older name of backend"):
        stage.configure({"extractor": "hubert", "backend": "mfcc"})


def test_an_option_added_later_is_in_the_manifest_only_with_another_value_than_its_default():
    from speechprep.pipelines.engine.stage import find_stage

    stage = find_stage("cluster")
    added = {"center", "center_window", "standardize", "min_shift_kept"}
    assert not added & stage.configure({"min_shift_kept": 0.5}).stored().keys()
    changed = stage.configure({"center": "position", "min_shift_kept": 0.4})
    assert {name: value for name, value in changed.stored().items() if name in added} == {
        "center": "position",
        "min_shift_kept": 0.4,
    }
    assert stage.configure(changed.stored()) == changed
