"""`speechprep eval mlm`: the loss equals a loop, and the difference of two groups of models is paired by text."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from helpers.teacher_runs import LEXICON, write_tokenizer  # noqa: E402

from speechprep.errors import ConfigError, StaleArtifact  # noqa: E402
from speechprep.models.evaluation.minimal_pairs.declaration import MaskedLossOptions  # noqa: E402
from speechprep.models.evaluation.minimal_pairs.masked_loss import evaluate  # noqa: E402

pytestmark = pytest.mark.reference
TEXTS = ["the cat saw a bird", "a dog went home", "its old friend", "under some tall green tree"]


def save(folder, seed, size=60, **config):
    write_tokenizer(folder, LEXICON, size)
    pieces = len(transformers.BertTokenizerFast.from_pretrained(folder))
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(pieces, **shape, initializer_range=0.2, **config)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS) + "\n")
    return str(tmp_path / "corpus.txt")


@torch.no_grad()
def loop(folder):
    """Sum of -log p and number of pieces of each text."""
    model = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    sums = []
    for text in TEXTS:
        ids, total = tokenizer(text)["input_ids"], 0.0
        for place in range(1, len(ids) - 1):
            masked = torch.tensor([ids])
            masked[0, place] = tokenizer.mask_token_id
            total -= float(model(masked).logits[0, place].double().log_softmax(0)[ids[place]])
        sums.append((total, len(ids) - 2))
    return np.array(sums)


def test_losses_and_their_difference_equal_loops(tmp_path, corpus):
    folders = [save(tmp_path / f"m{seed}", seed) for seed in range(4)]
    options = MaskedLossOptions.of({"against": folders[2:], "quiet": True})
    one, other, difference = evaluate(folders[:2], [corpus], options).scores
    losses = [loop(folder).sum(0) for folder in folders]
    each = [a / b for a, b in losses]
    assert one.score == pytest.approx(np.mean(each[:2]), abs=1e-5)
    assert other.score == pytest.approx(np.mean(each[2:]), abs=1e-5)
    assert one.others["sd over models"] == pytest.approx(np.std(each[:2], ddof=1), abs=1e-5)
    assert difference.score == pytest.approx(one.score - other.score)
    assert difference.interval.low < difference.score < difference.interval.high
    assert one.counts == {"models": 2, "texts": 4, "pieces": int(losses[0][1])}


def test_the_same_models_on_both_sides_have_the_difference_0(tmp_path, corpus):
    folder = save(tmp_path / "m", 0)
    scores = evaluate([folder], [corpus], MaskedLossOptions.of({"against": [folder], "quiet": True})).scores
    assert (scores[2].score, scores[2].interval.low, scores[2].interval.high) == (0.0, 0.0, 0.0)
    assert "sd over models" not in scores[2].others


def test_other_pieces_and_a_model_without_a_split_are_refused(tmp_path, corpus):
    first, second = save(tmp_path / "a", 0), save(tmp_path / "b", 0, size=40)
    with pytest.raises(StaleArtifact, match=r"b has other pieces or another validation split than .*a; compare"):
        evaluate([first, second], [corpus], MaskedLossOptions.of({"quiet": True}))
    with pytest.raises(ConfigError, match="was trained on all utterances"):
        evaluate([save(tmp_path / "c", 0)], [corpus], MaskedLossOptions.of({"unseen": True}))
