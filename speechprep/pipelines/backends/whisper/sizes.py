"""Sizes of a Whisper model, the names and shapes of its tensors in canonical order, and its languages.

The canonical names are the names of transformers without the prefix `model.`. The decoder output is the transpose of
the token embeddings, so it has no tensor of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

# Sizes of the published vocabularies: English-only, multilingual, and version 3 with Cantonese.
VOCABULARIES = (51_864, 51_865, 51_866)
MULTILINGUAL = VOCABULARIES[1]
# In the order of their tokens.
_CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml "
    "cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am "
    "yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue"
)
LANGUAGES = tuple(_CODES.split())

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """Sizes of a Whisper model.

    Attributes:
        mels: bands of the spectrogram.
        positions: frames of the encoder, 1,500 for 30 s.
        width: values of a frame.
        encoder_layers, encoder_heads, encoder_ffn: layers, attention heads, inner width.
        decoder_layers, decoder_heads, decoder_ffn: the same of the decoder.
        text_positions: largest number of tokens.
        vocabulary: number of token ids.
        activation: name of the activation function in transformers.
    """

    mels: int
    positions: int
    width: int
    encoder_layers: int
    encoder_heads: int
    encoder_ffn: int
    decoder_layers: int
    decoder_heads: int
    decoder_ffn: int
    text_positions: int
    vocabulary: int
    activation: str = "gelu"

    @property
    def multilingual(self) -> bool:
        """True with the vocabulary of the multilingual models."""
        return self.vocabulary >= MULTILINGUAL

    def encoder(self) -> Shapes:
        """Canonical name -> shape of each encoder tensor, in canonical order."""
        width = self.width
        return {
            "encoder.conv1.weight": (width, self.mels, 3),
            "encoder.conv1.bias": (width,),
            "encoder.conv2.weight": (width, width, 3),
            "encoder.conv2.bias": (width,),
            "encoder.embed_positions.weight": (self.positions, width),
            **self._layers("encoder", self.encoder_layers, self.encoder_ffn, ("self_attn",)),
        }

    def decoder(self) -> Shapes:
        """The same of the decoder."""
        return {
            "decoder.embed_tokens.weight": (self.vocabulary, self.width),
            "decoder.embed_positions.weight": (self.text_positions, self.width),
            **self._layers("decoder", self.decoder_layers, self.decoder_ffn, ("self_attn", "encoder_attn")),
        }

    def _layers(self, side: str, layers: int, inner: int, attentions: tuple[str, ...]) -> Shapes:
        width = self.width
        shapes: Shapes = {}
        norm: Shapes = {"weight": (width,), "bias": (width,)}
        square: Shapes = {"weight": (width, width), "bias": (width,)}
        for i in range(layers):
            parts: dict[str, Shapes] = {}
            for attention in attentions:
                parts[f"{attention}_layer_norm"] = norm
                parts[f"{attention}.q_proj"] = square
                parts[f"{attention}.k_proj"] = {"weight": (width, width)}
                parts[f"{attention}.v_proj"] = parts[f"{attention}.out_proj"] = square
            parts["final_layer_norm"] = norm
            parts["fc1"] = {"weight": (inner, width), "bias": (inner,)}
            parts["fc2"] = {"weight": (width, inner), "bias": (width,)}
            shapes |= {
                f"{side}.layers.{i}.{p}.{kind}": size for p, sizes in parts.items() for kind, size in sizes.items()
            }
        return shapes | {f"{side}.layer_norm.{kind}": size for kind, size in norm.items()}


def languages(vocabulary: int) -> tuple[str, ...]:
    """Language codes of a model with this number of token ids."""
    return LANGUAGES[: 99 + vocabulary - MULTILINGUAL] if vocabulary >= MULTILINGUAL else LANGUAGES[:1]
