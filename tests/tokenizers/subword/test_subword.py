"""SentencePiece on units and text: no skipped and no lost input, and equal ids for every way of calling it."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.tokenizers.subword import spm_proto
from speechprep.tokenizers.subword.hf_tokenizer import bpe_merges
from speechprep.tokenizers.subword.model import TextSubword, UnitSubword
from speechprep.tokenizers.subword.train import train_text, train_units
from speechprep.tokenizers.subword.unit_text import to_text

TEXTS = [
    "It is a truth universally acknowledged, that a single man in possession of a good fortune",
    "must be in want of a wife. However little known the feelings or views of such a man may be",
    "on his first entering a neighbourhood, this truth is so well fixed in the minds ...",
    "<s> THE $43,000 <unk> <unk> <unk> <laugh> <laugh> <laugh> caf\u00e9 na\u00efve --- --- ---",
] * 3


def walk(k: int, n: int, seed: int = 0) -> np.ndarray:
    """Units without repeats, with some pairs much more frequent than others."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([1, 2, 3, 7, max(k // 2, 1)], n, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    units = np.cumsum(steps) % k
    return units[np.concatenate([[True], units[1:] != units[:-1]])].astype(np.uint16)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], UnitSubword]:
    """A trained model for each number of units and algorithm."""
    folder = tmp_path_factory.mktemp("models")
    trained = {}
    for k, algorithm in ((2, "bpe"), (5, "bpe"), (100, "bpe"), (2000, "bpe"), (7000, "bpe"), (100, "unigram")):
        path = folder / f"{k}-{algorithm}.model"
        sequences = [walk(k, 400, seed) for seed in range(20)]
        train_units(sequences, k, k + 200, path, algorithm=algorithm)
        trained[k, algorithm] = UnitSubword.load(path)
    return trained


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TextSubword:
    path = tmp_path_factory.mktemp("text") / "text.model"
    train_text(TEXTS, 500, path)
    return TextSubword.load(path)


MODELS = [(2, "bpe"), (5, "bpe"), (100, "bpe"), (2000, "bpe"), (7000, "bpe"), (100, "unigram")]


