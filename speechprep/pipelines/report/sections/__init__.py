"""Sections of the report, one file each. A section has a function `section(page, run, facts)`.

All texts are escaped. A section adds nothing if the run lacks its data.
"""

from __future__ import annotations

from collections.abc import Callable

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page
from speechprep.pipelines.report.sections import (
    breakdown,
    clips,
    compression,
    doubtful,
    index,
    inputs,
    listen,
    phones,
    sequences,
    speech,
    stages,
    tokens,
    units,
    yields,
)

SECTIONS: tuple[Callable[[Page, Run, Facts], None], ...] = (
    stages.section,
    inputs.section,
    listen.section,
    doubtful.section,
    yields.section,
    breakdown.section,
    speech.section,
    units.section,
    phones.section,
    compression.section,
    tokens.section,
    sequences.section,
    clips.section,
    index.section,
)
"""The sections, in the order of the page."""
