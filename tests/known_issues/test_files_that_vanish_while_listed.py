"""A worker renames its temporary file while the driver lists the folder: the driver's watch ended with a traceback."""

from __future__ import annotations

import contextlib
import os

from speechprep.artifacts import storage


def test_a_file_that_goes_while_its_folder_is_listed_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "stays").write_bytes(b"12")
    (tmp_path / "goes").write_bytes(b"1")
    scandir = os.scandir

    @contextlib.contextmanager
    def slow(path):
        with scandir(path) as entries:
            found = sorted(entries, key=lambda e: e.name)
        (tmp_path / "goes").unlink()
        yield iter(found)

    monkeypatch.setattr(os, "scandir", slow)
    assert storage.sizes(str(tmp_path)) == {"stays": 2}
