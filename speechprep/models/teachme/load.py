"""Loading of a trained student with its heads."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from speechprep.errors import StaleArtifact
from speechprep.models.devices import device
from speechprep.models.encoder.shapes import check_tokenizer, load_bert
from speechprep.models.teachme.model import HEADS, TeachMe
from speechprep.tokenizers.wordpiece.tokenizer import WordPiece


def load_student(folder: str) -> tuple[TeachMe, WordPiece]:
    """A trained student and its tokenizer, on a GPU if one is available.

    Raises:
        StaleArtifact: the folder has no finished training, or another tokenizer.
    """
    if not (Path(folder) / HEADS).is_file():
        raise StaleArtifact(f"{folder} contains no trained student; finish 'speechprep train teachme --out {folder}'")
    bert, tokenizer = load_bert(folder), WordPiece.load(folder)
    check_tokenizer(bert, tokenizer, folder)
    model = TeachMe(bert.config, bert)
    missing, unexpected = model.distillation.load_state_dict(load_file(Path(folder) / HEADS), strict=False)
    wrong = [name for name in (*missing, *unexpected) if not name.startswith("bank.")]
    if wrong:
        raise StaleArtifact(f"{folder}/{HEADS} does not fit its config.json ({wrong[0]}); restore the folder")
    return model.eval().to(device()), tokenizer
