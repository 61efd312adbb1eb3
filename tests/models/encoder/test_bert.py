"""`train bert`: texts of runs and files, splits, warm start, export, and refusals."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from helpers.teacher_runs import LEXICON, rows_of, write_tokenizer  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from speechprep.errors import ConfigError, StaleArtifact  # noqa: E402
from speechprep.models.bert.train import BertOptions, training_job  # noqa: E402
from speechprep.models.encoder.texts import encode_texts, load_texts  # noqa: E402
from speechprep.models.training.run import train  # noqa: E402
from speechprep.tokenizers.wordpiece.tokenizer import WordPiece  # noqa: E402

pytestmark = pytest.mark.reference
SMALL = {"size": "tiny", "context": 32, "rows": 8, "steps": 4, "log_every": 2, "save_every": 2}


def fit(data: str | Path, out: Path, **options) -> bool:
    chosen = BertOptions.of({**SMALL, **options})
    return train(training_job([str(data)], chosen), chosen, out, quiet=True)


def test_a_text_file_is_enough(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(" ".join(LEXICON[i:]) for i in range(12)))
    write_tokenizer(tmp_path / "w", LEXICON)
    assert fit(tmp_path / "a.txt", tmp_path / "m", tokenizer=str(tmp_path / "w"), whole_words=True)
    bert, loaded = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert type(bert) is transformers.BertForMaskedLM
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]
    assert type(transformers.AutoTokenizer.from_pretrained(tmp_path / "m")) is transformers.BertTokenizerFast
    with pytest.raises(ConfigError, match="has no folder wordpiece"):
        fit(tmp_path / "a.txt", tmp_path / "x")


def test_a_stopped_training_resumes_to_the_same_weights(teacher_run, tmp_path):
    assert fit(teacher_run, tmp_path / "whole")
    assert not fit(teacher_run, tmp_path / "x", stop_at=3)
    assert fit(teacher_run, tmp_path / "x")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "x"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_every_text_is_read_once_in_an_epoch_by_any_number_of_ranks(teacher_run):
    job = training_job([str(teacher_run)], BertOptions.of(SMALL))
    one = [batch["input_ids"] for batch in islice(iter(job.batches(0, 1)), 8)]
    ranks = [islice(iter(job.batches(rank, 2)), 4) for rank in range(2)]
    two = [batch["input_ids"] for pair in zip(*ranks, strict=True) for batch in pair]
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    counts = sorted(int((row > 0).sum()) for batch in one for row in batch)
    tokenizer = WordPiece.load(teacher_run / "wordpiece")
    assert counts == sorted((tokenizer.encode(row["text"] for row in rows_of(64)).lengths + 2).tolist())


def test_long_texts_are_split_without_loss_cut_or_refused(teacher_run):
    tokenizer = WordPiece.load(teacher_run / "wordpiece")
    texts = load_texts([str(teacher_run)])
    whole = tokenizer.encode(row.text for row in texts.rows)
    parts = encode_texts(texts, tokenizer, 9, "split")
    assert parts.pieces.ids.tolist() == whole.ids.tolist()
    assert parts.pieces.lengths.max() == 7
    assert len(set(parts.ids)) == len(parts.ids) > 64
    assert parts.longer == int((whole.lengths > 7).sum())
    cut = encode_texts(texts, tokenizer, 9, "cut")
    assert cut.pieces.lengths.tolist() == np.minimum(whole.lengths, 7).tolist()
    with pytest.raises(ConfigError, match="longer than context = 9"):
        encode_texts(texts, tokenizer, 9, "refuse")


def test_the_validation_side_has_whole_texts_and_is_stored(teacher_run, tmp_path):
    fit(teacher_run, tmp_path / "m", validation=0.4, validation_group="s.-..", validate_every=2, context=9)
    config = json.loads((tmp_path / "m/config.json").read_text())
    assert config["speechprep"]["held_out"] == {"share": 0.4, "group": "s.-.."}
    rows = [json.loads(line) for line in (tmp_path / "m/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "eval_mlm" in row] == [2, 4]
    with pytest.raises(ConfigError, match="leaves 64 texts for training and 0 for validation"):
        fit(teacher_run, tmp_path / "x", validation=1e-9)


def save_foreign(folder: Path, pieces: list[str], seed: int = 0) -> Path:
    """A BERT of another origin: its special tokens have other ids."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    transformers.BertForMaskedLM(
        transformers.BertConfig(len(pieces), max_position_embeddings=48, **shape)
    ).save_pretrained(folder)
    return folder


def test_any_bert_folder_is_a_warm_start_with_its_own_tokenizer(teacher_run, tmp_path):
    pieces = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LEXICON]
    start = save_foreign(tmp_path / "start", pieces)
    fit(teacher_run, tmp_path / "m", init=str(start), steps=1, lr=1e-9)
    one, two = (load_file(folder / "model.safetensors") for folder in (start, tmp_path / "m"))
    assert one.keys() == two.keys()
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 1e-6
    ids = transformers.BertTokenizerFast.from_pretrained(tmp_path / "m").convert_tokens_to_ids(["[MASK]", "cat"])
    assert ids == [6, 8]
    config = json.loads((tmp_path / "m/config.json").read_text())
    assert config["speechprep"]["special_ids"]["[MASK]"] == 6
    other = ["[UNK]", "[PAD]", *pieces[4:7], *LEXICON]
    wrong = save_foreign(tmp_path / "wrong", other)
    with pytest.raises(StaleArtifact, match=r"\[PAD\] has id 1 in the tokenizer of .*wrong and id 0 in .*start"):
        fit(teacher_run, tmp_path / "x", init=str(start), tokenizer=str(wrong))


def test_folders_that_are_no_bert_are_refused(teacher_run, tmp_path):
    with pytest.raises(StaleArtifact, match="tokenizer"):
        fit(teacher_run, tmp_path / "x", init=str(tmp_path))
    write_tokenizer(tmp_path / "gpt2", LEXICON)
    transformers.GPT2LMHeadModel(transformers.GPT2Config(50, n_embd=8, n_layer=1, n_head=1)).save_pretrained(
        tmp_path / "gpt2"
    )
    with pytest.raises(StaleArtifact, match="another kind than BERT"):
        fit(teacher_run, tmp_path / "x", init=str(tmp_path / "gpt2"))
    shutil.copytree(teacher_run, tmp_path / "run")
    with pytest.raises(ConfigError, match="has no text in split 'none'"):
        fit(tmp_path / "run", tmp_path / "x", split="none")
