"""The torch side: the same order for any number of worker processes, and the state of what came out."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from speechprep.models.data import Reader, Source  # noqa: E402
from speechprep.models.data.loader import Loader  # noqa: E402

CONTEXT = 64
pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]


def reader(corpus, **options) -> Reader:
    sources = [Source(corpus.tokens, kinds=("unit",), weight=1), Source(corpus.packed, weight=2)]
    return Reader(sources, CONTEXT, vocabulary=corpus.vocabulary, batch_rows=3, **options)


def test_workers_change_nothing(corpus):
    wanted = [b["input_ids"] for b in islice(reader(corpus), 40)]
    for workers in (0, 1, 3):
        found = [b["input_ids"] for b in islice(Loader(reader(corpus), workers), 40)]
        assert all(torch.equal(f, torch.from_numpy(w)) for f, w in zip(found, wanted, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_state_is_that_of_what_came_out_whatever_was_read_ahead(corpus, workers):
    wanted = [b["rows"].tolist() for b in islice(reader(corpus), 30)]
    loader = Loader(reader(corpus), workers)
    seen = [b["rows"].tolist() for b in islice(loader, 11)]
    state = json.loads(json.dumps(loader.state_dict()))
    assert state["row"] == 33
    seen += [b["rows"].tolist() for b in islice(loader, 4)]  # the same loader goes on as well
    assert seen == wanted[:15]
    other = Loader(reader(corpus), 1)
    other.load_state_dict(state)
    assert [b["rows"].tolist() for b in islice(other, 19)] == wanted[11:]


def test_an_epoch_ends_with_all_workers(corpus):
    one = reader(corpus, end="first")
    rows = [r for b in Loader(one, 2) for r in b["rows"].tolist()]
    assert rows == list(range(one.total))


def test_batches_have_what_a_causal_model_needs(corpus):
    batch = next(iter(Loader(reader(corpus), mask=True)))
    shape = (3, CONTEXT)
    assert batch["input_ids"].dtype == batch["labels"].dtype == batch["position_ids"].dtype == torch.int64
    assert batch["labels"].shape == batch["document_ids"].shape == shape
    assert batch["attention_mask"].shape == (3, 1, CONTEXT, CONTEXT)
    targets = batch["labels"] != -100
    assert torch.equal(batch["labels"][targets], batch["input_ids"][targets])
    assert not targets[batch["position_ids"] == 0].any()


@pytest.mark.filterwarnings("ignore")
def test_no_document_sees_another_in_a_model(corpus):
    """Logits of a packed row equal those of each document by itself."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=corpus.vocabulary.size,
        n_positions=CONTEXT,
        n_embd=32,
        n_layer=2,
        n_head=2,
        attn_implementation="sdpa",
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    source = Source(corpus.tokens, kinds=("text",), documents="whole", long="cut")
    batch = next(iter(Loader(Reader([source], CONTEXT, vocabulary=corpus.vocabulary, batch_rows=4), mask=True)))
    with torch.no_grad():
        together = model(
            batch["input_ids"], attention_mask=batch["attention_mask"], position_ids=batch["position_ids"]
        ).logits
        seen = 0
        for row in range(4):
            for document in range(int(batch["document_ids"][row].max()) + 1):
                at = batch["document_ids"][row] == document
                alone = model(batch["input_ids"][row][at][None]).logits[0]
                assert np.allclose(alone, together[row][at], atol=1e-5)
                seen += 1
        assert seen > 8
