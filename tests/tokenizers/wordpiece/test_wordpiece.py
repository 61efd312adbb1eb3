"""WordPiece: the pieces of a plain implementation, the same pieces in each training, and texts that are only text."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.tokenizers.wordpiece.tokenizer import SPECIAL, WordPiece, save_tokenizer
from speechprep.tokenizers.wordpiece.train import train_pieces

WORDS = "the then that this these those wind window winding unwind cat cats catalogue dog dogs can't it's"
LEXICON = WORDS.split()


def corpus(seed: int, n: int = 120) -> list[str]:
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(LEXICON, k=chosen.randint(1, 9))) for _ in range(n)]


def plain_pieces(texts: list[str], vocab_size: int, min_count: int) -> list[str]:
    """The same training in loops, for lower-case texts of letters and apostrophes."""
    words = Counter(word for text in texts for word in text.replace("'", " ' ").split())
    spelled = {word: [word[0], *(f"##{c}" for c in word[1:])] for word in words}
    pieces = [*SPECIAL, *sorted({c for word in words for c in word})]
    pieces += sorted({part for parts in spelled.values() for part in parts if part.startswith("##")})
    while len(pieces) < vocab_size:
        ids = {piece: i for i, piece in enumerate(pieces)}
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in spelled.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        if pairs[best] < min_count:
            break
        merged = best[0] + best[1].removeprefix("##")
        if merged not in ids:
            pieces.append(merged)
        for parts in spelled.values():
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = [merged]
                i += 1
    return pieces


def trained(texts: list[str], size: int = 90, **options) -> list[str]:
    return train_pieces(lambda: texts, size, **options)[0]


def tokenizer(folder: Path, texts: list[str], size: int = 90, *, lowercase: bool = True, **options) -> WordPiece:
    folder.mkdir(exist_ok=True)
    save_tokenizer(folder, trained(texts, size, lowercase=lowercase, **options), lowercase=lowercase)
    return WordPiece.load(folder)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("min_count", [1, 2, 60])
def test_the_pieces_are_those_of_a_plain_training(seed, min_count):
    texts = corpus(seed)
    assert trained(texts, min_count=min_count) == plain_pieces(texts, 90, min_count)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("abc ", min_size=1, max_size=12), min_size=1, max_size=12).filter(lambda t: "".join(t).split()))
def test_ties_are_broken_as_in_the_plain_training(texts):
    assert trained(texts, 30, min_count=1) == plain_pieces(texts, 30, 1)


def test_every_training_has_the_same_bytes_whatever_the_order_of_the_texts(tmp_path):
    texts = corpus(0)
    contents = set()
    for number in range(6):
        random.Random(number).shuffle(texts)
        tokenizer(tmp_path / str(number), texts)
        files = sorted((tmp_path / str(number)).iterdir())
        assert len(files) == 4
        contents.add(tuple(file.read_bytes() for file in files))
    assert len(contents) == 1


def test_characters_of_equal_frequency_are_chosen_by_code_point():
    pieces, counts = train_pieces(lambda: ["b a d c zz"], 30, min_count=1, max_characters=3)
    assert pieces[5:] == ["a", "b", "z", "##z", "zz"]
    assert (counts["characters"], counts["left_out"]) == (3, 2)


def test_transformers_loads_it_with_the_same_ids(tmp_path):
    transformers = pytest.importorskip("transformers")
    own = tokenizer(tmp_path, corpus(0))
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    assert theirs.convert_tokens_to_ids(list(SPECIAL)) == [0, 1, 2, 3, 4] == list(own.special_ids.values())
    assert isinstance(transformers.AutoTokenizer.from_pretrained(tmp_path), transformers.BertTokenizerFast)
    for text in ["The WINDOW, unwinding", "caf\u00e9 cats", "x\u4e00y", "", "it's  \t no"]:
        assert [2, *own.encode([text]).ids.tolist(), 3] == theirs(text)["input_ids"]
    slow = transformers.BertTokenizer(str(tmp_path / "vocab.txt"))  # an implementation without shared code
    for text in corpus(3, 20):
        assert slow(text)["input_ids"] == theirs(text)["input_ids"]


def test_special_tokens_in_a_text_are_text(tmp_path):
    own = tokenizer(tmp_path, [*corpus(0), "[MASK] [SEP]"], 140)
    assert not set(own.encode(["[MASK] the [SEP] cat [PAD]"]).ids.tolist()) & {own.mask, own.sep, own.pad, own.cls}


def test_offsets_and_first_pieces_are_those_of_each_text_alone(tmp_path):
    own = tokenizer(tmp_path, corpus(0), 60)
    texts = ["", "window", "unwinding cats, dogs", "", "the"]
    whole = own.encode(texts)
    assert whole.lengths.tolist() == [len(own.encode([text]).ids) for text in texts]
    for number, text in enumerate(texts):
        ids, begins = whole.text(number)
        alone = own.encode([text])
        assert ids.tolist() == alone.ids.tolist()
        assert begins.tolist() == alone.begins.tolist()
    assert whole.text(2)[1].sum() == 4  # two words, a comma and a word
    assert len(whole.text(2)[0]) > 4


def test_case_is_kept_on_demand(tmp_path):
    own = tokenizer(tmp_path, ["Cat cat"] * 3, 30, lowercase=False, min_count=1)
    assert own.encode(["Cat"]).ids.tolist() != own.encode(["cat"]).ids.tolist()


@pytest.mark.parametrize(("texts", "size", "message"), [(["  "], 90, "no text"), (["abc"], 8, "need 10")])
def test_unusable_training_is_refused(texts, size, message):
    with pytest.raises(ConfigError, match=message):
        trained(texts, size)


def test_unusable_folders_are_refused(tmp_path):
    with pytest.raises(StaleArtifact, match=r"no tokenizer\.json"):
        WordPiece.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(StaleArtifact, match="not a tokenizer"):
        WordPiece.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE"}}')
    with pytest.raises(StaleArtifact, match="'BPE'"):
        WordPiece.load(tmp_path)
    pieces = trained(corpus(0))
    save_tokenizer(tmp_path, pieces, lowercase=True)
    own = WordPiece.load(tmp_path)
    own.require_special_ids(own.special_ids, "model")
    with pytest.raises(StaleArtifact, match=r"\[MASK\] has id 4 in the tokenizer of .* and id 103 in models/bert"):
        own.require_special_ids({**own.special_ids, "[MASK]": 103}, "models/bert")
