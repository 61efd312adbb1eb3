"""A recipe without words: the chain to interleaved units in some seconds."""

SMALL_RECIPE = """
name: small
description: No words, few units.
steps:
  - stage: ingest
    options: {shards: 2}
  - stage: sample
  - stage: cluster
    options: {k: 16}
  - stage: units
  - stage: subword
    options: {unit_vocab_size: 40, text_vocab_size: 0}
  - stage: interleave
    options: {kinds: [unit]}
"""
