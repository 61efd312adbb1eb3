"""The dataset card of a run: configurations for `datasets`, facts of the rows, and escaped values."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import yaml
from helpers import export_runs as runs
from hypothesis import given

from speechprep.artifacts.cards import run as run_card
from speechprep.artifacts.cards.meanings import meaning
from speechprep.artifacts.datasets import KINDS
from speechprep.artifacts.run import open_run

HOSTILE = 'x"\n---\n# <script>alert(1)</script> | `code` [a](b): {c} \U0001f600'


@pytest.fixture
def run(tmp_path):
    rows = runs.corpus(tmp_path / "corpus")
    for row in rows[:2]:
        row |= {"speaker": HOSTILE, "licence": HOSTILE, "split": HOSTILE, "language": HOSTILE}
    folder = runs.write_run(tmp_path / "run", rows, 2)
    assert run_card.write(str(folder))
    return folder


def test_the_card_has_a_configuration_and_the_meaning_of_each_column(run):
    text = (run / run_card.NAME).read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert [config["config_name"] for config in front["configs"]] == ["utterances", "words", "units"]
    assert front["license"] == "other"
    assert front["language"] == ["de"]
    assert "| speakers | 2 |" in text
    assert "| dev | 1 | 0.00 |" in text
    assert "| source\\_text | string | transcript of the corpus |" in text


def test_the_card_is_renewed_but_a_readme_of_the_user_stays(run):
    card = run / run_card.NAME
    card.write_text(card.read_text(encoding="utf-8") + "an older card\n", encoding="utf-8")
    assert run_card.write(str(run))
    assert "an older card" not in card.read_text(encoding="utf-8")
    card.write_text("# My notes\n", encoding="utf-8")
    assert run_card.write(str(run))
    assert card.read_text(encoding="utf-8") == "# My notes\n"


def test_values_of_rows_have_no_effect_as_markup(run):
    text = (run / run_card.NAME).read_text(encoding="utf-8")
    body = text.split("---\n", 2)[2]
    assert "<script>" not in body
    assert "\n---\n" not in body
    assert "\n# <" not in body
    assert "`code`" not in body
    for line in body.splitlines():
        assert not line.startswith("|") or line.endswith(" |")


@given(st.text())
def test_an_escaped_text_is_one_cell(text):
    cell = run_card.escape(text)
    assert "\n" not in cell
    assert "<" not in cell
    plain = cell.replace("\\\\", "")
    assert plain.count("|") == plain.count("\\|")
    assert plain.count("`") == plain.count("\\`")


def test_every_declared_column_has_a_meaning():
    for kind in KINDS:
        for name in getattr(kind.schema_of(kind.example or {}), "names", ()):
            assert meaning(kind.name, name), f"{kind.name}.{name}"


def test_the_same_rows_give_the_same_card_for_any_shards(tmp_path):
    texts = set()
    for n in (1, 4):
        folder = runs.write_run(tmp_path / f"{n}/run", runs.corpus(tmp_path / "corpus"), n)
        texts.add(run_card.text(open_run(str(folder))))
    assert len(texts) == 1


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
def test_datasets_loads_each_dataset_by_its_name(run, tmp_path):
    datasets = pytest.importorskip("datasets")
    for name, dataset in open_run(str(run)).datasets.items():
        loaded = datasets.load_dataset(str(run), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert len(loaded) == dataset.rows
        assert loaded.column_names == dataset.schema.names
        assert loaded["id"][:] == [row["id"] for row in dataset.records(["id"])]
