"""A DMLM from OPT's weights, with added rows for codes and special tokens."""

from __future__ import annotations

import torch

from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.models.dmlm.config import DmlmConfig
from speechprep.models.dmlm.model import DmlmForCausalLM

NEW_ROWS = ("mean", "normal")
_SHRINK = 1e-5  # of the covariance of the old rows, for the new ones around their mean


def load_opt(source: str) -> torch.nn.Module:
    """OPT from a folder, or from a hub id in the cache of this machine.

    Raises:
        MissingBackend: it cannot be had on this machine.
    """
    from transformers import OPTForCausalLM

    try:
        found: torch.nn.Module = OPTForCausalLM.from_pretrained(source, local_files_only=True)
    except (OSError, ValueError) as error:
        first = first_line(error)
        raise MissingBackend(f"no OPT at {source!r}; name a local folder, or fetch it first ({first})") from error
    return found


def new_rows(old: torch.Tensor, count: int, how: str, seed: int = 0) -> torch.Tensor:
    """(count, d) embedding rows to stand behind `old` (n, d).

    Args:
        old: the rows there are.
        count: how many more.
        how: "mean": close around the mean of the old rows, for an average initial probability of the new tokens;
            "normal": N(0, 0.02), far below OPT's rows at first.
        seed: of the draw.
    """
    if how not in NEW_ROWS:
        raise ConfigError(f"new_rows {how!r}; there are: {', '.join(NEW_ROWS)}")
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, old.shape[1], generator=draw, dtype=torch.float64)
    if how == "normal":
        return (0.02 * noise).to(old.dtype)
    rows = old.detach().double()
    values, vectors = torch.linalg.eigh(torch.cov(rows.T))
    spread = vectors * (values.clamp_min(0) * _SHRINK).sqrt()
    return (rows.mean(0) + noise @ spread.T).to(old.dtype)


def from_opt(opt: torch.nn.Module, config: DmlmConfig, *, rows: str = "mean", seed: int = 0) -> DmlmForCausalLM:
    """The model of `config` with OPT's weights; the first `n_text` rows of its embedding are OPT's.

    Raises:
        ConfigError: the configuration has another number of text rows, or another shape, than OPT.
    """
    old = opt.get_input_embeddings().weight
    if config.n_text != len(old):
        raise ConfigError(f"the configuration has {config.n_text} rows of text, OPT has {len(old)}")
    model = DmlmForCausalLM(config)
    weights = dict(opt.model.state_dict())
    name = "decoder.embed_tokens.weight"
    added = new_rows(old, config.vocab_size - len(old), rows, seed)
    weights[name] = torch.cat([weights[name], added])
    try:
        model.model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(f"OPT's weights are of another shape than the configuration: {error}") from error
    return model
