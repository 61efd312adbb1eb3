"""Every value of every manifest of a run is edited once: `verify` names the value, or it is listed as unverified."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechprep.artifacts import manifest
from speechprep.pipelines.inspect.unverified import UNVERIFIED
from speechprep.pipelines.inspect.verify import verify

RUN = Path(__file__).parents[2] / "fixtures/run-847067b/run"
FOLDERS = sorted(path.name for path in RUN.iterdir() if path.is_dir())
WRONG_TYPES: dict[type, list[Any]] = {
    str: [7, None, ["a"]],
    int: ["7", 7.5, None, -1, True],
    float: ["7", None, -1.0, [1.0]],
    list: [{}, "a", None, [None]],
    dict: [[], "a", None],
}
Place = tuple[str | int, ...]


def stored(folder: str) -> dict[str, Any]:
    return json.loads((RUN / folder / manifest.EARLIER_NAME).read_text())


def leaves(value: Any, at: Place = ()) -> Iterator[Place]:
    """Places of all values below objects and lists of objects; of the body of the fingerprint, the fields."""
    if (isinstance(value, dict) and value and at[:1] != ("made_of",)) or at == ("made_of",):
        for key, inner in value.items():
            yield from leaves(inner, (*at, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for i, inner in enumerate(value):
            yield from leaves(inner, (*at, i))
    else:
        yield at


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("0" if value.endswith("1") else "1")
    if isinstance(value, list):
        return [*value[:-1], other(value[-1])] if value else ["another"]
    return {**(value or {}), "another": 1}


def edited(folder: str, place: Place, change: Any) -> str:
    body = copy.deepcopy(stored(folder))
    inner: Any = body
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = change(inner[place[-1]])
    return json.dumps(body)


def unverified(folder: str, place: Place) -> bool:
    """True if the place is in the list of values that cannot be recomputed."""
    fields = UNVERIFIED.get(stored(folder)["made_of"]["stage"], {})
    if place[0] == "shards":
        place = place[2:]
    # The sum of an unverified counter is compared with its shards, so only the shards are exempt.
    return place[0] in UNVERIFIED[""] or ".".join(map(str, place[:2])) in fields or place[0] in fields


def named(place: Place, folder: str) -> list[str]:
    """Texts of which one must be in the line of the problem."""
    if place == ("format",):  # a manifest of the present form has a digest
        return ["digest is missing"]
    if place[0] == "made_of":
        return ["fingerprint is"]
    if place[0] != "shards":
        at = ".".join(map(str, place))
        return [f"{at} is", f"{at}.another is"]
    shard, field = stored(folder)["shards"][place[1]], ".".join(map(str, place[2:]))
    if field == "name":
        return [f"{other(shard['name'])} is missing"]
    if field == "rejects":  # made from nothing, it names an absent file
        return [f"rejects/{shard['name']} was changed", f"rejects/{shard['name']} is missing"]
    return [f"{shard['name']} was changed: sha256 is" if field == "sha256" else f"{shard['name']}: {field}"]


def every_place() -> list[Any]:
    return [
        pytest.param(folder, place, id=f"{folder}-{'.'.join(map(str, place))}")
        for folder in FOLDERS
        for place in leaves(stored(folder))
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(RUN, tmp_path_factory.mktemp("edited") / "run"))


def lines(run: Path, folder: str, text: str) -> list[str]:
    """Problems of a folder with another manifest."""
    path = run / folder / manifest.EARLIER_NAME
    before = path.read_text()
    path.write_text(text)
    try:
        return [p.what for p in verify(str(run / folder)).problems if p.folder == str(run / folder)]
    finally:
        path.write_text(before)


@pytest.mark.parametrize(("folder", "place"), every_place())
def test_a_value_that_was_edited_is_named_with_both_values(run, folder, place):
    problems = lines(run, folder, edited(folder, place, other))
    if unverified(folder, place):
        return
    texts = ["made_of.inputs is"] if place == ("made_of", "inputs") else named(place, folder)
    assert any(text in line for line in problems for text in texts), problems
    assert all("\n" not in line for line in problems)


@pytest.mark.parametrize("folder", ["utterances", "codebook"])
def test_a_value_of_another_type_is_refused_in_one_line(run, folder):
    body = stored(folder)
    body["shards"] = body["shards"][:1]
    for place in [(name,) for name in body] + [("shards", 0, name) for name in body["shards"][0]]:
        value = body[place[0]] if len(place) == 1 else body["shards"][0][place[2]]
        for wrong in WRONG_TYPES[type(value)]:
            (line,) = lines(run, folder, edited(folder, place, lambda _, wrong=wrong: wrong))
            assert "is not a speechprep manifest" in line
            assert str(place[-1]) in line
            assert "\n" not in line


@pytest.mark.parametrize("field", ["stage", "version", "schema", "config", "seed", "backend", "inputs", "sources"])
def test_a_body_of_the_fingerprint_of_another_type_is_refused(run, field):
    (line,) = lines(run, "words", edited("words", ("made_of", field), lambda _: [[]]))
    assert f"made_of.{field}" in line


@pytest.mark.parametrize("field", [*stored("words"), *(("shards", 0, name) for name in stored("words")["shards"][0])])
def test_a_missing_field_is_refused(run, field):
    body = stored("words")
    place = (field,) if isinstance(field, str) else field
    inner: Any = body
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    (line,) = lines(run, "words", json.dumps(body))
    assert f"{place[-1]} is missing" in line


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "", ".", "a//b", "a/", "..", "x\\..\\y", "x\0", "x" * 300, "rejects"]
)
def test_a_name_outside_of_the_folder_is_refused(run, name):
    problems = lines(run, "words", edited("words", ("shards", 0, "name"), lambda _: name))
    assert len(problems) == 1 or name == "rejects"
    assert all("not a path below the folder" in line for line in problems) or name == "rejects"


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"null", b"\xff", b"[" * 100_000, b'{"format": 1e999}'])
def test_what_is_no_manifest_is_refused_in_one_line(run, text):
    path = run / "words" / manifest.EARLIER_NAME
    before = path.read_bytes()
    path.write_bytes(text)
    try:
        (problem,) = (p for p in verify(str(run)).problems if p.folder.endswith("words"))
        beside = [p.what for p in verify(str(run / "units")).problems]
    finally:
        path.write_bytes(before)
    assert "is not a speechprep manifest" in problem.what
    assert "\n" not in problem.what
    assert beside == []


def test_an_input_that_cannot_be_read_is_named(run):
    path = run / "utterances" / manifest.EARLIER_NAME
    before = path.read_bytes()
    path.write_bytes(b"{")
    try:
        (problem,) = verify(str(run / "words")).problems
    finally:
        path.write_bytes(before)
    assert "its input utterances cannot be read" in problem.what


def test_the_file_of_rejects_is_compared_with_the_counters(run):
    body = stored("utterances")
    for entry in [body, *body["shards"]]:
        entry["counters"]["rejected"] = entry["counters"].pop("rejected.audio_unreadable", 0) + 1
    problems = lines(run, "utterances", json.dumps(body))
    assert any("rejected.audio_unreadable is null in the manifest, recomputed 1" in line for line in problems)


@pytest.mark.parametrize(("place", "value"), [(("counters", "kept"), 9), (("licences",), "CC0"), (("format",), 3)])
def test_the_command_ends_with_an_error_and_without_a_traceback(run, place, value, tmp_path):
    folder = shutil.copytree(RUN, tmp_path / "run") / "words"
    (folder / manifest.EARLIER_NAME).write_text(edited("words", place, lambda _: value))
    done = subprocess.run(
        [sys.executable, "-m", "speechprep", "verify", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert str(place[-1]) in done.stdout + done.stderr
