"""Upload of a run to a dataset repository of the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from speechprep.artifacts import storage
from speechprep.artifacts.cards import run as run_card
from speechprep.artifacts.run import EARLIER_REJECTS, REJECTS, Dataset, open_run
from speechprep.errors import ConfigError, MissingBackend, StorageError, first_line

MESSAGE = "Upload by speechprep"


@dataclass(frozen=True)
class Upload:
    """Files of an upload.

    Attributes:
        repo: "owner/name".
        files: paths below the run folder.
        size: bytes of all files.
        without_audio: utterances that name an audio file of this machine; their audio is not uploaded.
        url: of the commit; None before the upload.
    """

    repo: str
    files: tuple[str, ...]
    size: int
    without_audio: int
    url: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "files": list(self.files)}


def prepare(run: str, repo: str) -> Upload:
    """Write the dataset card of a run, and list the files to upload: the card, shards, model files and manifests.

    Rejects, logs, the report and `run.json` stay here: they hold paths and messages of this machine.

    Raises:
        ConfigError: a run on object storage, a bad name of a repository, or a folder without datasets.
    """
    if not storage.is_local(run):
        raise ConfigError(f"{run} is not a local folder; copy the run and push the copy")
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise ConfigError(f"{repo!r} is not a repository; write it as OWNER/NAME")
    if not run_card.write(run):
        raise ConfigError(f"{run} has no finished dataset; name a run folder")
    opened, root = open_run(run), storage.local_path(run)
    files = [run_card.NAME]
    for dataset in opened.datasets.values():
        files += _files(root, storage.local_path(dataset.uri))
    size = sum((root / name).stat().st_size for name in files)
    return Upload(repo, tuple(files), size, _without_audio(opened.get("utterances")))


def _files(root: Path, folder: Path) -> list[str]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = (path.relative_to(folder) for path in paths)
    kept = (name for name in names if name.parts[0] not in (REJECTS, EARLIER_REJECTS, run_card.NAME))
    return [(folder.relative_to(root) / name).as_posix() for name in kept]


def _without_audio(utterances: Dataset | None) -> int:
    batches = utterances.batches(["audio"]) if utterances is not None else ()
    return sum(batch.num_rows - batch.column("audio").null_count for batch in batches)


def push(run: str, upload: Upload, *, private: bool = True, api: Any = None) -> Upload:
    """Create the repository if it is absent, and upload the files in one commit.

    Args:
        run: run folder.
        upload: result of `prepare`.
        private: visibility of a new repository.
        api: a `huggingface_hub.HfApi`; None: one with the stored login of the library.

    Raises:
        MissingBackend: huggingface_hub is not installed.
        StorageError: the Hub refused a request, or cannot be reached.
    """
    if api is None:
        if find_spec("huggingface_hub") is None:
            raise MissingBackend.package("push", "huggingface_hub", "export")
        from huggingface_hub import HfApi

        api = HfApi()
    try:
        api.create_repo(upload.repo, repo_type="dataset", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=upload.repo,
            repo_type="dataset",
            folder_path=run,
            allow_patterns=[_literal(name) for name in upload.files],
            commit_message=MESSAGE,
        )
    except (OSError, ValueError) as error:  # errors of huggingface_hub are OSError or ValueError
        raise StorageError(f"upload to {upload.repo!r} failed ({first_line(error)}); check login and name") from error
    return Upload(upload.repo, upload.files, upload.size, upload.without_audio, str(commit.commit_url))


def _literal(name: str) -> str:
    """A pattern of fnmatch for one name."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
