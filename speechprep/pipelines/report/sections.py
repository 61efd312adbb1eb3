"""The sections of the page. Each is HTML with every text escaped, or nothing where the run has not made its data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from speechprep.pipelines.report import figures
from speechprep.pipelines.report.facts import Facts, Units
from speechprep.pipelines.report.figures import Figure, clock, number
from speechprep.pipelines.report.histogram import Histogram
from speechprep.pipelines.report.reading import Run
from speechprep.pipelines.report.retrieval import Retrieval


@dataclass
class Page:
    """What the sections put together: HTML in order, figures by the id of their place, entries of the menu."""

    html: list[str] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    menu: list[tuple[str, str]] = field(default_factory=list)

    def section(self, anchor: str, title: str, body: Sequence[str], lead: str = "") -> None:
        """Append a section, unless it has no body."""
        if not any(body):
            return
        self.menu.append((anchor, title))
        intro = f'<p class="lead">{lead}</p>' if lead else ""
        self.html.append(f'<section id="{anchor}"><h2>{title}</h2>{intro}{"".join(body)}</section>')

    def figure(self, name: str, title: str, figure: Figure, caption: str, says: str, *, wide: bool = False) -> str:
        """A plot with its title, a caption that tells how to read it, and what it shows in words."""
        self.figures[name] = figure
        height = figure["layout"]["height"]
        named = [trace for trace in figure["data"] if "name" in trace]
        return (
            f'<figure class="card{" wide" if wide else ""}"><h3>{title}</h3>{legend(named)}'
            f'<div class="plot" id="plot-{name}" role="img" aria-label="{escape(says)}" style="height:{height}px"></div>'
            f"<figcaption><strong>{escape(says)}</strong> {caption}</figcaption></figure>"
        )


def legend(traces: Sequence[dict[str, Any]]) -> str:
    """The names of the traces in their colours, as text that wraps; nothing where there are none."""
    entries = "".join(
        f'<li style="--tone:{tone(trace["marker"]["color"])}">{escape(trace["name"])}</li>' for trace in traces
    )
    return f'<ul class="legend">{entries}</ul>' if entries else ""


def tone(colour: str) -> str:
    """A plot's colour in either theme, as CSS."""
    return f"light-dark({colour}, {figures.THEME[colour]})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = (), *, fit: bool = False) -> str:
    """A table; the cells are HTML already. `fit`: no wider than it needs to be."""

    def line(cells: Sequence[str], tag: str) -> str:
        marks = ((' class="n"' if i in numeric else "") for i in range(len(cells)))
        return "".join(f"<{tag}{mark}>{cell}</{tag}>" for mark, cell in zip(marks, cells, strict=True))

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll{" fit" if fit else ""}"><table><thead><tr>{line(head, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


def card(value: str, name: str, caption: str) -> str:
    """A headline number; all three are plain text."""
    return f'<li><span>{escape(name)}</span><strong>{escape(value)}</strong><small>{escape(caption)}</small></li>'


def cards(facts: Facts, run: Run) -> str:
    """The headline numbers."""
    yields, speech, found = facts.yields, facts.speech, []
    if yields.has_words:
        share = 100 * yields.kept_seconds / yields.seconds if yields.seconds else 0.0
        found.append(
            card(clock(yields.kept_seconds), "kept", f"of {clock(yields.seconds)} in ({share:.1f} %), {number(yields.kept)} utterances")
        )
    elif run.get("utterances"):
        found.append(card(clock(yields.seconds), "ingested", f"{number(yields.utterances)} utterances"))
    lost = sum(loss.count for loss in yields.losses.values())
    reasons = "one reason" if len(yields.losses) == 1 else f"{len(yields.losses)} reasons"
    found.append(card(number(lost), "left out", f"for {reasons}, see below" if lost else "no utterance was rejected"))
    if speech.words:
        by_timing = [f"{number(n)} {timing}" for timing, n in sorted(speech.timings.items(), key=lambda t: (-t[1], t[0]))]
        found.append(card(number(speech.words), "words with times", ", ".join(by_timing)))
    if facts.units and facts.units.frames:
        dead, size = len(facts.units.dead), len(facts.units.counts)
        found.append(card(f"{facts.units.perplexity:.1f}", "unit perplexity", f"of {size} units, {dead} of them dead"))
    steps = {name: rate for name, rate, _ in compression_steps(facts, run)}
    if "speech subwords" in steps and "frames" in steps and steps["speech subwords"]:
        ratio = steps["frames"] / steps["speech subwords"]
        found.append(
            card(f"{ratio:.1f}×", "speech compression", f"{steps['frames']:.3g} frames/s to {steps['speech subwords']:.3g} tokens/s")
        )
    if facts.packed and facts.packed.rows:
        fill = f"{100 * facts.packed.fill:.1f} % full"
        found.append(card(number(facts.packed.tokens), "training tokens", f"in {number(facts.packed.rows)} rows, {fill}"))
    return f'<ul class="cards">{"".join(found)}</ul>'


