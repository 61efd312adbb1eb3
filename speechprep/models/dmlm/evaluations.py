"""Evaluations of a trained DMLM: the word error rate of its transcripts."""

from __future__ import annotations

from typing import Any

from speechprep.artifacts.run import open_run
from speechprep.models.dmlm.corpus import Corpus, transcripts
from speechprep.models.dmlm.declaration import AsrOptions, DecodeOptions, I2tOptions, S2ttOptions
from speechprep.models.dmlm.inference import generate_texts, load_corpus, load_model
from speechprep.models.dmlm.text_tokenizer import TextTokenizer
from speechprep.models.evaluation import scorer
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.files import Table
from speechprep.models.generation import Decoding
from speechprep.models.zoo import EvaluationResult


def evaluate_asr(models: list[str], runs: list[str], options: AsrOptions) -> EvaluationResult:
    """Transcripts of runs, and their word error rate."""
    model, text = load_model(models[0])
    corpus = load_corpus(model, text, runs, split=options.split)
    decoding = Decoding(max_new_tokens=options.max_new_tokens, beams=options.beams)
    hypotheses = generate_texts(model, text, corpus, "asr", decoding, unseen=options.unseen)
    references = {id: t for run in runs for id, t in transcripts(run).items() if id in hypotheses}
    records = [{"id": id, "text": t, "reference": references.get(id)} for id, t in sorted(hypotheses.items())]
    scored = {id: t for id, t in hypotheses.items() if id in references}
    score = scorer("wer")(references, scored, bootstrap=Bootstrap(), normalise=options.normalise)
    return EvaluationResult([score], records=records)


def evaluate_s2tt(models: list[str], runs: list[str], options: S2ttOptions) -> EvaluationResult:
    """Translations of runs, and their BLEU."""
    references = Table(options.references, "id").lists(options.column)
    task = f"s2tt_{options.language}"
    model, text = load_model(models[0])
    corpus = load_corpus(model, text, runs, split=options.split, ids=references)
    return _scored("bleu", task, model, text, corpus, references, options, lowercase=options.lowercase)


def evaluate_i2t(models: list[str], runs: list[str], options: I2tOptions) -> EvaluationResult:
    """Captions of the images of runs, and their CIDEr."""
    references: dict[str, list[str]] = {}
    for run in runs:
        images = open_run(run)["image_codes"]
        for row in images.records(("id", "captions")):
            if row["captions"]:
                references[row["id"]] = row["captions"]
    model, text = load_model(models[0])
    corpus = load_corpus(model, text, runs, split=options.split, ids=references)
    return _scored("captions", "i2t", model, text, corpus, references, options)


def _scored(
    metric: str,
    task: str,
    model: Any,
    text: TextTokenizer,
    corpus: Corpus,
    references: dict[str, list[str]],
    options: DecodeOptions,
    **settings: Any,
) -> EvaluationResult:
    """Generated texts of the items with references, and their score."""
    decoding = Decoding(max_new_tokens=options.max_new_tokens, beams=options.beams)
    hypotheses = generate_texts(model, text, corpus, task, decoding, unseen=options.unseen)
    true = {id: references[id] for id in hypotheses}
    records = [{"id": id, "text": t, "references": true[id]} for id, t in sorted(hypotheses.items())]
    score = scorer(metric)(true, hypotheses, bootstrap=Bootstrap(), **settings)
    return EvaluationResult([score], records=records)


def grid_figures(model: str, runs: list[str], *, unseen: bool) -> dict[str, float]:
    """Word error rate of greedy decoding, with folded case."""

    loaded, text = load_model(model)
    hypotheses = generate_texts(loaded, text, load_corpus(loaded, text, runs), "asr", Decoding(), unseen=unseen)
    references = {id: t for run in runs for id, t in transcripts(run).items() if id in hypotheses}
    return {"WER": scorer("wer")(references, {id: hypotheses[id] for id in references}).score}
