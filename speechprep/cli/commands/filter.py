"""`speechprep filter`: hours kept by thresholds on the scores; with `--out`, a `words` dataset with new verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.commands.stages import StageCommand, stage_settings
from speechprep.cli.output import console, hours, plural, print_json, table
from speechprep.cli.show import Show, print_outcome, run_stage

if TYPE_CHECKING:
    from speechprep.pipelines.driver.outcome import Outcome

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep filter out                                          hours kept now, and quantiles of the scores
  speechprep filter out --set min_trust=0.5 --set max_cer=0.3    hours kept by these thresholds
  speechprep filter out --sweep score=-6:-1                      hours kept at each value of a threshold
  speechprep filter out --set min_trust=0.5 --out out/filtered   write words with new verdicts
  speechprep filter out --set duplicates=audio                   hours kept without repeated audio; run dedup first

The scores were stored by `speechprep align`: no audio is read."""


@app.command(cls=StageCommand, epilog=EXAMPLES)
def filter(  # noqa: A001 - name of the command
    source: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of words, or a run folder.")],
    *,
    settings: opt.Settings = None,
    sweeps: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="SCORE=FROM:TO[:STEP]",
            help="Try several values of one threshold. Repeat it for further thresholds.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Write words with the new verdicts to this folder."),
    ] = None,
    workers: opt.Workers = None,
    rebuild: opt.Rebuild = False,
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Show the hours kept by thresholds on the scores of words, and the hours lost by each reason."""
    from speechprep.pipelines import filter_survey as view
    from speechprep.pipelines.stages.filter import STAGE

    options, _ = stage_settings("filter", None, settings or [])
    config = STAGE.configure(options)
    spans = [view.parse_sweep(text) for text in sweeps or []]
    folder = view.words_folder(source)
    marked, others = view.read_marks(source, folder, config)  # type: ignore[arg-type]
    scored = view.load(folder, marked)
    summary = view.survey(scored, config) if settings or out else view.stored(scored)  # type: ignore[arg-type]
    swept = [(option, view.sweep(scored, config, option, values)) for option, values in spans]  # type: ignore[arg-type]
    written = _write([folder, *others], options, out, workers, Show(quiet, json), rebuild=rebuild) if out else None
    if json:
        body = {"folder": folder, "thresholds": config.model_dump(exclude_none=True), **summary}
        body["sweeps"] = [{"option": option, "values": rows} for option, rows in swept]
        print_json(body | ({"run": written.to_dict()} if written else {}))
    elif not quiet:
        _show(summary, swept, quantiles=not swept)


def _write(
    inputs: list[str], options: dict[str, Any], out: str, workers: int | None, show: Show, *, rebuild: bool
) -> Outcome:
    from speechprep.artifacts import storage
    from speechprep.cli.commands.run import engine_options
    from speechprep.errors import ConfigError
    from speechprep.pipelines.engine.recipe import single
    from speechprep.pipelines.stages.filter import STAGE

    if storage.absolute(out) in map(storage.absolute, inputs):
        raise ConfigError(f"--out {out!r} is the input; choose another folder, for example {out.rstrip('/')}-filtered")
    how = engine_options(runner="local", workers=workers, beam_args=None, rebuild=rebuild, max_rejects=0.0, slice_=None)
    outcome = run_stage(single(STAGE, options, 0, inputs, out), out, how, show)
    if not show.json:
        print_outcome(outcome, show)
    return outcome


def _show(summary: dict[str, Any], swept: list[Any], *, quantiles: bool) -> None:
    screen = console()
    kept, whole = summary["kept_seconds"], summary["seconds"]
    share = f" ({kept / whole:.1%})" if whole else ""
    screen.print(
        f"kept: {plural(summary['kept_rows'], 'row')} of {summary['rows']:,}, "
        f"{hours(kept) or '0 s'} of {hours(whole) or '0 s'}{share}"
    )
    if summary["reasons"]:
        screen.print(_reasons(summary["reasons"]))
    if quantiles and summary.get("quantiles"):
        screen.print(_quantiles(summary["quantiles"]))
    for option, rows in swept:
        screen.print(_sweep(option, rows, whole))


def _reasons(reasons: list[dict[str, Any]]) -> Any:
    """Table of the reasons: hours lost by each, and hours lost by no other reason."""
    judged = any("alone_rows" in r for r in reasons)
    right = ("rows", "lost", "by it alone", "without score")
    columns = right if judged else right[:2]
    grid = table("reason", "threshold", *columns, right=columns, title="not kept")
    for r in reasons:
        limit = "" if r["option"] is None else f"{r['option']} = {_limit(r['limit'])}"
        cells = [r["reason"], limit, f"{r['rows']:,}", hours(r["seconds"])]
        if judged and "alone_rows" in r:
            cells += [hours(r["alone_seconds"]), f"{r['unscored_rows']:,}" if r["unscored_rows"] else ""]
        grid.add_row(*cells)
    return grid


def _limit(limit: float | str) -> str:
    return limit if isinstance(limit, str) else f"{limit:g}"


def _quantiles(quantiles: dict[str, dict[str, float]]) -> Any:
    from speechprep.pipelines.filter_survey import QUANTILES

    levels = [f"{q:.0%}" for q in QUANTILES]
    grid = table("score", *levels, right=tuple(levels), title="share of the rows below")
    for name, values in quantiles.items():
        grid.add_row(name, *(f"{v:.3g}" for v in values.values()))
    return grid


def _sweep(option: str, rows: list[dict[str, Any]], whole: float) -> Any:
    """Table of the values of a threshold: hours kept, and hours lost by each reason."""
    reasons = [name for name in rows[0]["lost"] if any(row["lost"].get(name) for row in rows)]
    columns = ("rows kept", "kept", "share", *(f"lost: {name}" for name in reasons))
    grid = table(option, *columns, right=(option, *columns))
    for row in rows:
        share = f"{row['kept_seconds'] / whole:.1%}" if whole else ""
        kept = (f"{row['kept_rows']:,}", hours(row["kept_seconds"]), share)
        grid.add_row(f"{row['value']:g}", *kept, *(hours(row["lost"].get(name, 0.0)) for name in reasons))
    return grid
