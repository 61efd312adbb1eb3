"""The aligner ctc, through the real libraries on small models: no frame lost or shifted, every token timed."""

from __future__ import annotations

import shutil
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import ctc_models

from speechprep.errors import BadInput, ConfigError, MissingBackend
from speechprep.pipelines.backends.aligners.ctc import CtcAligner, sequence, spell, spoken_words
from speechprep.pipelines.backends.aligners.ctc_models import sliced_convolutions
from speechprep.pipelines.backends.aligners.ctc_models.model import CtcModel
from speechprep.pipelines.backends.sliding_window import SlidingWindow
from speechprep.pipelines.stages import align
from speechprep.registry import resolve

RATE = 16_000
LABELS = ctc_models.LABELS
DICTIONARY = {label: i for i, label in enumerate(LABELS)}
with_torch = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]


def noise(seconds, seed=0):
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 0.1).astype(np.float32)


class Spelled(CtcModel):
    """A model that hears what the samples say: sample 320 * i is the id that frame i gives."""

    vocabulary, blank, stride, field = DICTIONARY, 0, 320, 400

    def __init__(self):
        self.sizes = []

    def identity(self):
        return {"model": "spelled"}

    def load(self):
        pass

    def emissions(self, audio):
        self.sizes.append(len(audio))
        ids = audio[: (len(audio) - 400) // 320 * 320 + 1 : 320].astype(int)
        logits = np.zeros((len(ids), len(LABELS)), np.float32)
        logits[np.arange(len(ids)), ids] = 10
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def spelled(text, frames_for_letter=3, silence=0):
    """Audio for `Spelled`: each letter in one frame, blanks after it."""
    ids = [0] * silence
    for char in text.upper():
        ids += [DICTIONARY["|" if char == " " else char], *[0] * (frames_for_letter - 1)]
    audio = np.zeros(320 * len(ids) + 80, np.float32)
    audio[: 320 * len(ids) : 320] = ids
    return audio


def aligner_of(**options):
    aligner = CtcAligner("folder", **options)
    aligner.model = Spelled()
    return aligner


def test_letters_are_where_they_are_said_and_words_are_as_written():
    aligner = aligner_of()
    audio = spelled("hello it's nineteen eighty four", silence=10)
    found = aligner.align(audio, "Hello,  it\u2019s 1984!")
    assert found.text == "Hello, it\u2019s 1984!"
    assert [w.text for w in found.words] == ["Hello,", "it\u2019s", "1984!"]
    assert all(w.timing == "aligned" and -0.01 < w.score <= 0 for w in found.words)
    starts = [10, 10 + 3 * 6, 10 + 3 * 11]
    assert [w.start for w in found.words] == pytest.approx([s * 0.02 + 0.0025 for s in starts])
    assert found.words[0].end == pytest.approx((10 + 3 * 4 + 1) * 0.02 + 0.0025)


def test_a_token_without_letters_lies_between_its_neighbours():
    found = aligner_of().align(spelled("to be or not"), "to \u2014 be \u6771\u4eac or not \U0001f642")
    timings = {w.text: w.timing for w in found.words}
    assert [t for t, timing in timings.items() if timing == "interpolated"] == ["\u2014", "\u6771\u4eac", "\U0001f642"]
    assert all((w.score is None) == (w.timing == "interpolated") for w in found.words)
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(found.words))


def test_in_other_languages_a_token_is_spelled_as_it_is_written():
    found = aligner_of(language="de").align(spelled("um uhr"), "um \u2014 Uhr")
    assert [w.timing for w in found.words] == ["aligned", "interpolated", "aligned"]


def test_numbers_are_words_of_the_language():
    pytest.importorskip("num2words")
    for language, said, text in (("de", "um acht uhr", "um 8 Uhr"), ("es", "a mil pesos", "a 1.000 pesos")):
        found = aligner_of(language=language).align(spelled(said), text)
        assert [w.timing for w in found.words] == ["aligned"] * 3
        starts = [0, said.index(" ") + 1, said.rindex(" ") + 1]
        assert [w.start for w in found.words] == pytest.approx([s * 0.06 + 0.0025 for s in starts])


