"""Initialisation of a DMLM from the weights of OPT, with new embedding rows for codes and special tokens."""

from __future__ import annotations

import torch

from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.models.dmlm.config import DmlmConfig
from speechprep.models.dmlm.model import DmlmForCausalLM

NEW_ROWS = ("mean", "normal")
_SHRINK = 1e-5  # covariance of new rows around the mean, relative to the covariance of the old rows


def load_opt(source: str) -> torch.nn.Module:
    """OPT from a folder, or by its hub id from the local cache.

    Raises:
        MissingBackend: the model is not on this machine.
    """
    from transformers import OPTForCausalLM

    try:
        model: torch.nn.Module = OPTForCausalLM.from_pretrained(source, local_files_only=True)
    except (OSError, ValueError) as error:
        first = first_line(error)
        raise MissingBackend(f"no OPT at {source!r}; name a local folder, or fetch it first ({first})") from error
    return model


def new_rows(old: torch.Tensor, count: int, how: str, seed: int = 0) -> torch.Tensor:
    """(count, d) new embedding rows.

    Args:
        old: (n, d) rows of OPT.
        count: number of new rows.
        how: "mean": close to the mean of the old rows, so that new tokens start with an average probability;
            "normal": N(0, 0.02), so that new tokens start with a far lower probability than the tokens of OPT.
        seed: seed of the random numbers.

    Raises:
        ConfigError: an unknown `how`.
    """
    if how not in NEW_ROWS:
        raise ConfigError(f"new_rows {how!r} is unknown; set one of {', '.join(NEW_ROWS)}")
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, old.shape[1], generator=draw, dtype=torch.float64)
    if how == "normal":
        return (0.02 * noise).to(old.dtype)
    rows = old.detach().double()
    values, vectors = torch.linalg.eigh(torch.cov(rows.T))
    spread = vectors * (values.clamp_min(0) * _SHRINK).sqrt()
    return (rows.mean(0) + noise @ spread.T).to(old.dtype)


def from_opt(opt: torch.nn.Module, config: DmlmConfig, *, rows: str = "mean", seed: int = 0) -> DmlmForCausalLM:
    """A DMLM with the weights of OPT. The first `config.n_text` rows of its embedding are those of OPT.

    Args:
        opt: result of `load_opt`.
        config: configuration with the shape of OPT.
        rows, seed: see `new_rows`.

    Raises:
        ConfigError: the configuration has another number of text rows, or another shape, than OPT.
    """
    old = opt.get_input_embeddings().weight
    if config.n_text != len(old):
        raise ConfigError(f"the configuration has {config.n_text} text rows, OPT has {len(old)}; use the config of OPT")
    model = DmlmForCausalLM(config)
    weights = dict(opt.model.state_dict())
    name = "decoder.embed_tokens.weight"
    added = new_rows(old, config.vocab_size - len(old), rows, seed)
    weights[name] = torch.cat([weights[name], added])
    try:
        model.model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(
            f"the weights of OPT have another shape than the configuration ({error}); use the config of OPT"
        ) from error

    return model
