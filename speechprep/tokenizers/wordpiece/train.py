"""Training of a WordPiece vocabulary on texts: the same texts give the same pieces, in any order and on any machine.

The trainer is that of the library `tokenizers`: merges of the most frequent pair of neighbouring pieces, where a piece
inside a word begins with "##". Its own result differs from call to call. It numbers the one-character pieces in the
order of a hash table, and pairs of equal frequency are merged in the order of these numbers. It also chooses among
characters of equal frequency by the same table. Here, all one-character pieces are numbered before the training, in
the order of their code points, and the characters are chosen by frequency, then by code point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from speechprep.errors import ConfigError
from speechprep.tokenizers.wordpiece.tokenizer import CONTINUING, SPECIAL, text_steps


def train_pieces(
    texts: Callable[[], Iterable[str]], vocab_size: int, *, lowercase: bool = True, min_count: int = 2,
    max_characters: int = 1000,
) -> tuple[list[str], dict[str, int]]:  # fmt: skip
    """Pieces of a vocabulary, by id.

    Args:
        texts: function that returns the texts; they are read twice.
        vocab_size: number of pieces. The result has fewer if the texts have no further pair with `min_count`.
        lowercase: fold upper case and strip accents, as in bert-base-uncased.
        min_count: smallest number of occurrences of a merged pair.
        max_characters: largest number of characters with a piece. Words with a rarer character become [UNK].

    Returns:
        [PAD], [UNK], [CLS], [SEP], [MASK], characters, characters inside words, and merged pieces in the order of their
        merges; and counts: texts, words (of all texts), distinct_words, characters (with a piece), left_out (characters
        without), size.

    Raises:
        ConfigError: no word in the texts, or `vocab_size` is below the number of special and one-character pieces.
    """
    from tokenizers import Tokenizer, models, trainers

    normalizer, splitter = text_steps(lowercase=lowercase)
    words, n_texts = _count_words(texts(), normalizer, splitter)
    if not words:
        raise ConfigError("there is no text to train WordPiece on; add transcripts or text files")
    kept, n_characters = _characters(words, max_characters)
    inside = sorted({f"{CONTINUING}{c}" for word in words for c in word[1:] if c in kept})
    base = [*SPECIAL, *sorted(kept), *inside]
    if vocab_size < len(base):
        raise ConfigError(
            f"vocab_size {vocab_size} is too small: {len(SPECIAL)} special pieces and {len(base) - len(SPECIAL)} "
            f"pieces of one character need {len(base)}; raise it, or lower max_characters"
        )
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL[1]))
    tokenizer.normalizer, tokenizer.pre_tokenizer = text_steps(lowercase=lowercase)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_count,
        special_tokens=base,  # the first ids, in this order
        initial_alphabet=sorted(kept),
        limit_alphabet=len(kept),
        continuing_subword_prefix=CONTINUING,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    pieces = sorted(ids, key=lambda piece: ids[piece])
    counts = {
        "texts": n_texts,
        "words": words.total(),
        "distinct_words": len(words),
        "characters": len(kept),
        "left_out": n_characters - len(kept),
        "size": len(pieces),
    }
    return pieces, counts


def _count_words(texts: Iterable[str], normalizer: Any, splitter: Any) -> tuple[Counter[str], int]:
    """Number of occurrences of each word, and the number of texts."""
    words: Counter[str] = Counter()
    count = 0
    for count, text in enumerate(texts, 1):  # noqa: B007 - the count is returned
        words.update(_split(text, normalizer, splitter))
    return words, count


def _split(text: str, normalizer: Any, splitter: Any) -> Iterator[str]:
    return (word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))


def _characters(words: Counter[str], limit: int) -> tuple[set[str], int]:
    """The `limit` most frequent characters, of equal frequency those with lower code points; and the number of all."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    return set(ranked[:limit]), len(ranked)