@st.composite
def segments(draw: st.DrawFn, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Segments of random units, of periodic units and of earlier units."""
    unit = st.integers(0, k - 1)
    few = st.lists(st.integers(0, min(k, 4) - 1), max_size=40)
    periodic = st.builds(lambda p, n: (p * n)[:40], st.lists(unit, min_size=1, max_size=4), st.integers(1, 20))
    seen = st.builds(lambda a, n: walk(k, 60, 1)[a : a + n].tolist(), st.integers(0, 40), st.integers(0, 40))
    parts = draw(st.lists(st.one_of(st.lists(unit, max_size=30), few, periodic, seen), max_size=8))
    return np.array([u for part in parts for u in part], np.uint16), np.cumsum([0, *map(len, parts)])


@pytest.mark.parametrize("key", MODELS, ids=str)
def test_encoding_many_segments_equals_sentencepiece_on_each_and_decodes_exactly(models, key):
    import sentencepiece

    model = models[key]
    alone = sentencepiece.SentencePieceProcessor(model_proto=model.model)

    @settings(max_examples=60)
    @given(segments(key[0]))
    def check(ragged):
        flat, offsets = ragged
        ids, at = model.encode_ragged(flat, offsets)
        expected = [alone.encode(to_text(flat[a:b])) for a, b in itertools.pairwise(offsets)]
        assert [ids[a:b].tolist() for a, b in itertools.pairwise(at)] == expected
        assert ids.dtype == np.int32
        units, back = model.decode_ragged(ids, at)
        assert np.array_equal(units, flat)
        assert units.dtype == np.uint16
        assert np.array_equal(back, offsets)

    check()


def test_segments_longer_than_one_call_and_many_short_ones_are_encoded_alike(models):
    model = models[100, "bpe"]
    units = np.concatenate([walk(100, 5000, seed) for seed in range(4)])
    cuts = np.sort(np.random.default_rng(0).integers(0, len(units), 600))
    cuts[300:] = np.maximum(cuts[300:], 9000)  # one segment of thousands
    offsets = np.concatenate([[0], np.sort(cuts), [len(units)]])
    ids, at = model.encode_ragged(units, offsets)
    for a, b, c, d in zip(offsets, offsets[1:], at, at[1:], strict=False):
        assert model.encode(units[a:b]).tolist() == ids[c:d].tolist()
    joined, _ = model._joined(units, np.array([0, len(units)]))
    assert joined.tolist() == model.encode(units).tolist()


def test_what_was_encoded_before_does_not_change_what_is_encoded_now(models, tmp_path):
    used = models[100, "bpe"]
    (tmp_path / "m").write_bytes(used.model)
    units = walk(100, 3000, 77)
    for seed in range(5):
        used.encode(walk(100, 2000, seed))
    assert np.array_equal(UnitSubword.load(tmp_path / "m").encode(units), used.encode(units))


def test_the_memory_of_chunks_starts_afresh_when_it_is_full(models, tmp_path, monkeypatch):
    monkeypatch.setattr("speechprep.tokenizers.subword.chunks._POOL", 50)
    (tmp_path / "m").write_bytes(models[100, "bpe"].model)
    model = UnitSubword.load(tmp_path / "m")
    for seed in range(8):
        units = walk(100, 300, seed)
        assert np.array_equal(model.encode(units), models[100, "bpe"].encode(units))


def test_chunks_whose_hashes_clash_are_told_apart(models, tmp_path, monkeypatch):
    monkeypatch.setattr("speechprep.tokenizers.subword.chunks._SPREAD", (np.uint64(0), np.uint64(0)))
    (tmp_path / "m").write_bytes(models[100, "bpe"].model)
    model = UnitSubword.load(tmp_path / "m")
    units, offsets = walk(100, 3000), np.arange(0, 3001, 20)
    for _ in range(2):
        ids, at = model.encode_ragged(units, offsets)
        expected = models[100, "bpe"]._joined(units, offsets)
        assert ids.tolist() == expected[0].tolist()
        assert at.tolist() == expected[1].tolist()


def test_merges_were_learnt(models):
    model = models[100, "bpe"]
    units = walk(100, 400, 3)
    assert len(units) > 1.5 * len(model.encode(units))


@pytest.mark.slow
def test_units_beyond_16_bits_are_encoded(tmp_path):
    k = 66_000
    train_units([np.arange(k - 50, k, dtype=np.uint32)] * 4, k, k + 20, tmp_path / "m")
    model = UnitSubword.load(tmp_path / "m")
    units = np.array([0, 6399, 6400, 65_535, 65_536, 65_998, 65_999, 65_950], np.uint32)
    assert model.decode(model.encode(units)).tolist() == units.tolist()
    assert model.decode(model.encode(units)).dtype == np.uint32


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_sequences_longer_than_the_byte_limit_are_cut_and_none_is_skipped(tmp_path, algorithm, capfd):
    k = 30
    long, short = walk(k, 20_000), walk(k, 50)
    coverage = train_units([long, short, short[:0]], k, 300, tmp_path / "m", algorithm=algorithm)
    assert coverage["sequences"] == 3
    assert coverage["units"] == len(long) + len(short)
    assert coverage["cut"] == 1
    assert coverage["skipped"] == 0
    assert coverage["size"] == UnitSubword.load(tmp_path / "m").size
    model = UnitSubword.load(tmp_path / "m")
    assert len(model.encode(long)) < len(long) / 2  # training used the long sequence
    assert "Too long" not in capfd.readouterr().err


def test_every_line_given_to_sentencepiece_is_below_its_limit(tmp_path, monkeypatch):
    from speechprep.tokenizers.subword import train

    given_lines: list[str] = []
    original = train._train

    def watch(lines, *args, **options):
        given_lines.extend(lines)
        return original(lines, *args, **options)

    monkeypatch.setattr(train, "_train", watch)
    sequences = [walk(7000, 9000) for _ in range(2)]
    train_units(sequences, 7000, 7100, tmp_path / "u")
    assert "".join(given_lines).startswith("".join(map(to_text, sequences)))
    train_text(["\u00e9" * 9001, "a b " * 4000], 500, tmp_path / "t")
    texts = "".join(given_lines).partition(" \u00e9")
    assert texts[2].count("\u00e9") == 9000
    assert "".join(given_lines).endswith(" a b" * 4000)
    assert max(len(line.encode()) for line in given_lines) <= train._LINE_BYTES


def test_every_unit_is_a_piece_though_the_corpus_has_few_of_them(tmp_path):
    train_units([np.array([1, 2, 1, 2], np.uint16)], 500, 520, tmp_path / "m")
    model = UnitSubword.load(tmp_path / "m")
    assert model.k == 500
    assert model.decode(model.encode(np.arange(500))).tolist() == list(range(500))


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
@pytest.mark.parametrize("sequences", [[], [[0, 1] * 3], [[0, 1, 2]] * 50], ids=["none", "tiny", "small"])
def test_a_vocabulary_larger_than_the_corpus_supports_becomes_smaller(tmp_path, algorithm, sequences):
    coverage = train_units([np.array(s) for s in sequences], 5, 1000, tmp_path / "m", algorithm=algorithm)
    assert 6 <= coverage["size"] < 1000
    assert UnitSubword.load(tmp_path / "m").size == coverage["size"]


def test_a_vocabulary_too_small_for_the_units_is_refused_with_the_size_needed(tmp_path):
    with pytest.raises(ConfigError, match=r"unit_vocab_size 100 is too small: 100 units .* need 101"):
        train_units([], 100, 100, tmp_path / "m")


def test_a_unit_that_the_codebook_has_not_is_refused(tmp_path, models):
    with pytest.raises(StaleArtifact, match="unit 7 in the data, but the codebook has 5"):
        train_units([np.array([1, 7])], 5, 10, tmp_path / "m")
    with pytest.raises(StaleArtifact, match="unit 7, but the subword model has units below 5"):
        models[5, "bpe"].encode(np.array([7]))


@pytest.mark.parametrize("ids", [[0], [-1], [10_000]])
def test_an_id_that_is_no_unit_is_refused(models, ids):
    with pytest.raises(StaleArtifact, match="pieces of units are 1 to"):
        models[100, "bpe"].decode(ids)


def test_the_same_sequences_give_the_same_bytes_whatever_the_threads(tmp_path, monkeypatch):
    sequences = [walk(50, 500, seed) for seed in range(5)]
    train_units(sequences, 50, 120, tmp_path / "a")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    train_units(iter(sequences), 50, 120, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_that_is_no_model_is_refused(tmp_path, text):
    with pytest.raises(StaleArtifact, match="no SentencePiece model at"):
        UnitSubword.load(tmp_path / "none")
    (tmp_path / "junk").write_bytes(b"junk junk junk")
    with pytest.raises(StaleArtifact, match="is not a SentencePiece model"):
        UnitSubword.load(tmp_path / "junk")
    (tmp_path / "text").write_bytes(text.model)
    with pytest.raises(StaleArtifact, match="is not a model over units"):
        UnitSubword.load(tmp_path / "text")


anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
wordy = st.lists(st.sampled_from([*" ".join(TEXTS).split(), "  ", "\n", "▁", "▅", "\x00"]), max_size=8)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(anything, wordy.map(" ".join)), max_size=4))
def test_any_text_is_encoded_on_its_own_and_decodes_exactly(text, texts):
    ids, offsets = text.encode_batch(texts)
    assert len(offsets) == len(texts) + 1
    for given_text, a, b in zip(texts, offsets, offsets[1:], strict=False):
        assert text.decode(ids[a:b]) == given_text
        assert ids[a:b].tolist() == text.encode_batch([given_text])[0].tolist()
    assert not (ids == 0).any()


def test_spans_of_words_add_up_to_the_text_and_its_tokens(text):
    words = TEXTS[0].split()
    whole = "".join(" " + word for word in words)
    spans = [" " + " ".join(words[a:b]) for a, b in ((0, 3), (3, 4), (4, len(words)))]
    assert "".join(spans) == whole
    assert text.encode_batch(spans)[0].tolist() == text.encode_batch([whole])[0].tolist()
    assert text.decode(text.encode_batch(spans)[0]) == whole


def test_words_were_learnt_with_the_space_before_them(text):
    assert " truth" in text.pieces
    assert not any(" " in piece[1:] for piece in text.pieces)


def test_markup_never_becomes_a_piece_of_text(text):
    assert not {"<s>", "<laugh>"} & set(text.pieces)
    assert text.pieces.count("<unk>") == 1  # the unknown piece of SentencePiece, in no encoding
    assert (text.encode_batch(["<unk>"])[0] > 0).all()


def test_characters_that_sentencepiece_cannot_be_trained_with_are_counted_and_cost_no_line(tmp_path):
    clean = train_text(["wanted words"] * 9, 290, tmp_path / "clean")
    dirty = train_text(["wan\x00ted \u2585words\ue123\u2581"] * 9, 290, tmp_path / "dirty")
    assert (clean["left_out"], dirty["left_out"]) == (0, 36)
    assert (tmp_path / "clean").read_bytes() == (tmp_path / "dirty").read_bytes()


def test_no_text_and_too_small_a_vocabulary_of_text_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no text to train on"):
        train_text(["", " \n"], 500, tmp_path / "m")
    with pytest.raises(ConfigError, match="text_vocab_size 257 is too small: bytes alone need 257"):
        train_text(["ab"], 257, tmp_path / "m")


def test_characters_that_do_not_fit_are_left_to_bytes_the_rarest_first(tmp_path):
    coverage = train_text(["aaa aa \u4eac", "aa bbb \u4e1c\u4e1c"], 260, tmp_path / "m")
    assert coverage["left_out"] == 3
    model = TextSubword.load(tmp_path / "m")
    assert model.size == coverage["size"] == 260
    assert set(model.pieces[257:]) == {"a", "b", " "}
    assert model.decode(model.encode_batch([" \u4e1c\u4eac ab"])[0]) == " \u4e1c\u4eac ab"


def test_a_model_rewritten_with_its_own_pieces_keeps_its_bytes():
    import sentencepiece

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=trained, vocab_size=60, model_type="bpe", minloglevel=2
    )
    model = trained.getvalue()
    assert spm_proto.algorithm(model) == "bpe"
    pieces = spm_proto.read_pieces(model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert [p.text for p in pieces] == [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    assert spm_proto.rewrite(model, pieces, escape_whitespaces=True) == model
    for cut in (1, len(model) // 2, len(model) - 1):
        with pytest.raises(StaleArtifact, match="not a SentencePiece model"):
            spm_proto.read_pieces(model[:cut])


@st.composite
def piece_sets(draw: st.DrawFn) -> list[str]:
    """Pieces over two letters, composed of each other, in any order."""
    pieces = ["a", "b"]
    for _ in range(draw(st.integers(0, 25))):
        piece = draw(st.sampled_from(pieces)) + draw(st.sampled_from(pieces))
        if len(piece) <= 12 and piece not in pieces:
            pieces.append(piece)
    return draw(st.permutations(pieces[2:]))


@settings(max_examples=150)
@given(piece_sets(), st.lists(st.text("ab", min_size=1, max_size=24), min_size=1, max_size=8))
def test_ranking_pieces_and_ranking_merges_give_the_same(pieces, texts):
    merges = bpe_merges(pieces, "ab")
    for text in texts:
        assert by_piece(text, pieces) == by_merge(text, merges)


def by_piece(text: str, order: list[str]) -> list[str]:
    """SentencePiece: join the two neighbours with the best piece, the leftmost among equals."""
    rank = {piece: i for i, piece in enumerate(order)}
    symbols = list(text)
    while True:
        candidates = [(rank[a + b], i) for i, (a, b) in enumerate(itertools.pairwise(symbols)) if a + b in rank]
        if not candidates:
            return symbols
        _, i = min(candidates)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


def by_merge(text: str, merges: list[tuple[str, str]]) -> list[str]:
    """Hugging Face: apply the best merge (left, right), the leftmost among equals."""
    rank = {merge: i for i, merge in enumerate(merges)}
    symbols = list(text)
    while True:
        candidates = [(rank[m], i) for i, m in enumerate(itertools.pairwise(symbols)) if m in rank]
        if not candidates:
            return symbols
        _, i = min(candidates)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


def test_the_model_file_alone_decodes_in_sentencepiece(models, tmp_path: Path):
    import sentencepiece

    (tmp_path / "units.model").write_bytes(models[100, "bpe"].model)
    alone = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "units.model"))
    units = walk(100, 200)
    assert alone.decode(models[100, "bpe"].encode(units).tolist()) == to_text(units)
