"""Evaluations of a trained DMLM: the word error rate of its transcripts."""

from __future__ import annotations

from speechprep.models.dmlm.corpus import transcripts
from speechprep.models.dmlm.declaration import AsrOptions
from speechprep.models.dmlm.inference import generate_texts, load_corpus, load_model
from speechprep.models.evaluation import scorer
from speechprep.models.evaluation.bootstrap import Bootstrap
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


def grid_figures(model: str, runs: list[str], *, unseen: bool) -> dict[str, float]:
    """Word error rate of greedy decoding, with folded case."""

    loaded, text = load_model(model)
    hypotheses = generate_texts(loaded, text, load_corpus(loaded, text, runs), "asr", Decoding(), unseen=unseen)
    references = {id: t for run in runs for id, t in transcripts(run).items() if id in hypotheses}
    return {"WER": scorer("wer")(references, {id: hypotheses[id] for id in references}).score}
