"""Engine: runs stages without importing one, from a recipe to committed shards.

recipe.py     recipe, options, inputs    -> steps
plan.py       a step and its folder      -> tasks, and the committed ones (task.py: a task and its commit record)
run.py        one step after the other: tasks, manifest, check of the rejects (progress.py: the listener)
execute.py    one task: work, then commit (context.py: inputs and outputs of a stage; stage.py: declaration of a stage)
beam/         tasks to workers; runner.py is the only file with the name of a runner
"""
