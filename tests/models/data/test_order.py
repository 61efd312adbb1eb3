"""The order of samples: the same for any ranks and workers, exact after a stop, each sample once in an epoch."""

from __future__ import annotations

import json
import pickle
from itertools import islice

import numpy as np
import pytest

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.data import Reader, Source
from speechprep.models.data.streams import whole_documents

CONTEXT = 64  # of the rows of `packed`, see conftest

MIXED = ("cst_ut", "cst_tu", "ast")
WINDOW = 700  # tokens: some row groups, so that every epoch has many windows


def sources(corpus, name: str) -> list[Source]:
    return {
        "packed": [Source(corpus.packed)],
        "split": [Source(corpus.tokens)],
        "whole": [Source(corpus.tokens, kinds=("text",), documents="whole", long="cut")],
        "single": [Source(corpus.tokens, documents="single", long="cut")],
        "mixture": [
            Source(corpus.tokens, kinds=("unit",), weight=1),
            Source(corpus.tokens, kinds=("text",), weight=1, documents="whole", long="cut"),
            Source(corpus.tokens, kinds=MIXED, weight=1),
            Source(corpus.packed, weight=0.5),
        ],
    }[name]


def reader(corpus, name: str = "mixture", **options) -> Reader:
    given = {"vocabulary": corpus.vocabulary, "batch_rows": 2, "names": True, "window_tokens": WINDOW, **options}
    return Reader(sources(corpus, name), CONTEXT, **given)


def told(batches) -> list[tuple]:
    """One entry for each row: everything about it."""
    found = []
    for b in batches:
        for i, row in enumerate(b["rows"].tolist()):
            columns = [b[c][i].tobytes() for c in ("input_ids", "document_ids", "modality_ids", "position_ids")]
            found.append((row, int(b["sources"][i]), int(b["samples"][i]), tuple(b["names"][i]), *columns))
    return found


def run(corpus, name: str, steps: int, world: int, state=None, **options) -> tuple[list[tuple], dict]:
    """So many steps of all ranks, one rank after the other; what they saw in the order of rows, and the state."""
    seen, states = [], []
    for rank in range(world):
        one = reader(corpus, name, rank=rank, world=world, **options)
        if state is not None:
            one.restore(json.loads(json.dumps(state)))
        seen += told(islice(one, steps))
        states.append(one.state())
    assert all(s == states[0] for s in states)
    return sorted(seen), states[0]


NAMES = ["packed", "split", "whole", "single", "mixture"]


@pytest.mark.parametrize("name", NAMES)
def test_stopped_at_step_137_on_8_ranks_and_resumed_on_3_nothing_is_lost_doubled_or_moved(corpus, name):
    uninterrupted, _ = run(corpus, name, 137 * 8 + 100 * 3, 1, batch_rows=1)
    before, state = run(corpus, name, 137, 8, batch_rows=1)
    after, _ = run(corpus, name, 100, 3, state, batch_rows=1)
    assert [row[0] for row in before + after] == list(range(137 * 8 + 300))
    assert before + after == uninterrupted


@pytest.mark.parametrize("name", ["packed", "mixture"])
@pytest.mark.parametrize(("world", "batch_rows"), [(2, 5), (3, 4), (16, 1), (1, 60)])
def test_steps_of_all_ranks_are_the_next_rows_of_one_order(corpus, name, world, batch_rows):
    wanted, _ = run(corpus, name, 240, 1, batch_rows=1)
    assert (
        run(corpus, name, 240 // (world * batch_rows), world, batch_rows=batch_rows)[0]
        == wanted[: 240 // (world * batch_rows) * world * batch_rows]
    )


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_share_the_batches_of_a_rank_in_turn(corpus, workers):
    wanted = told(islice(reader(corpus, rank=1, world=2), 30))
    by_worker = [reader(corpus, rank=1, world=2).batches(w, workers) for w in range(workers)]
    assert told(next(by_worker[i % workers]) for i in range(30)) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_any_rows_may_be_read_alone(corpus, name):
    wanted = told(islice(reader(corpus, name), 200))
    one = reader(corpus, name)
    rng = np.random.default_rng(3)
    for _ in range(20):
        rows = np.sort(rng.choice(400, int(rng.integers(1, 30)), replace=False))
        assert told([one.read(rows)]) == [wanted[i] for i in rows]
    assert one.state()["row"] == 0


@pytest.mark.parametrize("name", ["packed", "split", "whole", "single"])
def test_every_epoch_has_each_sample_once_in_another_order(corpus, name):
    one = reader(corpus, name, batch_rows=1)
    n = one.streams[0].rows
    seen = told(islice(one, 3 * n))
    epochs = [seen[i * n : (i + 1) * n] for i in range(3)]
    for epoch in epochs:
        assert sorted(row[2] for row in epoch) == list(range(n))
    contents = [[row[4] for row in epoch] for epoch in epochs]
    assert contents[0] != contents[1] != contents[2]
    if name != "split":  # where documents stand end to end, each epoch cuts other rows
        assert sorted(contents[0]) == sorted(contents[1]) == sorted(contents[2])
        assert len({row[2]: row[4] for row in seen}) == n


def test_the_seed_changes_the_order_and_nothing_else(corpus):
    n = reader(corpus, "packed").streams[0].rows
    a, b = (told([reader(corpus, "packed", seed=s).read(np.arange(n))]) for s in (0, 1))
    assert a != b
    assert sorted(row[2:] for row in a) == sorted(row[2:] for row in b)
    assert a == told([reader(corpus, "packed", seed=0).read(np.arange(n))])


def test_neighbours_of_the_folder_are_scattered(corpus):
    """Rows of one row group do not come one after the other."""
    one = reader(corpus, "packed", window_tokens=1 << 20)
    samples = one.read(np.arange(one.streams[0].rows))["samples"]
    assert abs(np.corrcoef(samples, np.arange(len(samples)))[0, 1]) < 0.1
    assert np.mean(np.abs(np.diff(samples)) == 1) < 0.02


def test_a_reader_goes_to_another_process_as_it_stands(corpus):
    one = reader(corpus)
    told(islice(one, 7))
    copy = pickle.loads(pickle.dumps(one))
    assert told(islice(copy, 5)) == told(islice(one, 5))


def test_a_state_of_another_order_is_refused_by_what_differs(corpus):
    state = reader(corpus, "packed").state()
    with pytest.raises(StaleArtifact, match=r"seed: 0 -> 1"):
        reader(corpus, "packed", seed=1).restore(state)
    with pytest.raises(StaleArtifact, match=r"kinds"):
        reader(corpus, "split").restore(reader(corpus, "whole").state())
    with pytest.raises(StaleArtifact, match="no row"):
        reader(corpus, "packed").restore({k: v for k, v in state.items() if k != "row"})
    with pytest.raises(ConfigError, match="-1"):
        reader(corpus, "packed").seek(-1)


def test_iterating_again_goes_on(corpus):
    one = reader(corpus)
    wanted = told(islice(reader(corpus), 9))
    assert told(islice(one, 4)) + told(islice(one, 5)) == wanted
    one.seek(0)
    assert told(islice(one, 9)) == wanted


def test_the_keys_of_packing_are_those_of_no_epoch():
    assert whole_documents._PACKING_SALT > 1 << 32  # more than the number of epochs or pieces of a training
