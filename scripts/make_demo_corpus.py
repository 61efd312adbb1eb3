"""Makes the demo corpus that ships inside the package: `speechprep/demo/`.

The sentences below are spoken by flite, and the sounds of `demo_sounds.py` are synthesized; both are encoded by
opusenc. The times in `true_words` are read from flite's own utterance (word -> syllables -> segments -> `end`), so they
are the times that the synthesizer was asked for, not an alignment.

    python scripts/make_demo_corpus.py --out speechprep/demo

Needs the Debian packages `flite` (its shared libraries) and `opus-tools`. The same versions of both give the same
bytes; `--check` compares a fresh build with what lies in `--out` and writes nothing there.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import shutil
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from demo_sounds import RATE, SOUNDS, Sound

SEED = 20231
SPEECH_KBPS, SOUND_KBPS = 24, 48
SPEECH_LICENCE = "CC0-1.0, spoken by CMU Flite (see LICENCE.md)"
SOUND_LICENCE = "CC0-1.0"

# (voice, split, sentence). Our own sentences. Together they hold what a real transcript holds: numbers, money, a year,
# a time of day, a percentage, titles, hyphens, a possessive, and names that no dictionary has.
SENTENCES = (
    ("rms", "train", "The morning train leaves the old station at nine o'clock and crosses the river twice."),
    ("slt", "train", "Dr. Harper counted twenty-one white boats before the fog came in."),
    ("awb", "train", "A cup of tea and a slice of bread cost $5.50 at the corner shop."),
    ("rms", "train", "My grandmother built the stone house in 1984 with her own hands."),
    ("slt", "train", "When the telephone rang, the small dog barked at the door and woke the baby."),
    ("awb", "train", "Rain fell on the tin roof all night long, and the wind moved the trees."),
    ("rms", "train", "Please turn left at the second light, then walk about 3 miles along the coast."),
    ("slt", "train", "The Zambonari sisters sing quietly while the bread is baking."),
    ("awb", "train", "She keeps a well-worn map of the north-west valley in the top drawer."),
    ("rms", "train", "Seven birds were singing in the garden when the clock struck seven."),
    ("slt", "train", "Mr. Cole sold 250 tickets, but only 40% of the people came."),
    ("rms", "train", "The engine stopped, the children laughed, and nobody said a word."),
    ("slt", "train", "Water, salt and flour are all you need to make a simple bread."),
    ("awb", "train", "Listen to the waves, and tell me how far away the storm is."),
    ("rms", "train", "The alarm went off at 6:30, so he put on his coat and ran."),
    ("slt", "train", "It is a long walk home, but the road is good and the moon is bright."),
    ("awb", "dev", "The blacksmith's bell rang out across the snow-covered fields of Quillmoor."),
    ("rms", "dev", "We heard footsteps on the stairs, and then the house was quiet again."),
    ("slt", "dev", "Two fire engines passed the school, and their sirens faded slowly in the distance."),
    ("rms", "dev", "A good teacher speaks clearly, listens with care, and never hurries."),
)


@dataclass(frozen=True)
class Spoken:
    """What flite made of one sentence: 16-bit samples, their rate, and (written token, start s, end s)."""

    samples: np.ndarray
    rate: int
    words: list[tuple[str, float, float]]


class _Wave(ctypes.Structure):
    """`cst_wave` of flite's `cst_wave.h`."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class Flite:
    """The few functions of libflite that are needed, called through ctypes.

    The command line tool prints phones with times but not which word each belongs to; the library's utterance says.
    """

    def __init__(self) -> None:
        """Load the library.

        Raises:
            SystemExit: flite is not installed.
        """
        self._lib = _library("libflite.so.1")
        self._lib.flite_init()
        item, text = ctypes.c_void_p, ctypes.c_char_p
        self._synth = self._function("flite_synth_text", item, text, item)
        self._wave = self._function("utt_wave", ctypes.POINTER(_Wave), item)
        self._delete = self._function("delete_utterance", None, item)
        self._relation = self._function("utt_relation", item, item, text)
        self._head = self._function("relation_head", item, item)
        self._next = self._function("item_next", item, item)
        self._string = self._function("ffeature_string", text, item, text)
        self._float = self._function("ffeature_float", ctypes.c_float, item, text)
        self._voices: dict[str, int] = {}

    def _function(self, name: str, result: Any, *arguments: Any) -> Any:
        function = getattr(self._lib, name)
        function.restype, function.argtypes = result, arguments
        return function

    def _voice(self, name: str) -> int:
        if name not in self._voices:
            register = getattr(_library(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
            register.restype, register.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
            self._voices[name] = register(None)
        return self._voices[name]

    def _items(self, utterance: int, relation: bytes) -> list[int]:
        items, item = [], self._head(self._relation(utterance, relation))
        while item:
            items.append(item)
            item = self._next(item)
        return items

    def speak(self, voice: str, sentence: str) -> Spoken:
        """Synthesize `sentence`; times run from the start of its first segment to the end of its last.

        Raises:
            ValueError: flite's tokens are not the whitespace tokens of `sentence`, or one of them is silent.
        """
        utterance = self._synth(sentence.encode("ascii"), self._voice(voice))
        made = self._wave(utterance).contents
        samples, rate = np.ctypeslib.as_array(made.samples, (made.num_samples,)).copy(), made.sample_rate
        written = sentence.split()
        names = [self._string(token, b"name").decode() for token in self._items(utterance, b"Token")]
        if [_bare(w) for w in written] != [_bare(n) for n in names]:
            raise ValueError(f"flite reads the tokens {names}, the sentence has {written}")
        times: list[tuple[float, float] | None] = [None] * len(written)
        token = -1
        for word in self._items(utterance, b"Word"):
            # A written token may be read as several words ("$5.50"); only its first has no elder sibling.
            token += self._string(word, b"R:Token.p.name") == b"0"
            first = self._float(word, b"R:SylStructure.daughter1.daughter1.R:Segment.p.end")
            last = self._float(word, b"R:SylStructure.daughtern.daughtern.R:Segment.end")
            begun = times[token]
            times[token] = (first if begun is None else begun[0], last)
        self._delete(utterance)
        words = [(w, *span) for w, span in zip(written, times, strict=True) if span is not None]
        if len(words) != len(written):
            raise ValueError(f"flite says nothing for a token of {sentence!r}")
        return Spoken(samples, rate, words)


def _library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise SystemExit(
            f"the demo corpus needs flite ({name} is absent); install it with: apt install flite"
        ) from error


def _bare(token: str) -> str:
    return re.sub(r"[^a-z0-9]", "", token.lower())


def encode(samples: np.ndarray, rate: int, to: Path, kbps: int, kind: str) -> None:
    """Write 16-bit mono `samples` as Ogg Opus. `kind` is opusenc's tuning, `speech` or `music`.

    The stream's serial number is fixed and no tags or padding are written, so that equal samples give equal bytes.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "a.wav"
        with wave.open(str(wav), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes(samples.astype("<i2").tobytes())
        command = ["opusenc", "--quiet", f"--{kind}", "--bitrate", str(kbps), "--serial", "1", "--padding", "0"]
        subprocess.run([*command, "--discard-comments", str(wav), str(to)], check=True)


def _common(path: Path, root: Path) -> dict[str, Any]:
    info = soundfile.info(path)
    return {
        "id": path.stem,
        "audio": path.relative_to(root).as_posix(),
        "duration_s": round(info.frames / info.samplerate, 6),
        "sample_rate": info.samplerate,
    }


def make_speech(flite: Flite, number: int, voice: str, split: str, sentence: str, root: Path) -> dict[str, Any]:
    """Speak and encode one sentence; returns its manifest line."""
    spoken = flite.speak(voice, sentence)
    path = root / "speech" / f"{number:02d}-{voice}.opus"
    encode(spoken.samples, spoken.rate, path, SPEECH_KBPS, "speech")
    return _common(path, root) | {
        "text": sentence,
        "speaker": f"flite-{voice}",
        "language": "en",
        "split": split,
        "licence": SPEECH_LICENCE,
        "true_words": [{"w": w, "start": round(start, 3), "end": round(end, 3)} for w, start, end in spoken.words],
    }


def make_sound(sound: Sound, number: int, root: Path) -> dict[str, Any]:
    """Synthesize and encode one sound at a peak of -3 dB; returns its manifest line."""
    signal = sound.make(np.random.default_rng([SEED, number]))
    edge = np.minimum(1.0, np.minimum(np.arange(len(signal)), np.arange(len(signal))[::-1]) / (0.02 * RATE))
    signal = signal * edge
    samples = np.round(signal / np.abs(signal).max() * 10 ** (-3 / 20) * 32767)
    path = root / "sounds" / f"{sound.id}.opus"
    encode(samples, RATE, path, SOUND_KBPS, "music")
    return _common(path, root) | {
        "text": None,
        "speaker": None,
        "language": None,
        "split": "train",
        "licence": SOUND_LICENCE,
        "captions": list(sound.captions),
        "labels": list(sound.labels),
    }


def build(root: Path) -> None:
    """Write audio and manifest into the folder `root`."""
    flite = Flite()
    rows = [make_speech(flite, n, *sentence, root) for n, sentence in enumerate(SENTENCES, 1)]
    rows += [make_sound(sound, n, root) for n, sound in enumerate(SOUNDS, 1)]
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (root / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")


def _files(root: Path) -> dict[str, bytes]:
    paths = [root / "manifest.jsonl", *root.glob("speech/*.opus"), *root.glob("sounds/*.opus")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(paths) if path.exists()}


def main() -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "speechprep" / "demo")
    parser.add_argument("--check", action="store_true", help="compare with what lies in --out, change nothing there")
    arguments = parser.parse_args()
    if shutil.which("opusenc") is None:
        raise SystemExit("the demo corpus needs opusenc; install it with: apt install opus-tools")
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        build(fresh)
        new, old = _files(fresh), _files(arguments.out)
        differing = sorted(name for name in new.keys() | old.keys() if new.get(name) != old.get(name))
        if arguments.check:
            print(f"{len(new)} files made, {len(differing)} differ from {arguments.out}", *differing, sep="\n  ")
            return 1 if differing else 0
        for part in ("speech", "sounds"):
            shutil.rmtree(arguments.out / part, ignore_errors=True)
            shutil.copytree(fresh / part, arguments.out / part)
        shutil.copyfile(fresh / "manifest.jsonl", arguments.out / "manifest.jsonl")
    print(f"{len(new)} files, {sum(map(len, new.values())):,} bytes in {arguments.out}; {len(differing)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
