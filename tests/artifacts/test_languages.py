"""One code for all names of a language."""

from __future__ import annotations

import pytest

from speechprep.artifacts.languages import language_code


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("en", "English eng en en-US EN_us en-GB English Englisch anglais ENGLISH"),
        ("de", "German ger deu de de-AT Deutsch"),
        ("zh", "Chinese zho chi cmn zh-CN zh-Hans-CN Mandarin 中文"),
        ("yue", "yue Cantonese"),
        ("ja", "ja jpn Japanese 日本語"),
        ("nn", "nn nno nn-NO"),
        ("he", "he iw heb Hebrew"),
        ("tl", "tl tgl Tagalog"),
        ("hsb", "hsb"),
    ],
)
def test_names_and_codes(code: str, names: str):
    assert {name: language_code(name) for name in names.split()} == dict.fromkeys(names.split(), code)


@pytest.mark.parametrize(("name", "found"), [(None, None), ("", None), ("  ", None), (" en ", "en"), ("qqx", "qqx")])
def test_absent_and_unknown_names(name: str | None, found: str | None):
    assert language_code(name) == found
    assert language_code(found) == found
