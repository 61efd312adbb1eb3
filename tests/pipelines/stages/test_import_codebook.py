"""import_codebook: another project's codebook becomes an artifact for `units`; its metadata names the extractor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import tiny_models as tiny

from speechprep.artifacts import manifest
from speechprep.artifacts.codebook import Codebook
from speechprep.cli import main
from speechprep.errors import ConfigError, SpeechprepError, StaleArtifact
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.stages import units
from speechprep.pipelines.stages.import_codebook import published
from speechprep.pipelines.stages.import_codebook.published import PRESETS, KnownCodebook
from speechprep.pipelines.stages.import_codebook.stage import STAGE
from speechprep.registry import make

MFCC = {"extractor": "mfcc"}


def call(*args: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in args])
    return int(left.value.code or 0)


def kmeans(path: Path, dim: int = 39, k: int = 12, scale: float = 1.0, **how: Any) -> np.ndarray:
    """A model fitted by scikit-learn, dumped by joblib; its centroids."""
    from sklearn.cluster import MiniBatchKMeans

    points = scale * np.random.default_rng(0).standard_normal((300, dim)).astype(np.float32)
    model = MiniBatchKMeans(k, n_init=1, random_state=0).fit(points)
    joblib.dump(model, path, **how)
    return np.asarray(model.cluster_centers_)


def nearest(frames: np.ndarray, centroids: np.ndarray) -> list[int]:
    distances = ((frames[:, None].astype(np.float64) - centroids[None].astype(np.float64)) ** 2).sum(axis=2)
    return [int(u) for u in distances.argmin(axis=1)]


def decoded(path: Path) -> np.ndarray:
    from speechprep.artifacts.media import audio

    return audio.decode(str(path), sample_rate=16_000)


def test_from_the_command_line_to_units(tmp_path: Path, make_corpus: Any, talkers: Any, capsys: Any) -> None:
    corpus = make_corpus(talkers, 2)
    centroids = kmeans(tmp_path / "km.bin", scale=20.0)
    out = tmp_path / "run"
    assert call("codebook", "import", tmp_path / "km.bin", "--out", out / "codebook", "--extractor", "mfcc") == 0
    said = capsys.readouterr().out
    assert "12 units of 39 values: frames of mfcc" in said
    assert "from km.bin (joblib) sklearn.cluster._kmeans.MiniBatchKMeans" in said
    book = Codebook.load(out / "codebook")
    assert book.centroids.tobytes() == centroids.tobytes()
    assert call("units", "--input", corpus, "--input", out / "codebook", "--out", out / "units", "-q") == 0
    rows = [row for f in sorted((out / "units").glob("*.parquet")) for row in pq.read_table(f).to_pylist()]
    assert len(rows) == len(talkers)
    extractor = make("extractors", "mfcc", {})
    extractor.load()
    for row in rows:
        frames = extractor.extract([decoded(tmp_path / "audio" / f"{row['id']}.wav")])[0]
        assert row["units"] == nearest(frames, centroids)
        assert row["codebook"] == book.fingerprint
    assert not verify(str(out)).problems


def test_the_passport_says_where_it_came_from(tmp_path: Path, run_stage: Any) -> None:
    kmeans(tmp_path / "km.bin", compress=3)
    folder = run_stage(STAGE, {"file": str(tmp_path / "km.bin"), **MFCC})
    known = manifest.read(str(folder))
    assert known.kind == "codebook"
    assert {"codebook", "k", "dim", "grid", "extractor", "backend", "origin"} <= known.extra.keys()
    assert known.extra["origin"]["file"] == "km.bin"
    assert known.extra["origin"]["packing"] == "zlib"
    assert json.loads((folder / "codebook.json").read_text())["origin"] == known.extra["origin"]
    assert Codebook.load(folder).origin == known.extra["origin"]


def test_the_same_centroids_in_another_file_are_the_same_codebook(tmp_path: Path, run_stage: Any) -> None:
    centroids = kmeans(tmp_path / "km.bin")
    np.save(tmp_path / "centroids.npy", centroids)
    first = run_stage(STAGE, {"file": str(tmp_path / "km.bin"), **MFCC}, out=tmp_path / "a")
    second = run_stage(STAGE, {"file": str(tmp_path / "centroids.npy"), **MFCC}, out=tmp_path / "b")
    assert Codebook.load(first).fingerprint == Codebook.load(second).fingerprint


def test_a_file_that_changed_is_not_taken_for_the_old_one(tmp_path: Path, run_stage: Any) -> None:
    options = {"file": str(tmp_path / "km.bin"), **MFCC}
    kmeans(tmp_path / "km.bin")
    folder = run_stage(STAGE, options)
    before = (folder / "_manifest.json").read_bytes()
    assert (run_stage(STAGE, options) / "_manifest.json").read_bytes() == before
    kmeans(tmp_path / "km.bin", k=5)
    with pytest.raises(StaleArtifact, match="made with other options or inputs"):
        run_stage(STAGE, options)
    assert Codebook.load(run_stage(STAGE, options, rebuild=True)).k == 5


def test_units_with_another_extractor_are_refused(tmp_path: Path, run_stage: Any, make_corpus: Any) -> None:
    kmeans(tmp_path / "km.bin")
    book = run_stage(STAGE, {"file": str(tmp_path / "km.bin"), **MFCC})
    corpus = make_corpus([{"id": "a", "sound": np.zeros(16_000, np.float32)}])
    other = {"extractor": "mfcc", "options": {"cmvn": "utterance"}}
    with pytest.raises(StaleArtifact, match="cmvn"):
        run_stage(units.STAGE, other, {"utterances": corpus, "codebook": book})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "name the extractor"),
        ({"extractor": "mfcc", "options": {"deltas": 0}}, "centroids of 39 values.*have 13"),
        ({"extractor": "none"}, "unknown extractor"),
        ({"extractor": "mfcc", "options": {"layer": 3}}, "layer"),
        ({"extractor": "mfcc", "preset": "no-such"}, "unknown preset"),
        ({"preset": "hubert-base-ls960-kmeans-100"}, "model"),
    ],
)
def test_a_passport_that_cannot_be_right_is_one_line(
    tmp_path: Path, run_stage: Any, options: dict[str, Any], says: str
) -> None:
    kmeans(tmp_path / "km.bin")
    with pytest.raises(ConfigError, match=says) as told:
        run_stage(STAGE, {"file": str(tmp_path / "km.bin"), **options})
    assert "\n" not in str(told.value)
    assert not (tmp_path / "codebook").exists()


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "km.bin").write_bytes(b"\x80\x04cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    assert call("codebook", "import", tmp_path / "km.bin", "--out", tmp_path / "out", "--extractor", "mfcc") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "os.system" in lines[0]
    assert "nothing of it was run" in lines[0]
    assert call("codebook", "import", tmp_path / "km.bin", "--out", tmp_path / "out", "--set", "layer") == 2


def test_the_published_codebooks_are_listed(capsys: Any) -> None:
    assert call("codebook", "presets") == 0
    listed = capsys.readouterr().out
    assert call("codebook", "presets", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in told] == list(PRESETS)
    assert all(name in listed for name in PRESETS)
    assert PRESETS["seamless-10k"].layer == 35
    sums = [known.sha256 for known in PRESETS.values() if known.sha256]
    assert len(set(sums)) == len(sums)
    assert all(len(s) == 64 and int(s, 16) for s in sums)


def test_a_recipe_can_take_a_codebook_instead_of_making_one(tmp_path: Path) -> None:
    from speechprep.pipelines.engine.recipe import Recipe, build

    steps = [{"stage": "ingest"}, {"stage": "import_codebook", "options": {"file": "km.bin"}}, {"stage": "units"}]
    built = build(Recipe(name="x", steps=steps), ["corpus"], str(tmp_path))
    assert built[-1].inputs["codebook"] == built[1].folder


def test_units_without_a_codebook_ask_for_one(tmp_path: Path, make_corpus: Any, capsys: Any) -> None:
    corpus = make_corpus([{"id": "a", "sound": np.zeros(16_000, np.float32)}])
    assert call("units", "--input", corpus, "--out", tmp_path / "units") == 2
    assert "units needs 'codebook'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.speech_encoder(tmp_path_factory.mktemp("hubert"))


def tiny_preset(monkeypatch: pytest.MonkeyPatch, sha256: str = "", **facts: Any) -> KnownCodebook:
    """A published codebook of the tiny model."""
    known = KnownCodebook("tiny", "tiny-hubert", 2, 12, sha256, **{"layers": 3, "dim": 32, **facts})
    monkeypatch.setattr(published, "_ALL", (known,))
    monkeypatch.setitem(PRESETS, "tiny", known)
    return known


@pytest.mark.reference
def test_hubert_units_are_those_of_the_plain_model_and_scikit_learn(
    tmp_path: Path, run_stage: Any, make_corpus: Any, talkers: Any, hubert: Path
) -> None:
    import transformers

    corpus = make_corpus(talkers[:3])
    kmeans(tmp_path / "km.bin", dim=32)
    options = {"extractor": "hubert", "options": {"model": str(hubert), "layer": 2, "device": "cpu"}}
    book = run_stage(STAGE, {"file": str(tmp_path / "km.bin"), **options})
    found = run_stage(units.STAGE, {}, {"utterances": corpus, "codebook": book})
    model = transformers.AutoModel.from_pretrained(hubert).eval()
    hear = transformers.AutoFeatureExtractor.from_pretrained(hubert)
    quantizer = joblib.load(tmp_path / "km.bin")
    for row in pq.read_table(found / "part-00000-of-00001.parquet").to_pylist():
        heard = hear(decoded(tmp_path / "audio" / f"{row['id']}.wav"), sampling_rate=16_000, return_tensors="pt")
        with tiny.torch().inference_mode():
            frames = model(heard.input_values, output_hidden_states=True).hidden_states[2][0].numpy()
        assert row["units"] == quantizer.predict(frames).tolist()


@pytest.mark.reference
def test_a_layer_that_does_not_exist_is_one_line(tmp_path: Path, run_stage: Any, hubert: Path) -> None:
    kmeans(tmp_path / "km.bin", dim=32)
    options = {"extractor": "hubert", "options": {"model": str(hubert), "layer": 11}}
    with pytest.raises(ConfigError, match="layer = 11, but the model has 3 layers"):
        run_stage(STAGE, {"file": str(tmp_path / "km.bin"), **options})
    options = {"extractor": "hubert", "options": {"model": str(tmp_path / "nowhere"), "layer": 2}}
    with pytest.raises(SpeechprepError, match="folder"):
        run_stage(STAGE, {"file": str(tmp_path / "km.bin"), **options})


@pytest.mark.reference
@pytest.mark.parametrize("by", ["name", "bytes"])
def test_a_published_file_brings_its_layer_and_normalisation(
    tmp_path: Path, run_stage: Any, hubert: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    import hashlib

    kmeans(tmp_path / "km.bin", dim=32)
    sha256 = hashlib.sha256((tmp_path / "km.bin").read_bytes()).hexdigest() if by == "bytes" else ""
    tiny_preset(monkeypatch, sha256, normalize=False)
    named = {"preset": "tiny"} if by == "name" else {}
    folder = run_stage(STAGE, {"file": str(tmp_path / "km.bin"), "options": {"model": str(hubert)}, **named})
    book = Codebook.load(folder)
    assert book.extractor["layer"] == 2
    assert book.extractor["normalize"] is False  # the folder's own configuration says otherwise
    assert book.origin["preset"] == "tiny"


@pytest.mark.reference
@pytest.mark.parametrize(
    ("facts", "options", "says"),
    [
        ({"normalize": True}, {"layer": 1}, "layer = 2, the extractor has 1"),
        ({"normalize": False}, {"normalize": True}, "normalize = False, the extractor has True"),
        ({"layers": 12}, {}, "model = 12x32, the extractor has 3x32"),
        ({"k": 100}, {}, "100 units of 32 values; the file has 12 of 32"),
    ],
)
def test_a_preset_is_held_against_the_file_and_the_extractor(
    tmp_path: Path,
    run_stage: Any,
    hubert: Path,
    monkeypatch: pytest.MonkeyPatch,
    facts: dict[str, Any],
    options: dict[str, Any],
    says: str,
) -> None:
    kmeans(tmp_path / "km.bin", dim=32)
    known = {"name": "tiny", "model": "tiny-hubert", "layer": 2, "k": 12, "layers": 3, "dim": 32, **facts}
    monkeypatch.setitem(PRESETS, "tiny", KnownCodebook(**known))
    config = {"file": str(tmp_path / "km.bin"), "preset": "tiny", "options": {"model": str(hubert), **options}}
    with pytest.raises(ConfigError, match=says):
        run_stage(STAGE, config)
    run_stage(STAGE, {**config, "preset": "none", "extractor": "hubert", "options": {"model": str(hubert), "layer": 1}})


def test_a_published_file_is_not_taken_for_another(tmp_path: Path, run_stage: Any, monkeypatch: Any) -> None:
    import hashlib

    kmeans(tmp_path / "km.bin")
    tiny_preset(monkeypatch, hashlib.sha256((tmp_path / "km.bin").read_bytes()).hexdigest())
    with pytest.raises(ConfigError, match="preset = 'seamless-10k', but the file is tiny"):
        run_stage(STAGE, {"file": str(tmp_path / "km.bin"), "preset": "seamless-10k", **MFCC})
