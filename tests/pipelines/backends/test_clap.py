"""clap: the same vector each time, whatever length and neighbours; both kinds of model; one line for an error."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny_clap as tiny

from speechprep.errors import BadInput, ConfigError, MissingBackend
from speechprep.pipelines.backends.embedders.clap import ClapEmbedder

RATE = 48_000
pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore"),  # those of torch, transformers and laion_clap are not ours to mend
]


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * f * t + f) for f in rng.uniform(80, 6000, 4))
    return (0.1 * tones + 0.02 * rng.standard_normal(len(t))).astype(np.float32)


def loaded(model: Any, **options: Any) -> ClapEmbedder:
    embedder = ClapEmbedder(str(model), device="cpu", **options)
    embedder.load()
    return embedder


@pytest.fixture(scope="module")
def clap(tiny_clap: Path) -> ClapEmbedder:
    return loaded(tiny_clap)


@pytest.fixture
def copy(tiny_clap: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_clap, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_long_sound_is_covered_by_windows_that_embed_the_same_each_time(clap: ClapEmbedder, tiny_clap: Path) -> None:
    long = sound(15)
    (first,) = clap.embed_audio([long])
    assert clap.spans(len(long)) == [(0, 10 * RATE), (5 * RATE, 15 * RATE)]
    assert first.shape == (2, tiny.DIM)
    assert first.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)
    for again in (clap, clap, loaded(tiny_clap)):
        assert np.array_equal(again.embed_audio([long])[0], first)


def test_different_sounds_have_different_vectors(clap: ClapEmbedder) -> None:
    one, two = (clap.embed_audio([sound(3, seed)])[0][0] for seed in (1, 2))
    assert one @ two < 0.9999


def test_no_crop_is_drawn_at_random(clap: ClapEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a random number was asked for")

    for name in ("randint", "choice", "random", "permutation"):
        monkeypatch.setattr(np.random, name, drawn)
    for seconds in (0.5, 10, 10.005, 31):
        clap.embed_audio([sound(seconds)])


@pytest.mark.parametrize("batch", [1, 4])
def test_neighbours_do_not_change_a_vector(tiny_clap: Path, batch: int) -> None:
    embedder = loaded(tiny_clap, batch=batch)
    sounds = [sound(s, i) for i, s in enumerate((15, 0.01, 10, 3, 1 / RATE))]
    together = embedder.embed_audio(sounds)
    backwards = embedder.embed_audio(sounds[::-1])[::-1]
    alone = [embedder.embed_audio([one])[0] for one in sounds]
    assert [len(found) for found in together] == [2, 1, 1, 1, 1]
    for a, b, c in zip(together, backwards, alone, strict=True):
        if batch == 1:
            assert np.array_equal(a, b)
            assert np.array_equal(a, c)
        np.testing.assert_allclose(a, b, atol=1e-6)
        np.testing.assert_allclose(a, c, atol=1e-6)


def test_a_short_sound_is_embedded_as_transformers_does(clap: ClapEmbedder, tiny_clap: Path) -> None:
    import torch
    from transformers import ClapModel, ClapProcessor

    model, processor = ClapModel.from_pretrained(tiny_clap).eval(), ClapProcessor.from_pretrained(tiny_clap)
    given = processor(audio=sound(4), sampling_rate=RATE, return_tensors="pt")
    texts = processor(text=["a dog barks"], return_tensors="pt")
    with torch.no_grad():
        heard, read = model.get_audio_features(**given), model.get_text_features(**texts)
    for theirs, ours in ((heard, clap.embed_audio([sound(4)])[0]), (read, clap.embed_text(["a dog barks"]))):
        expected = (theirs / theirs.norm(dim=-1, keepdim=True)).numpy()
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_a_fused_model_takes_the_path_for_short_sounds_always(tmp_path: Path) -> None:
    tiny.build(tmp_path, fused=True)
    embedder = loaded(tmp_path, batch=2)
    sounds = [sound(2, 1), sound(15, 2)]
    first = embedder.embed_audio(sounds)
    for _ in range(3):  # the reference marks a random sound of each batch as long
        for a, b in zip(first, embedder.embed_audio(sounds), strict=True):
            assert np.array_equal(a, b)
    np.testing.assert_allclose(first[0], embedder.embed_audio(sounds[:1])[0], atol=1e-6)


def test_texts_without_a_character_are_zero_and_long_ones_are_cut(clap: ClapEmbedder) -> None:
    found = clap.embed_text(["", " \n", "rain " * 200, "rain " * 300])
    assert not found[:2].any()
    assert np.array_equal(found[2], found[3])


def test_an_empty_sound_is_refused(clap: ClapEmbedder) -> None:
    with pytest.raises(BadInput, match="no samples"):
        clap.embed_audio([np.zeros(0, np.float32)])


def test_the_identity_is_of_the_content_and_not_of_the_place(tiny_clap: Path, copy: Path) -> None:
    here, there = ClapEmbedder(str(tiny_clap)).identity(), ClapEmbedder(str(copy)).identity()
    assert here == there
    assert (here["window"], here["hop"], len(here["weights"])) == (10.0, 10.0, 64)
    assert ClapEmbedder(str(copy), hop=5.0).identity() != here
    tiny.build(copy, seed=1)
    assert ClapEmbedder(str(copy)).identity()["weights"] != here["weights"]


def test_a_shorter_hop_gives_more_windows(tiny_clap: Path) -> None:
    assert loaded(tiny_clap, hop=2.5).embed_audio([sound(15)])[0].shape == (3, tiny.DIM)


@pytest.mark.parametrize("options", [{"hop": 0}, {"hop": 11}, {"hop": -1}, {"batch": 0}, {"device": "toaster"}])
def test_options_that_cannot_be_are_one_line(tiny_clap: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))) as caught:
        ClapEmbedder(str(tiny_clap), **options).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_folder_with_a_file_missing_says_which(copy: Path, file: str) -> None:
    (copy / file).unlink()
    for ask in (ClapEmbedder(str(copy)).identity, ClapEmbedder(str(copy)).load):
        with pytest.raises(MissingBackend, match=file):
            ask()


def test_a_folder_without_a_tokenizer_says_so(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    (copy / "merges.txt").unlink()
    with pytest.raises(MissingBackend, match=r"merges\.txt"):
        ClapEmbedder(str(copy)).load()


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_damaged_file_is_one_line(copy: Path, file: str) -> None:
    (copy / file).write_bytes((copy / file).read_bytes()[:50])
    with pytest.raises(MissingBackend, match="cannot be read") as caught:
        ClapEmbedder(str(copy)).load()
    assert "\n" not in str(caught.value)


def test_a_weight_that_is_not_there_is_never_made_up(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    gone = weights.pop("audio_projection.linear2.weight")
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingBackend, match=r"audio_projection\.linear2\.weight"):
        ClapEmbedder(str(copy)).load()
    save_file(
        {**weights, "audio_projection.linear2.weight": gone[:, :2].clone()},
        copy / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(MissingBackend, match=r"cannot be read|linear2"):
        ClapEmbedder(str(copy)).load()


@pytest.mark.parametrize("model", ["laion/never-was", "/no/such/folder", "no.pt", "a b"])
def test_a_model_that_is_not_here_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingBackend, match=model) as caught:
        ClapEmbedder(model).identity()
    assert "\n" not in str(caught.value)


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingBackend, match=r"speechprep\[hf\]"):
        ClapEmbedder("anything").load()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "fused"])
def laion(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(folder of a model, checkpoint with the same weights under LAION's names)."""
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("laion")
    model = tiny.build(folder, fused=request.param, seed=3)
    body = {"epoch": np.int64(7), "best": np.float64(0.5), "name": "tiny", "state_dict": tiny.as_laion(model)}
    torch.save(body, folder / "clap.pt")
    return folder, folder / "clap.pt"


