"""hubert: the frames of the plain transformers model, whatever the batch, the padding and the length."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import tiny_models as tiny
from helpers.codebooks import write_codebook

from speechprep.artifacts.codebook import Codebook
from speechprep.errors import BadInput, ConfigError, MissingBackend, StaleArtifact
from speechprep.pipelines.backends.extractors import checkpoint
from speechprep.pipelines.backends.extractors.hubert import HubertExtractor
from speechprep.pipelines.stages import units
from speechprep.tokenizers.kmeans.nearest import Centroids

pytestmark = pytest.mark.reference

RATE = 16_000
KINDS = [("hubert", "base"), ("hubert", "large"), ("wav2vec2", "large"), ("wavlm", "base"), ("wavlm", "large")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """models(kind, style) -> folder; each is built once."""
    root = tmp_path_factory.mktemp("models")

    def get(kind: str = "hubert", style: str = "base") -> Path:
        tiny.torch()
        folder = root / f"{kind}-{style}"
        if not folder.exists():
            tiny.speech_encoder(folder, kind, **(tiny.LARGE_STYLE if style == "large" else {}))
        return folder

    return get


def loaded(folder: Path, layer: int = 2, **options: Any) -> HubertExtractor:
    extractor = HubertExtractor(str(folder), layer, device="cpu", **options)
    extractor.load()
    return extractor


def plain(folder: Path, audio: np.ndarray) -> list[np.ndarray]:
    """All hidden states of the plain transformers model, each (frames, dim)."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    heard = transformers.AutoFeatureExtractor.from_pretrained(folder)(audio, sampling_rate=RATE, return_tensors="pt")
    with tiny.torch().inference_mode():
        return [h[0].numpy() for h in model(heard.input_values, output_hidden_states=True).hidden_states]


def clips(n: int, seed: int = 3, longest: int = 3 * RATE) -> list[np.ndarray]:
    """Noise of mixed lengths and loudness with an offset, from one frame on."""
    rng = np.random.default_rng(seed)
    lengths = [400, 719, 720, *(int(x) for x in rng.integers(400, longest, max(n - 3, 0)))][:n]
    return [(rng.standard_normal(k) * rng.uniform(0.01, 0.3) + 0.02).astype(np.float32) for k in lengths]


def codebook_of(frames: list[np.ndarray], k: int = 100) -> Centroids:
    """Centroids among the frames, so that all units occur."""
    everything = np.concatenate(frames)
    return Centroids(everything[np.random.default_rng(0).permutation(len(everything))[:k]].copy())


@pytest.mark.parametrize(("kind", "style"), KINDS)
def test_every_layer_is_bit_for_bit_that_of_the_plain_model(models: Callable, kind: str, style: str) -> None:
    folder = models(kind, style)
    audio = clips(5)[-1]
    tiny.torch().set_num_threads(1)
    for layer, wanted in enumerate(plain(folder, audio)):
        found = loaded(folder, layer).extract([audio])[0]
        assert found.shape == wanted.shape
        assert np.array_equal(found, wanted), f"layer {layer}"


def test_layers_above_are_not_even_read(models: Callable) -> None:
    assert len(loaded(models(), 1)._module.encoder.layers) == 1


def test_the_last_layer_without_the_final_norm_is_what_fairseq_gives(models: Callable) -> None:
    import transformers

    folder, audio = models("hubert", "large"), clips(4)[-1]
    without = loaded(folder, 3, final_norm=False).extract([audio])[0]
    norm = transformers.AutoModel.from_pretrained(folder).encoder.layer_norm
    with tiny.torch().inference_mode():
        assert np.allclose(norm(tiny.torch().from_numpy(without)).numpy(), plain(folder, audio)[3], atol=1e-5)


@pytest.mark.parametrize(("kind", "style"), KINDS)
def test_no_unit_depends_on_the_batch_or_the_order(models: Callable, kind: str, style: str) -> None:
    audio = clips(40)
    alone = loaded(models(kind, style)).extract(audio)
    centroids = codebook_of(alone)
    wanted = [centroids.assign(frames) for frames in alone]
    together = loaded(models(kind, style), batch_seconds=1e4)
    for size in (1, 8, 32):
        order = np.random.default_rng(size).permutation(len(audio))
        missed = 0
        for start in range(0, len(order), size):
            picked = order[start : start + size]
            for i, frames in zip(picked, together.extract([audio[i] for i in picked]), strict=True):
                missed += int((centroids.assign(frames) != wanted[i]).sum())
        assert missed == 0, f"batches of {size}"


