"""Small CTC models with random weights, and models that say what a test wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speechprep.pipelines.backends.whisper.tokenizer import fast_tokenizer

LABELS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (32,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
SMALL_WHISPER = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}


def ctc_folder(folder: Path, seed: int = 0, normalise: bool = True, **config: Any) -> Path:
    """A Wav2Vec2ForCTC with its processor."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    made = transformers.Wav2Vec2Config(vocab_size=len(LABELS), pad_token_id=0, **{**SMALL, **config})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({label: i for i, label in enumerate(LABELS)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise)
    transformers.Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(folder)
    transformers.Wav2Vec2ForCTC(made).save_pretrained(folder)
    return folder


def whisper_folder(folder: Path, work: Path, says: str | None = None, language: str = "en", **sizes: Any) -> Path:
    """A Whisper with random weights in CTranslate2's format, with the tokenizer that openai-whisper carries.

    Args:
        folder: to write. work: for the same model as transformers has it.
        says: the words that it hears in whatever audio; by default what chance makes it hear.
        language: that it then hears.
        sizes: of the model, as WhisperConfig names them; small by default.
    """
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    converters = pytest.importorskip("ctranslate2.converters")
    whisper = pytest.importorskip("whisper.tokenizer")
    encoding = whisper.get_encoding("multilingual", 99)
    special = encoding._special_tokens
    end, start = special["<|endoftext|>"], special["<|startoftranscript|>"]
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=encoding.n_vocab, pad_token_id=end, bos_token_id=end, eos_token_id=end,
        decoder_start_token_id=start, max_target_positions=448, **{**SMALL_WHISPER, **sizes},
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config).eval()
    if says is not None:
        with torch.no_grad():  # transformers has nothing at the padding, which is the end here
            model.model.decoder.embed_tokens.weight[end] = 0.02 * torch.randn(config.d_model)
        tokens = [special[f"<|{language}|>"], None, None, *encoding.encode(" " + says), end]
        plant(model.model.decoder.embed_positions.weight, model.model.decoder.embed_tokens.weight, tokens)
    languages = [name for name in special if name[2:-2].isalpha() and len(name) <= 7]
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=end, pad_token_id=end, decoder_start_token_id=start, max_length=448, is_multilingual=True,
        suppress_tokens=[start, special["<|nospeech|>"]], begin_suppress_tokens=[220, end],
        lang_to_id={name: special[name] for name in languages}, no_timestamps_token_id=special["<|notimestamps|>"],
        task_to_id={"transcribe": special["<|transcribe|>"], "translate": special["<|translate|>"]},
        alignment_heads=[[0, 0]],
    )  # fmt: skip
    model.save_pretrained(work)
    fast_tokenizer(encoding).save(str(work / "tokenizer.json"))
    names = [name for name in special if not name[2:3].isdigit()]
    made = {"tokenizer_class": "WhisperTokenizer", "model_max_length": 448, "additional_special_tokens": names}
    (work / "tokenizer_config.json").write_text(json.dumps({**made, "unk_token": "<|endoftext|>"}))
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(work)
    files = ["tokenizer.json", "preprocessor_config.json"]
    converters.TransformersConverter(str(work), copy_files=files).convert(str(folder), force=True)
    return folder


def plant(positions: Any, embeddings: Any, tokens: list[int | None], strength: float = 100.0) -> None:
    """Let a decoder say `tokens`, one after each position, whatever it hears: the position outweighs all else."""
    import torch

    with torch.no_grad():
        for token in {token for token in tokens if token is not None}:
            embeddings[token] *= 20  # so that none of fifty thousand others comes near it in a few dimensions
        for position, token in enumerate(tokens):
            if token is not None:
                positions[position] = strength * embeddings[token]


def openai_checkpoint(file: Path, says: str | None = None, language: str = "en", **sizes: int) -> Path:
    """A Whisper with random weights as openai-whisper saves it; `says` and `language` as in `whisper_folder`."""
    torch = pytest.importorskip("torch")
    model = pytest.importorskip("whisper.model")
    encoding = pytest.importorskip("whisper.tokenizer").get_encoding("multilingual", 99)
    special = encoding._special_tokens
    dims = {
        "n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 32, "n_audio_head": 2, "n_audio_layer": 1,
        "n_vocab": encoding.n_vocab, "n_text_ctx": 448, "n_text_state": 32, "n_text_head": 2, "n_text_layer": 1,
        **sizes,
    }  # fmt: skip
    torch.manual_seed(0)
    made = model.Whisper(model.ModelDimensions(**dims))
    with torch.no_grad():
        for weights in (made.decoder.positional_embedding, made.decoder.token_embedding.weight):
            weights.copy_(0.02 * torch.randn_like(weights))
    if says is not None:
        tokens = [special[f"<|{language}|>"], None, None, *encoding.encode(" " + says), special["<|endoftext|>"]]
        plant(made.decoder.positional_embedding, made.decoder.token_embedding.weight, tokens)
    state = {name: value.half() for name, value in made.state_dict().items()}  # as the published ones are
    torch.save({"dims": dims, "model_state_dict": state}, file)
    return file


def silero_for_whisperx(onset: float = 0.5) -> Any:
    """The detector of speech that is ours by default, as one that WhisperX takes."""
    from whisperx.diarize import Segment
    from whisperx.vads import Vad

    from speechprep.pipelines.backends.recognisers.voice_activity import silero

    class Silero(Vad):  # type: ignore[misc]
        @staticmethod
        def preprocess_audio(audio: Any) -> Any:
            return audio

        def __call__(self, audio: dict[str, Any], **_: Any) -> list[Any]:
            return [Segment(start, end, "UNKNOWN") for start, end in silero(audio["waveform"], onset)]

    return Silero(onset)