def test_a_laion_checkpoint_gives_the_vectors_of_its_weights(laion: tuple[Path, Path]) -> None:
    folder, checkpoint = laion
    theirs, ours = loaded(folder), loaded(checkpoint, tokenizer=str(folder))
    assert (ours.dim, ours.sample_rate) == (tiny.DIM, RATE)
    for a, b in zip(theirs.embed_audio([sound(3), sound(15)]), ours.embed_audio([sound(3), sound(15)]), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(theirs.embed_text(["a dog barks"]), ours.embed_text(["a dog barks"]))
    assert ours.identity()["window"] == 10.0


def test_a_checkpoint_with_a_weight_too_few_or_too_many_is_refused(laion: tuple[Path, Path], tmp_path: Path) -> None:
    import torch

    folder, checkpoint = laion
    body = torch.load(checkpoint, weights_only=False)
    state = body["state_dict"]
    key = "module.audio_branch.layers.1.blocks.1.mlp.fc1.weight"
    for change in ({key: None}, {"module.audio_branch.odd": torch.ones(1)}, {key: torch.ones(1, 1)}):
        changed = {k: v for k, v in {**state, **change}.items() if v is not None}
        torch.save({"state_dict": changed}, tmp_path / "odd.pt")
        with pytest.raises(MissingBackend, match=r"weights") as caught:
            loaded(tmp_path / "odd.pt", tokenizer=str(folder))
        assert "\n" not in str(caught.value)


class Trap:
    """Would leave a file behind if a checkpoint's pickle were run."""

    def __reduce__(self) -> Any:
        return (open, (str(Path(__file__).with_name("trapped")), "w"))


@pytest.mark.parametrize("kind", ["pickle", "text", "other"])
def test_a_file_that_is_no_clap_checkpoint_is_refused_and_nothing_in_it_runs(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "odd.pt"
    if kind == "text":
        path.write_text("no checkpoint")
    else:
        torch.save({"state_dict": Trap() if kind == "pickle" else {"weight": torch.ones(1)}}, path)
    tiny.tokenizer(tmp_path)
    with pytest.raises(MissingBackend, match=r"odd\.pt") as caught:
        loaded(path, tokenizer=str(tmp_path))
    assert "\n" not in str(caught.value)
    assert not Path(__file__).with_name("trapped").exists()


@pytest.mark.slow
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_a_checkpoint_gives_the_vectors_of_laions_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fused: bool
) -> None:
    torch = pytest.importorskip("torch")
    theirs, audio = _laion_model(torch, monkeypatch, fused)
    state = {f"module.{key}": value for key, value in theirs.state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state}, tmp_path / "clap.pt")
    tiny.tokenizer(tmp_path / "tokens")
    ours = loaded(tmp_path / "clap.pt", tokenizer=str(tmp_path / "tokens"))
    from training.data import get_audio_features

    for seconds in (2, 4.3, 10):
        heard = torch.from_numpy(sound(seconds))
        how = "fusion" if fused else "rand_trunc"
        given = get_audio_features({}, heard, 10 * RATE, how, "repeatpad", audio)
        decoy = {**given, "longer": torch.tensor([True])}  # or LAION would mark ours as long, being alone
        with torch.no_grad():
            expected = theirs.get_audio_embedding([given, decoy] if fused else [given])[0].numpy()
        np.testing.assert_allclose(ours.embed_audio([sound(seconds)])[0][0], expected, atol=1e-6)
    texts = ["a dog barks", "rain on a tin roof, and far away a bell"]
    ids = ours._tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
    with torch.no_grad():
        expected = theirs.get_text_embedding(dict(ids)).numpy()
    np.testing.assert_allclose(ours.embed_text(texts), expected, atol=1e-6)


