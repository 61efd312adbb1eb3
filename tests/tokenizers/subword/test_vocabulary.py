"""The joint vocabulary: disjoint ranges, self-contained files, and equal ids in transformers."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.tokenizers.subword.train import train_text, train_units
from speechprep.tokenizers.subword.unit_text import UNIT_CHARACTERS, to_text
from speechprep.tokenizers.subword.vocabulary import MODALITIES, TEXT_MODEL, UNIT_MODEL, Vocabulary

K = 60
TEXTS = [
    "She had your dark suit in greasy wash water all year.",
    "Don't ask me -- to carry an oily rag like that ...",
] * 5
PARTS = {"text and units": (True, True), "units only": (False, True), "text and raw units": (True, False)}


def units_like_speech(n: int, seed: int = 0) -> np.ndarray:
    steps = np.random.default_rng(seed).choice([1, 2, 5], n, p=[0.6, 0.3, 0.1])
    return (np.cumsum(steps) % K).astype(np.uint16)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    train_text(TEXTS, 380, folder / TEXT_MODEL)
    train_units([units_like_speech(500, seed) for seed in range(9)], K, 160, folder / UNIT_MODEL)
    return folder / TEXT_MODEL, folder / UNIT_MODEL


@pytest.fixture(scope="module", params=PARTS)
def saved(request, models, tmp_path_factory) -> tuple[Vocabulary, Path]:
    """A vocabulary with each set of models, and its folder."""
    expected = (model if there else None for model, there in zip(models, PARTS[request.param], strict=True))
    vocabulary = Vocabulary.build(*expected, K)
    folder = tmp_path_factory.mktemp("vocabulary")
    vocabulary.save(folder)
    return vocabulary, folder


@pytest.fixture
def vocabulary(models) -> Vocabulary:
    return Vocabulary.build(*models, K)


def test_ids_of_special_tokens_are_the_first_sixteen(vocabulary):
    assert vocabulary.special_tokens[:4] == ["<pad>", "<s>", "</s>", "<unk>"]
    assert vocabulary.special_tokens[4:10] == ["<U_EN>", "<EOU>", "<T_EN>", "<EOS>", "<U2T>", "<T2U>"]
    named = ("pad", "bos", "eos", "unk", "u_start", "u_end", "t_start", "t_end", "u2t", "t2u")
    assert [getattr(vocabulary, name) for name in named] == list(range(10))
    assert vocabulary.text_offset == len(vocabulary.special_tokens) == 16


def test_the_language_is_in_the_names_of_the_markers():
    german = Vocabulary.build(None, None, K, "de")
    assert [german.special_tokens[i] for i in (german.u_start, german.t_start)] == ["<U_DE>", "<T_DE>"]
    with pytest.raises(ConfigError, match="language 'deutsch!'"):
        Vocabulary.build(None, None, K, "deutsch!")


def test_ranges_are_disjoint_and_every_id_has_one_token_and_one_modality(saved):
    vocabulary, _ = saved
    assert vocabulary.unit_offset == vocabulary.text_offset + vocabulary.text_size
    assert vocabulary.size == vocabulary.unit_offset + vocabulary.unit_size == len(vocabulary.tokens)
    assert len(set(vocabulary.tokens)) == vocabulary.size
    codes = vocabulary.token_modality
    assert codes.dtype == np.int8
    counts = {name: int((codes == code).sum()) for name, code in MODALITIES.items()}
    assert counts == {"special": 10, "switch": 6, "text": vocabulary.text_size, "unit": vocabulary.unit_size}
    assert (codes[vocabulary.u_start : vocabulary.t2u + 1] == MODALITIES["switch"]).all()
    assert (codes[vocabulary.unit_offset :] == MODALITIES["unit"]).all()


def test_units_keep_to_their_range_and_decode_exactly(saved):
    vocabulary, _ = saved

    @settings(max_examples=60)
    @given(st.lists(st.lists(st.integers(0, K - 1), max_size=20), max_size=6))
    def check(parts):
        flat, offsets = np.array([u for part in parts for u in part], np.uint16), np.cumsum([0, *map(len, parts)])
        ids, at = vocabulary.encode_units(flat, offsets)
        assert ids.dtype == np.int32
        assert (vocabulary.token_modality[ids] == MODALITIES["unit"]).all()
        for i, part in enumerate(parts):
            assert vocabulary.decode_units(ids[at[i] : at[i + 1]]).tolist() == part

    check()


def test_text_keeps_to_its_range_and_decodes_exactly(vocabulary):
    texts = [" She  had", "", " \u00fcber \u2581 100 %\n", TEXTS[1]]
    ids, at = vocabulary.encode_texts(texts)
    assert (vocabulary.token_modality[ids] == MODALITIES["text"]).all()
    assert [vocabulary.decode_text(ids[a:b]) for a, b in itertools.pairwise(at)] == texts


def test_ids_of_the_wrong_modality_are_refused(vocabulary):
    units, _ = vocabulary.encode_units(np.array([1, 2]), np.array([0, 2]))
    with pytest.raises(StaleArtifact, match="ids of text are 16 to"):
        vocabulary.decode_text(units)
    with pytest.raises(StaleArtifact, match="ids of units are"):
        vocabulary.decode_units(np.array([vocabulary.eos]))
    with pytest.raises(StaleArtifact, match="unit 60, but"):
        Vocabulary.build(None, None, K).encode_units(np.array([K]), np.array([0, 1]))
    with pytest.raises(ConfigError, match="no text"):
        Vocabulary.build(None, None, K).encode_texts(["a"])


def test_a_vocabulary_read_back_is_the_same_and_its_files_are_the_same_each_time(saved, tmp_path):
    vocabulary, folder = saved
    again = Vocabulary.load(folder)
    assert again.describe() == vocabulary.describe()
    assert again.tokens == vocabulary.tokens
    units = units_like_speech(300)
    at = np.array([0, 100, 300])
    assert again.encode_units(units, at)[0].tolist() == vocabulary.encode_units(units, at)[0].tolist()
    assert np.array_equal(np.load(folder / "token_modality.npy", allow_pickle=False), vocabulary.token_modality)
    again.save(tmp_path)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_sentencepiece_alone_decodes_the_unit_part(saved):
    import sentencepiece

    vocabulary, folder = saved
    if vocabulary.units is None:
        assert not (folder / UNIT_MODEL).exists()
        return
    units = units_like_speech(200, 5)
    ids, _ = vocabulary.encode_units(units, np.array([0, 200]))
    offset = json.loads((folder / "vocab.json").read_text())["ranges"]["unit"][0]
    alone = sentencepiece.SentencePieceProcessor(model_file=str(folder / UNIT_MODEL))
    assert alone.decode((ids - offset).tolist()) == to_text(units)


def test_models_that_do_not_belong_are_refused(saved, models, tmp_path):
    vocabulary, folder = saved
    with pytest.raises(StaleArtifact, match="no vocabulary in"):
        Vocabulary.load(tmp_path / "nowhere")
    with pytest.raises(StaleArtifact, match="trained on 60 units, but the codebook has 61"):
        Vocabulary.build(None, models[1], K + 1)
    if vocabulary.text is not None:
        for path in folder.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        train_text(["other words"], 300, tmp_path / TEXT_MODEL)
        with pytest.raises(StaleArtifact, match="does not belong to the models beside it"):
            Vocabulary.load(tmp_path)


def test_a_unigram_vocabulary_says_that_transformers_cannot_load_it(models, tmp_path):
    sequences = [units_like_speech(300, seed) for seed in range(5)]
    train_units(sequences, K, 120, tmp_path / "m", algorithm="unigram")
    vocabulary = Vocabulary.build(models[0], tmp_path / "m", K)
    vocabulary.save(tmp_path / "v")
    assert not vocabulary.has_tokenizer
    assert not (tmp_path / "v" / "tokenizer.json").exists()
    assert Vocabulary.load(tmp_path / "v").describe() == vocabulary.describe()


@pytest.fixture
def fast(saved):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    return transformers.AutoTokenizer.from_pretrained(saved[1])


any_text = st.text(st.characters(exclude_categories=["Cs", "Co"]), max_size=60)
wordy = st.lists(st.sampled_from([*" ".join(TEXTS).split(), "", "...", "----", "1984", "\u00e9"]), max_size=12)
runs = st.builds(lambda c, n: " " + c * n, st.sampled_from(["-", ".", "ab", "\u00e9", " "]), st.integers(0, 30))


@pytest.mark.reference
def test_transformers_gives_the_ids_of_sentencepiece_for_any_text(saved, fast):
    vocabulary, _ = saved
    if vocabulary.text is None:
        pytest.skip("this vocabulary has no text")

    @settings(max_examples=300)
    @given(st.one_of(any_text, wordy.map(lambda words: " " + " ".join(words)), runs))
    def check(text):
        assume(not any(token in text for token in vocabulary.special_tokens))  # read as special tokens
        ids, _ = vocabulary.encode_texts([text])
        assert fast(text)["input_ids"] == ids.tolist()
        assert fast.decode(ids.tolist()) == text

    check()


@pytest.mark.reference
def test_transformers_gives_the_ids_of_sentencepiece_for_any_units(saved, fast):
    vocabulary, _ = saved
    unit = st.integers(0, K - 1)
    periodic = st.builds(lambda period, n: period * n, st.lists(unit, min_size=1, max_size=4), st.integers(1, 12))
    walks = st.builds(lambda seed: units_like_speech(40, seed).tolist(), st.integers(0, 1000))

    @settings(max_examples=300)
    @given(st.one_of(st.lists(unit, max_size=40), periodic, walks))
    def check(units):
        array = np.array(units, np.uint16)
        ids, _ = vocabulary.encode_units(array, np.array([0, len(units)]))
        assert fast(to_text(array))["input_ids"] == ids.tolist()
        assert fast.decode(ids.tolist()) == to_text(array)

    check()


@pytest.mark.reference
def test_transformers_reads_a_whole_interleaved_row(saved, fast):
    vocabulary, _ = saved
    units = units_like_speech(30)
    unit_ids, _ = vocabulary.encode_units(units, np.array([0, 30]))
    expected, row = [vocabulary.u_start, *unit_ids.tolist()], "<U_EN>" + to_text(units)
    if vocabulary.text is not None:
        text_ids, _ = vocabulary.encode_texts([" She had"])
        expected, row = [*expected, vocabulary.u2t, *text_ids.tolist(), vocabulary.t_end], row + "<U2T> She had<EOS>"
    assert fast(row)["input_ids"] == expected
    assert fast.decode(expected) == row
    assert fast.decode(expected, skip_special_tokens=True).startswith(to_text(units))


@pytest.mark.reference
def test_transformers_knows_the_size_and_the_special_tokens(saved, fast):
    vocabulary, _ = saved
    assert len(fast) == fast.vocab_size == vocabulary.size
    assert fast.is_fast
    assert (fast.pad_token_id, fast.bos_token_id, fast.eos_token_id, fast.unk_token_id) == (0, 1, 2, 3)
    assert fast.convert_tokens_to_ids(vocabulary.special_tokens) == list(range(16))
    assert fast.convert_ids_to_tokens(list(range(vocabulary.size))) == vocabulary.tokens
    assert set(fast.all_special_tokens) == set(vocabulary.special_tokens)


def test_no_piece_of_text_holds_a_character_of_units(vocabulary):
    assert not re.search(f"[{UNIT_CHARACTERS}]", "".join(vocabulary.text.pieces))
