"""Training of DMLM: options, configuration, tasks, and the training job.

shares: {asr: 0.5, speech: 0.25, text: 0.25}    mixed supervision
shares: {asr: 1}                                labelled data alone
loss: trimodal | plain                          length-normalised by modality, or the mean over all tokens
opt: FOLDER or id                               initial weights of OPT; without it, random weights of `size`
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
    from speechprep.models.dmlm.text_tokenizer import TextTokenizer
    from speechprep.models.training.run import TrainingJob

PAIRS = ("asr", "t2s", "i2t", "s2tt")
TEXT_FOLDER = "text"  # folder of the tokenizer inside the folder of a trained model


class DmlmOptions(TrainOptions):
    """Options of `train dmlm`. The default learning rate is 1e-4 from OPT, and 3e-4 from random weights."""

    betas: tuple[float, float] = Field(
        (0.9, 0.98), description="AdamW beta1 and beta2: decay rates of the gradient averages"
    )
    weight_decay: float = Field(
        0.01, ge=0, description="AdamW weight decay; it does not apply to biases and layer norms"
    )
    opt: str | None = Field(
        None, description="folder or hub id of an OPT with the initial weights and the tokenizer; none: random weights"
    )
    new_rows: Literal["mean", "normal"] = Field(
        "mean",
        description="initial embeddings of the tokens added to OPT; mean: close to the mean of its rows; normal: "
        "N(0, 0.02)",
    )
    size: Literal["tiny", "mini", "125m", "350m"] = Field(
        "125m",
        description="shape of the decoder without opt: 2, 4, 12 or 24 layers of width 64, 256, 768 or 1024",
    )
    tokenizer: str | None = Field(
        None,
        description="folder or hub id of the text tokenizer; none: the tokenizer of opt, or the text model of the run",
    )
    context: int = Field(
        2048, ge=8, description="largest length of a row in tokens, and without opt number of positions of the model"
    )
    shares: dict[str, float] = Field(
        {"asr": 0.5, "speech": 0.25, "text": 0.25},
        description="relative share of the samples of each task: asr, t2s, s2tt_xx, i2t, speech, text",
    )
    labelled: float = Field(
        1.0,
        gt=0,
        le=1,
        description="fraction of the items used as labelled pairs; below 1 the rest are used as unlabelled data",
    )
    translations: dict[str, str] = Field(
        {}, description="translations for the tasks s2tt_xx: {xx: JSONL file with id and text}"
    )
    split: str | None = Field(None, description="train only on utterances of this split of the corpus; none: on all")
    dedup: bool = Field(
        default=False, description="remove repeats of a unit; this loses the durations, so avoid it for t2s"
    )
    long: Literal["refuse", "drop"] = Field(
        "refuse", description="treatment of sequences longer than the context; refuse: error; drop: train without them"
    )
    loss: Literal["trimodal", "plain"] = Field(
        "trimodal",
        description="trimodal: weighted sum of the mean loss of each modality; plain: mean over all tokens",
    )
    lambdas: tuple[float, float, float] = Field(
        (0.25, 0.93, 0.25), description="weights of speech, text and image in the trimodal loss"
    )
    delimiters: Literal["text", "exclude"] = Field(
        "text", description="loss on delimiter tokens; text: they count as text; exclude: no loss"
    )
    prompt_targets: bool = Field(
        default=True, description="compute a loss on the first half of a pair too; false: on the second half only"
    )

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Validated options. With `opt` the default learning rate is lower."""
        return super().of({"lr": 1e-4, **values} if values.get("opt") else values)

    @field_validator("shares")
    @classmethod
    def _positive(cls, shares: dict[str, float]) -> dict[str, float]:
        if not shares or not all(0 < share < float("inf") for share in shares.values()):
            raise ValueError("it needs finite shares above 0; remove a task to train without it")
        return shares


