"""Verbs: one file for each stage, the engine that runs them, the seams to models.

The stages, each a pure function over one shard with its configuration and its declaration `STAGE`:

    ingest -> align --------------------------------------\\
          \\-> sample -> cluster -> units -> subword ------> interleave -> pack ==disk==> a trainer
          \\-> pool (teacher vectors)   \\-> index (retrieval)

Beside them: `engine/` runs the stages and knows none of them, `sources/` the input forms of ingest, `backends/` the
aligners, extractors and embedders, `report/` the page at the end of a run, `decode.py` and `verify.py` what is there.

To add a stage: a file like the others here, its name in `engine/stage.STAGES`, a test, a table in docs/stages.md.
"""