def yield_section(page: Page, facts: Facts) -> None:
    """Where the hours went and why."""
    yields, body = facts.yields, []
    steps = figures.waterfall(yields)
    if len(steps["data"][0]["y"]) > 1:
        says = f"{clock(yields.kept_seconds)} of {clock(yields.seconds)} were kept."
        caption = "Read from the top: each red bar takes away what one reason cost. Records that could not be read have no length and are in the table only."
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
            says = f"Median {values.quantile(0.5):.3g}, from {values.low:.3g} to {values.high:.3g} ({number(values.count)} utterances)."
            body.append(page.figure(name, title, figures.histogram(values, axis, colour), caption, says))

    ends = "The outermost bars also hold the 0.2 % beyond them."
    add("durations", "Length of the utterances", speech.durations, "seconds", ends, figures.SPEECH)
    rate = "Read English is mostly between 2 and 4 words/s. Far outside it, transcript and audio often do not belong together."
    add("rates", "Speaking rate", speech.rates, "words per second", rate, figures.TEXT)
    score = "Mean word score of an utterance, on the aligner's own scale. A long tail on the left is where a filter would cut."
    add("scores", "Alignment score", speech.scores, "score", score, figures.KEPT)
    if speech.wers.high > 0:  # all zero where the corpus transcript itself was aligned
        wer = "Between the transcript that came with the corpus and the one that was aligned."
        add("wers", "Word error rate of the corpus transcript", speech.wers, "WER", wer, figures.LOST)
    lead = ""
    if speech.words:
        parts = [f"{number(n)} {escape(timing)}" for timing, n in sorted(speech.timings.items(), key=lambda t: (-t[1], t[0]))]
        lead = f"{number(speech.words)} words, by the origin of their times: {', '.join(parts)}."
    page.section("speech", "Speech", [f'<div class="grid">{"".join(body)}</div>' if body else ""], lead)


def unit_section(page: Page, units: Units | None) -> None:
    """Use of the codebook."""
    if not units or not units.frames:
        return
    size, dead = len(units.counts), units.dead
    known = "" if units.declared else " (by the largest id seen; no manifest tells)"
    says = f"Perplexity {units.perplexity:.1f} of {size} units, {len(dead)} dead."
    caption = "The flatter, the better the codebook is used; perplexity is the number of equally frequent units that would be as varied."
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
    lead = f"{number(units.frames)} frames, {number(units.run_count)} runs, {size} units{known}."
    page.section("units", "Units", [f'<div class="grid">{"".join(body)}</div>', note], lead)


def compression_steps(facts: Facts, run: Run) -> list[tuple[str, float, str]]:
    """(name, per second of speech, colour) of each form of the same speech that the run has made."""
    steps = []
    units = facts.units
    rate = units.rate if units else None
    if units and not rate and (folder := run.get("units")) and folder.manifest.seconds:
        rate = units.frames / folder.manifest.seconds
    if units and units.frames and rate:
        steps.append(("frames", rate, figures.MARKER))
        steps.append(("run-length units", rate * units.run_count / units.frames, figures.SPEECH))
    kinds = facts.tokens or {}
    for kind, modality, name, colour in (
        ("unit", "unit", "speech subwords", figures.SPEECH),
        ("text", "text", "text tokens", figures.TEXT),
    ):
        found = kinds.get(kind)
        if found and found.seconds.get(modality):
            steps.append((name, found.modality[modality] / found.seconds[modality], colour))
    if facts.speech.words and facts.yields.aligned_seconds:
        steps.append(("written words", facts.speech.words / facts.yields.aligned_seconds, figures.TEXT))
    return steps


def compression_section(page: Page, facts: Facts, run: Run) -> None:
    """From frames to tokens, beside text."""
    steps = compression_steps(facts, run)
    if len(steps) < 2 or steps[0][0] != "frames":
        return
    rates = {name: rate for name, rate, _ in steps}
    says = f"{steps[0][1]:.3g} frames/s become {rates['run-length units']:.3g} units/s by run-length encoding"
    if "speech subwords" in rates:
        says += f" and {rates['speech subwords']:.3g} tokens/s by SentencePiece"
    caption = "A model reads speech and text in one sequence; the nearer their bars, the more evenly a context is shared."
    if rates.get("text tokens") and rates.get("speech subwords"):
        caption += f" Here speech takes {rates['speech subwords'] / rates['text tokens']:.1f} tokens for each token of its text."
    figure = page.figure("compression", "Tokens for one second of speech", figures.compression(steps), caption, says + ".", wide=True)
    page.section("compression", "Compression", [figure])


