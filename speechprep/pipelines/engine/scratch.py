"""Temporary folders of this machine, each with its process in its name, so that a later run removes abandoned ones."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "speechprep"


@contextmanager
def temporary_folder() -> Iterator[str]:
    """An empty folder in the temporary directory; it is removed at the end.

    Its name holds the machine and the process id. After a kill it stays, until `remove_abandoned` finds it.
    """
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}-{_machine()}-{os.getpid()}-") as folder:
        yield folder


def remove_abandoned() -> None:
    """Remove the temporary folders of dead processes of this machine.

    The temporary directory may be shared between machines or containers. Folders of other machines stay.
    """
    name = re.compile(rf"{_PREFIX}-{re.escape(_machine())}-(\d+)-\w+")
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*"):
        match = name.fullmatch(folder.name)
        if match and not is_alive(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)  # another run may remove it at the same time


def _machine() -> str:
    return re.sub(r"\W", "_", platform.node())


def is_alive(pid: int) -> bool:
    """True if a process of this machine exists."""
    if os.name != "posix":  # elsewhere, signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True
