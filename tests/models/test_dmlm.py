"""DMLM: its vocabulary and loss, sequences of the tasks, shares, OPT's weights, and answers."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers import rowmaking as made

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import OPTForCausalLM, PreTrainedTokenizerFast  # noqa: E402

from speechprep.errors import ConfigError, MissingBackend, StaleArtifact  # noqa: E402
from speechprep.models.decoder import opt_config  # noqa: E402
from speechprep.models.dmlm import inference  # noqa: E402
from speechprep.models.dmlm.config import CLASSES, DmlmConfig  # noqa: E402
from speechprep.models.dmlm.corpus import load, transcripts  # noqa: E402
from speechprep.models.dmlm.from_opt import from_opt, load_opt, new_rows  # noqa: E402
from speechprep.models.dmlm.inference import generate_texts, load_corpus, load_model  # noqa: E402
from speechprep.models.dmlm.model import DmlmForCausalLM  # noqa: E402
from speechprep.models.dmlm.sampler import MixedBatches, fit  # noqa: E402
from speechprep.models.dmlm.text_tokenizer import SubwordTokenizer  # noqa: E402
from speechprep.models.dmlm.train import DmlmOptions, make_config, make_tasks, training_job  # noqa: E402
from speechprep.models.generation import Decoding, generate  # noqa: E402
from speechprep.models.losses import IGNORE  # noqa: E402
from speechprep.models.training.run import train  # noqa: E402

pytestmark = pytest.mark.reference
ALL = {"asr": 0.25, "t2s": 0.125, "i2t": 0.125, "speech": 0.25, "text": 0.25}


@pytest.fixture(scope="module")
def text(run):
    return SubwordTokenizer(run / "subword" / "text.model")


@pytest.fixture(scope="module")
def corpus(run, text):
    return load([str(run)], text)


def setting(corpus, text, **given):
    options = DmlmOptions.of({"size": "tiny", "context": 512, "rows": 8, "shares": ALL, "dropout": 0.0, **given})
    config = make_config(corpus, text, options, None)
    return options, config, make_tasks(corpus, config, options)


def names(config: DmlmConfig, ids) -> list[str]:
    """Special tokens by name, runs of other tokens as the first letter of their modality."""
    found: list[str] = []
    for i in ids:
        kind = next(kind for kind, (a, b) in config.ranges.items() if a <= i < b)
        name = config.special[i - config.ranges["special"][0]] if kind == "special" else kind[0]
        if kind == "special" or not found or found[-1] != name:
            found.append(name)
    return found


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("asr", "</s> <ASR> <SPEECH> s </SPEECH> <TEXT> t </TEXT> </s>"),
        ("t2s", "</s> <T2S> <TEXT> t </TEXT> <SPEECH> s </SPEECH> </s>"),
        ("i2t", "</s> <I2T> <IMAGE> i </IMAGE> <TEXT> t </TEXT> </s>"),
        ("speech", "</s> <SPEECH> s </SPEECH> </s>"),
        ("text", "</s> t </s>"),
    ],
)
def test_sequences_are_laid_out_as_the_task_says(corpus, text, name, layout):
    _, config, tasks = setting(corpus, text)
    for number in range(len(tasks[name])):
        ids, labels = tasks[name].sequence(number)
        assert names(config, ids) == layout.split()
        assert len(ids) == tasks[name].lengths[number]
        assert (ids == labels).all()


def test_a_sequence_holds_the_units_and_the_text_of_its_utterance(run, corpus, text):
    _, config, tasks = setting(corpus, text)
    ids, _ = tasks["asr"].sequence(5)
    id = tasks["asr"].ids[5]
    start, stop = config.ranges["speech"]
    assert (ids[(ids >= start) & (ids < stop)] - start).tolist() == corpus.speech[corpus.speech.ids.index(id)].tolist()
    assert text.decode(ids[ids < config.n_text].tolist()) == transcripts(str(run))[id]


def test_translations_are_a_task_of_their_own(run, corpus, text, tmp_path):
    path = tmp_path / "de.jsonl"
    path.write_text("".join(json.dumps({"id": id, "text": "ja"}) + "\n" for id in corpus.speech.ids[:5]))
    found = load([str(run)], text, translations={"de": str(path)})
    _, config, tasks = setting(found, text, shares={"s2tt_de": 1}, translations={"de": str(path)})
    assert len(tasks["s2tt_de"]) == 5
    assert "<S2TT_DE>" in names(config, tasks["s2tt_de"].sequence(0)[0])


def test_task_tokens_are_never_targets_and_delimiters_if_so_told(corpus, text):
    for delimiters, ends in (("text", True), ("exclude", False)):
        _, config, tasks = setting(corpus, text, delimiters=delimiters)
        model = DmlmForCausalLM(config)
        batch = fit([tasks["asr"].sequence(0)], 512, config.pad_token_id)
        targets = set(model.targets(batch["labels"], batch["document_ids"])[0].tolist())
        assert config.token("<ASR>") not in targets
        assert (config.token("</TEXT>") in targets) == ends
        assert (config.token("<SPEECH>") in targets) == ends
    _, config, tasks = setting(corpus, text, prompt_targets=False)
    ids, labels = tasks["asr"].sequence(0)
    first = ids.tolist().index(config.token("<TEXT>")) + 1
    assert (labels[:first] == IGNORE).all()
    assert (labels[first:] == ids[first:]).all()


def test_excluded_delimiters_are_no_targets_if_the_end_of_the_text_is_an_id_of_opt(run, corpus):
    class OptText(SubwordTokenizer):
        """Its </s> is an id of the text, as in OPT."""

        eos, pad = 2, 1

    text = OptText(run / "subword" / "text.model")
    for delimiters, ends in (("text", True), ("exclude", False)):
        _, config, tasks = setting(corpus, text, delimiters=delimiters)
        assert config.eos_token_id == 2 < config.n_text
        batch = fit([tasks["asr"].sequence(0)], 512, config.pad_token_id)
        model = DmlmForCausalLM(config)
        assert (2 in model.targets(batch["labels"], batch["document_ids"])[0].tolist()) == ends


def test_the_corpus_holds_two_bytes_a_unit_and_twice_as_much_while_it_is_read(tmp_path, text):
    rng = np.random.default_rng(0)
    draws = rng.integers(0, made.K, (60, 20_000))
    rows = [[{"id": f"u{i:03d}", "units": draw.tolist(), "codebook": "c"} for i, draw in enumerate(draws)]]
    extra = {"grid": made.GRID.as_dict(), "k": made.K, "codebook": "c"}
    made.write_dataset(tmp_path / "units", "units", made.units_schema(made.K), rows, extra)
    load([str(tmp_path)], text)  # imports
    tracemalloc.start()
    corpus = load([str(tmp_path)], text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.speech.flat.dtype == np.uint16
    assert corpus.speech.flat.nbytes == 2 * draws.size
    assert (corpus.speech[7] == draws[7]).all()
    assert peak < 2.5 * corpus.speech.flat.nbytes


def test_the_loss_is_the_papers_of_each_modalitys_mean(corpus, text):
    _, config, tasks = setting(corpus, text)
    model = DmlmForCausalLM(config).eval()
    batch = fit([tasks[name].sequence(1) for name in ALL], 512, config.pad_token_id)
    out = model(**batch)
    with torch.no_grad():
        logits = model(batch["input_ids"], document_ids=batch["document_ids"]).logits
    targets = model.targets(batch["labels"], batch["document_ids"])
    nll = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), targets, reduction="none")
    kind = model.token_class[targets.clamp_min(0)]
    means = [float(nll[(targets != IGNORE) & (kind == CLASSES.index(c))].mean()) for c in ("speech", "text", "image")]
    assert float(out.loss.detach()) == pytest.approx(0.25 * means[0] + 0.93 * means[1] + 0.25 * means[2], rel=1e-5)
    plain = DmlmForCausalLM(DmlmConfig.from_dict({**config.to_dict(), "loss": "plain"})).eval()
    plain.load_state_dict(model.state_dict())
    assert float(plain(**batch).loss.detach()) == pytest.approx(float(nll[targets != IGNORE].mean()), rel=1e-5)


def test_accumulating_eight_rows_is_four_of_two_in_every_gradient(corpus, text):
    _, config, tasks = setting(corpus, text)
    torch.manual_seed(0)
    model = DmlmForCausalLM(config).eval()
    sequences = [tasks[name].sequence(i) for i in (0, 3) for name in ("asr", "speech", "text", "i2t")]
    grads = []
    for size in (8, 2, 1):
        parts = [fit(sequences[at : at + size], 512, config.pad_token_id) for at in range(0, 8, size)]
        counts = sum(model.target_counts(**part) for part in parts)
        model.zero_grad()
        for part in parts:
            model(**part, counts=counts).loss.backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert float((grads[0] - grads[1]).abs().max()) < 1e-6
    assert float((grads[0] - grads[2]).abs().max()) < 1e-6


def test_shares_hold_and_the_order_is_the_same_for_any_ranks_and_after_a_stop(corpus, text):
    options, config, tasks = setting(corpus, text)

    def stream(rank=0, world=1, rows=8):
        return MixedBatches(
            tasks, options.shares, rows=rows, context=512, pad=config.pad_token_id, rank=rank, world=world
        )

    one = stream()
    counted = Counter(task for task, _ in one.samples(0, 800))
    assert [counted[i] / 800 for i in range(5)] == pytest.approx(list(ALL.values()), abs=0.01)
    whole = [batch["input_ids"].tolist() for batch in one.first(6)]
    later = stream()
    later.restore(json.loads(json.dumps({**one.state(), "samples": 16})))
    assert [batch["input_ids"].tolist() for batch in later.first(4)] == whole[2:]
    seen = sorted(s for r in range(2) for s in stream(r, 2, 4).samples(4 * r, 4))
    assert seen == sorted(one.samples(0, 8))
    other = MixedBatches(tasks, {**ALL, "asr": 0.5}, rows=8, context=512, pad=0)
    with pytest.raises(StaleArtifact, match="shares"):
        other.restore(one.state())


def test_labelled_and_unlabelled_items_are_apart(corpus, text):
    _, _, tasks = setting(corpus, text, labelled=0.5, shares={"asr": 1, "speech": 1, "text": 1})
    pairs, speech = set(tasks["asr"].ids), set(tasks["speech"].ids)
    assert pairs
    assert speech
    assert not pairs & speech
    assert not pairs & set(tasks["text"].ids)
    assert pairs | speech == set(corpus.speech.ids)


def test_opts_weights_are_kept_and_new_rows_begin_near_their_mean(corpus, text, tmp_path):
    torch.manual_seed(0)
    opt = OPTForCausalLM(opt_config("tiny", text.size, 512)).eval()
    opt.get_input_embeddings().weight.data += 1.0
    opt.save_pretrained(tmp_path / "opt")
    opt = load_opt(str(tmp_path / "opt"))
    options = DmlmOptions.of({"opt": str(tmp_path / "opt"), "context": 512, "shares": {"asr": 1}})
    assert options.lr == 1e-4
    config = make_config(corpus, text, options, opt)
    model = from_opt(opt, config).eval()
    ids = torch.randint(0, text.size, (1, 20))
    with torch.no_grad():
        assert torch.allclose(model(ids).logits[..., : text.size], opt.eval()(ids).logits, atol=1e-4)
        logits = model(ids).logits[0, -1]
    old = opt.get_input_embeddings().weight
    added = model.get_input_embeddings().weight[text.size :]
    assert torch.allclose(added.mean(0), old.mean(0), atol=1e-3)
    assert float((added.std(0) / old.std(0)).mean().detach()) == pytest.approx(1e-5**0.5, rel=0.2)
    assert float(logits[text.size :].mean() - logits[: text.size].mean()) == pytest.approx(0, abs=0.1)
    assert float(new_rows(old, 500, "normal").std()) == pytest.approx(0.02, rel=0.05)
    with pytest.raises(MissingBackend, match="nowhere"):
        load_opt(str(tmp_path / "nowhere"))


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dmlm") / "asr"
    options = DmlmOptions.of({
        "size": "tiny", "context": 256, "rows": 8, "steps": 150, "lr": 5e-3, "shares": {"asr": 1}, "dropout": 0.0,
        "dedup": True, "save_every": 1000, "log_every": 50,
    })  # fmt: skip
    assert train(training_job([str(run)], options), options, out, quiet=True)
    return out


def test_a_trained_model_answers_in_text_alone_and_knows_what_it_learnt(run, trained):
    model, text = load_model(str(trained))
    corpus = load_corpus(model, text, [str(run)])
    said = generate_texts(model, text, corpus, "asr", Decoding(max_new_tokens=40))
    right = transcripts(str(run))
    assert said.keys() == right.keys()
    overlap = [len(set(said[id].split()) & set(right[id].split())) / len(set(right[id].split())) for id in right]
    assert np.mean(overlap) > 0.5
    beam = generate_texts(model, text, corpus, "asr", Decoding(max_new_tokens=40, beams=3))
    assert beam.keys() == right.keys()
    with pytest.raises(ConfigError, match="<S2TT_DE>"):
        generate_texts(model, text, corpus, "s2tt_de", Decoding())
    with pytest.raises(ConfigError, match="validation = 0"):
        generate_texts(model, text, corpus, "asr", Decoding(), unseen=True)


def test_rows_of_opt_without_a_token_are_never_generated(run, tmp_path, monkeypatch):
    """OPT has more rows than its tokenizer has ids; special tokens are no text either."""
    words = ["<unk>", "<pad>", "</s>", "you", "are", "how", "today", "a", "I", "the"]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=inner, **special).save_pretrained(tmp_path / "opt")
    OPTForCausalLM(opt_config("tiny", 16, 512)).save_pretrained(tmp_path / "opt")
    settings = {"opt": str(tmp_path / "opt"), "context": 512, "shares": {"asr": 1}, "steps": 1, "rows": 2}
    options = DmlmOptions.of(settings)
    train(training_job([str(run)], options), options, tmp_path / "model", quiet=True)
    model, text = load_model(str(tmp_path / "model"))
    model.get_input_embeddings().weight.data[10:16] *= 100  # the unused rows attract the model
    seen = []

    def spy(*arguments, **named):
        seen.extend(generate(*arguments, **named))
        return seen

    monkeypatch.setattr(inference, "generate", spy)
    corpus = load_corpus(model, text, [str(run)])
    generate_texts(model, text, corpus, "asr", Decoding(max_new_tokens=6, sample=True))
    ids = {id for row in seen for id in row}
    assert ids
    assert ids <= {3, 4, 5, 6, 7, 8, 9}


def test_what_does_not_fit_is_refused_with_both_sides_named(run, text, trained, tmp_path):
    def ask(**given):
        options = DmlmOptions.of({"size": "tiny", "context": 512, "shares": {"asr": 1}, **given})
        return training_job([str(run)], options)

    with pytest.raises(ConfigError, match=r"task 'asr': 's\d-\d+' has \d+ tokens, the context is 64"):
        ask(context=64)
    with pytest.raises(ConfigError, match="every item is longer"):
        ask(context=16, long="drop")
    with pytest.raises(ConfigError, match="'sing'"):
        ask(shares={"sing": 1})
    with pytest.raises(ConfigError, match="above 0"):
        ask(shares={"asr": 0})
    with pytest.raises(StaleArtifact, match="in split 'dev'"):
        ask(split="dev")
    with pytest.raises(StaleArtifact, match="no trained DMLM"):
        load_model(str(tmp_path))
    model, _ = load_model(str(trained))
    model.config.codebook = "another-book"
    with pytest.raises(StaleArtifact, match=r"codebook 0123456789ab.*another-book"):
        load_corpus(model, text, [str(run)])