@pytest.mark.parametrize("style", ["base", "large"])
def test_padding_moves_a_frame_by_float_noise_only(models: Callable, style: str) -> None:
    audio = [clips(9)[-1], *clips(3)]  # one long, three of hardly a frame: most of the batch is padding
    alone = loaded(models("hubert", style)).extract(audio)
    padded = loaded(models("hubert", style), batch_seconds=1e4).extract(audio)
    for a, b in zip(alone, padded, strict=True):
        assert np.abs(a - b).max() < 1e-5 * np.abs(a).max()


def test_the_plain_padded_batch_would_have_given_other_units(models: Callable) -> None:
    """What the masked norm is for: without it the test above could not fail."""
    torch = tiny.torch()
    import transformers

    audio = [clips(9)[-1], clips(9)[-2][: RATE // 2]]
    model = transformers.AutoModel.from_pretrained(models()).eval()
    tools = transformers.AutoFeatureExtractor.from_pretrained(models())
    heard = tools(audio, sampling_rate=RATE, return_tensors="pt", padding=True, return_attention_mask=True)
    with torch.inference_mode():
        padded = model(**heard, output_hidden_states=True).hidden_states[2][1].numpy()
    alone = loaded(models()).extract(audio)[1]
    assert np.abs(padded[: len(alone)] - alone).max() > 1e-2 * np.abs(alone).max()


def test_a_stream_of_a_long_utterance_has_the_frames_of_the_whole(models: Callable) -> None:
    extractor = loaded(models(), window=1.0, overlap=0.2)
    audio = (np.random.default_rng(1).standard_normal(7 * RATE + 123) * 0.1).astype(np.float32)
    whole = extractor.extract([audio])[0]
    assert len(whole) == extractor.grid.num_frames(len(audio))
    for pieces in (2, 3, 50, 1000):
        streamed = np.concatenate(list(extractor.extract_stream(np.array_split(audio, pieces))))
        assert np.array_equal(streamed, whole)


def test_windows_give_the_frames_of_the_uncut_audio_where_the_context_is_the_same(models: Callable) -> None:
    """At layer 0 of a large model a frame hears its positional convolution only, and cuts must not show at all."""
    folder = models("hubert", "large")
    audio = (np.random.default_rng(2).standard_normal(9 * RATE + 77) * 0.1).astype(np.float32)
    uncut = loaded(folder, 0, window=100.0, normalize=False).extract([audio])[0]
    cut = loaded(folder, 0, window=2.0, overlap=0.4, normalize=False).extract([audio])[0]
    assert cut.shape == uncut.shape
    assert np.abs(cut - uncut).max() < 1e-5


def test_windows_change_few_units_of_a_deeper_layer(models: Callable) -> None:
    folder = models("hubert", "large")
    audio = (np.random.default_rng(2).standard_normal(60 * RATE) * 0.1).astype(np.float32)
    uncut = loaded(folder, 2, window=100.0).extract([audio])[0]
    cut = loaded(folder, 2, window=20.0, overlap=2.0).extract([audio])[0]
    centroids = codebook_of([uncut])
    assert np.mean(centroids.assign(cut) == centroids.assign(uncut)) > 0.9


def test_equal_utterances_in_one_batch_are_equal(models: Callable) -> None:
    audio = clips(5)[-1]
    found = loaded(models(), batch_seconds=1e4).extract([audio, clips(4)[-1], audio])
    assert np.array_equal(found[0], found[2])


def test_bf16_is_another_extractor_and_stays_near(models: Callable) -> None:
    audio = clips(6)
    exact, rounded = loaded(models()), loaded(models(), dtype="bf16")
    assert rounded.identity() != exact.identity()
    for a, b in zip(exact.extract(audio), rounded.extract(audio), strict=True):
        assert b.dtype == np.float32
        assert 0 < np.abs(a - b).max() < 0.1 * np.abs(a).max()


@pytest.mark.parametrize(
    "change",
    [
        {"layer": 1},
        {"dtype": "bf16"},
        {"normalize": False},
        {"window": 30.0},
        {"overlap": 2.0},
        {"layer": 3, "final_norm": False},
    ],
)
def test_identity_tells_apart_whatever_decides_a_frame(models: Callable, change: dict[str, Any]) -> None:
    folder = str(models("hubert", "large"))
    usual = {"layer": change.get("layer", 2)} if "final_norm" in change else {"layer": 2}
    assert HubertExtractor(folder, **usual).identity() != HubertExtractor(folder, **{**usual, **change}).identity()


def test_identity_does_not_change_with_how_it_is_computed(models: Callable) -> None:
    usual = HubertExtractor(str(models()), 2).identity()
    assert HubertExtractor(str(models()), 2, device="cpu", batch_seconds=9.0, threads=2).identity() == usual


def test_the_same_weights_elsewhere_are_the_same_model_and_others_are_not(models: Callable, tmp_path: Path) -> None:
    usual = HubertExtractor(str(models()), 2).identity()
    copy = shutil.copytree(models(), tmp_path / "copy")
    assert HubertExtractor(str(copy), 2).identity() == usual
    tiny.speech_encoder(tmp_path / "other", seed=1)
    assert HubertExtractor(str(tmp_path / "other"), 2).identity()["revision"] != usual["revision"]
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "num_attention_heads": 2}))
    assert HubertExtractor(str(copy), 2).identity()["config"] != usual["config"]


