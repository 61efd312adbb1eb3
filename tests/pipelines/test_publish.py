"""Upload of a run: the files, the request, and the errors of the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import export_runs as runs

from speechprep.artifacts import manifest
from speechprep.cli import app
from speechprep.errors import ConfigError, StorageError
from speechprep.pipelines import publish


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = runs.write_run(tmp_path / "run", runs.corpus(tmp_path / "corpus"), 2)
    for name in ("run.log", "run.json", "report.html", f"words/{publish.REJECTS}/part-00000-of-00001.parquet"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("/home/me")
    return folder


class Hub:
    """Records the requests of an upload."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[str, dict]] = []

    def create_repo(self, repo: str, **options: object) -> None:
        self.calls.append(("create_repo", {"repo": repo, **options}))
        if self.error:
            raise self.error

    def upload_folder(self, **options: object) -> SimpleNamespace:
        self.calls.append(("upload_folder", options))
        return SimpleNamespace(commit_url="https://example.org/commit")


def test_the_upload_has_shards_manifests_and_the_card_only(run):
    upload = publish.prepare(str(run), "me/units")
    assert upload.files[0] == "README.md"
    assert set(upload.files) == {"README.md"} | {
        f"{kind}/{name}"
        for kind in ("utterances", "words", "units")
        for name in ("part-00000-of-00002.parquet", "part-00001-of-00002.parquet", manifest.NAME)
    }
    assert upload.size == sum((run / name).stat().st_size for name in upload.files)
    assert upload.without_audio == 8


def test_the_request_names_the_repository_and_the_files(run):
    pytest.importorskip("huggingface_hub")
    from huggingface_hub.utils import filter_repo_objects

    hub = Hub()
    upload = publish.push(str(run), publish.prepare(str(run), "me/units"), private=False, api=hub)
    (create, made), (send, sent) = hub.calls
    assert (create, made) == (
        "create_repo",
        {"repo": "me/units", "repo_type": "dataset", "private": False, "exist_ok": True},
    )
    assert (send, sent["repo_id"], sent["repo_type"]) == ("upload_folder", "me/units", "dataset")
    present = [p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()]
    assert sorted(filter_repo_objects(present, allow_patterns=sent["allow_patterns"])) == sorted(upload.files)
    assert upload.url == "https://example.org/commit"


def test_a_refused_request_is_one_line(run):
    upload = publish.prepare(str(run), "me/units")
    with pytest.raises(StorageError, match="'me/units' failed"):
        publish.push(str(run), upload, api=Hub(OSError("403 Forbidden\nmore")))


@pytest.mark.parametrize("repo", ["units", "a/b/c", "/b", "a/"])
def test_a_bad_name_is_refused(run, repo):
    with pytest.raises(ConfigError, match="OWNER/NAME"):
        publish.prepare(str(run), repo)


def test_a_folder_without_datasets_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no finished dataset"):
        publish.prepare(str(tmp_path), "me/units")
    with pytest.raises(ConfigError, match="local"):
        publish.prepare("gs://bucket/run", "me/units")


def test_the_command_lists_the_files_without_an_upload(run, capsys):
    assert app.run(["push", str(run), "me/units", "--dry-run", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 10
    assert app.run(["push", str(run), "me/units", "--dry-run"]) == 0
    assert "without audio: 8 utterances" in capsys.readouterr().out
