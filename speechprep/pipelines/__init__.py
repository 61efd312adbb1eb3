"""The pipeline: one file or folder for each stage, the engine that runs stages, and the backends that wrap models.

A stage is a pure function over one shard, with its options and its declaration `STAGE`:

    ingest -> align --------------------------------------\\
          \\-> sample -> cluster -> units -> subword ------> interleave -> pack ==disk==> a trainer
          \\-> pool (teacher vectors)   \\-> index (retrieval)

Beside `stages/`: `engine/` runs stages and imports none, `sources/` reads the input forms of ingest, `backends/`
has aligners, recognisers, extractors, quantizers and embedders, `driver/` turns a request into a run, `report/` builds
the page at the end of a run, and `inspect/` decodes and verifies.

To add a stage, see the table of extension points in CONTRIBUTING.md.
"""
