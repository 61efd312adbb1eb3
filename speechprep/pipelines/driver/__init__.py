"""Driving a run: all steps of a recipe or one stage, the run's record and log, its report, and the survey of its state.

The command line and the Python API call these functions; both get the same result.
"""
