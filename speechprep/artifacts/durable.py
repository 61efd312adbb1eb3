"""Flushes of local files and folders to the disk (fsync), so that they survive a power loss.

A rename alone is not enough: after a power loss, a renamed file may be empty, and a folder may lack its newest names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FLUSHES_AT_ONCE = 8  # a journalling file system writes flushes that wait together in one transaction


def flush_file(path: Path) -> None:
    """Flush the content of a file.

    Raises:
        OSError: the disk is full or damaged; the message names the file.
    """
    _flush(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)


def flush_files(paths: Iterable[Path]) -> None:
    """Flush the contents of files, several files at once; see `flush_file`."""
    _flush_all([*dict.fromkeys(paths)], os.O_RDWR if os.name == "nt" else os.O_RDONLY)


def flush_folders(paths: Iterable[Path]) -> None:
    """Flush the names in folders, several folders at once; absent folders are skipped.

    Raises:
        OSError: the disk is full or damaged; the message names the folder.
    """
    folders = [path for path in dict.fromkeys(paths) if path.is_dir()] if os.name == "posix" else []
    _flush_all(folders, os.O_RDONLY)


def _flush_all(paths: list[Path], flags: int) -> None:
    if len(paths) == 1:
        _flush(paths[0], flags)
    elif paths:
        with ThreadPoolExecutor(FLUSHES_AT_ONCE) as pool:
            list(pool.map(lambda path: _flush(path, flags), paths))


def _flush(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    except OSError as error:  # the error of fsync has no name of a file
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(handle)
