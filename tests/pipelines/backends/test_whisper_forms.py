"""The three forms of Whisper weights: reading, identity, frames, conversion, and files that are none of them."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace

import numpy as np
import pytest
from helpers import ctc_models, whisper_files
from helpers import tiny_models as tiny
from helpers.whisper_files import SMALL, ct2_folder, safetensors_folder, tensors
from hypothesis import given
from hypothesis import strategies as st

from speechprep.artifacts.codebook import Codebook
from speechprep.errors import ConfigError, MissingBackend, SpeechprepError, StaleArtifact
from speechprep.pipelines.backends.aligners.whisperx import WhisperxAligner
from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor
from speechprep.pipelines.backends.recognisers.choose import whisper_model
from speechprep.pipelines.backends.recognisers.whisper_model import Decoding
from speechprep.pipelines.backends.whisper.convert import convert
from speechprep.pipelines.backends.whisper.facts import facts
from speechprep.pipelines.backends.whisper.forms import form_of, open_weights
from speechprep.pipelines.backends.whisper.sizes import languages
from speechprep.pipelines.backends.whisper.weights import WhisperWeights

PLAIN = ("cpu", "float32", Decoding(1), 2, 1)  # device, compute_type, beam_size, batch_size, threads
RATE = 16_000


def values_of(weights: WhisperWeights) -> dict[str, np.ndarray]:
    shapes = {**weights.sizes.encoder(), **weights.sizes.decoder()}
    return {name: weights.tensor(name, shape) for name, shape in shapes.items()}


def noise(n: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(n) * 0.1).astype(np.float32)


# -- reading, without torch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("build", [ct2_folder, safetensors_folder])
def test_each_tensor_is_read_from_each_number_type_with_one_identity(tmp_path, build, kind):
    values = tensors()
    weights = open_weights(build(tmp_path / "a", values, kind=kind))
    assert weights.sizes == SMALL
    assert weights.stored() == (kind,)
    assert not weights.dequantised
    found = values_of(weights)
    assert all(np.array_equal(found[name], value) and found[name].dtype == np.float32 for name, value in values.items())
    plain = open_weights(safetensors_folder(tmp_path / "b", values))
    for side in ("encoder", "decoder"):
        assert weights.digest(side) == plain.digest(side)


def test_other_weights_of_encoder_or_decoder_are_another_identity(tmp_path):
    values = tensors()
    first = open_weights(ct2_folder(tmp_path / "first", values))
    for side, name in (("encoder", "encoder.layers.1.fc2.bias"), ("decoder", "decoder.embed_tokens.weight")):
        changed = {**values, name: values[name] + np.float32(0.5)}
        second = open_weights(ct2_folder(tmp_path / side, changed))
        for one in ("encoder", "decoder"):
            assert (second.digest(one) == first.digest(one)) == (one != side)


def test_the_identity_follows_a_change_of_the_file(tmp_path):
    folder = ct2_folder(tmp_path, tensors())
    before = open_weights(folder).digest()
    ct2_folder(tmp_path, tensors(seed=1))
    assert open_weights(folder).digest() != before


@pytest.mark.parametrize(("kind", "steps"), [("int8", 127), ("int16", 2**10)])
def test_integer_weights_are_divided_by_their_scale_and_are_another_identity(tmp_path, kind, steps):
    values = tensors()
    weights = open_weights(ct2_folder(tmp_path, values, kind=kind))
    assert weights.dequantised
    for name, found in values_of(weights).items():
        assert np.abs(found - values[name]).max() <= np.abs(values[name]).max() / steps, name
    assert weights.digest() != open_weights(ct2_folder(tmp_path / "plain", values)).digest()
    assert facts(weights)["dtype"] == f"float32+{kind}"


@given(st.data())
def test_a_truncated_or_changed_file_is_an_error_of_one_line_or_a_model_of_its_size(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("ct2")
    ct2_folder(
        folder,
        tensors(replace(SMALL, positions=4, mels=2, vocabulary=8)),
        replace(SMALL, positions=4, mels=2, vocabulary=8),
    )
    whole = (folder / "model.bin").read_bytes()
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
        fails = True
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        damaged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
        fails = False
    (folder / "model.bin").write_bytes(damaged)
    message = ""
    try:
        values_of(open_weights(folder))
    except SpeechprepError as error:
        message = str(error)
    assert message or not fails
    assert "\n" not in message
    assert not message or str(folder) in message


def test_files_of_other_kinds_are_refused_with_the_reason(tmp_path):
    values = tensors()
    bytes_of = whisper_files.ct2_bytes
    cases = {
        "another specification": (bytes_of(values, SMALL, "float32", "TransformerSpec"), "'TransformerSpec'"),
        "another version": (struct.pack("<I", 9) + bytes_of(values, SMALL, "float32")[4:], "binary version 5 or 6"),
        "no model": (b"not a model at all", "binary version 5 or 6"),
        "empty": (b"", "binary version"),
        "more at the end": (bytes_of(values, SMALL, "float32") + b"12", "2 bytes after its end"),
        "a bias of the keys": (bytes_of(values, SMALL, "float32", key_bias=0.5), "bias for the keys"),
        "many variables": (struct.pack("<I", 6) + whisper_files.text("WhisperSpec") + b"\xff" * 8, "variables"),
    }
    for name, (content, message) in cases.items():
        folder = ct2_folder(tmp_path / name, values)
        (folder / "model.bin").write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            values_of(open_weights(folder))


def test_a_model_without_a_layer_or_of_other_shapes_is_refused(tmp_path):
    values = {name: value for name, value in tensors().items() if "layers.0" not in name}
    with pytest.raises(ConfigError, match="encoder/layer_0/ffn/linear_0/weight"):
        open_weights(ct2_folder(tmp_path / "layer", values)).sizes  # noqa: B018
    folder = safetensors_folder(tmp_path / "shape", tensors())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "encoder_ffn_dim": 32}))
    with pytest.raises(ConfigError, match=r"fc1.weight has the shape \(64, 16\), but the model needs \(32, 16\)"):
        open_weights(folder).digest()
    (folder / "config.json").write_text(json.dumps({**config, "d_model": -1}))
    with pytest.raises(ConfigError, match="width = -1"):
        open_weights(folder).sizes  # noqa: B018
    (folder / "config.json").write_text(json.dumps(config))
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-10])
    with pytest.raises(MissingBackend, match="cannot be read"):
        open_weights(folder).digest()


def test_a_folder_of_the_hub_cache_is_the_snapshot_of_main(tmp_path):
    cache = tmp_path / "models--openai--whisper-base"
    for revision in ("aaa", "bbb"):
        safetensors_folder(cache / "snapshots" / revision, tensors(seed=len(revision)))
    with pytest.raises(MissingBackend, match="2 snapshots"):
        open_weights(cache)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("bbb")
    assert open_weights(cache).path == cache / "snapshots" / "bbb"
    assert form_of(cache) == "transformers"
    assert (
        WhisperExtractor(str(cache), 1).identity() == WhisperExtractor(str(cache / "snapshots" / "bbb"), 1).identity()
    )
    other = tmp_path / "models--Systran--faster-whisper-base"
    ct2_folder(other / "snapshots" / "ccc", tensors())
    assert whisper_model(str(other), *PLAIN).files()[0] == other / "snapshots" / "ccc" / "model.bin"


def test_a_path_without_a_whisper_model_is_an_error_with_the_kind_of_the_file(tmp_path):
    (tmp_path / "ggml-base.bin").write_bytes(b"lmgg1234")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "base.pt").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    for name, message in {
        "ggml-base.bin": "whisper.cpp",
        "cache": "holds base.pt; give the path of one file",
        "empty": "neither model.bin nor config.json",
        "absent": "there is no Whisper model",
    }.items():
        with pytest.raises(SpeechprepError, match=message):
            open_weights(tmp_path / name)


def test_languages_follow_from_the_vocabulary():
    assert languages(51_864) == ("en",)
    assert (len(languages(51_865)), languages(51_865)[-1]) == (99, "su")
    assert (len(languages(51_866)), languages(51_866)[-1]) == (100, "yue")


def test_a_stock_folder_of_faster_whisper_is_a_recogniser_and_its_languages_are_checked(tmp_path):
    english = replace(SMALL, vocabulary=51_864)
    folder = ct2_folder(tmp_path / "tiny.en", tensors(english), english)
    made = whisper_model(str(folder), *PLAIN)
    assert [file.name for file in made.files()] == ["model.bin", "config.json", "tokenizer.json", "vocabulary.txt"]
    made.check_language("whisperx", "en")
    with pytest.raises(ConfigError, match=r"language = 'de', but the Whisper model .* is English-only"):
        made.check_language("whisperx", "de")
    several = replace(SMALL, vocabulary=51_865)
    made = whisper_model(str(ct2_folder(tmp_path / "base", tensors(several), several)), *PLAIN)
    made.check_language("whisperx", "de")
    with pytest.raises(ConfigError, match="language = 'yue' is none of the 99 languages"):
        made.check_language("whisperx", "yue")


def test_a_codebook_of_version_2_is_accepted_with_its_transformers_folder_only(tmp_path):
    folder = safetensors_folder(tmp_path / "a", tensors())
    extractor = WhisperExtractor(str(folder), 2)
    (earlier,) = extractor.earlier_identities()
    assert (earlier["version"], "weights" in earlier) == (2, False)
    book = Codebook(np.zeros((3, extractor.dim), np.float32), earlier, extractor.grid)
    book.check(extractor)
    for other in (
        WhisperExtractor(str(folder), 1),
        WhisperExtractor(str(folder), 2, final_norm=False),
        WhisperExtractor(str(safetensors_folder(tmp_path / "b", tensors(seed=1))), 2),
        WhisperExtractor(str(ct2_folder(tmp_path / "c", tensors())), 2),
    ):
        with pytest.raises(StaleArtifact, match="cannot be used with"):
            book.check(other)
    current = Codebook(np.zeros((3, extractor.dim), np.float32), extractor.identity(), extractor.grid)
    current.check(WhisperExtractor(str(tmp_path / "c"), 2))


# -- with the libraries ------------------------------------------------------------------------------------------------

reference = pytest.mark.reference
quiet = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A random model in the forms of transformers and CTranslate2, by the converter of CTranslate2."""
    pytest.importorskip("whisperx")
    base = tmp_path_factory.mktemp("whisper")
    sizes = {"encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "encoder_layers": 2}
    ct2 = ctc_models.whisper_folder(base / "ct2", base / "transformers", **sizes)
    return {"ct2": ct2, "transformers": base / "transformers"}


@reference
@quiet
@pytest.mark.parametrize("quantization", [None, "float16", "bfloat16", "int16", "int8", "int8_float16"])
def test_tensors_are_those_of_the_converter_of_ctranslate2(models, tmp_path, quantization):
    converters = pytest.importorskip("ctranslate2.converters")
    converters.TransformersConverter(str(models["transformers"])).convert(
        str(tmp_path / "x"), quantization=quantization
    )
    shutil.copy(models["ct2"] / "tokenizer.json", tmp_path / "x")
    plain, found = open_weights(models["transformers"]), open_weights(tmp_path / "x")
    steps = {None: 1e9, "float16": 2**10, "bfloat16": 2**7, "int16": 2**10, "int8": 127, "int8_float16": 127}
    ours = values_of(found)
    for name, value in values_of(plain).items():
        assert np.abs(ours[name] - value).max() <= np.abs(value).max() / steps[quantization], name
    assert (found.digest() == plain.digest()) == (quantization is None)


@reference
@quiet
def test_frames_and_identity_are_equal_in_the_three_forms_and_layers_end_without_the_norm_on_request(models, tmp_path):
    torch = tiny.torch()
    torch.set_num_threads(1)
    convert(models["ct2"], tmp_path / "model.pt", "openai")
    audio = noise(40_011)
    for layer in (0, 1, 2):
        extractors = [
            WhisperExtractor(str(path), layer, device="cpu", **options)
            for path in (models["transformers"], models["ct2"], tmp_path / "model.pt")
            for options in ({}, {"final_norm": False})
        ]
        for extractor in extractors:
            extractor.check()
            extractor.load()
        normed, raw = extractors[::2], extractors[1::2]
        for same in (normed, raw):
            frames = [extractor.extract([audio])[0] for extractor in same]
            assert np.array_equal(frames[0], frames[1])
            assert np.array_equal(frames[0], frames[2])
            assert same[0].identity() == same[1].identity() == same[2].identity()
        assert (normed[0].identity() == raw[0].identity()) == (layer < 2)
        if layer == 2:
            with torch.inference_mode():
                found = normed[0]._module.layer_norm(torch.from_numpy(raw[0].extract([audio])[0])).numpy()
            assert np.allclose(found, normed[0].extract([audio])[0], atol=1e-6)


@reference
@quiet
def test_every_conversion_keeps_the_weights_and_never_overwrites(models, tmp_path):
    transformers = pytest.importorskip("transformers")
    digest = {side: open_weights(models["ct2"]).digest(side) for side in ("encoder", "decoder")}
    made = {"ct2": models["ct2"], "transformers": models["transformers"]}
    made["openai"] = convert(made["ct2"], tmp_path / "from-ct2.pt", "openai").path
    for source, form in (("ct2", "transformers"), ("transformers", "openai"), ("transformers", "ct2"),
                         ("openai", "transformers"), ("openai", "ct2")):  # fmt: skip
        target = tmp_path / f"{source}-to-{form}{'.pt' * (form == 'openai')}"
        weights = convert(made[source], target, form)
        assert (weights.form, weights.path) == (form, target)
        assert {side: weights.digest(side) for side in digest} == digest
        with pytest.raises(ConfigError, match="exists and is not overwritten"):
            convert(made[source], target, form)
    text = "Some words, and 123 \u00e4\u4e2d!"
    ids = transformers.AutoTokenizer.from_pretrained(models["transformers"])(text).input_ids
    for name in ("ct2-to-transformers", "openai-to-transformers"):
        assert transformers.AutoTokenizer.from_pretrained(tmp_path / name)(text).input_ids == ids
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@reference
@quiet
def test_a_conversion_is_refused_with_the_reason_and_leaves_nothing(models, tmp_path):
    for target, form, message in (
        ("x", "ct2", "is a CTranslate2 folder .* already"),
        ("x", "openai", "ending .pt"),
        ("x.pt", "transformers", "without the ending .pt"),
    ):
        with pytest.raises(ConfigError, match=message):
            convert(models["ct2"], tmp_path / target, form)
    damaged = shutil.copytree(models["ct2"], tmp_path / "damaged")
    (damaged / "model.bin").write_bytes((damaged / "model.bin").read_bytes()[:5000])
    with pytest.raises(ConfigError, match="truncated or damaged"):
        convert(damaged, tmp_path / "y", "transformers")
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


@reference
@quiet
def test_a_transformers_folder_and_a_stock_folder_are_recognisers_with_the_same_texts(models, tmp_path):
    stock = shutil.copytree(models["ct2"], tmp_path / "stock")
    (stock / "preprocessor_config.json").unlink()
    chunks = [noise(3 * RATE), noise(2 * RATE)]
    texts = []
    for path in (stock, models["transformers"]):
        made = whisper_model(str(path), *PLAIN)
        made.check("aligner 'whisperx'")
        texts.append([one.text.strip() for one in made.texts(chunks, None)[0]])
    assert texts[0] == texts[1]
    assert any(texts[0])


@reference
@quiet
def test_an_english_only_model_sets_the_language(models, tmp_path):
    checkpoint = ctc_models.openai_checkpoint(tmp_path / "tiny.en.pt", n_vocab=51_864)
    align_model = str(ctc_models.ctc_folder(tmp_path / "align", normalise=False))
    aligner = WhisperxAligner(str(checkpoint), {"en": align_model})
    aligner.load()
    found = aligner.align(noise(3 * RATE), "one two")
    assert (found.language, found.language_probability) == ("en", None)
    with pytest.raises(ConfigError, match="English-only"):
        WhisperxAligner(str(checkpoint), align_model, language="de").load()
    with pytest.raises(ConfigError, match="none of the 99 languages"):
        WhisperxAligner(str(models["ct2"]), align_model, language="yue").check()