def test_weights_written_anew_in_the_same_place_are_seen(tmp_path: Path) -> None:
    tiny.torch()
    first = HubertExtractor(str(tiny.speech_encoder(tmp_path / "m")), 2).identity()
    second = HubertExtractor(str(tiny.speech_encoder(tmp_path / "m", seed=1)), 2).identity()
    assert first != second


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_file_is_named(models: Callable, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(models(), tmp_path / "m")
    (folder / name).unlink()
    with pytest.raises(MissingBackend, match=name.replace(".", r"\.")):
        loaded(folder)


def test_weights_in_parts_are_read_and_a_missing_part_is_named(models: Callable, tmp_path: Path) -> None:
    import transformers

    whole = HubertExtractor(str(models()), 2).identity()["revision"]
    folder = shutil.copytree(models(), tmp_path / "m")
    model = transformers.AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 1
    assert HubertExtractor(str(folder), 2).identity()["revision"] != whole
    assert np.array_equal(loaded(folder).extract(clips(4))[3], loaded(models()).extract(clips(4))[3])
    parts[-1].unlink()
    with pytest.raises(MissingBackend, match=parts[-1].name):
        HubertExtractor(str(folder), 2).identity()
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(MissingBackend, match="names no weights"):
        HubertExtractor(str(folder), 2).identity()


def test_without_a_preprocessor_the_user_may_say_what_the_model_wants(models: Callable, tmp_path: Path) -> None:
    folder = shutil.copytree(models(), tmp_path / "m")
    (folder / "preprocessor_config.json").unlink()
    found = loaded(folder, normalize=True).extract(clips(4))
    assert all(np.array_equal(a, b) for a, b in zip(found, loaded(models()).extract(clips(4)), strict=True))


def test_damaged_weights_are_one_line(models: Callable, tmp_path: Path) -> None:
    folder = shutil.copytree(models(), tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(MissingBackend, match="cannot be read") as caught:
        loaded(folder)
    assert "\n" not in str(caught.value)


def test_weights_that_lack_a_layer_are_refused_and_not_made_up(models: Callable, tmp_path: Path) -> None:
    tiny.torch()
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(models(), tmp_path / "m")
    kept = {k: v for k, v in load_file(folder / "model.safetensors").items() if "encoder.layers.1." not in k}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingBackend, match=r"lack encoder\.layers\.1\."):
        loaded(folder, 2)
    loaded(folder, 1)


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_that_does_not_exist_is_refused(models: Callable, layer: int) -> None:
    with pytest.raises(ConfigError, match=rf"layer = {layer}, but the model has 3 layers"):
        HubertExtractor(str(models()), layer).identity()


def test_a_model_of_another_type_is_refused(tmp_path: Path) -> None:
    tiny.torch()
    with pytest.raises(ConfigError, match="'whisper'; it reads hubert, wav2vec2, wavlm"):
        HubertExtractor(str(tiny.whisper(tmp_path / "w")), 2).identity()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "dtype = 'int8'"),
        ({"layer": 2.5}, "layer = 2.5"),
        ({"threads": 0}, "threads = 0"),
        ({"window": 1.0, "overlap": 0.6}, "half the window"),
        ({"dtype": "fp16"}, "fp16 needs a GPU"),
    ],
)
def test_options_that_cannot_work_are_refused(models: Callable, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(models(), **{"layer": 2, **options})


def test_audio_shorter_than_a_frame_is_a_reject(models: Callable) -> None:
    extractor = loaded(models())
    with pytest.raises(BadInput, match="399 samples are less than one frame of 400") as caught:
        extractor.extract([np.zeros(399, np.float32)])
    assert caught.value.code == "audio_too_short"


def test_silence_gives_finite_frames(models: Callable) -> None:
    assert np.isfinite(loaded(models()).extract([np.zeros(RATE, np.float32)])[0]).all()


def test_an_absent_model_is_one_line_and_offline_means_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tiny.torch()
    import socket

    import huggingface_hub.constants

    def refuse(*given: Any, **named: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingBackend, match="HF_HUB_OFFLINE is set") as caught:
        HubertExtractor("someone/no-such-model", 9).identity()
    assert "\n" not in str(caught.value)
    for path in ("/nowhere/hubert", "./hubert", "a/b/c"):
        with pytest.raises(MissingBackend, match="there is no folder"):
            HubertExtractor(path, 9).identity()


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny.torch()
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fail(*given: Any, local_files_only: bool = False, **named: Any) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not in the cache")
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(MissingBackend, match="no route to host") as caught:
        checkpoint.find_model("someone/no-such-model")
    assert "\n" not in str(caught.value)


# -- through the engine --------------------------------------------------------------------------------------------


def save_codebook(folder: Path, extractor: HubertExtractor, layer: int, model: Path) -> Path:
    frames = extractor.extract(clips(20))
    codebook = Codebook(
        centroids=codebook_of(frames, 50).centroids,
        extractor=extractor.identity(),
        grid=extractor.grid,
        backend={"extractor": "hubert", "options": {"model": str(model), "layer": layer, "device": "cpu"}},
    )
    return write_codebook(folder, codebook)


def test_units_through_the_engine_are_those_of_the_plain_model(
    models: Callable, make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    import soundfile

    book = save_codebook(tmp_path / "codebook", loaded(models()), 2, models())
    corpus = make_corpus(talkers, 2)
    folder = run_stage(units.STAGE, {}, {"utterances": corpus, "codebook": book}, workers=2)
    rows = [row for path in sorted(folder.glob("part-*")) for row in pq.read_table(path).to_pylist()]
    assert [row["id"] for row in rows] == [talker["id"] for talker in talkers]
    centroids = Codebook.load(book).centroids
    for row in rows:
        audio, _ = soundfile.read(tmp_path / "audio" / f"{row['id']}.wav", dtype="float32")
        frames = plain(models(), audio)[2]
        nearest = ((frames[:, None] - centroids) ** 2).sum(-1).argmin(1)
        assert row["units"] == nearest.tolist()


def test_a_codebook_of_another_layer_is_refused_naming_both(
    models: Callable, make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    book = save_codebook(tmp_path / "codebook", loaded(models(), 2), 2, models())
    inputs = {"utterances": make_corpus(talkers[:1]), "codebook": book}
    options = {"extractor": "hubert", "options": {"model": str(models()), "layer": 1, "device": "cpu"}}
    with pytest.raises(StaleArtifact, match="layer: 2 -> 1") as caught:
        run_stage(units.STAGE, options, inputs)
    assert "layer 2" in str(caught.value)
    assert "layer 1" in str(caught.value)


@pytest.mark.slow
def test_four_hours_lose_no_frame_and_do_not_drift(models: Callable) -> None:
    """Marks of silence in noise, one a minute: their frames are where the clock says, at the end as at the start."""
    folder = models("hubert", "large")
    extractor = loaded(folder, 0, normalize=False)
    minute = (np.random.default_rng(1).standard_normal(60 * RATE) * 0.05).astype(np.float32)
    minute[: RATE // 2] = 0
    minutes, tail = 240, 123

    def blocks() -> Iterator[np.ndarray]:
        for _ in range(minutes):
            yield minute
        yield minute[:tail]

    n = 0
    first: np.ndarray | None = None
    for part in extractor.extract_stream(blocks()):
        if first is None:
            first = part
        last, n = part, n + len(part)
    total = minutes * len(minute) + tail
    assert n == extractor.grid.num_frames(total)
    # 3,000 frames a minute exactly: the last window's frames are those of an earlier minute at the same place.
    assert first is not None
    start = (n - len(last)) % 3000
    reference = loaded(folder, 0, normalize=False, window=130.0).extract([np.tile(minute, 2)])[0]
    assert np.abs(last[:-20] - reference[start : start + len(last)][:-20]).max() < 1e-5
