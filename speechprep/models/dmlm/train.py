"""Training DMLM: tasks in stated shares, from OPT's weights or from random ones, with the controls of the paper.

shares: {asr: 0.5, speech: 0.25, text: 0.25}    mixed supervision
shares: {asr: 1}                                labelled data alone
loss: trimodal | plain                          length-normalised by modality, or the mean over all tokens
opt: FOLDER or id                               start from OPT; without it, from random weights of `size`
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.training.options import TrainOptions

if TYPE_CHECKING:
    from speechprep.models.dmlm.config import DmlmConfig
    from speechprep.models.dmlm.corpus import Corpus
    from speechprep.models.dmlm.sampler import MixedBatches
    from speechprep.models.dmlm.text_tokenizer import Text
    from speechprep.models.training.run import TrainingJob

PAIRS = ("asr", "t2s", "i2t", "s2tt")
TEXT_FOLDER = "text"  # of the model: its tokenizer


class DmlmOptions(TrainOptions):
    """Options of `train dmlm`. From OPT the learning rate is 1e-4 unless given, from random weights 3e-4."""

    betas: tuple[float, float] = Field((0.9, 0.98), description="of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="of AdamW; biases and layer norms have none")
    opt: str | None = Field(None, description="folder or id of an OPT to start from, with its tokenizer")
    new_rows: Literal["mean", "normal"] = Field("mean", description="how added rows of OPT's embedding begin")
    size: Literal["tiny", "mini", "125m", "350m"] = Field("125m", description="shape of the decoder without opt")
    tokenizer: str | None = Field(
        None, description="folder or id of a text tokenizer; not given: that of opt, or the run's own text model"
    )
    context: int = Field(2048, ge=8, description="most tokens of a row, and positions of the model without opt")
    shares: dict[str, float] = Field(
        {"asr": 0.5, "speech": 0.25, "text": 0.25},
        description="of the samples: asr, t2s, s2tt_xx, i2t, speech, text",
    )
    labelled: float = Field(
        1.0, gt=0, le=1, description="share of the items used as pairs; below 1, the others are what is unlabelled"
    )
    translations: dict[str, str] = Field({}, description="for s2tt_xx: {xx: file of id and text, .jsonl}")
    split: str | None = Field(None, description="only utterances of this split of the corpus")
    dedup: bool = Field(default=False, description="drop repeats of a unit; durations are lost, T2S needs them")
    long: Literal["refuse", "drop"] = Field("refuse", description="sequences longer than the context")
    loss: Literal["trimodal", "plain"] = Field("trimodal", description="see docs/models.md")
    lambdas: tuple[float, float, float] = Field((0.25, 0.93, 0.25), description="of speech, text and image")
    delimiters: Literal["text", "exclude"] = Field("text", description="whether delimiters are targets, as text")
    prompt_targets: bool = Field(default=True, description="whether the first half of a pair is a target too")

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """As of `TrainOptions`; the learning rate for OPT's weights is lower."""
        return super().of({"lr": 1e-4, **values} if values.get("opt") else values)

    @field_validator("shares")
    @classmethod
    def _some(cls, shares: dict[str, float]) -> dict[str, float]:
        if not shares or not all(0 < share < float("inf") for share in shares.values()):
            raise ValueError("shares above 0 are needed; leave a task out to do without it")
        return shares


