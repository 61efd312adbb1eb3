"""English readings of tokens of letters: abbreviations, initials, codes, roman numerals, addresses and hashtags."""

from __future__ import annotations

import re

from speechprep.tokenizers.english import notation
from speechprep.tokenizers.english.notation import POWER
from speechprep.tokenizers.english.numerals import cardinal, digits, numbered, ordinal, plural, power, roman
from speechprep.tokenizers.english.quantities import NUMBER, Context, plain, quantity

_SYMBOLS = "".join(notation.SYMBOLS)
_RUN = re.compile(rf"{NUMBER}|[A-Za-z']+|{re.escape(POWER)}-?\d+|[{re.escape(_SYMBOLS)}*<>\u03b1-\u03c9\xb5]")
_LOWER_NUMERALS = notation.word_set("ii iii iv vii viii ix xii xiii xiv xvi xvii xviii xix xxi xxii xxiii xxiv xxv xxx")
_ADDRESS = re.compile(r"https?://\S+|(?:[\w-]+\.)*[\w-]+\.(?:com|org|net|edu|gov|io|co|info|uk|de)/\S*", re.I)
_WORDS_OF_TWO = notation.word_set("co go me be my it to in is so do us no on at by am an up")
_PUNCTUATION = {".": "dot", "@": "at", "/": "slash", "_": "underscore", ":": "colon"}


def abbreviation(token: str, context: Context) -> list[str] | None:
    """Abbreviations and initials with a full stop: Dr., e.g., J.R.R."""
    if not token.endswith((".", ".'s", ".,")):
        return None
    name = token.rstrip(".,").lower()
    if name in notation.BEFORE_NUMBER and context.after[:1].isdigit():
        return [notation.BEFORE_NUMBER[name]]
    if name in notation.BEFORE_NAME:
        return [notation.BEFORE_NAME[name][0 if context.after[:1].isupper() else 1]]
    if name in notation.ABBREVIATIONS:
        return notation.ABBREVIATIONS[name].split()
    if re.fullmatch(r"([a-z]\.)+[a-z]?('s)?|[b-hj-z]", name, re.I) and token[0] not in "'.":
        letters = [c for c in name.removesuffix("'s") if c != "."]
        return [*letters[:-1], letters[-1] + "'s"] if name.endswith("'s") else letters
    return None


def abbreviated_number(token: str, context: Context) -> list[str] | None:
    """An abbreviation and its number in one token: No.5, p.12, vol.2."""
    match = re.fullmatch(r"([A-Za-z]+)\.(\d[\d,.-]*)", token)
    if not match or match[1].lower() not in (*notation.BEFORE_NUMBER, "pp", "vol", "fig"):
        return None
    name, number = match[1].lower(), quantity(match[2], context)
    word = notation.BEFORE_NUMBER.get(name) or notation.ABBREVIATIONS[name]
    return [word, *number] if number else None


def address(token: str) -> list[str] | None:
    """Web addresses with a scheme or a path, hashtags, and names after @."""
    if _ADDRESS.fullmatch(token):
        scheme, found, rest = token.rpartition("://")
        head = [*scheme.lower(), "colon", "slash", "slash"] if found else []
        path = re.split(r"[?#]", rest)[0].rstrip("/")
        return [*head, *_pieces(path, "./_@:-")]
    if match := re.fullmatch(r"#([A-Za-z]\w*)'?s?", token):
        parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", match[1])
        return ["hashtag", *(word for part in parts for word in (plain(part) if part.isdigit() else [part.lower()]))]
    if re.fullmatch(r"@[A-Za-z_]\w*", token):
        return _pieces(token, "@_")
    return None


def _pieces(text: str, separators: str) -> list[str]:
    words: list[str] = []
    for piece in re.split(rf"([{re.escape(separators)}])", text):
        if piece in _PUNCTUATION:
            words.append(_PUNCTUATION[piece])
        elif piece and piece not in separators:
            words += _web_word(piece)
    return words


def _web_word(piece: str) -> list[str]:
    """A part of an address; short parts without a vowel, and endings of two letters, are spelled."""
    lower = piece.lower()
    if lower == "html":
        return list(lower)
    short = lower.isascii() and lower.isalpha() and len(lower) <= 5 and lower not in notation.NO_VOWEL
    if short and (not re.search("[aeiouy]", lower) or (len(lower) == 2 and lower not in _WORDS_OF_TWO)):
        return list(lower)
    return part(piece, Context(), web=True)


