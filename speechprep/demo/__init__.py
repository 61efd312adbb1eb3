"""The demo corpus: twenty spoken sentences with their true word times, and twelve sounds with captions.

Beside this file lie `manifest.jsonl`, `speech/*.opus` (16 kHz) and `sounds/*.opus` (48 kHz), all made by
`scripts/make_demo_corpus.py`. In a line of the manifest `true_words` is the synthesizer's own timing: a truth to
measure an aligner against. It is not called `words` so that ingest does not take it for word times to be kept.
"""

from __future__ import annotations

from pathlib import Path


def corpus_path() -> Path:
    """Return the folder that holds the demo corpus; it can be given to `ingest` as it is."""
    return Path(__file__).resolve().parent


__all__ = ["corpus_path"]
