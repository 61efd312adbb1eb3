"""Tables of signs, units and abbreviations with their English readings."""

# ruff: noqa: RUF001 - this file lists signs similar to others

from __future__ import annotations


def word_set(words: str) -> frozenset[str]:
    """The words of a string."""
    return frozenset(words.split())


AND = "\ue000"  # between a whole number and its fraction, in folded tokens: 3½
POWER = "^"  # before a raised number, in folded tokens: 10²

# Typographic forms of one sign, and letters without a decomposition into letter and accent.
FOLD = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u02bc\u2032`\u00b4", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **{"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"},
        **{"đ": "d", "Đ": "D", "ð": "th", "Ð": "Th", "þ": "th", "Þ": "Th", "ı": "i", "\u2044": "/"},
    }
)
# Signs that a compatibility form would glue to a number or a word: they are replaced before it.
BEFORE_FOLD = str.maketrans({**dict.fromkeys("™®©℠ºª", ""), "№": "#", "″": '"', "℃": "°C", "℉": "°F"})
FRACTIONS = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")

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
    "§": "section",
    "‰": "per mille",
    "∞": "infinity",
    "¢": "cents",
}
# Before a number or a letter: 5 < 7, ~5, ±2.
SIGNS = {
    "±": "plus or minus",
    "~": "about",
    "≈": "about",
    "<": "less than",
    ">": "greater than",
    "≤": "less than or equal to",
    "≥": "greater than or equal to",
    "√": "square root of",
    "§": "section",
}
GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        (
            *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
            *("nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
        ),
        strict=True,
    )
)
# symbol: one, many, hundredth, hundredths
MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
COUNTRIES = {"US": [], "A": ["australian"], "C": ["canadian"], "NZ": ["new", "zealand"], "HK": ["hong", "kong"]}
MAGNITUDES = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "bn": "billion",
    "b": "billion",
    "tn": "trillion",
}
SCALES = word_set("hundred thousand million billion trillion")
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
    "apt": "apartment",
    "ft": "feet",
    "oz": "ounces",
}
BEFORE_NUMBER = {
    **{"no": "number", "nos": "numbers", "p": "page", "ch": "chapter", "sec": "section", "art": "article"},
    "c": "circa",
}
SLASHED = {"w/o": "without", "w/": "with", "c/o": "care of", "b/c": "because", "n/a": "n a"}
BEFORE_NAME = {"dr": ("doctor", "drive"), "st": ("saint", "street")}
COUNTED = word_set("chapter book part volume act scene section article canto figure table type phase war bowl")
REGNAL = word_set("charles henry george edward louis philip pius felipe carlos james paul alexander elizabeth")
# Numbers after these words name one of many: Boeing 747, Apt. 4B.
NUMBERED = word_set("boeing airbus flight route highway interstate room area apt apartment suite seat gate unit bus")
MONTHS = {
    name: number
    for number, names in enumerate(
        (
            *("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug"),
            *("september sept sep", "october oct", "november nov", "december dec"),
        ),
        1,
    )
    for name in names.split()
}
MONTH_NAMES = {number: name for name, number in reversed(MONTHS.items())}
# Initials with a vowel. All initials without a vowel are spelled.
INITIALS = word_set(
    "FBI CIA USA AD BC BCE CE UN EU AI API CEO CFO CTO CIO COO URL UFO USB IPO IQ EQ GPA HIV NBA UCLA IOU IRS ISBN IP "
    "OS UI UX AC UV UAE EEG ECG EKG MRI APA ADHD SUV DUI DIY NAACP AFL USSR ESPN AMD AOL UPS DNA RNA IVF ICU ER ATM "
    "ABC AAA UK PhD PhDs iOS HIV USPS NYU MIT GUI CPU GPU ISO IEEE IBM AWS EPA NGO OCD VIP LA ID IDs TVs CDs DVDs"
)
# Read as words, although they have no vowel.
NO_VOWEL = word_set("mr mrs dr st ms jr sr hm hmm hmmm mm mmm shh sh psst pst brr brrr pfft tsk nth grr zzz vs rd www")
