"""The zoo: models that live on the shards, how they are trained and how they are judged.

Models and pipelines meet only on disk. This file and `models.data` need no torch; files that define torch modules
import it at their top, and nothing outside the zoo imports those files at its own top.
"""
