"""Driver of a run: all steps of a recipe or one stage, `run.json`, `run.log`, the report, and the survey of the state.

The command line and the Python API call these functions, so both have the same results.
"""
