"""The errors a user can meet. Each message names the value and the mend; the CLI prints it as one line."""

from __future__ import annotations


class SpeechprepError(ValueError):
    """Base of every error that is the user's to mend. `exit_code` is what the CLI exits with."""

    exit_code = 2


class ConfigError(SpeechprepError):
    """An option, recipe key or combination of them that cannot work."""


class MissingBackend(SpeechprepError):
    """A backend whose package or model is not on this machine."""

    @classmethod
    def package(cls, what: str, package: str, extra: str) -> MissingBackend:
        """`what` needs `package`, which the extra `extra` installs."""
        return cls(f"{what} needs the package {package!r}; install it with: pip install 'speechprep[{extra}]'")


class SchemaMismatch(SpeechprepError):
    """A dataset or table that is not of the declared schema."""


class StaleArtifact(SpeechprepError):
    """A folder made by another configuration, or artifacts that do not belong together."""


class BadInput(SpeechprepError):
    """One record that cannot be used. Inside a stage it becomes a row of `rejects`.

    `code` is a stable, snake_case reason (`audio_empty`, `duplicate_id`, ...); the message says what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str]]:
        return (type(self), (self.code, str(self)))


class StorageError(SpeechprepError):
    """A disk or bucket that cannot be read or written: full, forbidden, gone."""

    exit_code = 4


class TooManyRejects(SpeechprepError):
    """A stage rejected a larger share of its input than `--max-reject-fraction` allows."""

    exit_code = 3


def first_line(error: BaseException) -> str:
    """The first line of an error's message, for a message of ours; its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
