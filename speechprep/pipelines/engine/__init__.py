"""The engine runs the stages and imports none of them. From the user's wish to the bytes on disk.

recipe.py     names, options, inputs          -> steps
plan.py       a step against its folder       -> tasks, and which of them are done
run.py        step after step: run, check rejects, write the manifest (watch.py: progress)
runner.py     tasks to workers; the only file that names a runner (transform.py, local_runner.py, worker.py: Beam)
execute.py    one task: work, then commit     (context.py: inputs and outputs of the work; stage.py: declaration of a
stage)
"""