def token_section(page: Page, facts: Facts) -> None:
    """What the training data consists of."""
    body = []
    if facts.tokens and any(kind.tokens for kind in facts.tokens.values()):
        total = sum(kind.tokens for kind in facts.tokens.values())
        rows = sum(kind.rows for kind in facts.tokens.values())
        caption = "One bar for each kind of row. Markers are the tokens between the spans."
        says = f"{number(total)} tokens in {number(rows)} rows of {len(facts.tokens)} kinds."
        body.append(page.figure("mixture", "Rows by kind", figures.mixture(facts.tokens), caption, says))
    if facts.packed and facts.packed.rows:
        packed = facts.packed
        figure = figures.packed_mixture(packed, modality_names())
        shares = (f"{100 * n / packed.tokens:.1f} % {modality_names().get(which, str(which))}" for which, n in packed.modality.most_common())
        says = f"{100 * packed.fill:.2f} % of the positions hold a token: {', '.join(shares)}."
        caption = "What a trainer reads: rows of one length, by modality; the rest is padding."
        body.append(page.figure("packed", "Packed for training", figure, caption, says))
    page.section("tokens", "Tokens", [f'<div class="grid">{"".join(body)}</div>' if body else ""])


def modality_names() -> dict[int, str]:
    """Code of a modality id -> its name."""
    from speechprep.tokenizers.vocabulary import MODALITIES

    return {code: name for name, code in MODALITIES.items()}


def index_section(page: Page, run: Run, retrieval: Retrieval | None) -> None:
    """The retrieval index: its size, and whether it finds what was put in."""
    index = run.get("index")
    rows: list[tuple[str, str]] = []
    if retrieval:
        rows.append(("vectors", f"{number(retrieval.rows)} of {retrieval.dim} dimensions"))
        if retrieval.queries:
            share = f"{retrieval.found} of {retrieval.queries} rows asked for come first themselves"
            rows.append(("self-retrieval", share + (f", among the first {number(retrieval.searched)}" if retrieval.searched < retrieval.rows else "")))
    if index:
        plain = {key: value for key, value in sorted(index.extra.items()) if isinstance(value, int | float | str | bool)}
        rows += [(escape(key.replace("_", " ")), escape(_plain(value))) for key, value in plain.items()]
    body = [table(("", "of the index"), rows)] if rows else []
    if retrieval and retrieval.example and retrieval.example[1]:
        asked, others = retrieval.example
        body.append(f'<p class="lead">Nearest to <q>{escape(asked)}</q>, itself left out:</p>')
        found = [(f"{cosine:.3f}", f"<code>{escape(ident)}</code>", escape(caption)) for cosine, ident, caption in others]
        body.append(table(("cosine", "utterance", "caption"), found, numeric=(0,)))
    page.section("index", "Retrieval index", body)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def utterance_section(page: Page, drawn: Sequence[str], *, has_words: bool) -> None:
    """The drawn utterances, with what their colours mean."""
    if not drawn:
        return
    legend = (
        '<ul class="legend"><li style="--tone:var(--kept)">aligned</li><li style="--tone:var(--text)">interpolated</li>'
        '<li style="--tone:var(--given)">given with the corpus</li></ul>'
    )
    lead = (
        "Play, or click anywhere to go there; the arrow keys, Page Up and Page Down move by time and by word. From the top: "
        "the waveform, the words (the paler, the lower their score) and the units, one colour each; + shows their numbers."
    )
    page.section("listen", "Listen", [legend if has_words else "", *drawn], lead)


def run_section(page: Page, run: Run) -> None:
    """What each stage took, from `run.json`: recipe, workers and stages of {name, seconds, audio_seconds, workers, reused}."""
    rows = []
    for stage in run.record.get("stages") or []:
        took, heard = float(stage.get("seconds") or 0.0), float(stage.get("audio_seconds") or 0.0)
        reused = bool(stage.get("reused"))
        speed = f"{heard / took:,.0f}×" if took and heard and not reused else ""
        workers = str(stage.get("workers") or run.record.get("workers") or "")
        rows.append((escape(str(stage.get("name") or "")), "found done" if reused else clock(took), speed, escape(workers)))
    if rows:
        head = ("stage", "time", "times real time", "workers")
        page.section("stages", "Stages", [table(head, rows, numeric=(1, 2, 3), fit=True)])


def header(run: Run) -> str:
    """Licences and fingerprints of the run."""
    licences = sorted({licence for folder in run.folders.values() for licence in folder.manifest.licences if licence})
    prints = [
        f"<span>{escape(name)} <code>{escape(folder.manifest.fingerprint[:8])}</code></span>"
        for name, folder in run.folders.items()
    ]
    parts = [f"<dt>Licences</dt><dd>{escape(', '.join(licences)) or 'none stated'}</dd>"]
    if prints:
        parts.append(f'<dt>Fingerprints</dt><dd class="prints">{"".join(prints)}</dd>')
    if run.incomplete:
        parts.append(f"<dt>Not finished</dt><dd>{escape(', '.join(run.incomplete))}: left out of this page</dd>")
    return f"<dl>{''.join(parts)}</dl>"


def footer(run: Run) -> str:
    """The versions of the packages that made the data."""
    versions: dict[str, str] = {}
    for folder in run.folders.values():
        versions.update(folder.manifest.versions)
    made = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return escape(f"Made with {made}." if made else "Made with speechprep.")