def test_the_language_of_the_row_is_used_unless_the_option_names_one():
    pytest.importorskip("num2words")
    aligner = aligner_of()
    audio = spelled("um acht uhr")
    assert min(w.score for w in aligner.in_language("de").align(audio, "um 8 Uhr").words) > -0.01
    assert min(w.score for w in aligner.in_language(None).align(audio, "um 8 Uhr").words) < -1
    assert min(w.score for w in aligner_of(language="en").in_language("de").align(audio, "um 8 Uhr").words) < -1


@pytest.mark.reference
@pytest.mark.timeout(600)  # uroman reads its tables for seconds, on a busy machine for a minute
def test_other_scripts_are_romanised_and_signs_without_spaces_are_words():
    pytest.importorskip("uroman")
    for language, said, text, words in (
        ("ru", "privet mir", "Привет, мир!", ["Привет,", "мир!"]),
        ("zh", "ni hao", "你好（笑）", ["你", "好（", "笑）"]),
    ):
        found = aligner_of(language=language).align(spelled(said), text)
        assert [w.text for w in found.words] == words
        timed = [w for w in found.words if w.timing == "aligned"]
        starts = [0, said.index(" ") + 1]
        assert [w.start for w in timed] == pytest.approx([s * 0.06 + 0.0025 for s in starts])
        assert min(w.score for w in timed) > -0.01


@pytest.mark.parametrize("mark", ["<unk>", "[inaudible]", "\u6771\u4eac", "(speaking French)"])
def test_unknown_speech_does_not_stretch_its_neighbours(mark):
    whole = aligner_of().align(spelled("we heard something else then left"), "we heard something else then left").words
    words = aligner_of().align(spelled("we heard something else then left"), f"we heard {mark} then left").words
    known = [w for w in words if w.text in ("we", "heard", "then", "left")]
    expected = [w for w in whole if w.text in ("we", "heard", "then", "left")]
    for word, right in zip(known, expected, strict=True):
        assert (word.start, word.end) == pytest.approx((right.start, right.end), abs=0.021)
    unknown = next(w for w in words if w.timing == "interpolated")
    assert known[1].end <= unknown.start <= unknown.end <= known[2].start
    assert unknown.score is None


def test_speech_that_is_not_in_the_transcript_may_be_at_the_edges_or_anywhere():
    audio = spelled("listen we heard something else then left again")
    right = aligner_of().align(audio, "listen we heard something else then left again").words
    for option, text in (("edges", "we heard something else then left"), ("anywhere", "we heard then left")):
        found = aligner_of(untranscribed=option).align(audio, text).words
        expected = [w for w in right if w.text in text.split()]
        assert [w.start for w in found] == pytest.approx([w.start for w in expected], abs=0.021)
        assert [w.end for w in found] == pytest.approx([w.end for w in expected], abs=0.021)
    with pytest.raises(ConfigError, match="untranscribed"):
        aligner_of(untranscribed="everywhere")


def test_windows_change_no_frame_and_hold_no_more_than_a_window():
    text = " ".join(["it was the best of times it was the worst of times"] * 20)
    audio = spelled(text)
    whole = aligner_of(window=1000.0).align(audio, text)
    aligner = aligner_of(window=4.0, overlap=0.5)
    blocks = (audio[i : i + 5000] for i in range(0, len(audio), 5000))
    assert aligner.align_stream(blocks, text) == whole
    assert max(aligner.model.sizes) == 4 * RATE
    assert len(aligner.model.sizes) > 10


@pytest.mark.parametrize("extra", [0, 1, 79, 80, 319, 320, 12_345])
def test_the_frames_of_all_windows_are_those_of_the_whole(extra):
    audio = np.zeros(10 * RATE + extra, np.float32)
    audio[::320] = np.arange(len(audio[::320])) % len(LABELS)
    model = Spelled()
    whole = model.emissions(audio)
    parts = list(model.stream(SlidingWindow(iter([audio])), 2.0, 0.5))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_without_a_transcript_the_words_are_what_the_model_hears():
    found = aligner_of(window=4.0, overlap=0.5).align(spelled("hello there general", silence=20), None)
    assert found.text == "hello there general"
    assert [w.start for w in found.words] == pytest.approx([0.4025, 0.4025 + 6 * 0.06, 0.4025 + 12 * 0.06])
    assert aligner_of().align(np.zeros(RATE, np.float32), None).words == []


