"""Every hostile file and manifest: nothing crashes, good utterances are all there, each bad one has a reason."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from speechprep.artifacts.media import audio
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.stages.ingest import STAGE

# What ingest refuses by the header; all other hostile files are utterances, some to be refused when decoded.
AT_INGEST = {
    "zero-byte.wav": "audio_empty",
    "zero-byte.flac": "audio_empty",
    "header-only.wav": "audio_empty",
    "zero-samples.wav": "audio_empty",
    "ps-null.wav": "audio_empty",
    "rate-zero.wav": "audio_unreadable",
    "text.wav": "audio_unreadable",
    "html-404.flac": "audio_unreadable",
    "lfs-pointer.wav": "audio_unreadable",
    "ps-bad.wav": "audio_unreadable",
    "ps-evil.wav": "audio_unreadable",
    "ps-awful.wav": "audio_rate",
}
MEDIA = {} if find_spec("av") else {"speech.m4a": "audio_format", "video.mp4": "audio_format"}
AT_DECODING = {
    "truncated.flac": "audio_corrupt",
    "corrupt-middle.flac": "audio_corrupt",
    "nan.wav": "audio_not_finite",
    "inf.wav": "audio_not_finite",
}
MANIFESTS = {  # manifest -> (utterances, {id of a reject: code})
    "bad-words": ([], dict.fromkeys(["neg", "past-end", "nan", "overlap"], "bad_words")),
    "crlf-bom": (["a", "b"], {}),
    "duplicate-ids": ([], {"a": "duplicate_id"}),
    "latin1": ([], {"latin1.jsonl:1": "text_encoding"}),
    "missing-fields": (
        ["audio/good"],
        {
            "a": "missing_field",
            "missing-fields.jsonl:3": "missing_field",
            "missing-fields.jsonl:4": "bad_json",
            "missing-fields.jsonl:5": "bad_json",
            "missing-fields.jsonl:6": "bad_json",
        },
    ),
    "missing-file": ([], {"a": "audio_missing"}),
    "not-json": (["a", "c"], {"not-json.jsonl:2": "bad_json"}),
    "path-outside": ([], {"a": "audio_unreadable", "path-outside.jsonl:2": "bad_id"}),
}


CORPORA = [
    *("ami-meetings", "esc50", "fsdd-digits", "librispeech-mini", "librispeech-other", "librosa-sounds"),
    *("ljspeech-aligned", "longform", "misc-speech", "noisy", "ravdess-emotion", "timit-sample"),
]


def stated(folder: Path) -> dict[str, dict]:
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def table(folder: Path) -> list[dict]:
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_every_hostile_file_is_an_utterance_or_a_reject_and_never_both(run_stage, shared_data: Path):
    hostile = shared_data / "hostile"
    folder = run_stage(STAGE, sources=[hostile], workers=2)
    rows, rejects = table(folder), table(folder / "_rejects")
    refused = {r["id"]: r["code"] for r in rejects}
    assert refused == AT_INGEST | MEDIA
    assert sorted([*refused, *(row["id"] for row in rows)]) == sorted(stated(hostile))
    for reject in rejects:
        assert reject["stage"] == "ingest"
        assert len(reject["message"]) > 20
        assert Path(reject["audio"]).name == reject["id"]
        assert reject["retry"].startswith("speechprep ingest")


def test_every_hostile_file_decodes_to_finite_sound_or_gives_a_reason(shared_data: Path):
    hostile = shared_data / "hostile"
    refused = {}
    for id, row in stated(hostile).items():
        path = hostile / row["audio"]
        for source in (str(path), path.read_bytes()):
            try:
                found = audio.decode(source, sample_rate=16_000)
            except BadInput as error:
                refused[id] = error.code
                continue
            assert found.dtype == np.float32
            assert found.ndim == 1
            assert np.isfinite(found).all()
            assert np.abs(found).max(initial=0) <= 1
        if row["expect"].startswith("ok") and "error" not in row["expect"]:
            assert id not in refused, (id, row["expect"])
        if row["expect"] == "error":
            assert id in refused, (id, row["expect"])
    assert refused == AT_INGEST | MEDIA | AT_DECODING


def test_verify_audio_finds_at_ingest_what_decoding_would(run_stage, shared_data: Path):
    folder = run_stage(STAGE, {"verify_audio": True}, sources=[shared_data / "hostile"])
    assert {r["id"]: r["code"] for r in table(folder / "_rejects")} == AT_INGEST | MEDIA | AT_DECODING


def test_speech_survives_its_odd_formats(shared_data: Path):
    place = shared_data / "hostile" / "audio"
    good = audio.decode(place / "good.wav", sample_rate=16_000)
    for name in (
        "pcm24.wav",
        "float64.wav",
        "rate-48k.flac",
        "stereo-antiphase.wav",
        "stereo-left-only.wav",
        "UPPER.FLAC",
    ):
        found = audio.decode(place / name, sample_rate=16_000)
        assert np.corrcoef(found, good)[0, 1] > 0.99, name


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_broken_manifests_keep_their_good_lines(run_stage, shared_data: Path, name: str):
    folder = run_stage(STAGE, sources=[shared_data / "hostile" / "manifests" / f"{name}.jsonl"])
    ids, codes = MANIFESTS[name]
    assert [row["id"] for row in table(folder)] == ids
    rejects = table(folder / "_rejects")
    assert {r["id"]: r["code"] for r in rejects} == codes
    assert all(f"{name}.jsonl:" in r["message"] for r in rejects)


def test_an_empty_manifest_is_one_clear_error(run_stage, shared_data: Path):
    with pytest.raises(ConfigError, match=r"no audio and no record in .*empty\.jsonl"):
        run_stage(STAGE, sources=[shared_data / "hostile" / "manifests" / "empty.jsonl"])


def test_bad_words_can_be_set_aside(run_stage, shared_data: Path):
    manifest = shared_data / "hostile" / "manifests" / "bad-words.jsonl"
    rows = table(run_stage(STAGE, {"words": "ignore"}, sources=[manifest]))
    assert [row["id"] for row in rows] == ["nan", "neg", "overlap", "past-end"]
    assert all(row["words"] is None for row in rows)


@pytest.mark.parametrize("name", CORPORA)
def test_every_shared_corpus_goes_in_whole(run_stage, shared_data: Path, name: str):
    folder = run_stage(STAGE, sources=[shared_data / name])
    rows = {row["id"]: row for row in table(folder)}
    manifest = stated(shared_data / name)
    assert rows.keys() == manifest.keys()
    assert not table(folder / "_rejects")
    for id, row in rows.items():
        assert row["duration"] == pytest.approx(manifest[id]["duration_s"], abs=0.01)
        assert row["sample_rate"] == manifest[id]["sample_rate"]
        assert len(row["words"] or []) == len(manifest[id].get("words", []))
        assert row["licence"] == manifest[id]["license"]
