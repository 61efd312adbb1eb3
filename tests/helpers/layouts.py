"""One small example of each layout of a corpus, as files by name. Audio is silence with a little noise."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

Files = dict[str, bytes]


def wav(seed: int, seconds: float = 2.0, channels: int = 1) -> bytes:
    """A WAV file of noise; each seed has other samples."""
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    soundfile.write(buffer, rng.uniform(-0.1, 0.1, (round(seconds * 8000), channels)), 8000, format="WAV")
    return buffer.getvalue()


A, B, STEREO = wav(1), wav(2), wav(3, channels=2)


@dataclass(frozen=True)
class Layout:
    """A layout.

    Attributes:
        files: name -> content.
        texts: (text, speaker, split) of each row; speaker and split are not compared if they are None.
        words: (text of the row, text and start of its first word) of each row with word times.
        unread: number of files that are not read.
        segments: (text, offset, duration) of rows with a segment.
        channels: (text, channel) of rows with a channel.
        languages: languages of all rows.
    """

    files: Files
    texts: list[tuple[str | None, str | None, str | None]]
    words: list[tuple[str, str, float]] = field(default_factory=list)
    unread: int = 0
    segments: list[tuple[str, float, float]] = field(default_factory=list)
    channels: list[tuple[str, int]] = field(default_factory=list)
    languages: set[str] = field(default_factory=set)


def lines(*rows: object) -> bytes:
    """JSON Lines, or lines of text."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def tar(members: Files, mode: str = "w") -> bytes:
    """A tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def packed_zip(members: Files) -> bytes:
    """A zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


PACKERS: dict[str, Callable[[Files], bytes]] = {
    "tar": tar,
    "tar.gz": lambda files: tar(files, "w:gz"),
    "tar.bz2": lambda files: tar(files, "w:bz2"),
    "tar.xz": lambda files: tar(files, "w:xz"),
    "zip": packed_zip,
}


def parquet(rows: list[dict[str, object]], schema: pa.Schema | None = None) -> bytes:
    """A Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer)
    return buffer.getvalue()


def arrow(rows: list[dict[str, object]]) -> bytes:
    """A stream of record batches, as `save_to_disk` writes it."""
    table = pa.Table.from_pylist(rows)
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    return buffer.getvalue()


TEXTGRID = b"""File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "anna"
        xmin = 0
        xmax = 2
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "one"
        intervals [2]:
            xmin = 0.5
            xmax = 1
            text = ""
        intervals [3]:
            xmin = 1
            xmax = 2
            text = "two three"
    item [2]:
        class = "IntervalTier"
        name = "anna - words"
        xmin = 0
        xmax = 2
        intervals: size = 3
        intervals [1]:
            xmin = 0.1
            xmax = 0.4
            text = "one"
        intervals [2]:
            xmin = 1.1
            xmax = 1.4
            text = "two"
        intervals [3]:
            xmin = 1.5
            xmax = 1.8
            text = "three"
"""
EAF = b"""<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="500"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="2000"/></TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="anna" TIER_ID="anna">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>one</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
<ANNOTATION_VALUE>two three</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""
SRT = b"1\n00:00:00,000 --> 00:00:00,500\none\n\n2\n00:00:01,000 --> 00:00:02,000\ntwo\nthree\n"
VTT = (
    b"WEBVTT\n\nNOTE a note\n\nfirst\n00:00.000 --> 00:00.500\n<v anna>one\n\n"
    b"00:01.000 --> 00:02.000 align:start\n<v anna>two <i>three</i>\n\nNOTE end\n"
)
WHISPER = {
    "text": " one two three",
    "language": "en",
    "segments": [
        {"id": 0, "start": 0.0, "end": 0.5, "text": " one", "words": [{"word": " one", "start": 0.1, "end": 0.4}]},
        {
            "id": 1,
            "start": 1.0,
            "end": 2.0,
            "text": " two three",
            "words": [{"word": " two", "start": 1.1, "end": 1.4}],
        },
    ],
}
CTM = b"a 1 0.1 0.3 one 0.9\na 1 1.1 0.3 two\na 1 1.5 0.3 three\nb A 0.2 0.3 four\n"
STM = b";; comment\na 1 anna 0.0 0.5 <o,f0> one\na 1 anna 1.0 2.0 two three\nb 1 bert 0.0 2.0 four\n"

# The segments of one recording `a` in each timed form.
_SEGMENTS = [("one", 0.0, 0.5), ("two three", 1.0, 1.0)]
_ANNA = [("one", "anna", None), ("two three", "anna", None)]
_PLAIN = [("one", None, None), ("two three", None, None)]
_WORDS = [("one", "one", 0.1), ("two three", "two", 0.1)]

