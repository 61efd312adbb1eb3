"""Single damages of a run: `verify` names the file, no stage reads it, and `repair` makes the same bytes again."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.toy_chain import chain, run

from speechprep.artifacts import manifest
from speechprep.errors import SpeechprepError, StaleArtifact
from speechprep.pipelines.engine.run import Options
from speechprep.pipelines.inspect.repair import repair
from speechprep.pipelines.inspect.verify import verify

DAMAGES = int(os.environ.get("SPEECHPREP_DAMAGES", "200"))
FOLDERS = ("numbers", "doubles", "total", "groups")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    out = tmp_path_factory.mktemp("damage") / "run"
    run(chain(out, count={"bad": 10, "upto": 40}))
    return out, tree(out)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def sound(made) -> Iterator[Path]:
    """The run folder, put in order before each test; its path is part of its manifests."""
    out, files = made
    shutil.rmtree(out)
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    return out


def flip(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


KINDS: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "flip": flip,
    "cut": lambda data, rng: data[: rng.randrange(len(data))],
    "zeros": lambda data, rng: bytes(len(data)),
    "longer": lambda data, rng: data + b"\0",
    "deleted": lambda data, rng: None,
}


def damage(out: Path, number: int) -> str:
    """Damage one file; returns its name."""
    rng = random.Random(number)
    kind = rng.choice(sorted(KINDS))
    name = rng.choice(sorted(tree(out)))
    content = KINDS[kind]((out / name).read_bytes(), rng)
    if content is None:
        (out / name).unlink()
    else:
        (out / name).write_bytes(content)
    return name


def named(out: Path, name: str) -> bool:
    folder, _, file = name.partition("/")
    problems = [p.what for p in verify(str(out)).problems if Path(p.folder).name == folder]
    # An artifact without its manifest is a folder that is not of speechprep.
    problems += [p.what for p in verify(str(out)).problems if repr(folder) in p.what]
    return any(file in what or repr(folder) in what for what in problems)


def check_damages(made, out: Path, numbers: range) -> list[str]:
    wrong = []
    for number in numbers:
        name = damage(out, number)
        if not named(out, name):
            wrong.append(f"{number}: {name} is not named")
        shutil.rmtree(out)
        for file, content in made[1].items():
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            (out / file).write_bytes(content)
    return wrong


def test_every_damaged_file_is_named(made, sound):
    assert check_damages(made, sound, range(40)) == []


@pytest.mark.long
def test_many_damaged_files_are_named(made, sound):
    assert check_damages(made, sound, range(40, 40 + DAMAGES)) == []


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*at, key))
    else:
        yield at


def edits(folder: Path) -> Iterator[str]:
    """The manifest with each of its values changed, and without each of its fields."""
    text = (folder / manifest.NAME).read_text()
    for place in leaves(json.loads(text)):
        for change in ("other", "removed"):
            body = inner = json.loads(text)
            for key in place[:-1]:
                inner = inner[key]
            value = inner[place[-1]]
            if change == "removed":
                del inner[place[-1]]
            else:
                inner[place[-1]] = value + "0" if isinstance(value, str) else [] if value is None else (value or 0) + 1
            yield json.dumps(body)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_edit_of_a_manifest_is_named(sound, folder):
    path = sound / folder / manifest.NAME
    texts = list(edits(sound / folder))
    unseen = []
    for text in texts:
        path.write_text(text)
        if not any(manifest.NAME in p.what for p in verify(str(sound / folder)).problems):
            unseen.append(text)
    assert len(texts) > 20
    assert unseen == []


@pytest.mark.parametrize("number", range(12))
def test_repair_makes_the_same_bytes_again(made, sound, number):
    """The advice in the message of each damage is followed."""
    name = damage(sound, 1000 + number)
    assert verify(str(sound)).problems
    advice = ""
    try:
        assert repair(str(sound), Options(max_reject_fraction=1.0)).problems == []
    except StaleArtifact as error:  # these stages ran without a recipe, so a lost manifest cannot be made again
        assert name.endswith(manifest.NAME)
        advice = str(error)
        run(chain(sound, count={"bad": 10, "upto": 40}), rebuild=True)
    assert not advice or "run its stage again with the same options and --rebuild" in advice
    assert tree(sound) == made[1]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("reader", ["sum", "regroup"])
def test_no_stage_makes_anything_of_a_damaged_input(sound, kind, reader):
    path = sound / "doubles/part-00002-of-00004.parquet"
    content = KINDS[kind](path.read_bytes(), random.Random(5))
    path.unlink() if content is None else path.write_bytes(content)
    steps = {step.name: step for step in chain(sound, count={"bad": 10, "upto": 40})}
    shutil.rmtree(steps[reader].folder)
    with pytest.raises((SpeechprepError, OSError)) as error:
        run([steps[reader]])
    assert "part-00002-of-00004.parquet" in str(error.value)
    command = re.search(r"run: speechprep repair (\S+)$", str(error.value))
    assert command, error.value
    assert repair(command[1], Options(max_reject_fraction=1.0)).problems == []
    run([steps[reader]])
