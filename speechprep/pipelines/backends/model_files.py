"""Files of Hugging Face models on this machine: location, completeness and sha256.

A model is a local folder or a name on the Hugging Face hub. The local hub cache is searched first, so a downloaded
model needs no network. With HF_HUB_OFFLINE=1 nothing is downloaded. An absent, incomplete or damaged model raises
MissingBackend: copy the whole model to this machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from speechprep.errors import MissingBackend, first_line

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
# In the search order of transformers.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZER = ("tokenizer.json", "vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def folder_of(
    model: str, patterns: list[str], enough: tuple[str, ...], revision: str | None = None, more: str | None = None
) -> Path:
    """The local folder of a model, downloaded from the Hugging Face hub if it is absent.

    Args:
        model: a folder, or a name on the hub.
        patterns: files to download.
        enough: a copy in the hub cache is complete if one of these files exists.
        revision: commit, tag or branch on the hub.
        more: files to download if the first download brought none of `enough`.

    Raises:
        MissingBackend: the model is absent and cannot be downloaded.
    """
    folder = folder_without_download(model, enough, revision)
    if folder is not None:
        return folder
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
        if more is not None and not any((folder / name).exists() for name in enough):
            folder = Path(snapshot_download(model, revision=revision, allow_patterns=[*patterns, more]))
    except (OSError, ValueError) as error:
        reason = "the hub cannot be reached" if isinstance(error, LocalEntryNotFoundError) else first_line(error)[:120]
        raise absent(model, "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else reason) from None
    return folder


def folder_without_download(model: str, enough: tuple[str, ...], revision: str | None = None) -> Path | None:
    """The local folder of a model, or its complete copy in the hub cache; None if it must be downloaded.

    Raises:
        MissingBackend: the name is neither a folder nor a possible hub name, or `huggingface_hub` is not installed.
    """
    local = Path(model).expanduser()
    if local.is_dir():
        return snapshot_of(local)
    if local.exists():
        raise MissingBackend(f"the model {model} is a file; give a folder, or a name on the Hugging Face hub")
    if not _HUB_NAME.fullmatch(model):
        raise MissingBackend(f"there is no folder {model}, and it cannot be a name on the Hugging Face hub; check it")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingBackend.package(f"the model {model}", "transformers", "hf") from None
    try:
        folder = Path(snapshot_download(model, revision=revision, local_files_only=True))
    except (OSError, ValueError):
        return None
    return folder if any((folder / name).exists() for name in enough) else None


def snapshot_of(folder: Path) -> Path:
    """The folder with the files of a model: for a folder of the hub cache (`models--...`) its snapshot, else itself.

    Raises:
        MissingBackend: the cache has no snapshot, or several and no branch `main`.
    """
    snapshots = folder / "snapshots"
    if not snapshots.is_dir() or (folder / CONFIG).exists():
        return folder
    present = sorted(path for path in snapshots.iterdir() if path.is_dir())
    main = folder / "refs" / "main"
    if main.is_file() and (current := snapshots / main.read_text(encoding="utf-8").strip()) in present:
        return current
    if len(present) != 1:
        raise MissingBackend(
            f"{folder} holds {len(present)} snapshots of a model and no branch main; give the path of one snapshot"
        )
    return present[0]


def checked_folder(model: str, enough: tuple[str, ...], revision: str | None = None) -> Path | None:
    """As `folder_without_download`; an absent model is an error if downloads are switched off.

    Raises:
        MissingBackend: see above.
    """
    folder = folder_without_download(model, enough, revision)
    if folder is None:
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            raise absent(model, "HF_HUB_OFFLINE is set")
    return folder


def absent(model: str, reason: str) -> MissingBackend:
    """The error for a model that is not on this machine."""
    return MissingBackend(
        f"the model {model!r} is not on this machine and could not be fetched ({reason}); "
        "copy its folder here and give its path"
    )


def require(folder: Path, *choices: tuple[str, ...]) -> list[Path]:
    """One existing file of each choice; of several equivalent names, the first existing one.

    Raises:
        MissingBackend: no file of a choice exists.
    """
    files = []
    for names in choices:
        existing = [folder / name for name in names if (folder / name).is_file()]
        if not existing:
            raise MissingBackend(f"the model folder {folder} lacks {' or '.join(names)}; copy the model again, whole")
        files.append(existing[0])
    return files


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file of a model folder.

    Raises:
        MissingBackend: the file is missing or damaged.
    """
    require(file.parent, (file.name,))
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MissingBackend(f"{file} cannot be read ({error}); copy the model again, whole") from None
    if not isinstance(values, dict):
        raise MissingBackend(f"{file} cannot be read (it holds no JSON object); copy the model again, whole")
    return values


def weight_files(folder: Path) -> list[Path]:
    """The weight files; for a model in several parts, the index and the parts in their order.

    Raises:
        MissingBackend: there is no weight file, or a part is missing.
    """
    (first,) = require(folder, WEIGHTS)
    if not first.name.endswith(".index.json"):
        return [first]
    parts = sorted(set(read_json(first).get("weight_map", {}).values()))
    if not parts:
        raise MissingBackend(f"{first} names no weights; copy the model again, whole")
    return [first, *require(folder, *((part,) for part in parts))]


def weights_sha256(folder: Path) -> str:
    """sha256 of the weight file, as shown on the hub; for several files, sha256 over the sha256 of each.

    Raises:
        MissingBackend: there is no weight file, or a part is missing.
    """
    first, *parts = weight_files(folder)
    if not parts:
        return _sha256(*_state(first))
    return hashlib.sha256("\n".join(_sha256(*_state(part)) for part in parts).encode()).hexdigest()


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of the tokenizer.

    Raises:
        MissingBackend: there is no tokenizer.
    """
    if not (folder / "tokenizer.json").is_file():
        require(folder, ("tokenizer.json", "vocab.json"), ("merges.txt",))
    return [folder / name for name in TOKENIZER if (folder / name).is_file()]


def digest_of(files: list[Path]) -> str:
    """sha256 over the names and contents of files; a file is read again only after a change of its size or time."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.name}\0{_sha256(*_state(file))}\n".encode())
    return whole.hexdigest()


def _state(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return str(file.resolve()), status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _sha256(file: str, size: int, changed: int) -> str:
    with Path(file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
