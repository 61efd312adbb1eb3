"""TextGrid files of Praat, written by praatio."""

from __future__ import annotations

from speechprep.pipelines.export.recording import Recording
from speechprep.pipelines.export.rows import Span, Utterance
from speechprep.pipelines.export.writer import LabelWriter

SHORTEST = 0.0005  # seconds; Praat has no interval without length
DECIMALS = 6  # of the times in seconds


class TextGrid(LabelWriter):
    """A TextGrid for each recording, with one interval tier for segments, words and units.

    With several speakers, each has tiers of its own, "speaker - words", as in the Montreal Forced Aligner. Intervals of
    one tier cannot overlap, so overlapping rows continue in the tiers "words 2", "words 3" and so on.
    """

    def write(self, recording: Recording, tiers: dict[str, list[tuple[Utterance, Span]]]) -> None:
        """See `LabelWriter`."""
        from praatio import textgrid
        from praatio.data_classes.interval_tier import Interval

        named: dict[str, list[Span]] = {}
        speakers = {utterance.speaker for utterance in recording.utterances}
        for tier, rows in tiers.items():
            by_speaker: dict[str, list[Span]] = {}
            for utterance, span in rows:
                name = f"{utterance.speaker or 'unknown'} - {tier}" if len(speakers) > 1 else tier
                by_speaker.setdefault(name, []).append(self._interval(span))
            for name, spans in sorted(by_speaker.items()):
                for number, layer in enumerate(layers(spans), 1):
                    named[name if number == 1 else f"{name} {number}"] = layer
        end = round(max([recording.end, *(span.end for layer in named.values() for span in layer)]), DECIMALS)
        grid = textgrid.Textgrid(0.0, end)
        for name, layer in named.items():
            grid.addTier(textgrid.IntervalTier(name, [Interval(*span) for span in layer], 0.0, end))
        path = self.target.folder / f"{recording.name}.TextGrid"
        grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)

    def _interval(self, span: Span) -> Span:
        start, end = round(max(span.start, 0.0), DECIMALS), round(span.end, DECIMALS)
        if end - start < SHORTEST:
            self.counts.changed["lengthened"] += 1
            end = round(start + SHORTEST, DECIMALS)
        return Span(start, end, span.text)


def layers(spans: list[Span]) -> list[list[Span]]:
    """The spans in as few layers as possible, none with an overlap; each span in the first layer that has room."""
    result: list[list[Span]] = []
    for span in sorted(spans):
        layer = next((layer for layer in result if layer[-1].end <= span.start), None)
        if layer is None:
            layer = []
            result.append(layer)
        layer.append(span)
    return result