RECORDINGS = [
    {
        "id": name,
        "sources": [{"type": "file", "channels": list(range(channels)), "source": f"audio/{name}.wav"}],
        "sampling_rate": 8000,
        "num_samples": 16000,
        "duration": 2.0,
    }
    for name, channels in (("a", 1), ("b", 2))
]
SUPERVISIONS = [
    {
        "id": id,
        "recording_id": recording,
        "start": start,
        "duration": duration,
        "channel": channel,
        "text": text,
        "speaker": speaker,
        "language": "English",
        "alignment": {"word": [[text.split()[0], start + 0.1, 0.3, None]]},
    }
    for id, recording, start, duration, channel, text, speaker in (
        ("a-1", "a", 0.0, 0.5, 0, "one", "anna"),
        ("a-2", "a", 1.0, 1.0, 0, "two three", "bert"),
        ("b-1", "b", 0.0, 2.0, 1, "four", "anna"),
    )
]
CUTS = [
    {
        "id": f"cut-{name}",
        "start": 0.0,
        "duration": 2.0,
        "channel": channel,
        "supervisions": [s for s in SUPERVISIONS if s["recording_id"] == name],
        "recording": recording,
        "type": kind,
    }
    for name, channel, kind, recording in (("a", 0, "MonoCut", RECORDINGS[0]), ("b", [0, 1], "MultiCut", RECORDINGS[1]))
]
_LHOTSE_AUDIO = {"audio/a.wav": A, "audio/b.wav": STEREO}
_LHOTSE = {
    "texts": [("one", "anna", None), ("two three", "bert", None), ("four", "anna", None)],
    "words": [*_WORDS, ("four", "four", 0.1)],
    "segments": [*_SEGMENTS, ("four", 0.0, 2.0)],
    "channels": [("four", 1)],
    "languages": {"en"},
}
_CV = "client_id\tpath\tsentence\tlocale\n"
_SHAR_CUT = {
    "id": "c",
    "start": 0.7,
    "duration": 2.0,
    "channel": 0,
    "supervisions": [{**SUPERVISIONS[0], "recording_id": "c", "duration": 2.0}],
    "recording": {**RECORDINGS[0], "sources": [{"type": "shar", "channels": [0], "source": ""}]},
    "type": "MonoCut",
}
_EMBEDDED = pa.schema(
    [("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("transcription", pa.string())]
)

LAYOUTS: dict[str, Layout] = {
    # -- releases ---------------------------------------------------------------------------------
    "commonvoice": Layout(
        {
            "cv-corpus-9/en/validated.tsv": (_CV + "s1\ta.mp3\tone\ten\ns2\tb.mp3\tfour\ten\n").encode(),
            "cv-corpus-9/en/train.tsv": (_CV + "s1\ta.mp3\tone\ten\n").encode(),
            "cv-corpus-9/en/other.tsv": _CV.encode(),
            "cv-corpus-9/en/clips/a.mp3": A,
            "cv-corpus-9/en/clips/b.mp3": B,
            "cv-corpus-9/de/test.tsv": b"client_id\tpath\tsentence\ns3\tc.mp3\tzwei\n",
            "cv-corpus-9/de/clips/c.mp3": A,
        },
        [("one", "s1", "train"), ("four", "s2", None), ("zwei", "s3", "test")],
        unread=1,
        languages={"en", "de"},
    ),
    "librispeech": Layout(
        {
            "LibriSpeech/dev-clean/1/2/1-2-0.flac": A,
            "LibriSpeech/dev-clean/1/2/1-2-1.flac": B,
            "LibriSpeech/dev-clean/1/2/1-2.trans.txt": b"1-2-0 ONE\n1-2-1 TWO THREE\n",
            "LibriSpeech/SPEAKERS.TXT": b";comment\n1 | F | dev-clean | 25 | Anna\n",
            "LibriSpeech/README.TXT": b"about",
        },
        [("ONE", "1", "dev-clean"), ("TWO THREE", "1", "dev-clean")],
        unread=2,
    ),
    "ljspeech": Layout(
        {
            "LJSpeech-1.1/metadata.csv": b"LJ1|No. 1|one\nLJ2|two three|two three\n",
            "LJSpeech-1.1/wavs/LJ1.wav": A,
            "LJSpeech-1.1/wavs/LJ2.wav": B,
        },
        _PLAIN,
    ),
    "vctk": Layout(
        {
            "VCTK/txt/p225/p225_001.txt": b"one\n",
            "VCTK/txt/p226/p226_001.txt": b"four\n",
            "VCTK/wav48_silence_trimmed/p225/p225_001_mic1.flac": A,
            "VCTK/wav48_silence_trimmed/p225/p225_001_mic2.flac": B,
            "VCTK/wav48_silence_trimmed/p226/p226_001_mic1.flac": B,
            "VCTK/speaker-info.txt": b"ID AGE",
        },
        [("one", "p225", None), ("one", "p225", None), ("four", "p226", None)],
        unread=1,
        languages={"en"},
    ),
    "timit": Layout(
        {
            "TIMIT/TRAIN/DR1/FCJF0/SA1.WAV": A,
            "TIMIT/TRAIN/DR1/FCJF0/SA1.TXT": b"0 32000 One two.\n",
            "TIMIT/TRAIN/DR1/FCJF0/SA1.WRD": b"1600 4800 one\n4800 8000 two\n",
            "TIMIT/TRAIN/DR1/FCJF0/SA1.PHN": b"0 1600 h#\n",
            "TIMIT/TEST/DR2/MABC0/SA1.WAV": B,
            "TIMIT/TEST/DR2/MABC0/SA1.TXT": b"0 32000 Four.\n",
            "TIMIT/TEST/DR2/MABC0/SA1.PHN": b"0 1600 h#\n",
        },
        [("One two.", "FCJF0", "train"), ("Four.", "MABC0", "test")],
        words=[("One two.", "one", 0.1)],
        unread=2,
    ),
    # -- Hugging Face -----------------------------------------------------------------------------
    "audiofolder_csv": Layout(
        {
            "train/metadata.csv": b"file_name,transcription\na.wav,one\n",
            "train/a.wav": A,
            "test/metadata.csv": b"file_name,transcription\nb.wav,four\n",
            "test/b.wav": B,
        },
        [("one", None, "train"), ("four", None, "test")],
    ),
    "audiofolder_jsonl": Layout(
        {
            "data/train/metadata.jsonl": lines({"file_name": "x/a.wav", "transcription": "one"}),
            "data/train/x/a.wav": A,
            "data/test/metadata.jsonl": lines({"file_name": "b.wav", "transcription": "four"}),
            "data/test/b.wav": B,
            "data/test/c.wav": A,
        },
        [("one", None, "train"), ("four", None, "test")],
        unread=1,
    ),
    "audiofolder_parquet": Layout(
        {"train/metadata.parquet": parquet([{"file_name": "a.wav", "text": "one"}]), "train/a.wav": A},
        [("one", None, "train")],
    ),
    "parquet_converted": Layout(
        {
            f"default/{split}/0000.parquet": parquet([{"audio": {"bytes": body, "path": None}, "text": text}])
            for split, body, text in (("train", A, "one"), ("test", B, "four"))
        },
        [("one", None, "train"), ("four", None, "test")],
    ),
    "parquet_configs": Layout(
        {
            f"{config}/train-00000-of-00001.parquet": parquet([{"audio": {"bytes": A, "path": "a.wav"}, "text": text}])
            for config, text in (("en", "one"), ("de", "eins"))
        },
        [("one", None, "train"), ("eins", None, "train")],
    ),
    "parquet_bytes_path_or_both": Layout(
        {
            "train.parquet": parquet(
                [
                    {"audio": {"bytes": A, "path": None}, "transcription": "one"},
                    {"audio": {"bytes": None, "path": "b.wav"}, "transcription": "two three"},
                    {"audio": {"bytes": A, "path": "c.wav"}, "transcription": "four"},
                ],
                _EMBEDDED,
            ),
            "b.wav": B,
        },
        [("one", None, "train"), ("two three", None, "train"), ("four", None, "train")],
    ),
    "save_to_disk": Layout(
        {
            "set/dataset_dict.json": b'{"splits": ["train"]}',
            "set/train/data-00000-of-00001.arrow": arrow(
                [
                    {"audio": {"bytes": A, "path": None}, "text": "one"},
                    {"audio": {"bytes": B, "path": "b.wav"}, "text": "four"},
                ]
            ),
            "set/train/cache-1.arrow": arrow([{"audio": {"bytes": B, "path": None}, "text": "stale"}]),
            "set/train/state.json": b'{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}',
            "set/train/dataset_info.json": b"{}",
        },
        [("one", None, "train"), ("four", None, "train")],
        unread=4,
    ),
    # -- manifests --------------------------------------------------------------------------------
    "nemo": Layout(
        {
            "lists/train_manifest.json": lines(
                {"audio_filepath": "../wavs/a.wav", "duration": 2, "text": "one"},
                {"audio_filepath": "../wavs/b.wav", "duration": 1.0, "offset": 0.5, "text": "four", "lang": "eng"},
            ),
            "wavs/a.wav": A,
            "wavs/b.wav": B,
        },
        [("one", None, "train"), ("four", None, "train")],
        segments=[("four", 0.5, 1.0)],
    ),
    "nemo_from_a_working_folder": Layout(
        {
            "x/data/dev.json": lines({"audio_filepath": "x/wavs/a.wav", "duration": 2, "text": "one"}),
            "x/wavs/a.wav": A,
        },
        [("one", None, "dev")],
    ),
    "nemo_tarred": Layout(
        {
            "tarred_audio_manifest.json": lines(
                {"audio_filepath": "a.wav", "duration": 2, "text": "one", "shard_id": 0},
                {"audio_filepath": "b.wav", "duration": 2, "text": "four", "shard_id": 1},
            ),
            "audio_0.tar": tar({"a.wav": A, "c.wav": B}),
            "audio_1.tar": tar({"b.wav": B}),
        },
        [("one", None, None), ("four", None, None)],
        unread=1,
    ),
    "json_array": Layout(
        {
            "corpus.json": json.dumps(
                [{"audio": "a.wav", "text": "one", "id": "1"}, {"audio": "b.wav", "text": "four", "id": "2"}], indent=1
            ).encode(),
            "a.wav": A,
            "b.wav": B,
        },
        [("one", None, None), ("four", None, None)],
    ),
    "table_compressed": Layout(
        {"t/dev.tsv.gz": gzip.compress(b"path\ttext\tlanguage\na.wav\tone\tEnglish\n"), "t/a.wav": A},
        [("one", None, "dev")],
        languages={"en"},
    ),
    "fairseq": Layout(
        {
            "train.tsv": b"/nowhere/audio\nx/a.wav\t16000\nx/b.wav\t16000\n",
            "train.ltr": b"O N E |\nF O U R |\n",
            "x/a.wav": A,
            "x/b.wav": B,
        },
        [("ONE", None, "train"), ("FOUR", None, "train")],
    ),
    "piper": Layout(
        {"metadata.csv": b"a|7|one two\nb|8|four five\n", "wav/a.wav": A, "wav/b.wav": B},
        [("one two", "7", None), ("four five", "8", None)],
    ),
    "filelist": Layout(
        {
            "filelists/vits_train.txt": b"wavs/a.wav|anna|EN|one two\nwavs/b.wav|bert|DE|vier\n",
            "wavs/a.wav": A,
            "wavs/b.wav": B,
        },
        [("one two", "anna", "train"), ("vier", "bert", "train")],
        languages={"en", "de"},
    ),
    "kaldi": Layout(
        {
            "data/train/wav.scp": b"a audio/a.wav\nb audio/b.wav\nc sph2pipe -f wav c.sph |\n",
            "data/train/segments": b"anna-1 a 0.0 0.5\nanna-2 a 1.0 2.0\nbert-1 b 0 -1\n",
            "data/train/text": b"anna-1 one\nanna-2 two three\nbert-1 four\n",
            "data/train/utt2spk": b"anna-1 anna\nanna-2 anna\nbert-1 bert\n",
            "data/train/spk2utt": b"anna anna-1 anna-2\nbert bert-1\n",
            "data/train/utt2lang": b"anna-1 eng\nanna-2 eng\nbert-1 eng\n",
            "data/train/ctm": CTM,
            "audio/a.wav": A,
            "audio/b.wav": B,
        },
        [("one", "anna", "train"), ("two three", "anna", "train"), ("four", "bert", "train")],
        words=[*_WORDS, ("four", "four", 0.2)],
        segments=[*_SEGMENTS, ("four", 0.0, 2.0)],
        languages={"en"},
    ),
    # -- lhotse -----------------------------------------------------------------------------------
    "lhotse_pair": Layout(
        {
            "m/recordings_all.jsonl.gz": gzip.compress(lines(*RECORDINGS)),
            "m/supervisions_all.jsonl.gz": gzip.compress(lines(*SUPERVISIONS)),
            **_LHOTSE_AUDIO,
        },
        **_LHOTSE,
    ),
    "lhotse_arrays": Layout(
        {
            "audio.json": json.dumps(RECORDINGS, indent=2).encode(),
            "supervision.json": json.dumps(SUPERVISIONS, indent=2).encode(),
            **_LHOTSE_AUDIO,
        },
        **_LHOTSE,
    ),
    "lhotse_cuts": Layout({"cuts.json": json.dumps(CUTS, indent=2).encode(), **_LHOTSE_AUDIO}, **_LHOTSE),
    "lhotse_recordings": Layout(
        {"recordings.jsonl": lines(*RECORDINGS), **_LHOTSE_AUDIO}, [(None, None, None), (None, None, None)]
    ),
    "shar": Layout(
        {
            "shar/cuts.000000.jsonl.gz": gzip.compress(lines(_SHAR_CUT)),
            "shar/recording.000000.tar": tar({"c.wav": A, "c.json": json.dumps({**RECORDINGS[0], "id": "c"}).encode()}),
        },
        [("one", "anna", None)],
        words=[("one", "one", 0.1)],
        segments=[("one", 0.0, 2.0)],
    ),
    # -- samples ----------------------------------------------------------------------------------
    "webdataset": Layout(
        {
            "s/000.speech.wav": A,
            "s/000.text.txt": b"one",
            "s/000.meta.json": b'{"speaker": "anna"}',
            "s/001.flac": B,
            "s/001.transcript": b"four",
            "s/001.cls": b"3",
            "s/001.speaker.txt": b"bert",
            "s/002.jpg": b"",
        },
        [("one", "anna", None), ("four", "bert", None)],
        unread=1,
    ),
    "beside": Layout(
        {"a.wav": A, "a.txt": b"one", "b.wav": B, "b.normalized.txt": b"four", "b.original.txt": b"4", "c.wav": B},
        [("one", None, None), ("four", None, None), (None, None, None)],
        unread=1,
    ),
    "transcripts_of_many": Layout(
        {
            "mls/train/transcripts.txt": b"a\tone\nb\tfour\n",
            "mls/train/audio/1/a.flac": A,
            "mls/train/audio/1/b.flac": B,
            "mls/train/audio/1/c.flac": B,
        },
        [("one", None, None), ("four", None, None), (None, None, None)],
    ),
    "festival": Layout(
        {"etc/txt.done.data": b'( a "one" )\n( b "four" )\n', "wav/a.wav": A, "wav/b.wav": B},
        [("one", None, None), ("four", None, None)],
    ),
    # -- timed ------------------------------------------------------------------------------------
    "textgrid": Layout({"x/a.wav": A, "x/a.TextGrid": TEXTGRID}, _ANNA, words=_WORDS, segments=_SEGMENTS),
    "textgrid_elsewhere": Layout(
        {"wav/1/a.wav": A, "wav/2/a.wav": B, "tg/1/a.TextGrid": TEXTGRID},
        [*_ANNA, (None, None, None)],
        words=_WORDS,
        segments=_SEGMENTS,
    ),
    "eaf": Layout({"a.wav": A, "a.eaf": EAF}, _ANNA, segments=_SEGMENTS),
    "srt": Layout({"a.wav": A, "a.srt": SRT}, _PLAIN, segments=_SEGMENTS),
    "vtt": Layout({"a.wav": A, "a.en.vtt": VTT, "a.srt": SRT}, _ANNA, segments=_SEGMENTS, unread=1),
    "whisper": Layout(
        {"a.wav": A, "a.json": json.dumps(WHISPER).encode(), "a.txt": b"one two three"},
        _PLAIN,
        words=_WORDS,
        segments=_SEGMENTS,
        unread=1,
        languages={"en"},
    ),
    "whisper_table": Layout(
        {"a.wav": A, "a.tsv": b"start\tend\ttext\n0\t500\tone\n1000\t2000\ttwo three\n"}, _PLAIN, segments=_SEGMENTS
    ),
    "ctm": Layout(
        {"all.ctm": CTM, "w/a.wav": A, "w/b.wav": B},
        [("one two three", None, None), ("four", None, None)],
        words=[("one two three", "one", 0.1), ("four", "four", 0.2)],
    ),
    "stm_and_ctm": Layout(
        {"ref/all.stm": STM, "ref/all.ctm": CTM, "w/a.wav": A, "w/b.wav": B},
        [*_ANNA, ("four", "bert", None)],
        words=[*_WORDS, ("four", "four", 0.2)],
        segments=[*_SEGMENTS, ("four", 0.0, 2.0)],
    ),
    "named_by_a_manifest": Layout(
        {
            "m.jsonl": lines({"audio": "a.wav", "transcript": "s/x.srt", "speaker": "anna"}),
            "t.csv": b"path,textgrid\nb.wav,s/x.TextGrid\n",
            "s/x.srt": SRT,
            "s/x.TextGrid": TEXTGRID,
            "a.wav": A,
            "b.wav": B,
        },
        [*_ANNA, *_ANNA],
        words=_WORDS,
        segments=[*_SEGMENTS, *_SEGMENTS],
    ),
}
