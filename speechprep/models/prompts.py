"""Generation from a file of prompts: text or units to text or units, with a trained SUTLM or DMLM.

A prompt is one line of JSON with "text" or "units", and optionally "id". Units are units of the codebook of the model,
for each frame or without repeats.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speechprep.errors import BadInput, ConfigError, StaleArtifact
from speechprep.options import Options
from speechprep.tokenizers.arrays.runlength import dedup

MODALITIES = ("text", "units")


class GenerateOptions(Options):
    """Options of `speechprep generate`."""

    to: str = Field("text", description="Modality of the output: text or units. All other tokens are masked.")
    join: str = Field(
        "ast",
        description="SUTLM: tokens between two modalities, as in training: ast writes a switch token, cst the end and "
        "begin tokens.",
    )
    task: str | None = Field(
        None, description="DMLM: task, for example asr, t2s or s2tt_de.  [default: asr to text, t2s to units]"
    )
    samples: int = Field(1, ge=1, description="Number of outputs for each prompt. More than 1 needs a temperature.")
    temperature: float | None = Field(
        None, description="Sampling temperature.  [default: no sampling]", json_schema_extra={"metavar": "T"}
    )
    top_p: float = Field(
        1.0,
        description="Nucleus sampling: draw from the likeliest tokens with this total probability.",
        json_schema_extra={"metavar": "P"},
    )
    top_k: int = Field(
        0, description="Draw from the K likeliest tokens. 0: from all.", json_schema_extra={"metavar": "K"}
    )
    beams: int = Field(1, ge=1, description="Beam width. It excludes a temperature.")
    max_new_tokens: int = Field(128, ge=1, description="Largest number of tokens of an output.")
    seed: int | None = Field(None, description="Seed of the sampling.  [default: 0]")


@dataclass(frozen=True)
class Prompt:
    """A prompt: its id, and its text or its units (n,)."""

    id: str
    text: str | None
    units: NDArray[np.int64] | None


@dataclass(frozen=True)
class _Request:
    """Prompt tokens, allowed ids, stop id, and the decoder of the generated ids."""

    tokens: list[int]
    stop: int
    ranges: list[tuple[int, int]]
    ids: list[int]
    decode: Callable[[list[int]], dict[str, Any]]


def read_prompts(path: str) -> list[Prompt]:
    """Prompts of a file.

    Raises:
        ConfigError: no such file.
        BadInput: a line that is no prompt (`bad_prompt`), or an id that stands twice; the message has the line number.
    """
    if not Path(path).is_file():
        raise ConfigError(f"--prompts {path}: no such file; correct the path")
    prompts: list[Prompt] = []
    ids: set[str] = set()
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        prompt = _read_prompt(line, number, path)
        if prompt.id in ids:
            raise BadInput("bad_prompt", f"{path}, line {number}: id {prompt.id!r} stands twice; use different ids")
        ids.add(prompt.id)
        prompts.append(prompt)
    if not prompts:
        raise BadInput("bad_prompt", f"{path} has no prompts; write one JSON object a line")
    return prompts


def _read_prompt(line: str, number: int, path: str) -> Prompt:
    form = 'write {"text": "how are"} or {"units": [3, 3, 17]}'
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadInput("bad_prompt", f"{path}, line {number}: not JSON ({error}); {form}") from None
    if not isinstance(row, dict) or ("text" in row) == ("units" in row):
        raise BadInput("bad_prompt", f"{path}, line {number}: needs text or units, and not both; {form}")
    id = str(row.get("id", number))
    if "text" in row:
        if not isinstance(row["text"], str) or not row["text"].strip():
            raise BadInput("bad_prompt", f"{path}, line {number}: text {row['text']!r} is no text; {form}")
        return Prompt(id, row["text"].strip(), None)
    units = row["units"]
    if not isinstance(units, list) or not units or any(type(u) is not int or u < 0 for u in units):
        raise BadInput("bad_prompt", f"{path}, line {number}: units are no list of integers from 0; {form}")
    return Prompt(id, None, np.array(units, np.int64))


def generate_outputs(folder: str, prompts: list[Prompt], options: GenerateOptions) -> Iterator[dict[str, Any]]:
    """Records of the outputs, in the order of the prompts: id, sample, and text or units.

    Args:
        folder: folder of a trained SUTLM or DMLM.
        prompts: result of `read_prompts`.
        options: options of the decoding.

    Raises:
        ConfigError: an unknown modality or task, samples without a temperature, or a prompt longer than the context.
        BadInput: a unit that the codebook does not have.
        StaleArtifact: the folder has no trained model.
    """
    from speechprep.models.generation import Decoding, allowed_tokens, generate

    if options.to not in MODALITIES:
        raise ConfigError(f"to {options.to!r} is unknown; set one of {', '.join(MODALITIES)}")
    if options.samples > 1 and options.temperature is None:
        raise ConfigError(f"samples={options.samples} without a temperature are all equal; set a temperature")
    how = Decoding(
        max_new_tokens=options.max_new_tokens,
        sample=options.temperature is not None,
        temperature=1.0 if options.temperature is None else options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        beams=options.beams,
        seed=options.seed or 0,
    )
    model, request_of = _loaded(folder, options)
    requests = [request_of(prompt) for prompt in prompts]
    groups: dict[str, list[int]] = {}
    for i, request in enumerate(requests):
        groups.setdefault(repr((request.stop, request.ranges)), []).append(i)
    outputs: dict[tuple[int, int], list[int]] = {}
    for members in groups.values():
        first = requests[members[0]]
        allowed = allowed_tokens(model.config.vocab_size, first.ranges, [first.stop, *first.ids])
        pairs = [(i, n) for i in members for n in range(options.samples)]
        keys = [f"{prompts[i].id}#{n}" for i, n in pairs]
        tokens = generate(model, [requests[i].tokens for i, _ in pairs], allowed, first.stop, how, keys=keys)
        outputs |= dict(zip(pairs, tokens, strict=True))
    for i, prompt in enumerate(prompts):
        for n in range(options.samples):
            ids = outputs[i, n]
            yield {"id": prompt.id, "sample": n, **requests[i].decode(ids), "tokens": len(ids)}


def _loaded(folder: str, options: GenerateOptions) -> tuple[Any, Callable[[Prompt], _Request]]:
    config = Path(folder) / "config.json"
    kind = json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else None
    if kind == "sutlm":
        return _sutlm(folder, options)
    if kind == "dmlm":
        return _dmlm(folder, options)
    found = f"a model of type {kind!r}" if kind else "no trained model"
    raise StaleArtifact(f"{folder} contains {found}; name the folder of a trained sutlm or dmlm")


def _sutlm(folder: str, options: GenerateOptions) -> tuple[Any, Callable[[Prompt], _Request]]:
    from speechprep.models.evaluation.context_pairs import Half
    from speechprep.models.evaluation.context_pairs import prompt as prompt_tokens
    from speechprep.models.sutlm.load import load_model

    model, vocab = load_model(folder)
    config = model.config
    target = options.to[0]
    stop = config.markers[f"{target}_end"]
    start, end = config.ranges["unit" if target == "u" else "text"]
    none = np.zeros(0, np.int32)

    def decode(ids: list[int]) -> dict[str, Any]:
        if target == "t":
            return {"text": vocab.decode_text(np.array(ids, np.int64)).strip()}
        return {"units": vocab.decode_units(np.array(ids, np.int64)).tolist()}

    def request(prompt: Prompt) -> _Request:
        if prompt.units is None:
            half, source = Half(none, vocab.encode_texts([f" {prompt.text}"])[0], str(prompt.text)), "t"
        else:
            _check_units(prompt, vocab.k)
            runs = dedup(prompt.units)[0]
            half, source = Half(vocab.encode_units(runs, np.array([0, len(runs)]))[0], none, ""), "u"
        tokens = prompt_tokens(half, f"{source}2{target}", options.join, config.markers)
        return _Request(tokens, stop, [(start, end)], [], decode)

    return model, request


def _dmlm(folder: str, options: GenerateOptions) -> tuple[Any, Callable[[Prompt], _Request]]:
    from speechprep.models.dmlm.inference import load_model
    from speechprep.models.dmlm.task_sequences import task_token

    model, text = load_model(folder)
    config: Any = model.config
    first, last = config.ranges["speech"]
    to_text = options.to == "text"
    ranges = [] if to_text else [(first, last)]
    ids = text.text_ids.tolist() if to_text else []

    def decode(out: list[int]) -> dict[str, Any]:
        return {"text": text.decode(out)} if to_text else {"units": [i - first for i in out]}

    def request(prompt: Prompt) -> _Request:
        if prompt.units is None:
            body = text.encode([str(prompt.text)])[0].tolist()
        else:
            _check_units(prompt, config.n_speech)
            body = ((dedup(prompt.units)[0] if config.dedup else prompt.units) + first).tolist()
        crossing = (prompt.units is None) != to_text
        if not crossing and options.task is None:  # continue in the same modality
            if to_text:
                return _Request([config.eos_token_id, *body], config.eos_token_id, ranges, ids, decode)
            opened = [config.eos_token_id, config.token("<SPEECH>"), *body]
            return _Request(opened, config.token("</SPEECH>"), ranges, ids, decode)
        names = [("<TEXT>", "</TEXT>"), ("<SPEECH>", "</SPEECH>")]
        source, target = names[prompt.units is not None], names[not to_text]
        task = options.task or ("asr" if to_text else "t2s")
        head = [config.eos_token_id, config.token(task_token(task)), config.token(source[0])]
        tokens = [*head, *body, config.token(source[1]), config.token(target[0])]
        return _Request(tokens, config.token(target[1]), ranges, ids, decode)

    return model, request


def _check_units(prompt: Prompt, k: int) -> None:
    if prompt.units is not None and prompt.units.max() >= k:
        raise BadInput(
            "bad_prompt", f"prompt {prompt.id!r}: unit {int(prompt.units.max())}, the model has units below {k}"
        )