def _laion_model(torch: Any, monkeypatch: pytest.MonkeyPatch, fused: bool) -> tuple[Any, dict[str, Any]]:
    """LAION's model (HTSAT tiny, a two-layer RoBERTa in place of the one from the hub) and its audio settings."""
    monkeypatch.setattr(sys, "argv", sys.argv[:1])  # laion_clap reads the command line when it is imported
    pytest.importorskip("laion_clap")
    import clap_module.model as module
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=261,
        hidden_size=768,
        num_hidden_layers=2,
        num_attention_heads=12,
        intermediate_size=96,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )

    class FromNowhere:
        @staticmethod
        def from_pretrained(name: str) -> Any:
            return RobertaModel(config)

    monkeypatch.setattr(module, "RobertaModel", FromNowhere)
    audio = {"audio_length": 1024, "clip_samples": 480000, "mel_bins": 64, "sample_rate": RATE, "window_size": 1024}
    audio.update(hop_size=480, fmin=50, fmax=14000, class_num=527, model_type="HTSAT", model_name="tiny")
    text = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, "model_type": "roberta"}
    torch.manual_seed(0)
    kind = "aff_2d" if fused else "None"
    model = module.CLAP(768, dict(audio), text, enable_fusion=fused, fusion_type=kind).eval()
    for name, buffer in model.named_buffers():
        if "running_var" in name:
            buffer.uniform_(0.5, 2)
        elif "running_mean" in name:
            buffer.normal_(0, 1)
    return model, audio
