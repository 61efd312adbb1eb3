"""The model zoo: models over the shards of a run, their training, and their evaluation.

Models and pipelines meet only on disk. This file and `models.data` need no torch. Files with torch modules import
torch at the top, and no file outside the zoo imports them at its top.
"""
