"""Grid search: every combination of the values of some axes, for some seeds, trained, evaluated and put in a table.

    model: dmlm
    runs: run                                       # or a list of runs; a value of an axis may set other runs
    options: {size: mini, steps: 5000}              # options of every training
    axes:
      supervision: {supervised: {shares: {asr: 1}}, mixed: {shares: {asr: .5, speech: .25, text: .25}}}
      loss: {trimodal: {loss: trimodal}, plain: {loss: plain}}
    seeds: [0, 1, 2]
    evaluate: {test-other: run-other, ami: run-ami} # name in the table: run; `unseen` is the validation split

A cell is one training, in a folder of its own. A finished cell is not trained or evaluated again.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from speechprep.errors import ConfigError
from speechprep.models.zoo import find_model, load
from speechprep.options import Options

UNSEEN = "unseen"
FIGURES = "answers.json"  # the name of the first release, so that finished grids stay readable


class Grid(Options):
    """A grid file. The key `ask` is the older name of `evaluate`."""

    ALIASES: ClassVar[Mapping[str, str]] = {"ask": "evaluate"}

    model: str = Field(description="name of the model, an argument of `speechprep train`")
    runs: str | list[str] = Field(description="run folder to train on, or a list of them")
    options: dict[str, Any] = Field(default_factory=dict, description="training options of every cell")
    axes: dict[str, dict[str, dict[str, Any]]] = Field(
        min_length=1, description="axis -> name of a value -> training options of this value"
    )
    seeds: list[int] = Field([0], min_length=1, description="seeds of each combination")
    evaluate: dict[str, str] = Field(
        min_length=1, description="name in the table -> run folder to evaluate on, or `unseen` for the validation split"
    )


@dataclass(frozen=True)
class Cell:
    """One training of a grid: name of the value on each axis, seed, runs and options."""

    values: tuple[str, ...]
    seed: int
    runs: list[str]
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the folder."""
        return "-".join([*self.values, f"seed{self.seed}"])


def cells(grid: Grid) -> list[Cell]:
    """All cells in the order of the axes. The options of every cell are checked before the first training.

    Raises:
        ConfigError: unknown model or option.
    """
    options_of = find_model(grid.model).options.of
    combinations = []
    for values in itertools.product(*(axis.items() for axis in grid.axes.values())):
        merged = dict(grid.options)
        for _, value_options in values:
            merged |= value_options
        runs = merged.pop("runs", grid.runs)
        names = tuple(name for name, _ in values)
        for seed in grid.seeds:
            cell = Cell(names, seed, [runs] if isinstance(runs, str) else runs, {**merged, "seed": seed})
            options_of(cell.options)
            combinations.append(cell)
    return combinations


def run(grid: Grid, out: str, report: Callable[[str], None]) -> list[tuple[Cell, dict[str, float]]]:
    """Train and evaluate every cell.

    Args:
        grid: the grid.
        out: folder of the cells.
        report: called with a line of text after each cell.

    Returns:
        Each cell with its figures by "<name in the table> <figure>".
    """
    from speechprep.models.training.run import train

    model = find_model(grid.model)
    results, grid_cells = [], cells(grid)
    for number, cell in enumerate(grid_cells, 1):
        folder = Path(out) / cell.name
        options = model.options.of(cell.options)
        train(model.training_job(cell.runs, options), options, folder, quiet=True)
        figures = evaluate_cell(grid, cell, folder)
        listing = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        report(f"{number}/{len(grid_cells)} {cell.name}: {listing}")
        results.append((cell, figures))
    return results


def evaluate_cell(grid: Grid, cell: Cell, folder: Path) -> dict[str, float]:
    """Figures of a trained cell on each run, cached in its folder."""
    path = folder / FIGURES
    if path.exists():
        cached = json.loads(path.read_text(encoding="utf-8"))
        if cached["ask"] == grid.evaluate:
            return dict(cached["figures"])
    target = find_model(grid.model).figures
    if target is None:
        raise ConfigError(f"the model {grid.model!r} has no figures for a grid; use speechprep eval")
    figures_of = load(target)
    figures: dict[str, float] = {}
    for name, place in grid.evaluate.items():
        runs = cell.runs if place == UNSEEN else [place]
        scores = figures_of(str(folder), runs, unseen=place == UNSEEN)
        figures |= {f"{name} {figure}": value for figure, value in scores.items()}
    path.write_text(json.dumps({"ask": grid.evaluate, "figures": figures}, indent=1) + "\n", encoding="utf-8")
    return figures


def table(grid: Grid, results: list[tuple[Cell, dict[str, float]]]) -> str:
    """Markdown table: a row for each combination, with mean and standard deviation over the seeds and their number."""
    names = list(dict.fromkeys(name for _, figures in results for name in figures))
    rows = [f"| {' | '.join([*grid.axes, *names, 'seeds'])} |", "|" + "---|" * (len(grid.axes) + len(names) + 1)]
    for values in dict.fromkeys(cell.values for cell, _ in results):
        by_seed = [figures for cell, figures in results if cell.values == values]
        columns = []
        for name in names:
            figures = [f[name] for f in by_seed if name in f]
            spread = f" ± {100 * statistics.stdev(figures):.1f}" if len(figures) > 1 else ""
            columns.append(f"{100 * statistics.mean(figures):.1f}{spread} %" if figures else "")
        rows.append(f"| {' | '.join([*values, *columns, str(len(by_seed))])} |")
    return "\n".join(rows) + "\n"