def training_job(data: list[str], options: DmlmOptions) -> TrainingJob:
    """The parts of the training, with all checks possible without the model.

    Args:
        data: run folders.
        options: see there.

    Raises:
        ConfigError, StaleArtifact, MissingBackend: tasks without items, different codebooks, sequences longer than
            the context, an absent OPT.
    """
    from speechprep.models.dmlm.corpus import load
    from speechprep.models.dmlm.from_opt import from_opt, load_opt
    from speechprep.models.dmlm.model import DmlmForCausalLM
    from speechprep.models.dmlm.sampler import MixedBatches
    from speechprep.models.dmlm.task_sequences import check_task
    from speechprep.models.dmlm.text_tokenizer import load_text
    from speechprep.models.training.run import TrainingJob

    for name in options.shares:
        check_task(name, options.translations)
    text = load_text(options.tokenizer or options.opt or f"{data[0].rstrip('/')}/subword")
    corpus = load(data, text, split=options.split, dedup=options.dedup, translations=options.translations)
    opt = None if options.opt is None else load_opt(options.opt)
    config = make_config(corpus, text, options, opt)
    tasks = make_tasks(corpus, config, options)
    unseen = make_tasks(corpus, config, options, part="validation") if options.validation else tasks

    def model() -> DmlmForCausalLM:
        if opt is None:
            return DmlmForCausalLM(config)
        return from_opt(opt, config, rows=options.new_rows, seed=options.seed)

    def batches(of: dict[str, Any], rank: int, world: int) -> MixedBatches:
        return MixedBatches(
            of, options.shares, rows=options.rows, context=options.context, pad=int(config.pad_token_id or 0),
            seed=options.seed, rank=rank, world=world,
        )  # fmt: skip

    def finish(out: Path) -> None:
        text.save(out / TEXT_FOLDER)

    tokens = sum(float(t.lengths.mean()) * options.shares[name] for name, t in tasks.items())
    mean = tokens / sum(options.shares.values())
    return TrainingJob(
        model=model,
        batches=lambda rank, world: batches(tasks, rank, world),
        validation=lambda rank, world: batches(unseen, rank, world).first(options.validate_batches),
        row_tokens=max(1, round(mean)),
        facts={"model": "dmlm", "codebook": corpus.codebook, "data": corpus.facts},
        finish=finish,
    )


def make_config(corpus: Corpus, text: Text, options: DmlmOptions, opt: Any) -> DmlmConfig:
    """The model's configuration: the shape of OPT or of `size`, and a vocabulary for the modalities of the corpus."""
    from speechprep.models.decoder import opt_config
    from speechprep.models.dmlm.config import DELIMITERS, DmlmConfig
    from speechprep.models.dmlm.task_sequences import task_token

    n_text = text.size if opt is None else opt.config.vocab_size
    if n_text < text.size:
        raise StaleArtifact(f"the tokenizer has {text.size} ids, OPT {n_text} rows: they do not belong together")
    special = [*DELIMITERS]
    special += [name for name, known in (("<pad>", text.pad), ("</s>", text.eos)) if known is None]
    special += [task_token(name) for name in options.shares if name.startswith(PAIRS)]
    first = n_text + corpus.k + corpus.n_image
    ids = {
        "pad_token_id": first + special.index("<pad>") if text.pad is None else text.pad,
        "eos_token_id": first + special.index("</s>") if text.eos is None else text.eos,
    }
    ids["bos_token_id"] = ids["eos_token_id"]
    size = first + len(special)
    if opt is None:
        decoder = opt_config(options.size, size, options.context, dropout=options.dropout, **ids)
    else:
        decoder = type(opt.config)(**{**opt.config.to_dict(), "vocab_size": size, "dropout": options.dropout, **ids})
        if decoder.max_position_embeddings < options.context:
            raise ConfigError(
                f"context = {options.context}, but {options.opt} has {decoder.max_position_embeddings} positions"
            )
    return DmlmConfig(
        decoder=decoder, n_text=n_text, n_speech=corpus.k, n_image=corpus.n_image, special=special, loss=options.loss,
        lambdas=options.lambdas, delimiters=options.delimiters, codebook=corpus.codebook,
        image_codes=corpus.image_codes, dedup=options.dedup, held_out=options.held_out,
    )  # fmt: skip


def make_tasks(
    corpus: Corpus, config: DmlmConfig, options: DmlmOptions, part: Literal["train", "validation"] = "train"
) -> dict[str, Any]:
    """The tasks by name, each with its usable items of a side, none longer than the context."""
    from speechprep.models.dmlm.task_sequences import Task
    from speechprep.models.split import held_out

    def side(ids: list[str]) -> Any:
        unseen = held_out(ids, options.validation, options.validation_group)
        return unseen if part == "validation" else ~unseen

    found = {}
    for name in options.shares:
        pair = name.startswith(PAIRS)
        chosen = (0.0, options.labelled) if pair or options.labelled == 1 else (options.labelled, 1.0)
        made = Task(
            name, corpus, config, chosen=chosen, seed=options.seed, prompt_targets=options.prompt_targets, side=side
        )
        made.limit(options.context, drop=options.long == "drop")
        found[name] = made
    return found