def test_bad_input_has_its_reason():
    aligner = aligner_of()
    for audio, text, code in (
        (spelled("hello"), "\u6771\u4eac 30", None),
        (spelled("hello"), "\u6771\u4eac \u2014", "no_alignable_text"),
        (spelled("hi"), "a transcript that is far too long for it", "text_too_long"),
        (np.zeros(399, np.float32), "hello", "audio_too_short"),
        (np.zeros(399, np.float32), None, "audio_too_short"),
    ):
        if code is None:
            assert aligner.align(audio, text).words
            continue
        with pytest.raises(BadInput) as error:
            aligner.align(audio, text)
        assert error.value.code == code
    assert aligner.align(spelled("hello"), "  ").words == []
    with pytest.raises(ConfigError, match="at most a quarter"):
        CtcAligner("folder", window=4, overlap=2)


def test_letters_and_words_find_each_other():
    spelling = spell(["ab", "\u6771", "c"], {"a": 5, "b": 6, "c": 7})
    ids, owners = sequence(spelling, 4)
    assert (ids.tolist(), owners.tolist()) == ([5, 6, 4, 7], [0, 0, -1, 2])
    at = np.arange(4, dtype=np.int32)
    found = spoken_words(3, owners, at, at + 1, np.array([-1.0, -2.0, -9.0, -3.0]))
    assert [f and (f.start, f.end, f.score) for f in found] == [(0, 2, -1.5), None, (3, 4, -3.0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ctc_models.ctc_folder(tmp_path_factory.mktemp("ctc") / "tiny")


def with_marks(function):
    for mark in with_torch:
        function = mark(function)
    return function


@with_marks
def test_a_hugging_face_model_gives_what_its_processor_and_torchaudio_give(folder):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    functional = pytest.importorskip("torchaudio.functional")
    aligner = resolve("aligners", "ctc")(str(folder))
    aligner.load()
    audio, text = noise(6) * 0.01 + 0.2, "it was the best of times"
    processor = transformers.Wav2Vec2Processor.from_pretrained(folder)
    model = transformers.Wav2Vec2ForCTC.from_pretrained(folder).eval()
    with torch.inference_mode():
        values = processor(audio, sampling_rate=RATE, return_tensors="pt").input_values
        scores = torch.log_softmax(model(values).logits, dim=-1)
    np.testing.assert_allclose(aligner.model.emissions(audio), scores[0].numpy(), atol=1e-4)
    ids = torch.tensor([[DICTIONARY[c] for c in text.upper().replace(" ", "|")]])
    labels, their = functional.forced_align(torch.from_numpy(aligner.model.emissions(audio))[None], ids)
    spans = functional.merge_tokens(labels[0], their[0])
    lengths = [len(word) for word in text.split()]
    firsts = np.cumsum([0, *(n + 1 for n in lengths[:-1])])
    found = aligner.align(audio, text).words
    assert [w.start for w in found] == pytest.approx([spans[i].start * 0.02 + 0.0025 for i in firsts], abs=1e-4)
    ends = [spans[i + n - 1].end * 0.02 + 0.0025 for i, n in zip(firsts, lengths, strict=True)]
    assert [w.end for w in found] == pytest.approx(ends, abs=1e-4)


@with_marks
def test_the_same_model_in_another_folder_is_the_same_and_other_weights_are_another(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "tiny")
    other = ctc_models.ctc_folder(tmp_path / "other" / "tiny", seed=1)
    first = CtcAligner(str(folder)).identity()
    assert CtcAligner(str(copy)).identity() == first
    assert CtcAligner(str(other)).identity()["model_sha256"] != first["model_sha256"]
    assert CtcAligner(str(folder), language="de").identity() != first


@with_marks
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "vocab.json", "model.safetensors"])
def test_a_model_folder_with_a_file_missing_is_refused(folder, tmp_path, name):
    copy = shutil.copytree(folder, tmp_path / "tiny")
    (copy / name).unlink()
    for action in (CtcAligner(str(copy)).identity, CtcAligner(str(copy)).load):
        with pytest.raises(MissingBackend, match="lacks"):
            action()


