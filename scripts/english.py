"""Readability check of the project's English: back-references per 100 words, long sentences and refused phrases.

python scripts/english.py                                 # table of all text classes; exit 1 over a limit
python scripts/english.py --only speechprep/pipelines     # the same for one folder, file or glob; repeatable
python scripts/english.py --worst 10 docstrings           # the worst files and sentences of one class
python scripts/english.py --long docstrings               # its sentences over 30 words
python scripts/english.py --phrases                       # every refused phrase with file and line
python scripts/english.py --json

A back-reference is one of: which, that, what, whose, those, such. A reader must look back for its meaning.
Fenced code, URLs, generated tables and cells of code are excluded; inline code counts as one word.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

from english_texts import SENTENCE_END, WORD, Block, scan

CLASSES = ("readme", "docs", "help", "docstrings", "comments", "errors", "changelog")
LIMIT = 1.5  # back-references per 100 words, for each class
MAX_WORDS = 30  # words of a sentence
SHORT_SENTENCES = ("readme", "help")  # classes with a limit on the length of a sentence

BACK_REFERENCE = re.compile(r"\b(?:which|that|what|whose|those|such)\b", re.IGNORECASE)
REFUSED = (
    "of others",
    "of ours",
    "of our own",
    "of one's own",
    "of yours",
    "of theirs",
    "in any company",
    "the company of",
    "the likes of",
    "as for",
    "is told",
    "are told",
    "was told",
    "whose they are",
    "who they are",
    "who a model is",
    "what there is",
    "no word is left",
    "yours to give",
    "read and hear",
    "the place kept",
    "the user's to mend",
    "the value and the mend",
    "passport",
    "passports",
    "accuse",
    "accuses",
    "accused",
    "knows",
    "heard",
)
REFUSED_PATTERN = re.compile(r"\b(?:" + "|".join(re.escape(phrase) for phrase in REFUSED) + r")\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sentence:
    """One sentence with its place."""

    kind: str
    path: str
    line: int
    text: str

    @property
    def words(self) -> int:
        """Number of words; inline code is one word."""
        return len(WORD.findall(self.text))

    @property
    def back_references(self) -> int:
        """Number of back-references."""
        return len(BACK_REFERENCE.findall(self.text))

    @property
    def phrases(self) -> list[str]:
        """Refused phrases, in lower case."""
        return [match.lower() for match in REFUSED_PATTERN.findall(self.text)]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass
class Figures:
    """Counts of one text class."""

    words: int = 0
    back_references: int = 0
    long: list[Sentence] = field(default_factory=list)
    refused: list[Sentence] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Back-references per 100 words."""
        return 100 * self.back_references / self.words if self.words else 0.0


def sentences(block: Block) -> Iterator[Sentence]:
    """Sentences of a block with the line on which each starts."""
    start = 0
    for end in [match.end() for match in SENTENCE_END.finditer(block.text)] + [len(block.text)]:
        piece = block.text[start:end]
        if WORD.search(piece):
            lead = len(piece) - len(piece.lstrip())
            line = block.line + block.text.count("\n", 0, start + lead)
            yield Sentence(block.kind, block.path, line, " ".join(piece.split()))
        start = end


def measure(blocks: Iterable[Block]) -> dict[str, Figures]:
    """Figures of each text class."""
    figures = {kind: Figures() for kind in CLASSES}
    for block in blocks:
        for sentence in sentences(block):
            entry = figures[sentence.kind]
            entry.words += sentence.words
            entry.back_references += sentence.back_references
            if sentence.words > MAX_WORDS:
                entry.long.append(sentence)
            if sentence.phrases:
                entry.refused.append(sentence)
    return figures


def failures(figures: dict[str, Figures]) -> list[str]:
    """One line for each limit that is exceeded."""
    lines = []
    for kind, entry in figures.items():
        if entry.rate > LIMIT:
            lines.append(f"{kind}: {entry.rate:.2f} back-references per 100 words, the limit is {LIMIT}")
        if kind in SHORT_SENTENCES and entry.long:
            lines.append(f"{kind}: {len(entry.long)} sentences over {MAX_WORDS} words; list them with --long {kind}")
        if entry.refused:
            lines.append(f"{kind}: {len(entry.refused)} sentences with a refused phrase; list them with --phrases")
    return lines


def table(figures: dict[str, Figures]) -> str:
    """Table of the classes."""
    rows = [f"{'class':<12}{'words':>8}{'back-refs':>11}{'per 100':>9}{'limit':>7}{'> 30 words':>12}{'phrases':>9}"]
    for kind, entry in figures.items():
        over = "  over" if entry.rate > LIMIT else ""
        rows.append(
            f"{kind:<12}{entry.words:>8}{entry.back_references:>11}{entry.rate:>9.2f}{LIMIT:>7}"
            f"{len(entry.long):>12}{len(entry.refused):>9}{over}"
        )
    return "\n".join(rows)


def worst(blocks: Iterable[Block], kind: str, count: int) -> str:
    """The files with the highest rates (of 30 words or more) and the sentences with most back-references."""
    texts = [sentence for block in blocks if block.kind == kind for sentence in sentences(block)]
    counts: dict[str, list[int]] = {}
    for sentence in texts:
        entry = counts.setdefault(sentence.path, [0, 0])
        entry[0] += sentence.back_references
        entry[1] += sentence.words
    rates = [(100 * refs / words, refs, words, path) for path, (refs, words) in counts.items() if words >= 30]
    lines = [
        f"{rate:6.2f}  {refs:4} of {words:5} words  {path}" for rate, refs, words, path in sorted(rates)[::-1][:count]
    ]
    ranked = sorted(texts, key=lambda s: (-s.back_references, s.words, s.path, s.line))
    return "\n".join([*lines, "", *(f"{s.back_references}  {s}" for s in ranked[:count] if s.back_references)])


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description="Readability check of the project's English.")
    parser.add_argument("--only", action="append", default=[], metavar="PATH", help="folder, file or glob to scan")
    parser.add_argument("--worst", nargs=2, metavar=("N", "CLASS"), help="list the worst N files and sentences")
    parser.add_argument("--long", metavar="CLASS", choices=CLASSES, help="list the sentences over 30 words")
    parser.add_argument("--phrases", action="store_true", help="list the sentences with a refused phrase")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def main() -> int:
    """Print the figures; exit code 1 if a limit is exceeded."""
    options = arguments()
    blocks = scan(options.only)
    figures = measure(blocks)
    problems = failures(figures)
    if options.json:
        entries = {kind: {**asdict(entry), "rate": round(entry.rate, 3)} for kind, entry in figures.items()}
        print(json.dumps({"classes": entries, "limit": LIMIT, "failures": problems}, indent=2))
    elif options.worst:
        print(worst(blocks, options.worst[1], int(options.worst[0])))
    elif options.long:
        print("\n".join(f"{sentence.words}  {sentence}" for sentence in figures[options.long].long))
    elif options.phrases:
        refused = [sentence for entry in figures.values() for sentence in entry.refused]
        print("\n".join(f"[{', '.join(sentence.phrases)}]  {sentence}" for sentence in refused))
    else:
        print("\n".join([table(figures), *problems]))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
