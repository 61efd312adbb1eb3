"""One driver for a folder: a second one is refused in one line, and a dead one is replaced."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from helpers import object_store
from helpers.toy_chain import chain, run

from speechprep.artifacts import storage
from speechprep.errors import FolderInUse
from speechprep.pipelines.engine.recovery import lock
from speechprep.pipelines.engine.recovery.lock import DriverLock, holder

IN_USE = r"is in use by another run \(host {host}, process {pid}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\); wait"
PLACES = ["local", "object"]


@pytest.fixture(params=PLACES)
def folder(request, tmp_path, monkeypatch) -> str:
    """A folder on a local disk, and one on object storage."""
    if request.param == "object":
        object_store.use(monkeypatch)
        return f"{object_store.SCHEME}://bucket/run/words"
    return str(tmp_path / "run/words")


def of_another_machine(folder: str, renewed: int = 0) -> None:
    body = {"host": "node-7", "pid": 12, "since": "2026-01-02 03:04:05 UTC", "token": "t", "renewed": renewed}
    storage.write_bytes(storage.join(folder, lock.NAME), json.dumps(body).encode())


def test_a_second_driver_is_refused_with_host_process_and_start(folder):
    first = DriverLock(folder).acquire()
    expected = IN_USE.format(host=re.escape(platform.node()), pid=os.getpid())
    with pytest.raises(FolderInUse, match=expected) as error:
        DriverLock(folder).acquire()
    assert "\n" not in str(error.value)
    assert re.search(expected, holder(folder))
    first.check()
    first.release()
    assert holder(folder) == ""
    DriverLock(folder).acquire().release()


def test_a_released_lock_leaves_nothing(folder, tmp_path):
    DriverLock(folder).acquire().release()
    assert storage.sizes(folder) == {}
    assert not list(tmp_path.rglob("*"))


def test_folders_with_files_stay(tmp_path):
    taken = DriverLock(str(tmp_path / "run/words")).acquire()
    (tmp_path / "run/words/part").touch()
    taken.release()
    assert (tmp_path / "run/words/part").exists()


def test_the_lock_of_a_dead_process_is_replaced_at_once(folder):
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    body = {"host": platform.node(), "pid": int(process.stdout), "since": "", "token": "t"}
    storage.write_bytes(storage.join(folder, lock.NAME), json.dumps(body).encode())
    began = time.monotonic()
    DriverLock(folder).acquire().release()
    assert time.monotonic() - began < lock.STALE / 2


def test_a_lock_of_another_machine_without_renewals_is_replaced(folder, monkeypatch):
    monkeypatch.setattr(lock, "STALE", 0.3)
    monkeypatch.setattr(lock, "_LOOK", 0.05)
    of_another_machine(folder)
    taken = DriverLock(folder).acquire()
    taken.check()
    taken.release()


def test_a_lock_that_another_machine_renews_is_respected(folder, monkeypatch):
    monkeypatch.setattr(lock, "STALE", 20.0)
    monkeypatch.setattr(lock, "_LOOK", 0.05)
    of_another_machine(folder)
    renewal = threading.Timer(0.3, of_another_machine, (folder, 1))
    renewal.start()
    with pytest.raises(FolderInUse, match=r"host node-7, process 12, since 2026-01-02 03:04:05 UTC"):
        DriverLock(folder).acquire()
    renewal.join()


def test_a_driver_renews_its_lock_and_notices_its_loss(folder, monkeypatch):
    monkeypatch.setattr(lock, "RENEW", 0.05)
    taken = DriverLock(folder).acquire()
    uri = storage.join(folder, lock.NAME)
    before = lock._state(uri)
    for _ in range(100):
        time.sleep(0.05)
        if lock._state(uri) != before:
            break
    assert lock._state(uri) != before
    of_another_machine(folder)
    time.sleep(0.2)
    with pytest.raises(FolderInUse, match="node-7"):
        taken.check()
    taken.release()
    assert json.loads(storage.read_bytes(uri))["host"] == "node-7", "the lock of the other run stays"


def test_slices_share_a_folder_and_exclude_a_run_of_the_whole(folder):
    first, second = DriverLock(folder, (0, 2)).acquire(), DriverLock(folder, (1, 2)).acquire()
    with pytest.raises(FolderInUse):
        DriverLock(folder, (1, 2)).acquire()
    with pytest.raises(FolderInUse):
        DriverLock(folder).acquire()
    first.release()
    second.release()
    whole = DriverLock(folder).acquire()
    with pytest.raises(FolderInUse):
        DriverLock(folder, (0, 2)).acquire()
    whole.release()


def test_an_incomplete_lock_is_replaced(folder):
    storage.write_bytes(storage.join(folder, lock.NAME), b'{"host": "no')
    DriverLock(folder).acquire().release()


def test_a_complete_folder_needs_no_lock(tmp_path):
    run(chain(tmp_path)[:1])
    taken = DriverLock(str(tmp_path / "other")).acquire()
    assert [result.tasks_run for result in run(chain(tmp_path)[:1])] == [0]
    taken.release()


DRIVER = """
import sys
from pathlib import Path
from helpers.toy_chain import chain, run
print("ready", flush=True)
sys.stdin.readline()
run(chain(Path({out!r}), count={{"upto": 200, "shards": 8}}), workers=1)
"""


def drivers(out: Path, n: int = 2) -> list[subprocess.Popen]:
    """Drivers of the same folder that begin at the same time."""
    command = [sys.executable, "-c", DRIVER.format(out=str(out))]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(n)
    ]
    for process in started:
        process.stdout.readline()
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    return started


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(int(os.environ.get("SPEECHPREP_DRIVERS", "3"))))
def test_of_two_drivers_one_works_and_the_other_is_refused_or_finds_the_work_done(tmp_path, attempt):
    calm, out = tmp_path / "calm", tmp_path / "run"
    run(chain(calm, count={"upto": 200, "shards": 8}))
    ends = [(process.communicate()[1], process.returncode) for process in drivers(out)]
    assert 0 in [code for _, code in ends]
    for text, code in ends:
        assert code == 0 or "FolderInUse" in text.splitlines()[-1], text
    files = {p.relative_to(calm) for p in calm.rglob("*") if p.is_file()}
    assert {p.relative_to(out) for p in out.rglob("*") if p.is_file()} == files
    assert all((out / f).read_bytes() == (calm / f).read_bytes() for f in files)


@pytest.mark.slow
def test_the_lock_of_a_killed_driver_is_no_obstacle(tmp_path):
    (driver,) = drivers(tmp_path / "run", 1)
    for _ in range(2000):
        if list(tmp_path.rglob(lock.NAME)):
            break
        time.sleep(0.005)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    began = time.monotonic()
    run(chain(tmp_path / "run", count={"upto": 200, "shards": 8}))
    assert time.monotonic() - began < lock.STALE
    assert not list(tmp_path.rglob(f"{lock.NAME}*"))