@with_marks
def test_damaged_weights_and_a_model_without_head_are_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "tiny")
    (copy / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be read"):
        CtcAligner(str(copy)).load()
    transformers = pytest.importorskip("transformers")
    config = transformers.Wav2Vec2Config.from_pretrained(folder)
    transformers.Wav2Vec2Model(config).save_pretrained(copy)
    with pytest.raises(ConfigError, match="lm_head"):
        CtcAligner(str(copy)).load()


@with_marks
def test_order_and_neighbours_change_nothing(folder):
    aligner = CtcAligner(str(folder))
    aligner.load()
    cases = [(noise(2, 1), "one two"), (noise(7, 2), "it is what it is"), (noise(3, 3), None)]
    first = [aligner.align(*case) for case in cases]
    assert [aligner.align(*case) for case in reversed(cases)] == first[::-1]


@with_marks
def test_a_torchaudio_bundle_works_from_a_file_on_disk(tmp_path, monkeypatch):
    torch, pipelines = pytest.importorskip("torch"), pytest.importorskip("torchaudio.pipelines")
    from torchaudio.models import wav2vec2_model

    real = pipelines.WAV2VEC2_ASR_BASE_960H
    params = {
        **real._params, "encoder_num_layers": 1, "encoder_embed_dim": 32, "encoder_num_heads": 2,
        "encoder_ff_interm_features": 64, "encoder_pos_conv_groups": 2, "encoder_pos_conv_kernel": 16,
        "extractor_conv_layer_config": [(16, k, s) for _, k, s in real._params["extractor_conv_layer_config"]],
    }  # fmt: skip
    small = type(real)(
        "small.pth", params, _sample_rate=RATE, _normalize_waveform=False, _labels=real._labels,
        _model_type="Wav2Vec2", _remove_aux_axis=(),
    )  # fmt: skip
    torch.manual_seed(0)
    model = wav2vec2_model(**params)
    torch.save(model.state_dict(), tmp_path / "small.pth")
    monkeypatch.setattr(pipelines, "WAV2VEC2_ASR_BASE_960H", small)
    aligner = CtcAligner("WAV2VEC2_ASR_BASE_960H", folder=str(tmp_path))
    aligner.load()
    audio = noise(4)
    with torch.inference_mode():
        expected = torch.log_softmax(model.eval()(torch.from_numpy(audio)[None])[0], -1)[0]
    np.testing.assert_allclose(aligner.model.emissions(audio), expected.numpy(), atol=1e-5)
    assert [w.timing for w in aligner.align(audio, "hello there").words] == ["aligned", "aligned"]
    assert "small" not in str(aligner.identity())
    with pytest.raises(ConfigError, match="torchaudio has no model"):
        CtcAligner("WAV2VEC2_NONE").load()


@with_marks
def test_the_front_end_in_slices_gives_the_bits_of_the_plain_one():
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

    torch.manual_seed(0)
    front = Wav2Vec2FeatureEncoder(transformers.Wav2Vec2Config()).eval()  # that of the base size
    norm = front.conv_layers[0].layer_norm
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_()
    sounds = [torch.from_numpy(noise(samples / RATE)[None]) for samples in (400, 41_000, 82_320, 99_999, 163_877)]
    with torch.inference_mode():
        plain = [front(sound) for sound in sounds]
        assert sliced_convolutions.make_lean(front)
        assert "plain" in front.forward.__code__.co_freevars
        for sound, wanted in zip(sounds, plain, strict=True):
            assert torch.equal(front(sound), wanted), sound.shape
    large = transformers.Wav2Vec2Config(feat_extract_norm="layer", num_hidden_layers=1)
    assert not sliced_convolutions.make_lean(Wav2Vec2FeatureEncoder(large))
    assert not sliced_convolutions.make_lean(None)


@with_marks
def test_the_align_stage_runs_with_it(folder, run_stage, make_corpus):
    rows = [
        {"id": "said", "sound": noise(5, 1), "text": "It was 42 \u2014 the best"},
        {"id": "unsaid", "sound": noise(5, 2), "text": "\u6771\u4eac"},
        {"id": "flood", "sound": noise(1, 3), "text": "too many words " * 20},
    ]
    options = {"backend": "ctc", "options": {"model": str(folder)}, "min_score": None}
    made = run_stage(align.STAGE, options, {"utterances": make_corpus(rows)})
    found = pq.read_table(next(made.glob("part-*"))).to_pylist()
    assert [row["id"] for row in found] == ["said"]
    assert [w["text"] for w in found[0]["words"]] == rows[0]["text"].split()
    assert [w["timing"] for w in found[0]["words"]] == ["aligned"] * 3 + ["interpolated"] + ["aligned"] * 2
    refused = pq.read_table(next((made / "_rejects").glob("*.parquet"))).to_pylist()
    assert {row["id"]: row["code"] for row in refused} == {"unsaid": "no_alignable_text", "flood": "text_too_long"}
