"""The configuration of DMLM: ranges of ids, the class of each id for the loss, and values that are refused."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from speechprep.errors import ConfigError
from speechprep.models.decoder import opt_config
from speechprep.models.dmlm.config import CLASSES, DELIMITERS, TASKS, DmlmConfig
from speechprep.models.dmlm.model import token_classes

pytestmark = pytest.mark.reference
SPECIAL = ["<s>", "</s>", "<pad>", *DELIMITERS, *TASKS]


def config(**changes) -> DmlmConfig:
    sizes = {"n_text": 5, "n_speech": 4, "n_image": 3, "special": SPECIAL, **changes}
    return DmlmConfig(opt_config("tiny", 12 + len(SPECIAL), 64), **sizes)


@pytest.mark.parametrize("delimiters", ["text", "exclude"])
def test_each_id_has_the_class_of_its_range(delimiters):
    made = config(delimiters=delimiters)
    counted = {*DELIMITERS, "</s>"} if delimiters == "text" else set()
    special = ["text" if name in counted else "task" for name in SPECIAL]
    expected = ["text"] * 5 + ["speech"] * 4 + ["image"] * 3 + special
    if delimiters == "exclude":
        expected[made.decoder.eos_token_id] = "task"  # the </s> of OPT is a delimiter too
    assert [CLASSES[i] for i in token_classes(made).tolist()] == expected


@pytest.mark.parametrize("lambdas", [(-0.1, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0), (1.0, 1.0, 1.0, 1.0)])
def test_weights_of_the_loss_are_three_and_not_negative(lambdas):
    with pytest.raises(ConfigError, match="set three weights of at least 0"):
        config(lambdas=lambdas)
    assert config(lambdas=(0.0, 1.0, 0.0)).lambdas == [0.0, 1.0, 0.0]
