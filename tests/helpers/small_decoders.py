"""Small decoder models with random weights."""

from __future__ import annotations

from speechprep.models.decoder import opt_config
from speechprep.models.dmlm.config import DELIMITERS, DmlmConfig
from speechprep.models.dmlm.model import DmlmForCausalLM
from speechprep.models.sutlm.config import SutlmConfig
from speechprep.models.sutlm.model import SutlmForCausalLM


def sutlm() -> SutlmForCausalLM:
    """40 tokens: 4 special ones, 18 of text, 18 of units; 32 positions."""
    decoder = opt_config("tiny", 40, 32, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    config = SutlmConfig(decoder=decoder, vocabulary="v", ranges={"text": [4, 22], "unit": [22, 40]})
    return SutlmForCausalLM(config)


def dmlm() -> DmlmForCausalLM:
    """20 tokens of text, 10 speech codes, 4 image codes and the delimiters; 32 positions."""
    size = 20 + 10 + 4 + len(DELIMITERS)
    decoder = opt_config("tiny", size, 32, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    config = DmlmConfig(decoder=decoder, n_text=20, n_speech=10, n_image=4, special=[*DELIMITERS])
    return DmlmForCausalLM(config)
