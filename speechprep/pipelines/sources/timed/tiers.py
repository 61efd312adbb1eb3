"""Tiers of annotations: words, segments and speakers, by the names of the tiers.

A tier is named after its content ("words", "utterances", "phones"), after the speaker, or after both ("anna - words").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from speechprep.pipelines.sources.timed.transcript import Segment, Timed, Word

_WORDS = re.compile(r"words?|ort|ort-mau|kan|kan-mau|tokens?|orthography|word segmentation", re.IGNORECASE)
_OTHER = re.compile(
    r"phones?|phonemes?|phon|mau|phonetics?|syllables?|syll|units?|notes?|comments?|gestures?|pos|gloss(es)?|translation.*"
    r"|tones?|pitch|breaks?|morph.*|lemma.*",
    re.IGNORECASE,
)
_SEGMENTS = re.compile(
    r"segments?|utterances?|utt|sentences?|sents?|phrases?|transcript(ion)?s?|text|speech|turns?|default(-lt)?|trs"
    r"|tier ?\d*",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"\s*[-_:/@.]\s*|\s+")


@dataclass(frozen=True)
class Tier:
    """A tier: its name, its speaker if the file states one, and its intervals (text, start, end) in seconds."""

    name: str
    speaker: str | None
    intervals: list[Word]


def _sort(name: str) -> tuple[str, str | None]:
    """(words, segments, other or speaker; the speaker in the name)."""
    plain = re.sub(r"(?<=\w)\s+\d+$", "", name.strip())  # "words 2" continues "words"
    for kind, pattern in (("words", _WORDS), ("other", _OTHER), ("segments", _SEGMENTS)):
        if pattern.fullmatch(plain):
            return kind, None
    parts = _SPLIT.split(plain)
    for kind, pattern in (("words", _WORDS), ("other", _OTHER), ("segments", _SEGMENTS)):
        for at, rest in ((-1, slice(None, -1)), (0, slice(1, None))):
            if len(parts) > 1 and pattern.fullmatch(parts[at]):
                left = len(plain) - len(parts[at]) if at else len(parts[0])
                speaker = (plain[:left] if at else plain[left:]).strip(" -_:/@.")
                return kind, speaker if rest and speaker and not speaker.isdigit() else None
    return "speaker", plain


def timed(tiers: list[Tier]) -> Timed:
    """The segments and words of the tiers; tiers of phones, notes and other things are left out."""
    result = Timed()
    words: dict[str | None, list[Word]] = {}
    segments: dict[str | None, list[Segment]] = {}
    for tier in tiers:
        kind, named = _sort(tier.name)
        speaker = tier.speaker or named
        spoken = [interval for interval in tier.intervals if interval[0].strip()]
        if kind == "words":
            words.setdefault(speaker, []).extend(spoken)
        elif kind != "other" and spoken:
            made = [Segment(start, end, text, speaker) for text, start, end in spoken]
            segments.setdefault(speaker, []).extend(made)
    if not segments and len(words) > 1:  # several speakers, each with words: one utterance for each speaker
        for speaker, spoken in words.items():
            if spoken:
                start, end = min(w[1] for w in spoken), max(w[2] for w in spoken)
                segments[speaker] = [Segment(start, end, None, speaker)]
    for speaker, spoken in words.items():
        _give(segments.get(speaker) or [s for all_of in segments.values() for s in all_of], spoken, result)
    result.segments = [segment for all_of in segments.values() for segment in all_of]
    if not result.segments and len(words) == 1:
        result.speaker = next(iter(words))
    return result


def _give(segments: list[Segment], words: list[Word], result: Timed) -> None:
    """Give each word to the segment with its midpoint; words outside of all segments stay with the recording."""
    in_order = sorted(segments, key=lambda segment: segment.start)
    if not in_order:
        result.words += words
        return
    first = 0
    for word in sorted(words, key=lambda word: word[1]):
        middle = (word[1] + word[2]) / 2
        while first < len(in_order) - 1 and in_order[first].end < middle:
            first += 1
        if in_order[first].start <= middle <= in_order[first].end:
            in_order[first].words.append(word)