def part(text: str, context: Context, *, web: bool = False) -> list[str]:
    """Spoken words of a part between hyphens: an address, a number, or a mixture of letters, digits and symbols."""
    text = re.sub(r"(?<=[a-z])([.!?])(?=[A-Z][a-z])", " ", text) if not web else text  # Yes.No: the space is missing
    if " " in text:
        return [word for piece in text.split() for word in part(piece, context)]
    if re.search(r"\w[.@]\w", text) and not re.fullmatch(r"[\d.,]+", text):
        return _pieces(text.strip("."), ".@")
    if re.fullmatch(r"\.[A-Za-z]{2,4}", text):
        return _pieces(text, ".")
    if reading := quantity(text, context):
        return reading
    words: list[str] = []
    runs = _RUN.findall(text)
    mixed = any(run[0].isdigit() for run in runs)
    for number, run in enumerate(runs):
        before, after = runs[number - 1] if number else "", runs[number + 1] if number + 1 < len(runs) else ""
        if run[0].isdigit():
            words += _code_number(run, letters=before[:1].isalpha(), after=after)
        elif run[0] == POWER:
            words += power(run[1:]) if len(before) == 1 or before.isdigit() else []
        elif run in "*<>":
            if before and after:
                words += {"*": ["times"], "<": ["less", "than"], ">": ["greater", "than"]}[run]
        elif run == "#" and re.fullmatch("[A-G]", before):
            words.append("sharp")
        elif run in notation.SYMBOLS:
            words += notation.SYMBOLS[run].split()
        elif run in notation.GREEK or run == "\xb5":
            words.append("mu" if run == "\xb5" else notation.GREEK[run])
        elif run == "s" and before[:1].isdigit():
            words = plural(words)
        else:
            words += letters(run, context, mixed=mixed)
    return words


def _code_number(run: str, *, letters: bool, after: str) -> list[str]:
    """Digits inside a code: B52, A380, 1080p, EM3985771."""
    value = run.replace(",", "")
    if len(value) > 4 or value[0] == "0":
        return digits(value)
    if letters and len(value) == 3:
        return numbered(int(value))
    if after in ("p", "i") and len(value) == 4 and value[:2] == "10":
        return [*cardinal(int(value[:2])), *cardinal(int(value[2:]))]
    return plain(value, counted=letters)


def letters(run: str, context: Context, *, mixed: bool) -> list[str]:
    """A run of letters and apostrophes: a word, a roman numeral, or initials spoken separately."""
    word = run.lower().rstrip("'")
    if not word.startswith(("'em", "'t", "'cause", "'bout")):
        word = word.lstrip("'")
    bare = word.replace("'", "")
    if not bare:
        return []
    if not mixed and (numeral := _numeral(run, context)):
        return numeral
    if run in notation.INITIALS and not context.capitals:
        return [*bare[:-2], bare[-2] + "'s"] if run[-1] == "s" else list(bare)
    capitals = run.isupper() or run.rstrip("s").isupper()
    if mixed and (len(bare) <= 2 or (capitals and len(bare) <= 4)):
        return list(bare)
    stem = word.removesuffix("'s") if word.endswith("'s") else bare.removesuffix("s") if run[-1:] == "s" else bare
    known = not context.capitals and stem.upper() in notation.INITIALS and run[: len(stem)].isupper()
    if known and len(bare) > len(stem):
        return [*stem[:-1], stem[-1] + "'s"]
    if capitals and 2 <= len(stem) <= 5 and not re.search("[aeiouy]", stem) and stem not in notation.NO_VOWEL:
        return [*stem[:-1], stem[-1] + "'s"] if len(bare) > len(stem) else list(stem)
    return [word]


def _numeral(run: str, context: Context) -> list[str] | None:
    """A roman numeral: after a word that is counted, after a name, or of small letters."""
    before = context.before.lower()
    if run in _LOWER_NUMERALS:
        return cardinal(roman(run.upper()) or 0)
    if before in notation.COUNTED and run in ("I", "V", "X"):
        return cardinal({"I": 1, "V": 5, "X": 10}[run])
    if before in notation.REGNAL and run == "V":
        return ["the", "fifth"]
    if match := re.fullmatch(r"([IVXL]+)(st|nd|rd|th)", run):
        number = 1 if match[1] == "I" else roman(match[1])
        return ordinal(number) if number else None
    number = roman(run)
    if number is None or not context.before:
        return None
    if before in notation.COUNTED:
        return cardinal(number)
    return ["the", *ordinal(number)] if context.before.istitle() and number < 40 else None
