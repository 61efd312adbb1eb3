"""Identity, options and check of every registered backend, and the completion of classes without a base class."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from helpers.small_backends import PLAIN, SMALL, loaded, ready, unloaded

from speechprep import registry
from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Extractor

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries
HEAVY = ("torch", "torchaudio", "transformers", "whisperx", "faster_whisper", "ctranslate2", "pocketsphinx", "faiss")
EVERY = [(family, name) for family, table in SMALL.items() for name in table]


def test_every_registered_backend_is_tested_here() -> None:
    for family in registry.BACKENDS:
        assert set(registry.names(family)) == set(SMALL[family]), family


# -- all families ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "name", "change"), [(f, n, change) for f, n in EVERY for change in SMALL[f][n][1]])
def test_identity_changes_with_every_parameter_and_needs_no_load(
    family: str, name: str, change: dict[str, Any]
) -> None:
    if name == "whisperx":
        pytest.importorskip("whisperx")
    assert unloaded(family, name).identity() != unloaded(family, name, **change).identity()


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_an_unknown_option_is_an_error_with_the_name_of_the_option(family: str, name: str) -> None:
    with pytest.raises(ConfigError, match="has no option 'nonsense' \\(= 3\\); its options: "):
        registry.make(family, name, {**dict.fromkeys(SMALL[family][name][0], "x"), "nonsense": 3})


def test_check_imports_no_heavy_package_whether_it_succeeds_or_not() -> None:
    cases = []
    for family, name in EVERY:
        options = {**SMALL[family][name][0]}
        cases.append((family, name, {key: "/nowhere" if callable(value) else value for key, value in options.items()}))
        try:
            cases.append((family, name, ready(options)))
        except pytest.skip.Exception:
            continue
    code = (
        "import sys, json; from speechprep import registry; from speechprep.errors import SpeechprepError\n"
        f"for family, target in {PLAIN!r}.items(): registry.FAMILIES[family]['plain'] = target\n"
        "for family, name, options in json.load(sys.stdin):\n"
        "    try: registry.make(family, name, options).check()\n"
        "    except SpeechprepError as error: print(family, name, error, sep=' | ')\n"
        f"print('imported:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    *errors, imported = done.stdout.splitlines()
    assert imported == "imported: []"
    assert {line.split(" | ")[1] for line in errors} >= {"hubert", "whisper", "clap", "dvae", "ctc", "whisperx"}
    assert not [
        line for line in errors if line.split(" | ")[1] in ("pocketsphinx", "mfcc", "caption", "kmeans", "plain")
    ]


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_check_accepts_what_load_accepts(family: str, name: str) -> None:
    loaded(family, name)  # check, then load


# -- classes without the base ------------------------------------------------------------------------------------------


def test_a_class_with_the_required_methods_only_gets_the_defaults() -> None:
    extractor = loaded("extractors", "plain")
    assert isinstance(extractor, Extractor)
    assert (extractor.window_seconds, extractor.dtypes, extractor.fast_dtypes()) == (0.0, ("fp32",), ["fp32"])
    assert loaded("aligners", "plain").min_score is None
    embedder = loaded("embedders", "plain")
    assert embedder.fit(["a text"]) is embedder
    with pytest.raises(ConfigError, match="takes text only"):
        embedder.embed_audio([np.zeros(10, np.float32)])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("WithoutExtract", r"WithoutExtract lacks extract\(\); implement it as Extractor declares"),
        ("WithoutGrid", "WithoutGrid lacks grid; add the members of Extractor"),
        ("plain_extractor", "PlainExtractor lacks .*extract_stream.*units_stream"),
    ],
)
def test_a_missing_member_is_an_error_with_the_name_of_the_member(
    monkeypatch: pytest.MonkeyPatch, target: str, message: str
) -> None:
    monkeypatch.setitem(registry.FAMILIES["extractors"], "odd", f"helpers.plain_backends:{target}")
    with pytest.raises(ConfigError, match=message):
        registry.make("extractors", "odd", {})
