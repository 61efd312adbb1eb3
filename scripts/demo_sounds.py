"""The sounds of the demo corpus, synthesized with numpy and scipy: no recording is used, so nothing is to be licensed.

Each maker takes a seeded generator and returns mono float64 at `RATE`. They are caricatures, made to be told apart by
ear and by a feature extractor, not to be realistic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

RATE = 48_000  # Hz; sound-event embedders such as CLAP work at 48 kHz

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Sound:
    """One sound: its id, how it is made, and what a listener would say about it."""

    id: str
    make: Callable[[np.random.Generator], Signal]
    captions: tuple[str, ...]
    labels: tuple[str, ...]


def _time(seconds: float) -> Signal:
    return np.arange(round(seconds * RATE)) / RATE


def _phase(hertz: Signal) -> Signal:
    """Phase in cycles of an oscillator whose frequency is given sample by sample."""
    return np.cumsum(hertz) / RATE


def _saw(cycles: Signal) -> Signal:
    return 2 * (cycles % 1.0) - 1


def _band(signal: Signal, low: float | None, high: float | None, order: int = 2) -> Signal:
    """Butterworth low-pass (no `low`), high-pass (no `high`) or band-pass, causal."""
    if low is None:
        sos = butter(order, high, "lowpass", fs=RATE, output="sos")
    elif high is None:
        sos = butter(order, low, "highpass", fs=RATE, output="sos")
    else:
        sos = butter(order, (low, high), "bandpass", fs=RATE, output="sos")
    return np.asarray(sosfilt(sos, signal), dtype=np.float64)


def _place(into: Signal, at: float, part: Signal) -> None:
    """Add `part` to `into` from `at` seconds on, cut at the end."""
    start = round(at * RATE)
    part = part[: max(0, len(into) - start)]
    into[start : start + len(part)] += part


def _ringing(seconds: float, partials: list[tuple[float, float, float]]) -> Signal:
    """Sum of decaying sines; a partial is (hertz, gain, seconds to fall to 1/e)."""
    t = _time(seconds)
    tone = sum((gain * np.exp(-t / decay) * np.sin(2 * np.pi * hertz * t) for hertz, gain, decay in partials), 0 * t)
    return np.asarray(tone * np.minimum(1.0, t / 0.002), dtype=np.float64)


def siren(rng: np.random.Generator) -> Signal:
    """Wail between 600 and 1400 Hz, once in two seconds."""
    t = _time(4.0)
    tone = _saw(_phase(1000 - 400 * np.cos(2 * np.pi * t / 2)))
    return _band(tone, 500, 4000) + 0.01 * rng.standard_normal(len(t))


def church_bell(rng: np.random.Generator) -> Signal:
    """Two strokes of a bell with the usual partials: hum, prime, minor third, fifth, nominal and above."""
    ratios = [(0.5, 0.5, 3.0), (1.0, 0.6, 2.0), (1.2, 0.6, 1.5), (1.5, 0.3, 1.0), (2.0, 1.0, 1.2), (2.67, 0.4, 0.6)]
    ratios += [(3.0, 0.3, 0.5), (4.0, 0.3, 0.3), (5.4, 0.15, 0.15)]
    out = 0.0005 * rng.standard_normal(4 * RATE)
    for at in (0.05, 1.95):
        _place(out, at, _ringing(3.9, [(310 * ratio, gain, decay) for ratio, gain, decay in ratios]))
        _place(out, at, 0.5 * _band(rng.standard_normal(960), 1500, 6000) * np.hanning(960))
    return out


def rain(rng: np.random.Generator) -> Signal:
    """Steady hiss with some hundred drops a second on top."""
    out = 0.25 * _band(rng.standard_normal(4 * RATE), 800, 9000)
    for _ in range(400):
        hertz = rng.uniform(1500, 6000)
        drop = _ringing(0.02, [(hertz, rng.exponential(0.4), 0.004)])
        _place(out, rng.uniform(0, 3.95), drop)
    return out


def dog_bark(rng: np.random.Generator) -> Signal:
    """Three barks: a pulse train that rises and falls, shaped by two formants, with breath."""
    out = 0.0005 * rng.standard_normal(round(2.6 * RATE))
    for at in (0.1, 0.75, 1.6):
        t = _time(0.26)
        shape = (
            np.minimum(t / 0.015, 1) * np.minimum((0.26 - t) / 0.03, 1) * np.exp(-((((t - 0.05) / 0.11).clip(0)) ** 2))
        )
        hertz = 300 + 330 * np.exp(-(((t - 0.06) / 0.06) ** 2)) + rng.uniform(-15, 15)
        source = _saw(_phase(hertz)) + 0.5 * rng.standard_normal(len(t))
        voice = 1.0 * _band(source, 500, 950) + 0.8 * _band(source, 1200, 1900) + 0.3 * _band(source, 2400, 3400)
        _place(out, at, shape * voice)
    return out


def birdsong(rng: np.random.Generator) -> Signal:
    """Quick whistled chirps between 3 and 6 kHz, in phrases."""
    out = 0.002 * rng.standard_normal(3 * RATE)
    for phrase in (0.1, 1.1, 2.05):
        for note in range(6):
            t = _time(0.085)
            sweep = rng.uniform(3200, 4200) + rng.choice([-1, 1]) * 1300 * (t / 0.085 - 0.5)
            sweep += 250 * np.sin(2 * np.pi * 38 * t)
            _place(out, phrase + 0.12 * note, np.hanning(len(t)) * np.sin(2 * np.pi * _phase(sweep)))
    return out


def engine(rng: np.random.Generator) -> Signal:
    """Firing pulses whose rate climbs from 28 to 65 a second and falls again, with exhaust noise."""
    t = _time(4.0)
    cycles = _phase(28 + 37 * np.sin(np.pi * t / 4) ** 2)
    pulse = np.exp(-7 * (cycles % 1.0)) * (1 + 0.3 * (np.floor(cycles) % 4 == 0))
    exhaust = pulse * _band(rng.standard_normal(len(t)), 80, 1500)
    return np.asarray(_band(pulse - pulse.mean(), 30, 400) + 0.8 * exhaust, dtype=np.float64)


def clock_ticking(rng: np.random.Generator) -> Signal:
    """Tick and tock, twice a second."""
    out = 0.0005 * rng.standard_normal(4 * RATE)
    for beat in range(8):
        high = 1.0 if beat % 2 == 0 else 0.82
        tick = _ringing(0.06, [(2600 * high, 1.0, 0.006), (4300 * high, 0.7, 0.004), (1100 * high, 0.5, 0.012)])
        _place(out, 0.2 + 0.5 * beat, tick)
    return out


def wind(rng: np.random.Generator) -> Signal:
    """Noise through bands that swell one after the other, so that it howls."""
    t = _time(4.0)
    noise = rng.standard_normal(len(t))
    out = 0.3 * _band(noise, 60, 300)
    for hertz, swell in ((350, 3.1), (520, 2.3), (750, 1.7), (1050, 1.3)):
        gust = np.sin(2 * np.pi * (t / swell + rng.uniform())).clip(0) ** 2
        out += gust * _band(noise, hertz * 0.93, hertz * 1.07) * 1.6
    return out


def sea_waves(rng: np.random.Generator) -> Signal:
    """Two waves that roll in low, break bright and run out."""
    t = _time(4.0)
    noise = rng.standard_normal(len(t))
    low, high = _band(noise, 80, 600), _band(noise, 600, 7000)
    out = 0.15 * low
    for crest in (1.1, 3.0):
        since = t - crest
        roll = np.exp(-((since / 0.6) ** 2))
        foam = np.where(since < 0, np.exp(-((since / 0.18) ** 2)), np.exp(-since.clip(0) / 0.55))
        out += 0.8 * roll * low + 0.5 * foam * high
    return out


def alarm_beep(rng: np.random.Generator) -> Signal:
    """Groups of four short beeps, as a digital alarm clock makes."""
    out = 0.0005 * rng.standard_normal(3 * RATE)
    for group in range(3):
        for beep in range(4):
            t = _time(0.07)
            tone = np.sign(np.sin(2 * np.pi * 2048 * t)) * np.minimum(1, np.minimum(t, 0.07 - t) / 0.003)
            _place(out, 0.05 + group + 0.13 * beep, 0.5 * tone)
    return _band(out, None, 9000)


def footsteps(rng: np.random.Generator) -> Signal:
    """Heel and sole on a hard floor, about two steps a second."""
    out = 0.001 * rng.standard_normal(round(3.2 * RATE))
    for step in range(6):
        at = 0.1 + 0.52 * step + rng.uniform(-0.015, 0.015)
        for delay, gain in ((0.0, 1.0), (0.09, 0.45)):
            thud = _ringing(0.12, [(85, 1.0, 0.03), (190, 0.6, 0.015)])
            scuff = _band(rng.standard_normal(len(thud)), 900, 5000) * np.exp(-_time(0.12) / 0.012)
            _place(out, at + delay, gain * (thud + 0.7 * scuff))
    return out


def telephone_ring(rng: np.random.Generator) -> Signal:
    """Two rings of an old telephone: a clapper that hits two small bells in turn, twenty times a second."""
    out = 0.0005 * rng.standard_normal(4 * RATE)
    for ring in (0.1, 2.1):
        for hit in range(24):
            pitch = 1180 if hit % 2 == 0 else 1480
            bell = _ringing(0.45, [(pitch, 1.0, 0.12), (pitch * 2.41, 0.6, 0.08), (pitch * 3.9, 0.4, 0.05)])
            _place(out, ring + hit / 20, bell * rng.uniform(0.9, 1.0))
    return out


SOUNDS = (
    Sound(
        "siren",
        siren,
        ("A siren wails, rising and falling.", "An ambulance siren goes up and down."),
        ("siren",),
    ),
    Sound(
        "church-bell", church_bell, ("A church bell tolls twice.", "A large bell is struck and rings out."), ("bell",)
    ),
    Sound("rain", rain, ("Rain falls steadily.", "Raindrops patter on a roof."), ("rain", "water")),
    Sound("dog-bark", dog_bark, ("A dog barks three times.", "A small dog barks at the door."), ("dog", "animal")),
    Sound("birdsong", birdsong, ("A bird chirps and twitters.", "Birdsong in a quiet garden."), ("bird", "animal")),
    Sound("engine", engine, ("An engine revs up and slows down.", "A car motor runs and accelerates."), ("engine",)),
    Sound("clock-ticking", clock_ticking, ("A clock ticks.", "The steady tick-tock of a clock."), ("clock",)),
    Sound("wind", wind, ("Wind howls around a house.", "A strong wind blows in gusts."), ("wind", "weather")),
    Sound("sea-waves", sea_waves, ("Waves break on the shore.", "The sea rolls in on a beach."), ("waves", "water")),
    Sound("alarm-beep", alarm_beep, ("An alarm clock beeps.", "Short electronic beeps in groups of four."), ("alarm",)),
    Sound("footsteps", footsteps, ("Footsteps on a hard floor.", "Somebody walks past in hard shoes."), ("footsteps",)),
    Sound("telephone-ring", telephone_ring, ("A telephone rings twice.", "An old phone is ringing."), ("telephone",)),
)