def training_job(data: list[str], options: DmlmOptions) -> TrainingJob:
    """The training job of `train dmlm`. All checks of the data run here.

    Args:
        data: run folders.
        options: training options.

    Raises:
        ConfigError, StaleArtifact, MissingBackend: tasks without items, different codebooks, sequences longer than
            the context, or an absent OPT.
    """
    from speechprep.artifacts import storage
    from speechprep.models.dmlm.corpus import load
    from speechprep.models.dmlm.from_opt import from_opt, load_opt
    from speechprep.models.dmlm.model import DmlmForCausalLM
    from speechprep.models.dmlm.sampler import MixedBatches
    from speechprep.models.dmlm.task_sequences import check_task
    from speechprep.models.dmlm.text_tokenizer import load_tokenizer
    from speechprep.models.training.run import TrainingJob

    for name in options.shares:
        check_task(name, options.translations)
    beside = [f"{run.rstrip('/')}/subword" for run in data]
    text = load_tokenizer(options.tokenizer or options.opt or next(filter(storage.exists, beside), beside[0]))
    corpus = load(data, text, split=options.split, dedup=options.dedup, translations=options.translations)
    opt = None if options.opt is None else load_opt(options.opt)
    config = make_config(corpus, text, options, opt)
    tasks = make_tasks(corpus, config, options)
    validation = make_tasks(corpus, config, options, part="validation") if options.validation else tasks

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
        validation=lambda rank, world: batches(validation, rank, world).first(options.validate_batches),
        row_tokens=max(1, round(mean)),
        facts={"model": "dmlm", "codebook": corpus.codebook, "data": corpus.facts},
        finish=finish,
    )


def make_config(corpus: Corpus, text: TextTokenizer, options: DmlmOptions, opt: Any) -> DmlmConfig:
    """Configuration of the model: shape of OPT or of `size`, and a vocabulary for the modalities of the corpus."""
    from speechprep.models.decoder import opt_config
    from speechprep.models.dmlm.config import DELIMITERS, DmlmConfig
    from speechprep.models.dmlm.task_sequences import task_token

    n_text = text.size if opt is None else opt.config.vocab_size
    if n_text < text.size:
        raise StaleArtifact(f"the tokenizer has {text.size} ids, OPT {n_text} rows; use the tokenizer of OPT")
    special = [*DELIMITERS]
    special += [name for name, id in (("<pad>", text.pad), ("</s>", text.eos)) if id is None]
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
                f"context = {options.context}, but {options.opt} has {decoder.max_position_embeddings} positions; "
                f"set context={decoder.max_position_embeddings}"
            )
    return DmlmConfig(
        decoder=decoder, n_text=n_text, n_speech=corpus.k, n_image=corpus.n_image, special=special, loss=options.loss,
        lambdas=options.lambdas, delimiters=options.delimiters, codebook=corpus.codebook,
        image_codes=corpus.image_codes, dedup=options.dedup, held_out=options.held_out,
    )  # fmt: skip


def make_tasks(
    corpus: Corpus, config: DmlmConfig, options: DmlmOptions, part: Literal["train", "validation"] = "train"
) -> dict[str, Any]:
    """The tasks by name, with the items of one side of the validation split, none longer than the context."""
    from speechprep.models.dmlm.task_sequences import TaskSequences
    from speechprep.models.split import held_out

    def selects(ids: list[str]) -> Any:
        validation = held_out(ids, options.validation, options.validation_group)
        return validation if part == "validation" else ~validation

    tasks = {}
    for name in options.shares:
        pair = name.startswith(PAIRS)
        hash_range = (0.0, options.labelled) if pair or options.labelled == 1 else (options.labelled, 1.0)
        sequences = TaskSequences(
            name, corpus, config, hash_range=hash_range, seed=options.seed, prompt_targets=options.prompt_targets,
            selects=selects,
        )  # fmt: skip
        sequences.limit(options.context, drop=options.long == "drop")
        tasks[name] = sequences
    return tasks
