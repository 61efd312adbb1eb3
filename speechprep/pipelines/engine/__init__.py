"""Engine: runs stages without importing one, from a recipe to committed shards.

`recipe.py` resolves a recipe into steps. `plan.py` divides a step into tasks (`task.py`) and finds the committed ones.
`run.py` runs the steps in order, and `execute.py` runs one task. `beam/` distributes the tasks to workers.
"""
