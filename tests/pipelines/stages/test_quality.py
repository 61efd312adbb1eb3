"""The stage `quality`: scores of files with known noise, and one row or reject for each utterance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import soxr

from speechprep.artifacts.schemas import QUALITY
from speechprep.errors import MissingBackend
from speechprep.pipelines import speech_quality
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.stages.ingest import STAGE as INGEST
from speechprep.pipelines.stages.quality import STAGE

DEMO = Path(__file__).parents[3] / "speechprep/demo"


def utterances(tmp_path: Path, run_stage, files: dict[str, tuple[np.ndarray, int]], n: int = 2) -> Path:
    (tmp_path / "in").mkdir()
    for name, (samples, rate) in files.items():
        soundfile.write(tmp_path / f"in/{name}.wav", samples, rate)
    return run_stage(INGEST, {"shards": n}, {}, tmp_path / "run/utterances", sources=[str(tmp_path / "in")])


def speechlike(seconds: float, rate: int = 16_000) -> np.ndarray:
    """A buzz of 120 Hz with moving formants, 0.4 s on and 0.4 s off."""
    t = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k * np.exp(-(((120 * k - 600 - 300 * np.sin(5 * t)) / 500) ** 2))
               for k in range(1, 25))  # fmt: skip
    return 0.3 * buzz * ((t % 0.8) < 0.4)


def rows(folder: Path) -> dict[str, dict]:
    return {row["id"]: row for row in pq.read_table(folder).to_pylist()}


@pytest.fixture
def corpus(tmp_path: Path, run_stage) -> Path:
    rng = np.random.default_rng(0)
    clean = speechlike(12)
    power = np.mean(clean[clean != 0] ** 2)
    files = {f"snr{ratio}": (clean + rng.standard_normal(len(clean)) * np.sqrt(power / 10 ** (ratio / 10)), 16_000)
             for ratio in (0, 10, 20, 30)}  # fmt: skip
    files = {name: (np.clip(samples * 0.2, -1, 1), rate) for name, (samples, rate) in files.items()}
    files["clipped"] = (np.clip(clean * 8, -1, 1), 16_000)
    files["narrow"] = (speechlike(5, 8000), 8000)
    files["silent"] = (np.zeros(16_000), 16_000)
    files["short"] = (np.full(50, 0.01), 16_000)
    return utterances(tmp_path, run_stage, files)


def test_scores_of_known_signals(tmp_path: Path, run_stage, corpus: Path):
    out = run_stage(STAGE, {}, {"utterances": corpus}, tmp_path / "run/quality")
    assert pq.read_table(out).schema.equals(QUALITY)
    got = rows(out)
    assert len(got) == 8
    ratios = [got[f"snr{ratio}"]["snr_db"] for ratio in (0, 10, 20, 30)]
    assert ratios == sorted(ratios)
    assert np.allclose(ratios[1:], (10, 20, 30), atol=3)
    assert got["clipped"]["clipped_share"] > 0.05 > 0 == got["snr20"]["clipped_share"]
    assert got["narrow"]["bandwidth_hz"] <= 4000
    assert got["silent"] | {"id": ""} == {
        **dict.fromkeys(QUALITY.names), "id": "", "clipped_share": 0.0, "speech_share": 0.0,
    }  # fmt: skip
    assert got["short"]["snr_db"] is got["short"]["speech_share"] is got["short"]["bandwidth_hz"] is None
    assert all(row["dnsmos_overall"] is None for row in got.values())
    assert verify(str(tmp_path / "run")).problems == []


def test_the_rows_do_not_depend_on_the_shards(tmp_path: Path, run_stage, corpus: Path):
    one = run_stage(INGEST, {"shards": 1}, {}, tmp_path / "one", sources=[str(tmp_path / "in")])
    a = run_stage(STAGE, {}, {"utterances": corpus}, tmp_path / "a")
    b = run_stage(STAGE, {}, {"utterances": one}, tmp_path / "b", workers=2)
    assert rows(a) == rows(b)


def test_text_without_audio_is_rejected(tmp_path: Path, run_stage):
    (tmp_path / "t.txt").write_text("one\ntwo\n")
    texts = run_stage(INGEST, {"format": "text"}, {}, tmp_path / "u", sources=[str(tmp_path / "t.txt")])
    out = run_stage(STAGE, {}, {"utterances": texts})
    assert [row["code"] for row in pq.read_table(out / "_rejects").to_pylist()] == ["no_audio", "no_audio"]


def test_dnsmos_without_its_package_is_an_error(tmp_path: Path, run_stage, corpus: Path, monkeypatch):
    monkeypatch.setattr(speech_quality, "find_spec", lambda name: None)
    with pytest.raises(MissingBackend, match=r"speechprep\[quality\]"):
        run_stage(STAGE, {"dnsmos": True}, {"utterances": corpus})


@pytest.mark.reference
def test_dnsmos_rates_noise_lower(tmp_path: Path, run_stage):
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    from speechmos import dnsmos

    clean, rate = soundfile.read(DEMO / "speech/01-rms.opus")
    clean, rate = soxr.resample(clean, rate, 16_000), 16_000
    noisy = np.clip(clean + np.random.default_rng(0).standard_normal(len(clean)) * 0.05, -1, 1)
    out = run_stage(
        STAGE,
        {"dnsmos": True},
        {"utterances": utterances(tmp_path, run_stage, {"a": (clean, rate), "b": (noisy, rate)})},
    )
    got = rows(out)
    assert got["a"]["dnsmos_background"] > got["b"]["dnsmos_background"]
    samples, _ = soundfile.read(tmp_path / "in/a.wav", dtype="float32")
    if len(samples) < speech_quality.WINDOW:
        wanted = dnsmos.run(samples, sr=16_000)
        assert got["a"]["dnsmos_overall"] == pytest.approx(float(wanted["ovrl_mos"]), abs=1e-4)
        assert got["a"]["dnsmos_p808"] == pytest.approx(float(wanted["p808_mos"]), abs=1e-4)
    assert json.dumps(got["a"])
