"""Errors for users. Each message names the wrong value and the remedy; the CLI prints it as one line."""

from __future__ import annotations


class SpeechprepError(ValueError):
    """Base of the errors for users. `exit_code`: exit code of the CLI."""

    exit_code = 2


class ConfigError(SpeechprepError):
    """An invalid option, recipe key, or combination of them."""


class MissingBackend(SpeechprepError):
    """A backend without its package or its model on this machine."""

    @classmethod
    def package(cls, what: str, package: str, extra: str) -> MissingBackend:
        """`what` needs `package` of the extra `extra`."""
        return cls(f"{what} needs the package {package!r}; install it with: pip install 'speechprep[{extra}]'")


class SchemaMismatch(SpeechprepError):
    """A dataset or table with another schema than the declared one."""


class StaleArtifact(SpeechprepError):
    """A folder made with another configuration, or artifacts from different runs."""


class DamagedFile(SpeechprepError):
    """A committed file with unreadable content."""

    exit_code = 4


class DamagedManifest(SchemaMismatch):
    """A manifest with unreadable or edited content."""

    exit_code = 4


class FolderInUse(SpeechprepError):
    """Another run works in the folder."""

    exit_code = 4


class BadInput(SpeechprepError):
    """One unusable record. Inside a stage it becomes a row of `rejects`.

    `code` is a stable reason in snake case (`audio_empty`, `duplicate_id`, ...); the message names the remedy.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str]]:
        return (type(self), (self.code, str(self)))


class StorageError(SpeechprepError):
    """A disk or object storage without read or write access: full, forbidden, absent."""

    exit_code = 4


class TrainingStopped(SpeechprepError):
    """A training ended early by SIGTERM, with a checkpoint."""

    exit_code = 143


class TooManyRejects(SpeechprepError):
    """A stage rejected a larger share of its input than `--max-reject-fraction` allows."""

    exit_code = 3


def first_line(error: BaseException) -> str:
    """First line of an error's message; the name of its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
