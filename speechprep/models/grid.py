"""Grids of trainings: every combination of the values of some axes, for some seeds, trained, asked, and put in a table.

    model: dmlm
    runs: run                                   # or a list of runs; an axis may name others
    options: {size: mini, steps: 5000}          # of every training
    axes:
      supervision: {supervised: {shares: {asr: 1}}, mixed: {shares: {asr: .5, speech: .25, text: .25}}}
      loss: {trimodal: {loss: trimodal}, plain: {loss: plain}}
    seeds: [0, 1, 2]
    ask: {test-other: run-other, ami: run-ami}  # by what name, which run; `unseen` is what was kept out of the training

A cell is a folder; what is done is not done again.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from speechprep.errors import ConfigError
from speechprep.models.zoo import find_model, load
from speechprep.options import Options

UNSEEN = "unseen"
ANSWERS = "answers.json"


class Grid(Options):
    """See the module's text."""

    model: str
    runs: str | list[str]
    options: dict[str, Any] = Field(default_factory=dict)
    axes: dict[str, dict[str, dict[str, Any]]] = Field(min_length=1)
    seeds: list[int] = Field([0], min_length=1)
    ask: dict[str, str] = Field(min_length=1)


@dataclass(frozen=True)
class Cell:
    """One training: the value's name on each axis, its seed, its runs and its options."""

    values: tuple[str, ...]
    seed: int
    runs: list[str]
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """Of its folder."""
        return "-".join([*self.values, f"seed{self.seed}"])


def cells(grid: Grid) -> list[Cell]:
    """All cells, in the order of the axes; every cell's options are checked before the first is trained.

    Raises:
        ConfigError: no such model, or options that it does not take.
    """
    options_of = find_model(grid.model).options.of
    found = []
    for chosen in itertools.product(*(axis.items() for axis in grid.axes.values())):
        merged = dict(grid.options)
        for _, more in chosen:
            merged |= more
        runs = merged.pop("runs", grid.runs)
        for seed in grid.seeds:
            cell = Cell(
                tuple(n for n, _ in chosen), seed, [runs] if isinstance(runs, str) else runs, {**merged, "seed": seed}
            )
            options_of(cell.options)
            found.append(cell)
    return found


def run(grid: Grid, out: str, tell: Callable[[str], None]) -> list[tuple[Cell, dict[str, float]]]:
    """Train and ask every cell; the figures of each, by "<run> <figure>".

    Args:
        grid: what to do.
        out: folder of the cells.
        tell: is given a line for each cell.
    """
    from speechprep.models.training.run import train

    model = find_model(grid.model)
    found, every = [], cells(grid)
    for number, cell in enumerate(every, 1):
        folder = Path(out) / cell.name
        options = model.options.of(cell.options)
        train(model.training_job(cell.runs, options), options, folder, quiet=True)
        figures = asked(grid, cell, folder)
        tell(
            f"{number}/{len(every)} {cell.name}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        )
        found.append((cell, figures))
    return found


def asked(grid: Grid, cell: Cell, folder: Path) -> dict[str, float]:
    """What a trained cell scores on each run; kept in its folder."""
    path, wanted = folder / ANSWERS, dict(grid.ask)
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["ask"] == wanted:
            return dict(known["figures"])
    target = find_model(grid.model).figures
    if target is None:
        raise ConfigError(f"the model {grid.model!r} has no figures for a grid; use speechprep eval")
    figures_of = load(target)
    figures: dict[str, float] = {}
    for name, place in wanted.items():
        runs = cell.runs if place == UNSEEN else [place]
        scores = figures_of(str(folder), runs, unseen=place == UNSEEN)
        figures |= {f"{name} {figure}": value for figure, value in scores.items()}
    path.write_text(json.dumps({"ask": wanted, "figures": figures}, indent=1) + "\n", encoding="utf-8")
    return figures


def table(grid: Grid, found: list[tuple[Cell, dict[str, float]]]) -> str:
    """Markdown: a row for each combination, mean and standard deviation over the seeds, and how many there were."""
    names = list(dict.fromkeys(name for _, figures in found for name in figures))
    rows = [f"| {' | '.join([*grid.axes, *names, 'seeds'])} |", "|" + "---|" * (len(grid.axes) + len(names) + 1)]
    for values in dict.fromkeys(cell.values for cell, _ in found):
        mine = [figures for cell, figures in found if cell.values == values]
        shown = []
        for name in names:
            figures = [f[name] for f in mine if name in f]
            spread = f" ± {100 * statistics.stdev(figures):.1f}" if len(figures) > 1 else ""
            shown.append(f"{100 * statistics.mean(figures):.1f}{spread} %" if figures else "")
        rows.append(f"| {' | '.join([*values, *shown, str(len(mine))])} |")
    return "\n".join(rows) + "\n"
