"""images: every picture's codes and captions, whatever the form, the shards, the workers; every other one a reason."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("PIL", reason="Pillow comes with the extra hf")

from helpers.toy_codec import ToyCodec
from PIL import Image

from speechprep import registry
from speechprep.artifacts import manifest
from speechprep.cli import main
from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.stages.images import STAGE

TOY = {"codec": "toy"}


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.FAMILIES["image_codecs"], "toy", "helpers.toy_codec:ToyCodec")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """40 pictures in three folders."""
    folder = tmp_path / "pictures"
    for i in range(40):
        path = folder / "abc"[i % 3] / f"{i:02d}.{('png', 'jpg', 'webp')[i % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (3 + i, 5 + 2 * i, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return folder


def call(*args: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in args])
    return int(left.value.code or 0)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def rejects_of(folder: Path) -> dict[str, str]:
    return {r["id"]: r["code"] for f in sorted((folder / "_rejects").glob("*")) for r in pq.read_table(f).to_pylist()}


def test_each_picture_of_a_folder_is_a_row(pictures: Path, run_stage: Any, tmp_path: Path) -> None:
    (pictures / "a" / "00.txt").write_text("A dog barks.\n\nTwo dogs.\r\n", encoding="utf-8-sig")
    out = run_stage(STAGE, {**TOY, "split": "train", "licence": "CC0"}, sources=[pictures])
    rows = {row["id"]: row for row in rows_of(out)}
    assert sorted(rows) == sorted(f"{'abc'[i % 3]}/{i:02d}" for i in range(40))
    codec = ToyCodec()
    for id, row in rows.items():
        file = next(pictures.glob(f"{id}.[pjw]*"))
        pixels = np.asarray(Image.open(file).convert("RGB"))
        assert row["codes"] == codec.encode([codec.prepare(pixels)])[0].tolist()
        assert (row["height"], row["width"]) == pixels.shape[:2]
        assert row["image"] == str(file)
        assert row["image_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert (row["split"], row["licence"]) == ("train", "CC0")
    assert rows["a/00"]["captions"] == ["A dog barks.", "Two dogs."]
    assert rows["b/01"]["captions"] == []
    known = manifest.read(str(out))
    assert known.extra == {"codec": codec.identity(), "vocab": 256, "length": 4}
    assert known.licences == ["CC0"]
    assert known.counters["captions"] == 2
    assert not verify(str(out)).problems


def test_shards_workers_and_the_order_of_files_do_not_show(pictures: Path, run_stage: Any, tmp_path: Path) -> None:
    whole = run_stage(STAGE, {**TOY, "shards": 1}, sources=[pictures], out=tmp_path / "one")
    many = run_stage(STAGE, {**TOY, "shards": 7}, sources=[pictures], out=tmp_path / "many", workers=3)
    again = run_stage(STAGE, {**TOY, "shards": 7}, sources=[pictures], out=tmp_path / "again")
    apart = run_stage(
        STAGE, {**TOY, "shards": 1}, sources=[pictures / "c", pictures / "a", pictures / "b"], out=tmp_path / "apart"
    )
    assert rows_of(many) == rows_of(whole)
    assert manifest.read(str(many)).content == manifest.read(str(again)).content
    bare = [{key: row[key] for key in ("codes", "image_sha256")} for row in rows_of(whole)]
    other = [{key: row[key] for key in ("codes", "image_sha256")} for row in rows_of(apart)]
    assert sorted(map(str, bare)) == sorted(map(str, other))


def test_a_changed_picture_alone_is_done_again(pictures: Path, run_stage: Any) -> None:
    options = {**TOY, "shards": 8}
    before = manifest.read(str(run_stage(STAGE, options, sources=[pictures])))
    Image.new("RGB", (9, 9), "red").save(pictures / "a" / "00.png")
    after = manifest.read(str(run_stage(STAGE, options, sources=[pictures])))
    changed = [old.key != new.key for old, new in zip(before.shards, after.shards, strict=True)]
    assert changed == [True] + [False] * 7


def test_what_cannot_be_used_is_a_reason_and_the_rest_goes_on(pictures: Path, run_stage: Any) -> None:
    bad = pictures / "bad"
    bad.mkdir()
    (bad / "empty.png").touch()
    (bad / "text.jpg").write_text("not an image")
    whole = (pictures / "a" / "30.png").read_bytes()
    (bad / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (300, 300)).save(bad / "large.png")
    Image.fromarray(np.ones((3, 3), np.float32)).save(bad / "float.tif")
    Image.new("RGB", (3, 3)).save(bad / "twice.png")
    Image.new("RGB", (3, 3)).save(bad / "twice.jpg")
    (bad / "gone.png").symlink_to(bad / "nowhere.png")
    Image.new("RGB", (3, 3)).save(bad / "latin.png")
    (bad / "latin.txt").write_bytes(b"caf\xe9")
    Image.new("RGB", (3, 3)).save(bad / "name.png")
    os.rename(bad / "name.png", os.fsencode(bad) + b"/\xff.png")
    out = run_stage(STAGE, {**TOY, "max_pixels": 80_000}, sources=[pictures])
    found = rejects_of(out)
    assert {id.removeprefix("bad/"): code for id, code in found.items() if "latin" not in id and "dcff" not in id} == {
        "empty": "image_empty",
        "text": "image_unknown",
        "cut": "image_damaged",
        "large": "image_too_large",
        "float": "image_mode",
        "twice": "duplicate_id",
        "gone": "image_missing",
    }
    assert [code for id, code in found.items() if "latin" in id] == ["text_encoding"]
    assert [code for id, code in found.items() if "dcff" in id] == ["bad_id"]
    assert len(rows_of(out)) == 40
    assert not verify(str(out)).problems


def manifested(folder: Path, records: list[dict[str, Any]]) -> Path:
    path = folder / "metadata.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_manifest_gathers_the_captions_of_a_picture(pictures: Path, run_stage: Any) -> None:
    path = manifested(
        pictures,
        [
            {"file_name": "a/00.png", "caption": "one", "split": "val"},
            {"file_name": "b/01.jpg", "text": "two", "captions": ["three", "two"]},
            {"file_name": "a/00.png", "caption": "four"},
            {"image": "c/02.webp", "image_id": 7},
            {"caption": "no image"},
            {"file_name": "../../etc/passwd"},
            {"file_name": "c/none.png"},
        ],
    )
    for source in (path, pictures):
        out = run_stage(STAGE, TOY, sources=[source], out=pictures.parent / f"out-{source.suffix}")
        rows = {row["id"]: (row["captions"], row["split"]) for row in rows_of(out)}
        assert rows == {"a/00": (["one", "four"], "val"), "b/01": (["three", "two"], None), "7": ([], None)}
        assert sorted(rejects_of(out).values()) == ["image_missing", "image_missing", "missing_field"]


@pytest.mark.parametrize(("name", "separator"), [("captions.csv", ","), ("captions.tsv", "\t")])
def test_a_table_is_read_by_its_header(pictures: Path, run_stage: Any, name: str, separator: str) -> None:
    lines = [["filepath", "caption"], ["a/00.png", "a dog"], ["a/00.png", "two dogs"], ["b/01.jpg", ""], ["c/02.webp"]]
    (pictures / name).write_text("".join(separator.join(line) + "\n" for line in lines))
    out = run_stage(STAGE, TOY, sources=[pictures / name])
    assert {row["id"]: row["captions"] for row in rows_of(out)} == {"a/00": ["a dog", "two dogs"], "b/01": []}
    assert list(rejects_of(out).values()) == ["bad_row"]


def test_columns_of_ones_own_can_be_named(pictures: Path, run_stage: Any) -> None:
    (pictures / "t.csv").write_text("picture,alt\na/00.png,hello\n")
    options = {**TOY, "columns": {"image": "picture", "captions": "alt"}}
    assert rows_of(run_stage(STAGE, options, sources=[pictures / "t.csv"]))[0]["captions"] == ["hello"]
    with pytest.raises(ConfigError, match=r"there is none for the image.*columns.image=NAME"):
        run_stage(STAGE, TOY, sources=[pictures / "t.csv"], out=pictures.parent / "other")


def test_coco_captions_are_read_in_both_of_their_forms(pictures: Path, run_stage: Any, tmp_path: Path) -> None:
    coco = {
        "info": {"year": 2014},
        "images": [{"id": 391895, "file_name": "00.png"}, {"id": 5, "file_name": "03.png"}, {"id": 6}],
        "annotations": [
            {"image_id": 391895, "id": 1, "caption": "A man with a red helmet.\n"},
            {"image_id": 5, "id": 2, "caption": "A cat."},
            {"image_id": 391895, "id": 3, "caption": "A man on a moped."},
        ],
    }
    (tmp_path / "captions_val2014.json").write_text(json.dumps(coco))
    karpathy = {
        "images": [
            {
                "filepath": "a",
                "filename": "00.png",
                "cocoid": 391895,
                "imgid": 0,
                "split": "test",
                "sentences": [{"raw": "A man with a red helmet.", "tokens": []}, {"raw": "A man on a moped."}],
            }
        ],
        "dataset": "coco",
    }
    (tmp_path / "dataset_coco.json").write_text(json.dumps(karpathy, indent=1))
    first = run_stage(
        STAGE, {**TOY, "image_root": str(pictures / "a")}, sources=[tmp_path / "captions_val2014.json"],
        out=tmp_path / "first",
    )  # fmt: skip
    captions = ["A man with a red helmet.", "A man on a moped."]
    assert {row["id"]: row["captions"] for row in rows_of(first)} == {"391895": captions, "5": ["A cat."]}
    assert rejects_of(first) == {"6": "missing_field"}
    second = run_stage(
        STAGE, {**TOY, "image_root": str(pictures)}, sources=[tmp_path / "dataset_coco.json"], out=tmp_path / "second"
    )
    assert [(r["id"], r["captions"], r["split"]) for r in rows_of(second)] == [("391895", captions, "test")]


def test_globs_and_single_files_are_inputs_too(pictures: Path, run_stage: Any, tmp_path: Path) -> None:
    out = run_stage(STAGE, TOY, sources=[f"{pictures}/**/*.png"], out=tmp_path / "glob")
    assert sorted(row["id"] for row in rows_of(out)) == sorted(f"a/{i:02d}" for i in range(0, 40, 3))
    out = run_stage(STAGE, TOY, sources=[pictures / "a" / "00.png"], out=tmp_path / "single")
    assert [row["id"] for row in rows_of(out)] == ["00"]


def test_remote_pictures_are_those_of_the_disk(pictures: Path, run_stage: Any, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for file in pictures.rglob("*.*"):
        memory.pipe(f"/bucket/{file.relative_to(pictures)}", file.read_bytes())
    here = run_stage(STAGE, TOY, sources=[pictures], out=tmp_path / "here")
    there = run_stage(STAGE, TOY, sources=["memory://bucket"], out=tmp_path / "there")
    assert [(r["id"], r["codes"]) for r in rows_of(there)] == [(r["id"], r["codes"]) for r in rows_of(here)]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "nothing", "no such input"),
        (lambda folder: folder, "no image in"),
        (lambda folder: _written(folder / "x.json", '{"annotations": []}\n{'), "not a caption file of COCO"),
        (lambda folder: _written(folder / "x.json", '{\n "boxes": []}'), "no list of images"),
        (lambda folder: _written(folder / "x.doc", "hello"), "no image, manifest or caption file"),
        (lambda folder: _written(folder / "x.csv", ""), "not a table with a header"),
    ],
)
def test_an_input_that_is_none_is_one_line(tmp_path: Path, run_stage: Any, make: Any, says: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(ConfigError, match=says) as told:
        run_stage(STAGE, TOY, sources=[make(folder)])
    assert "\n" not in str(told.value)


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_picture_that_kills_the_process_twice_is_rejected_alone(pictures: Path, run_stage: Any) -> None:
    from dataclasses import replace

    from speechprep.pipelines.engine.execute import execute
    from speechprep.pipelines.engine.plan import Step, prepare

    folder = str(pictures.parent / "out")
    step = Step("images", STAGE, STAGE.configure({**TOY, "shards": 1}), 0, {}, folder, [str(pictures)])
    (task,) = prepare(step, work=str(pictures.parent / "work")).tasks
    (shard,) = execute(replace(task, skip_ids=["a/03"]))
    assert shard.rows == 39
    assert rejects_of(Path(folder)) == {"a/03": "process_died"}


def test_verify_sees_codes_that_cannot_be(pictures: Path, run_stage: Any) -> None:
    out = run_stage(STAGE, {**TOY, "shards": 1}, sources=[pictures])
    known = manifest.read(str(out))
    manifest.write(str(out), manifest.Manifest(**{**vars(known), "extra": {**known.extra, "vocab": 10, "length": 5}}))
    found = "\n".join(problem.what for problem in verify(str(out)).problems)
    assert "have not 5 codes" in found
    assert "have codes beyond 10" in found


def test_from_the_command_line(pictures: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "run" / "image_codes"
    assert call("images", "--input", pictures, "--out", out, "--set", "codec=toy", "--json") == 0
    assert json.loads(capsys.readouterr().out)["stages"][0]["rows"] == 40
    assert call("verify", tmp_path / "run") == 0
    assert call("images", "--input", pictures, "--out", out, "--set", "codec=nothing") == 2
    assert "unknown image codec 'nothing'" in capsys.readouterr().err


def test_without_a_model_one_line_says_what_is_missing(
    pictures: Path, run_stage: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(MissingBackend, match="there is no folder"):
        run_stage(STAGE, {"options": {"model": str(tmp_path / "none")}}, sources=[pictures])
    with pytest.raises(ConfigError, match="size = 100; it is in pixels, a multiple of 8"):
        run_stage(STAGE, {"options": {"model": "x", "size": 100}}, sources=[pictures])
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingBackend, match="lacks"):
        run_stage(STAGE, {"options": {"model": str(tmp_path / "none")}}, sources=[pictures])
