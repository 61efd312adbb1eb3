"""Commands of `speechprep eval` that ask a trained model: asr, cra, pelm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from speechprep.cli import options as opt

Model = Annotated[str, typer.Option("--model", "-m", metavar="FOLDER", help="Folder that `speechprep train` made.")]
Data = Annotated[str, typer.Option("--data", "-d", metavar="FOLDER", help="Run folder with what the model is asked.")]
Split = Annotated[str | None, typer.Option("--split", metavar="NAME", help="Only utterances of this split.")]
Unseen = Annotated[
    bool, typer.Option("--unseen", help="Only utterances kept out of the training by its option `validation`.")
]
Beams = Annotated[int, typer.Option("--beams", metavar="N", min=1, help="Beam width; 1 is greedy.")]
Longest = Annotated[int, typer.Option("--max-new-tokens", metavar="N", min=1, help="Most tokens of an answer.")]
Decoded = Annotated[
    str | None, typer.Option("--out", "-o", metavar="FILE", help="Also write the answers there, as JSON Lines.")
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N pairs, by id.")]
MinWords = Annotated[int, typer.Option("--min-words", metavar="N", min=2, help="Shortest utterance, in words.")]
Directions = Annotated[
    list[str] | None, typer.Option("--direction", metavar="NAME", help="u2u, t2t, u2t or t2u; repeatable.  [all]")
]
Join = Annotated[
    str,
    typer.Option("--join", metavar="NAME", help="How modalities change: ast (switch token) or cst (end and begin)."),
]

ASR_EXAMPLES = """\b
Examples:
  speechprep eval asr --model models/asr --data test-run
  speechprep eval asr --model models/asr --data test-run --beams 5 --normalise whisper --out decoded.jsonl"""
CRA_EXAMPLES = """\b
Examples:
  speechprep eval cra --model models/sutlm --data test-run
  speechprep eval cra --model models/sutlm --data test-run --candidates 50 --join cst --json"""
TRANSFER_EXAMPLES = """\b
Examples:
  speechprep eval slue-transfer --model models/sa-speech --model models/sa-text --data dev-run --labels dev.tsv"""
PELM_EXAMPLES = """\b
Examples:
  speechprep eval pelm --model models/sutlm --data test-run --lm models/opt-6.7b
  speechprep eval pelm --model models/sutlm --data test-run --lm models/opt-125m --direction t2t --samples 1"""


def asr(
    *,
    model: Model,
    data: Data,
    split: Split = None,
    unseen: Unseen = False,
    beams: Beams = 1,
    max_new_tokens: Longest = 256,
    normalise: Annotated[str, typer.Option("--normalise", metavar="NAME", help="As of `eval wer`.")] = "librispeech",
    out: Decoded = None,
    json: opt.Json = False,
) -> None:
    """Transcribe the units of a run with a DMLM, and its word error rate."""
    need_torch()
    from speechprep.cli.zoo.scores import show
    from speechprep.models.dmlm.answer import answers, load_corpus, load_model
    from speechprep.models.dmlm.corpus import transcripts
    from speechprep.models.evaluation import scorer
    from speechprep.models.evaluation.bootstrap import Bootstrap
    from speechprep.models.generation import Decoding

    lm, text = load_model(model)
    corpus = load_corpus(lm, text, [data], split=split)
    said = answers(lm, text, corpus, "asr", Decoding(max_new_tokens=max_new_tokens, beams=beams), unseen=unseen)
    right = {id: t for id, t in transcripts(data).items() if id in said}
    if out is not None:
        write_lines(out, [{"id": id, "text": t, "reference": right.get(id)} for id, t in sorted(said.items())])
    said = {id: t for id, t in said.items() if id in right}
    show(scorer("wer")(right, said, bootstrap=Bootstrap(), normalise=normalise), json=json)


def cra(
    *,
    model: Model,
    data: Data,
    split: Split = None,
    unseen: Unseen = False,
    candidates: Annotated[
        int, typer.Option("--candidates", metavar="N", min=2, help="Contexts to choose from, the true one included.")
    ] = 100,
    directions: Directions = None,
    min_words: MinWords = 20,
    limit: Limit = None,
    join: Join = "ast",
    seed: opt.Seed = None,
    json: opt.Json = False,
) -> None:
    """Context retrieval accuracy of a SUTLM: does the true context make a continuation likelier than others do?

    Candidates come from other speakers, and from the same speaker, separately. Chance is 1 / candidates.
    """
    need_torch()
    from speechprep.cli.output import print_json
    from speechprep.models.evaluation.cra import DIRECTIONS
    from speechprep.models.evaluation.cra import cra as retrieve

    lm, _, pairs = _asked(model, data, min_words, split, limit, unseen=unseen)
    found = retrieve(
        lm,
        pairs,
        candidates=candidates,
        directions=directions or DIRECTIONS,
        join=join,
        seed=seed or 0,
    )
    if json:
        print_json([score.as_dict() for score in found])
        return
    rows = []
    for score in found:
        _, direction, pool = score.metric.split(".")
        span = f"{score.interval.low:.1%} to {score.interval.high:.1%}" if score.interval else ""
        rows.append((direction, f"{pool} speaker", f"{score.score:.1%}", span, f"{score.others['chance']:.1%}",
                     f"{score.others['candidates']:.1f}", f"{score.counts['pairs']:,}"))  # fmt: skip
    _table(("direction", "candidates from", "accuracy", "95 % interval", "chance", "candidates", "pairs"), rows)


def pelm(
    *,
    model: Model,
    data: Data,
    lm: Annotated[str, typer.Option("--lm", metavar="FOLDER", help="The judge: folder or id of a causal text LM.")],
    split: Split = None,
    unseen: Unseen = False,
    directions: Directions = None,
    samples: Annotated[int, typer.Option("--samples", metavar="N", min=1, help="Continuations of each prompt.")] = 3,
    temperature: Annotated[float, typer.Option("--temperature", metavar="T", help="Of the sampling.")] = 1.0,
    top_p: Annotated[float, typer.Option("--top-p", metavar="P", help="Nucleus of the sampling.")] = 0.9,
    top_k: Annotated[int, typer.Option("--top-k", metavar="K", help="Most tokens to draw from; 0 for all.")] = 50,
    max_new_tokens: Longest = 128,
    min_words: MinWords = 20,
    limit: Limit = None,
    join: Join = "ast",
    seed: opt.Seed = None,
    json: opt.Json = False,
) -> None:
    """Perplexity, to an external LM, of what a SUTLM goes on to say; with copies, repetitions and length beside it.

    Units are transcribed by the SUTLM itself, which must know CST for it; the rows `true` are the true continuations,
    as text and through that transcriber.
    """
    need_torch()
    from speechprep.cli.output import print_json
    from speechprep.models.evaluation.cra import DIRECTIONS
    from speechprep.models.evaluation.pelm import ExternalLM
    from speechprep.models.evaluation.pelm import pelm as perplexity
    from speechprep.models.generation import Decoding

    how = Decoding(
        max_new_tokens=max_new_tokens, sample=True, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed or 0
    )
    asked, vocab, pairs = _asked(model, data, min_words, split, limit, unseen=unseen)
    found = perplexity(
        asked,
        vocab,
        pairs,
        ExternalLM.load(lm),
        directions=directions or DIRECTIONS,
        how=how,
        samples=samples,
        join=join,
    )
    if json:
        print_json([score.as_dict() for score in found])
        return
    rows = [
        (score.metric.removeprefix("pelm."), f"{score.score:,.1f}", f"{score.others['copied']:.1%}",
         f"{score.others['repeated']:.1%}", f"{score.others['length']:.2f}", f"{score.counts['tokens']:,}",
         f"{score.counts['empty']:,}") for score in found
    ]  # fmt: skip
    _table(("continuation", "PELM", "copied", "repeated", "length", "tokens", "empty"), rows)


def transfer(
    *,
    models: Annotated[
        list[str], typer.Option("--model", "-m", metavar="FOLDER", help="Folder that `train slue` made; repeatable.")
    ],
    data: Data,
    labels: Annotated[
        str, typer.Option("--labels", metavar="FILE", help="Ids with what is right: .tsv, .jsonl, .csv.")
    ],
    column: Annotated[str | None, typer.Option("--column", metavar="NAME", help="Column of the labels.")] = None,
    json: opt.Json = False,
) -> None:
    """SLUE by models fine-tuned on speech or on text, each asked in speech and in text."""
    need_torch()
    from speechprep.cli.output import print_json
    from speechprep.models.sutlm.transfer import transfer as matrix

    found = matrix(models, data, labels, column=column)
    if json:
        print_json([{"trained_on": a, "asked_in": b, **score.as_dict()} for a, b, score in found])
        return
    rows = []
    for trained, modality, score in found:
        span = f"{score.interval.low:.1%} to {score.interval.high:.1%}" if score.interval else ""
        rows.append((trained, modality, score.metric, f"{score.score:.1%}", span))
    _table(("trained on", "asked in", "score", "", "95 % interval"), rows)


def _asked(
    model: str, data: str, min_words: int, split: str | None, limit: int | None, *, unseen: bool
) -> tuple[Any, Any, Any]:
    from speechprep.errors import BadInput
    from speechprep.models.evaluation.halves import load_pairs
    from speechprep.models.split import unseen_of
    from speechprep.models.sutlm.load import load_model

    lm, vocab = load_model(model)
    pairs = load_pairs(data, vocab, min_words=min_words, split=split, codebook=lm.config.codebook)
    if unseen:
        keep = unseen_of(lm.config)([pair.id for pair in pairs])
        pairs = [pair for pair, kept in zip(pairs, keep, strict=True) if kept]
        if not pairs:
            raise BadInput("no_pairs", f"no utterance of {data} was kept out of the training; raise its validation")
    return lm, vocab, pairs[:limit]


def need_torch() -> None:
    """Refuse where the packages of the models are not installed.

    Raises:
        MissingBackend: naming the extra.
    """
    from importlib.util import find_spec

    from speechprep.errors import MissingBackend

    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingBackend.package("this evaluation", package, "train")


def write_lines(path: str, rows: list[dict[str, Any]]) -> None:
    """JSON Lines."""
    import json as codec
    from pathlib import Path

    text = "".join(codec.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    Path(path).write_text(text, encoding="utf-8")


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from speechprep.cli.output import console, table

    made = table(*columns, right=columns[1:])
    for row in rows:
        made.add_row(*row)
    console().print(made)
