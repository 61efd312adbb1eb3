"""Conversion of a Whisper model to another form, with equal weights.

Weights are written in float16 if that changes no value, as in the published models, else in float32. The result is
compared with the source before it gets its name, so a failed conversion leaves nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from speechprep.errors import ConfigError, MissingBackend, StorageError, first_line
from speechprep.pipelines.backends.model_files import CONFIG, PREPROCESSOR, read_json
from speechprep.pipelines.backends.whisper import tokenizer as openai_tokenizer
from speechprep.pipelines.backends.whisper.forms import FORMS, open_weights
from speechprep.pipelines.backends.whisper.openai_file import DIMS, STATE, dims_of, fits_openai, name_in_openai
from speechprep.pipelines.backends.whisper.tokenizer import Decoding
from speechprep.pipelines.backends.whisper.weights import Form, WhisperWeights

TOKENIZER = "tokenizer.json"
END, START = "<|endoftext|>", "<|startoftranscript|>"
TOKENS = 448  # of the decoder, with the prompt


def convert(source: str | Path, target: str | Path, form: Form) -> WhisperWeights:
    """Write a model in another form, and return the weights of the result.

    Raises:
        ConfigError: the target exists, the source has this form, or a file is damaged.
        MissingBackend: the source or a package is absent.
        StorageError: the target cannot be written.
    """
    weights, path = open_weights(source), Path(target).expanduser()
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path} exists and is not overwritten; choose another path")
    if weights.form == form:
        raise ConfigError(f"{weights.path} is {FORMS[form]} already; there is nothing to convert")
    if (form == "openai") != (path.suffix == ".pt"):
        needed = "a file name with the ending .pt" if form == "openai" else "a folder name without the ending .pt"
        raise ConfigError(f"{path} does not fit the form {form!r}; give {needed}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
            made = Path(scratch) / path.name
            WRITERS[form](weights, made, _is_half(weights))
            _check(weights, made)
            _open_to_readers(made)
            made.rename(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror or first_line(error)})") from None
    return open_weights(path)


def _check(weights: WhisperWeights, made: Path) -> None:
    result = open_weights(made)
    for side in ("encoder", "decoder"):
        if result.sizes != weights.sizes or result.digest(side) != weights.digest(side):
            raise ConfigError(f"the {side} of {weights.path} changed in the conversion; report this model as a bug")


def _open_to_readers(made: Path) -> None:
    """Give every file the usual permissions; some libraries create files for their owner only."""
    mask = os.umask(0)
    os.umask(mask)
    for file in made.iterdir() if made.is_dir() else [made]:
        file.chmod(0o666 & ~mask)


def _is_half(weights: WhisperWeights) -> bool:
    """True if float16 represents every value exactly."""
    with np.errstate(over="ignore"):
        for shapes in (weights.sizes.encoder(), weights.sizes.decoder()):
            for name, shape in shapes.items():
                value = weights.tensor(name, shape)
                if not np.array_equal(value.astype(np.float16).astype(np.float32), value):
                    return False
    return True


def _state(weights: WhisperWeights, *, half: bool) -> dict[str, Any]:
    """All tensors by their canonical names."""
    kind = np.float16 if half else np.float32
    shapes = {**weights.sizes.encoder(), **weights.sizes.decoder()}
    return {name: np.ascontiguousarray(weights.tensor(name, shape), kind) for name, shape in shapes.items()}


def _to_openai(weights: WhisperWeights, made: Path, half: bool) -> None:  # noqa: FBT001 - a row of WRITERS
    if not fits_openai(weights.sizes):
        raise ConfigError(f"{weights.path} has an activation or an inner width that openai-whisper lacks")
    try:
        import torch
    except ImportError:
        raise MissingBackend.package("the form 'openai'", "torch", "hf") from None
    state = {name_in_openai(name): torch.from_numpy(value) for name, value in _state(weights, half=half).items()}
    torch.save({DIMS: dims_of(weights.sizes), STATE: state}, made)


def _to_transformers(weights: WhisperWeights, made: Path, half: bool) -> None:  # noqa: FBT001
    try:
        import transformers
        from safetensors.numpy import save_file
    except ImportError:
        raise MissingBackend.package("the form 'transformers'", "transformers", "hf") from None
    hf: Any = transformers
    made.mkdir()
    fast = _tokenizer(weights)
    fast.save(str(made / TOKENIZER))
    marker = dict.fromkeys(("unk_token", "bos_token", "eos_token", "pad_token"), END)
    tokenizer = hf.WhisperTokenizerFast(tokenizer_file=str(made / TOKENIZER), **marker)
    tokenizer.save_pretrained(made)
    fast.save(str(made / TOKENIZER))  # as it was in the source
    _write_config(weights, made, tokenizer, half=half)
    preprocessor = weights.path / PREPROCESSOR
    if preprocessor.is_file():
        shutil.copy(preprocessor, made)
    else:
        seconds = weights.sizes.positions // 50
        hf.WhisperFeatureExtractor(feature_size=weights.sizes.mels, chunk_length=seconds).save_pretrained(made)
    state = {f"model.{name}": value for name, value in _state(weights, half=half).items()}
    save_file(state, made / "model.safetensors", metadata={"format": "pt"})


def _write_config(weights: WhisperWeights, made: Path, tokenizer: Any, *, half: bool) -> None:
    import transformers

    hf: Any = transformers
    sizes, decoding = weights.sizes, _decoding(weights)
    end, start = tokenizer.convert_tokens_to_ids([END, START])
    markers = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    config = hf.WhisperConfig(
        vocab_size=sizes.vocabulary, num_mel_bins=sizes.mels, d_model=sizes.width,
        encoder_layers=sizes.encoder_layers, encoder_attention_heads=sizes.encoder_heads,
        encoder_ffn_dim=sizes.encoder_ffn, decoder_layers=sizes.decoder_layers,
        decoder_attention_heads=sizes.decoder_heads, decoder_ffn_dim=sizes.decoder_ffn,
        max_source_positions=sizes.positions, max_target_positions=sizes.text_positions,
        architectures=["WhisperForConditionalGeneration"], dtype="float16" if half else "float32", **markers,
    )  # fmt: skip
    config.save_pretrained(made)
    values: dict[str, Any] = {
        **markers,
        "max_length": TOKENS,
        "suppress_tokens": decoding.suppressed,
        "begin_suppress_tokens": decoding.suppressed_first,
        "no_timestamps_token_id": tokenizer.convert_tokens_to_ids("<|notimestamps|>"),
        "prev_sot_token_id": tokenizer.convert_tokens_to_ids("<|startofprev|>"),
        "is_multilingual": sizes.multilingual,
        "max_initial_timestamp_index": 50,
        "return_timestamps": False,
    }
    if decoding.heads:
        values["alignment_heads"] = decoding.heads
    if sizes.multilingual:
        codes = [f"<|{code}|>" for code in _languages(weights, tokenizer)]
        tasks = ("transcribe", "translate")
        values["lang_to_id"] = dict(zip(codes, tokenizer.convert_tokens_to_ids(codes), strict=True))
        values["task_to_id"] = {task: tokenizer.convert_tokens_to_ids(f"<|{task}|>") for task in tasks}
    hf.GenerationConfig(**values).save_pretrained(made)


def _languages(weights: WhisperWeights, tokenizer: Any) -> list[str]:
    from speechprep.pipelines.backends.whisper.sizes import languages

    present = tokenizer.get_vocab()
    return [code for code in languages(weights.sizes.vocabulary) if f"<|{code}|>" in present]


def _tokenizer(weights: WhisperWeights) -> Any:
    from tokenizers import Tokenizer

    file = weights.path / TOKENIZER
    if not file.is_file():
        return openai_tokenizer.fast_tokenizer(openai_tokenizer.published(weights.path, weights.sizes).encoding)
    if not isinstance(read_json(file).get("model"), dict):
        raise MissingBackend(f"{file} is not a tokenizer of Hugging Face; copy the model again, whole")
    return Tokenizer.from_file(str(file))


def _decoding(weights: WhisperWeights) -> Decoding:
    if weights.form != "ct2":
        return openai_tokenizer.decoding(weights.path, weights.sizes)
    config = read_json(weights.path / CONFIG)
    return Decoding(
        config.get("suppress_ids") or [], config.get("suppress_ids_begin") or [], config.get("alignment_heads") or []
    )


def _to_ct2(weights: WhisperWeights, made: Path, half: bool) -> None:  # noqa: FBT001
    try:
        import transformers
        from ctranslate2.converters import TransformersConverter
    except ImportError:
        raise MissingBackend.package("the form 'ct2'", "ctranslate2", "whisperx") from None
    hf: Any = transformers
    folder = weights.path
    if weights.form == "openai":
        folder = made.parent / "transformers"
        _to_transformers(weights, folder, half)
    try:
        TransformersConverter(str(folder)).convert(str(made), quantization="float16" if half else "float32")
        fast = hf.AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise ConfigError(f"CTranslate2 cannot convert {folder} ({first_line(error)[:160]})") from None
    fast.save(str(made / TOKENIZER))
    if (folder / PREPROCESSOR).is_file():
        shutil.copy(folder / PREPROCESSOR, made)


WRITERS = {"ct2": _to_ct2, "transformers": _to_transformers, "openai": _to_openai}
