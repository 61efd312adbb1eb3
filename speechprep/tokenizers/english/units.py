"""Units of measurement and their English names."""

from __future__ import annotations

from typing import NamedTuple


class Unit(NamedTuple):
    """Name of a unit after the number 1, and after any other number."""

    one: str
    many: str


def _regular(**names: str) -> dict[str, Unit]:
    return {symbol: Unit(name, name + "s") for symbol, name in names.items()}


UNITS = {
    **_regular(km="kilometer", cm="centimeter", mm="millimeter", m="meter", nm="nanometer", dm="decimeter"),
    **_regular(kg="kilogram", g="gram", mg="milligram", ml="milliliter", l="liter", cl="centiliter", dl="deciliter"),
    **_regular(lb="pound", lbs="pound", oz="ounce", yd="yard", yds="yard", mi="mile", gal="gallon", qt="quart"),
    **_regular(kb="kilobyte", mb="megabyte", gb="gigabyte", tb="terabyte", kbit="kilobit", mbit="megabit"),
    **_regular(ms="millisecond", s="second", sec="second", secs="second", min="minute", mins="minute", h="hour"),
    **_regular(hr="hour", hrs="hour", yr="year", yrs="year", wk="week", wks="week", mo="month"),
    **_regular(kw="kilowatt", mw="megawatt", gw="gigawatt", W="watt", V="volt", kv="kilovolt", kwh="kilowatt hour"),
    **_regular(mah="milliamp hour", kj="kilojoule", kcal="kilocalorie", cal="calorie", kpa="kilopascal", px="pixel"),
    **_regular(db="decibel", ha="hectare", ac="acre"),
    "µm": Unit("micrometer", "micrometers"),
    "µg": Unit("microgram", "micrograms"),
    "µs": Unit("microsecond", "microseconds"),
    "ft": Unit("foot", "feet"),
    "in": Unit("inch", "inches"),
    "mph": Unit("mile per hour", "miles per hour"),
    "mpg": Unit("mile per gallon", "miles per gallon"),
    "rpm": Unit("revolution per minute", "revolutions per minute"),
    "kmh": Unit("kilometer per hour", "kilometers per hour"),
    "kph": Unit("kilometer per hour", "kilometers per hour"),
    "fps": Unit("frame per second", "frames per second"),
    "mbps": Unit("megabit per second", "megabits per second"),
    "gbps": Unit("gigabit per second", "gigabits per second"),
    "kbps": Unit("kilobit per second", "kilobits per second"),
    "hz": Unit("hertz", "hertz"),
    "khz": Unit("kilohertz", "kilohertz"),
    "mhz": Unit("megahertz", "megahertz"),
    "ghz": Unit("gigahertz", "gigahertz"),
    "psi": Unit("p s i", "p s i"),
    "am": Unit("a m", "a m"),
    "pm": Unit("p m", "p m"),
    "x": Unit("times", "times"),
    "%": Unit("percent", "percent"),
    "‰": Unit("per mille", "per mille"),
    "¢": Unit("cent", "cents"),
    "€": Unit("euro", "euros"),
    "£": Unit("pound", "pounds"),
    "$": Unit("dollar", "dollars"),
    "°": Unit("degree", "degrees"),
    "°c": Unit("degree celsius", "degrees celsius"),
    "°f": Unit("degree fahrenheit", "degrees fahrenheit"),
    "k": Unit("thousand", "thousand"),
    "mn": Unit("million", "million"),
    "bn": Unit("billion", "billion"),
    "tn": Unit("trillion", "trillion"),
    "M": Unit("million", "million"),
    "B": Unit("billion", "billion"),
}
_GLUED_ONLY = ("in", "k", "M", "B", "x", "ac", "mo", "mi", "cal")  # as tokens of their own these are words or letters
_POWERS = {"2": "square", "3": "cubic"}


def unit_name(symbol: str, *, one: bool, glued: bool = True) -> list[str] | None:
    """Spoken words of a unit (km, km/h, m^2), or None.

    Args:
        symbol: as written; `^` stands before a raised number.
        one: the number before it is 1.
        glued: the unit stands in the token of its number.
    """
    if "/" in symbol:
        above, _, below = symbol.partition("/")
        first, second = unit_name(above, one=one, glued=glued), unit_name(below, one=True, glued=False)
        return [*first, "per", *second] if first and second else None
    base, _, power = symbol.partition("^")
    if power and power not in _POWERS:
        return None
    unit = _find(base)
    if unit is None or (not glued and base in _GLUED_ONLY):
        return None
    name = unit.one if one else unit.many
    return [*([_POWERS[power]] if power else []), *name.split()]


def _find(symbol: str) -> Unit | None:
    """A unit by its symbol; capitals are as good as small letters in symbols of at least two letters."""
    symbol = symbol.replace("μ", "µ")
    if symbol in UNITS:
        return UNITS[symbol]
    if len(symbol) == 1 and symbol not in "XL":
        return None
    return UNITS.get(symbol.lower())
