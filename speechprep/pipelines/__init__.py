"""Verbs: one file for each stage, the engine that runs them, the seams to models.

The stages, each a pure function over one shard with its configuration and its declaration `STAGE`:

    ingest -> align --------------------------------------\\
          \\-> sample -> cluster -> units -> subword ------> interleave -> pack ==disk==> a trainer
          \\-> pool (teacher vectors)   \\-> index (retrieval)

The engine, from the user's wish to the bytes on disk:

    recipe.py     names, options, inputs          -> steps
    plan.py       a step against its folder       -> tasks, and which of them are done
    run.py        step after step: run, check rejects, write the manifest
    runner.py     tasks to workers; the only file that names a runner (transform.py, local_runner.py, worker.py: Beam)
    execute.py    one task: work, then commit     (context.py: what the work sees; stage.py: what a stage is)

Beside them: `sources/` the input forms of ingest, `backends/` aligners, extractors and embedders, `report/` the page at
the end of a run, `decode.py` and `verify.py` for what is there already.

To add a stage: a file like the others here, its name in `stage.STAGES`, a test, a table in docs/stages.md.
"""
