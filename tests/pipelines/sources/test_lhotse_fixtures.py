"""The manifests of lhotse's own tests give the segments, texts, speakers and channels that the lhotse package loads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechprep.pipelines import sources
from speechprep.pipelines.sources.entry import Entry, Options

FIXTURES = Path(__file__).resolve().parents[4] / "shared/data/lhotse-fixtures"
pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"the fixtures of lhotse are not in {FIXTURES}"),
]
# Manifests whose recordings are audio files: (manifest, reason of the reject of each utterance that is not read).
CUTS = {
    "ami/cuts.json": None,
    "libri/cuts.json": None,
    "ljspeech/cuts.json": None,
    "mix_cut_test/offseted_audio_cut_manifest.json": "a mix of",
    "mix_cut_test/overlayed_audio_cut_manifest.json": "a mix of",
}
Spoken = tuple[str, float, float, str | None, str | None]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder like the repository of lhotse: the paths in the manifests start with `test/fixtures`."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test/fixtures").symlink_to(FIXTURES.resolve())
    return tmp_path


def ours(place: Path, root: Path, format: str = "auto") -> tuple[list[Spoken], list[str]]:
    """(file, start, end, text, speaker) of each entry, and the messages of the rejects."""
    records = list(sources.read(str(place), format, Options(audio_root=str(root))))
    entries = [record for record in records if isinstance(record, Entry)]
    spoken = [
        (
            os.path.basename(e.audio),
            round(e.offset or 0.0, 3),
            round((e.offset or 0.0) + (e.duration or 0.0), 3),
            e.text,
            e.speaker,
        )
        for e in entries
    ]
    return sorted(spoken, key=str), [str(r.error) for r in records if not isinstance(r, Entry)]


def of_cut(cut) -> Iterator[Spoken]:
    source = os.path.basename(cut.recording.sources[0].source)
    if not cut.supervisions:
        yield source, round(cut.start, 3), round(cut.end, 3), None, None
    for s in cut.supervisions:
        start = cut.start + s.start
        yield source, round(start, 3), round(start + s.duration, 3), s.text, s.speaker


@pytest.mark.parametrize("name", CUTS)
def test_cuts(repository: Path, name: str):
    lhotse = pytest.importorskip("lhotse")
    found, rejects = ours(repository / "test/fixtures" / name, repository)
    if CUTS[name]:
        assert rejects
        assert all(CUTS[name] in reject for reject in rejects)
        assert not found
        return
    wanted = [row for cut in lhotse.CutSet.from_file(str(FIXTURES / name)) for row in of_cut(cut)]
    assert found == sorted(wanted, key=str)
    assert not rejects


def test_a_cut_without_supervisions(repository: Path):
    """lhotse 1.33 does not load this manifest: it takes cuts without features for an unknown form."""
    found, rejects = ours(repository / "test/fixtures/libri/cuts_no_feats.json", repository)
    assert found == [("libri-1088-134315-0000.wav", 0.0, 10.0, None, None)]
    assert not rejects


def test_a_multi_cut_gives_its_channel(repository: Path):
    lhotse = pytest.importorskip("lhotse")
    (cut,) = lhotse.CutSet.from_file(str(FIXTURES / "libri/cuts_multi.json"))
    found, rejects = ours(repository / "test/fixtures/libri/cuts_multi.json", repository)
    assert found == [("libri-1088-134315-0000_8ch.wav", 0.0, 10.0, "EXAMPLE OF TEXT", None)]
    assert [s.text for s in cut.supervisions] == ["EXAMPLE OF TEXT"]
    assert not rejects


def test_recordings_with_supervisions(repository: Path):
    lhotse = pytest.importorskip("lhotse")
    fixtures = repository / "test/fixtures"
    recordings = lhotse.RecordingSet.from_file(str(FIXTURES / "audio.json"))
    supervisions = lhotse.SupervisionSet.from_file(str(FIXTURES / "supervision.json"))
    wanted = []
    for s in supervisions:
        source = next(s_ for s_ in recordings[s.recording_id].sources if s.channel in s_.channels)
        wanted.append(
            (os.path.basename(source.source), round(s.start, 3), round(s.start + s.duration, 3), s.text, s.speaker)
        )
    found, rejects = ours(fixtures / "supervision.json", repository)
    assert found == sorted(wanted, key=str)
    assert not rejects
    assert ours(fixtures / "audio.json", repository)[0] == found
    records = sources.read(str(fixtures / "supervision.json"), "auto", Options(audio_root=str(repository)))
    channels = {r.id: r.channel for r in records if isinstance(r, Entry)}
    assert channels == {"segment-1": None, "segment-2": None, "segment-3": 0, "segment-4": 0}


def test_a_shar_without_recordings_is_rejected_by_cut(tmp_path: Path):
    """The fixture `lsmix` has features only: its recordings are empty members."""
    found, rejects = ours(FIXTURES / "lsmix", tmp_path)
    assert not found
    assert len(rejects) == 2
    assert all("no member" in reject for reject in rejects)


def test_a_shar_written_by_lhotse(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lhotse = pytest.importorskip("lhotse")
    monkeypatch.chdir(repository)
    (tmp_path / "shar").mkdir()
    cut = next(iter(lhotse.CutSet.from_file(str(FIXTURES / "ljspeech/cuts.json")))).drop_features()
    part = cut.truncate(offset=0.5, duration=0.75).with_id("part")
    lhotse.CutSet.from_cuts([cut.with_id("whole"), part]).to_shar(str(tmp_path / "shar"), fields={"recording": "wav"})
    records = list(sources.read(str(tmp_path / "shar"), "auto", Options()))
    (entry,) = (record for record in records if isinstance(record, Entry))
    (supervision,) = cut.supervisions
    assert (entry.text, entry.archive, entry.member) == (supervision.text, "tar", "whole.wav")
    (reject,) = (record for record in records if not isinstance(record, Entry))
    assert (reject.id, reject.error.code) == ("part", "bad_cut")  # its text starts before its audio


@pytest.mark.parametrize("name", ["mini_librispeech", "mini_librispeech2"])
@pytest.mark.parametrize("form", ["", "/lhotse"])
def test_shell_commands_are_refused_and_no_text_is_lost_in_silence(repository: Path, name: str, form: str):
    """The audio of these manifests are commands; each utterance is a reject that says so."""
    folder = FIXTURES / f"{name}{form}"
    found, rejects = ours(folder, repository, "auto" if form else "kaldi")
    assert not found
    texts = (FIXTURES / name / "text").read_text().splitlines()
    assert len(rejects) == len(texts)
    assert all("command" in reject for reject in rejects)


def test_the_whole_folder(repository: Path):
    """All manifests in one input: each one is read in its dialect."""
    found, _ = ours(repository / "test/fixtures", repository)
    names = {row[0] for row in found}
    assert {"ES2011a.Headset-0-40s-46s.wav", "libri-1088-134315-0000.wav", "LJ002-0020.wav", "stereo.wav"} <= names
