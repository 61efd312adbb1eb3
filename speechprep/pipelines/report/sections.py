"""The sections of the page. Each is HTML with every text escaped, or nothing where the run has not made its data."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from speechprep.artifacts import scores
from speechprep.artifacts.run import Run
from speechprep.pipelines.report import figures
from speechprep.pipelines.report.compression import FRAMES, RUNS, SUBWORDS, TEXT, rates
from speechprep.pipelines.report.facts import Facts, Units
from speechprep.pipelines.report.figures import clock, number
from speechprep.pipelines.report.histogram import BEYOND, Histogram
from speechprep.pipelines.report.page import Page, by_timing, counted, facts_table, percent, table
from speechprep.pipelines.report.retrieval import Retrieval
from speechprep.pipelines.shift import position_lines


def yield_section(page: Page, facts: Facts) -> None:
    """Where the hours went and why."""
    yields, body = facts.yields, []
    steps = figures.waterfall(yields)
    if len(steps["data"][0]["y"]) > 1:
        says = f"{clock(yields.kept_seconds)} of {clock(yields.seconds)} were kept."
        caption = (
            "Read from the top: each red bar takes away what one reason cost. Records that could not be read have no "
            "length and are in the table only."
        )
        if yields.unaligned_seconds:
            caption += " Grey: what the aligner had no words for, such as sounds."
        body.append(page.figure("yield", "From what came in to what was kept", steps, caption, says, wide=True))
    losses = sorted(yields.losses.values(), key=lambda loss: (-loss.count, loss.stage, loss.code))
    if losses:
        rows = [
            (
                escape(loss.stage),
                f"<code>{escape(loss.code)}</code>",
                number(loss.count),
                clock(loss.seconds) if loss.unknown < loss.count else "unknown",
                f"<code>{escape(loss.id)}</code> <span>{escape(loss.message)}</span>",
            )
            for loss in losses
        ]
        body.append(table(("stage", "reason", "utterances", "length", "an example"), rows, numeric=(2, 3)))
    else:
        body.append('<p class="note">No utterance was rejected.</p>')
    page.section("yield", "Yield", body)


def speech_section(page: Page, facts: Facts) -> None:
    """Lengths, speaking rate, alignment."""
    speech, body = facts.speech, []

    def add(name: str, title: str, values: Histogram, axis: str, caption: str, colour: str) -> None:
        if values.count:
            spread = f"from {values.low:.3g} to {values.high:.3g}"
            says = f"Median {values.quantile(0.5):.3g}, {spread} ({counted(values.count, 'utterance')})."
            body.append(page.figure(name, title, figures.histogram(values, axis, colour), caption, says))

    ends = f"The outermost bars also hold the {percent(BEYOND)} beyond them."
    add("durations", "Length of the utterances", speech.durations, "seconds", ends, figures.SPEECH)
    for name, figure in scores.figures().items():
        values = speech.scores[name]
        if not figure.errors or values.high > 0:
            add(name, figure.title, values, figure.axis, figure.caption, getattr(figures, figure.colour))
    lead = ""
    if speech.words:
        origins = escape(", ".join(by_timing(speech)))
        lead = f"{counted(speech.words, 'word')}, by the origin of their times: {origins}."
    page.section("speech", "Speech", [f'<div class="grid">{"".join(body)}</div>' if body else ""], lead)


def unit_section(page: Page, units: Units | None, codebook: dict[str, Any]) -> None:
    """Use of the codebook."""
    if not units or not units.frames:
        return
    size, dead = len(units.counts), units.dead
    known = "" if units.declared else " (by the largest id seen; no manifest tells)"
    says = f"Perplexity {units.perplexity:.1f} of {size} units, {len(dead)} dead."
    caption = (
        "The flatter, the better the codebook is used; perplexity is the number of equally frequent units that would "
        "be as varied."
    )
    mean = units.frames / max(units.run_count, 1)
    body = [
        page.figure("ranks", "How often each unit is used", figures.unit_ranks(units), caption, says),
        page.figure(
            "runs",
            "How long a unit lasts",
            figures.run_lengths(units),
            "Run-length encoding keeps one token for each run, so long runs are what it saves.",
            f"A run is {mean:.2f} frames on average.",
        ),
    ]
    note = ""
    if dead:
        more = f" and {len(dead) - 60} more" if len(dead) > 60 else ""
        note = f'<p class="note">Dead units: {", ".join(map(str, dead[:60]))}{more}.</p>'
    lead = f"{counted(units.frames, 'frame')}, {counted(units.run_count, 'run')}, {counted(size, 'unit')}{known}."
    page.section("units", "Units", [f'<div class="grid">{"".join(body)}</div>', note, codebook_table(codebook)], lead)


def codebook_table(said: dict[str, Any]) -> str:
    """Quality of the codebook, from the clustering."""
    words = said.get("words") or {}
    known: list[tuple[str, str]] = []
    if "frames_used" in said and "frames_seen" in said:
        known.append(
            ("frames it was fitted to", f"{number(said['frames_used'])} of {number(said['frames_seen'])} sampled")
        )
    if "silent_share" in said:
        known.append(("of them silent", percent(said["silent_share"])))
    if "duplicate_units" in said:
        known.append(("units next to another one", number(said["duplicate_units"])))
    if "bits_per_second" in said:
        known.append(("information in a second", f"{number(round(said['bits_per_second']))} bits at most"))
    if "pnmi" in words:
        known.append(("what the units tell of the word spoken (PNMI)", percent(words["pnmi"])))
    known += position_lines(said)
    return facts_table(known)


def compression_section(page: Page, facts: Facts, run: Run) -> None:
    """From frames to tokens, beside text."""
    rate = rates(facts, run)
    if FRAMES not in rate:
        return
    says = f"{rate[FRAMES]:.3g} frames/s become {rate[RUNS]:.3g} units/s by run-length encoding"
    if SUBWORDS in rate:
        says += f" and {rate[SUBWORDS]:.3g} tokens/s by SentencePiece"
    caption = (
        "A model reads speech and text in one sequence; the nearer their bars, the more evenly a context is shared."
    )
    if rate.get(TEXT) and SUBWORDS in rate:
        caption += f" Here speech takes {rate[SUBWORDS] / rate[TEXT]:.1f} tokens for each token of its text."
    figure = page.figure(
        "compression", "Tokens for one second of speech", figures.compression(rate), caption, says + ".", wide=True
    )
    page.section("compression", "Compression", [figure])


def token_section(page: Page, facts: Facts, vocabulary: dict[str, Any]) -> None:
    """Content of the training data."""
    body = []
    if facts.tokens and any(kind.tokens for kind in facts.tokens.values()):
        total = sum(kind.tokens for kind in facts.tokens.values())
        rows = sum(kind.rows for kind in facts.tokens.values())
        caption = "One bar for each kind of row. Markers are the tokens between the spans."
        says = f"{counted(total, 'token')} in {counted(rows, 'row')} of {counted(len(facts.tokens), 'kind')}."
        body.append(page.figure("mixture", "Rows by kind", figures.mixture(facts.tokens), caption, says))
    if facts.packed and facts.packed.rows:
        packed = facts.packed
        figure = figures.packed_mixture(packed, modality_names())
        named = [(modality_names().get(which, str(which)), n) for which, n in sorted(packed.modality.items())]
        shares = ", ".join(f"{percent(n / packed.tokens)} {name}" for name, n in named)
        says = f"{percent(packed.fill)} of the positions hold a token: {shares}."
        caption = "What a trainer reads: rows of one length, by modality; the rest is padding."
        body.append(page.figure("packed", "Packed for training", figure, caption, says))
    ranges, lead = vocabulary.get("ranges") or {}, ""
    if ranges:
        parts = ", ".join(f"{number(stop - start)} {escape(name)}" for name, (start, stop) in ranges.items())
        lead = f"The vocabulary has {number(vocabulary.get('size') or 0)} tokens: {parts}."
    page.section("tokens", "Tokens", [f'<div class="grid">{"".join(body)}</div>' if body else ""], lead)


def modality_names() -> dict[int, str]:
    """Code of a modality id -> its name."""
    from speechprep.tokenizers.subword.vocabulary import MODALITIES

    return {code: name for name, code in MODALITIES.items()}


_INDEX_FACTS = {
    "kind": "kind",
    "metric": "measure",
    "recall_at_10": "of the ten nearest by exact search, found",
    "self_retrieval_at_1": "items that their own text finds first",
    "probes": "items asked for",
}


def index_section(page: Page, run: Run, retrieval: Retrieval | None) -> None:
    """The retrieval index: its size, and retrieval of its own items."""
    said = run.facts("index")
    rows: list[tuple[str, str]] = []
    if retrieval:
        rows.append(("items", f"{number(retrieval.rows)}, vectors of {retrieval.dim} dimensions"))
        if retrieval.queries and "self_retrieval_at_1" not in said:
            among = f", among the first {number(retrieval.searched)}" if retrieval.searched < retrieval.rows else ""
            rows.append(("their own vector finds first", f"{retrieval.found} of {retrieval.queries} asked for{among}"))
    rows += [(name, escape(_plain(said[key]))) for key, name in _INDEX_FACTS.items() if key in said]
    body = [facts_table(rows)]
    if retrieval and retrieval.example and retrieval.example[1]:
        asked, others = retrieval.example
        body.append(f'<p class="lead">For example, nearest to <q>{escape(asked)}</q>, itself left out:</p>')
        found = [
            (f"{cosine:.3f}", f"<code>{escape(ident)}</code>", escape(caption)) for cosine, ident, caption in others
        ]
        body.append(table(("cosine", "id", "caption"), found, numeric=(0,)))
    page.section("index", "Retrieval index", body)


def _plain(value: Any) -> str:
    return percent(value) if isinstance(value, float) and 0 <= value <= 1 else str(value)


def utterance_section(page: Page, drawn: Sequence[str], *, has_words: bool) -> None:
    """The drawn utterances, with a legend of the colours."""
    if not drawn:
        return
    legend = (
        '<ul class="legend"><li style="--tone:var(--kept)">aligned</li><li style="--tone:var(--text)">interpolated</li>'
        '<li style="--tone:var(--given)">given with the corpus</li></ul>'
    )
    lead = (
        "Play, or click anywhere to go there; the arrow keys, Page Up and Page Down move by time and by word. From the "
        "top: the waveform, the words (the paler, the lower their score) and the units, one colour each; + zooms in "
        "until their numbers show."
    )
    page.section("listen", "Listen", [legend if has_words else "", *drawn], lead)
