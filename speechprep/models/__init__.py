"""The model zoo: models trained on the shards of a run, their training loop, and their evaluation.

Models read the output of pipelines only from disk. This file and `models.data` need no torch. Files with torch modules
import torch at the top; files outside the zoo import them inside functions.
"""
