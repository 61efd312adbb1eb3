"""Tables of signs, units and abbreviations with their English readings."""

# ruff: noqa: RUF001 - this file lists signs similar to others

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Typographic forms of one sign, and letters without a decomposition into letter and accent.
FOLD = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u02bc\u2032`\u00b4", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **{"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"},
        **{"đ": "d", "Đ": "D", "ð": "th", "Ð": "Th", "þ": "th", "Þ": "Th", "ı": "i", "\u2044": "/", "№": "#"},
    }
)
ORDINAL_SIGNS = str.maketrans({"º": "", "ª": ""})

SYMBOLS = {
    "&": "and",
    "@": "at",
    "+": "plus",
    "=": "equals",
    "%": "percent",
    "°": "degrees",
    "×": "times",
    "÷": "divided by",
    "$": "dollars",
    "€": "euros",
    "£": "pounds",
    "#": "number",
}
# symbol: one, many, hundredth, hundredths
MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
MAGNITUDES = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "bn": "billion",
    "b": "billion",
    "tn": "trillion",
}
SCALES = _set("hundred thousand million billion trillion")
UNITS = {
    "km": "kilometers",
    "kg": "kilograms",
    "cm": "centimeters",
    "mm": "millimeters",
    "m": "meters",
    "g": "grams",
    "mg": "milligrams",
    "ml": "milliliters",
    "l": "liters",
    "lb": "pounds",
    "lbs": "pounds",
    "oz": "ounces",
    "ft": "feet",
    "in": "inches",
    "mph": "miles per hour",
    "kmh": "kilometers per hour",
    "hz": "hertz",
    "khz": "kilohertz",
    "mhz": "megahertz",
    "ghz": "gigahertz",
    "kb": "kilobytes",
    "mb": "megabytes",
    "gb": "gigabytes",
    "tb": "terabytes",
    "ms": "milliseconds",
    "s": "seconds",
    "sec": "seconds",
    "min": "minutes",
    "h": "hours",
    "hr": "hours",
    "hrs": "hours",
    "am": "a m",
    "pm": "p m",
    "x": "times",
    "%": "percent",
    "°": "degrees",
    "°c": "degrees celsius",
    "°f": "degrees fahrenheit",
}
# Read only before a full stop. Without it, the letters are looked up in the dictionary.
ABBREVIATIONS = {
    "mr": "mister",
    "mrs": "missus",
    "ms": "miz",
    "prof": "professor",
    "rev": "reverend",
    "hon": "honorable",
    "messrs": "messers",
    "jr": "junior",
    "sr": "senior",
    "vs": "versus",
    "etc": "et cetera",
    "vol": "volume",
    "vols": "volumes",
    "pp": "pages",
    "fig": "figure",
    "dept": "department",
    "inc": "incorporated",
    "ltd": "limited",
    "corp": "corporation",
    "bros": "brothers",
    "lt": "lieutenant",
    "col": "colonel",
    "gen": "general",
    "capt": "captain",
    "sgt": "sergeant",
    "gov": "governor",
    "sen": "senator",
    "mt": "mount",
    "ave": "avenue",
    "blvd": "boulevard",
    "rd": "road",
    "approx": "approximately",
    "jan": "january",
    "feb": "february",
    "aug": "august",
    "sept": "september",
    "sep": "september",
    "oct": "october",
    "nov": "november",
    "dec": "december",
    "e.g": "for example",
    "i.e": "that is",
    "no": "no",
    "p.s": "p s",
    "ph.d": "p h d",
}
BEFORE_NUMBER = {"no": "number", "nos": "numbers", "p": "page", "ch": "chapter", "sec": "section", "art": "article"}
BEFORE_NAME = {"dr": ("doctor", "drive"), "st": ("saint", "street")}
COUNTED = _set("chapter book part volume act scene section article canto figure table type phase war")
# Read as words, although they have no vowel.
NO_VOWEL = _set("mr mrs dr st ms jr sr hm hmm hmmm mm mmm shh sh psst pst brr brrr pfft tsk nth grr zzz vs rd")
