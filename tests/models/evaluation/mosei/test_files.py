"""Files of the CMU Multimodal SDK: both sources of texts, the standard folds, and refusals with a reason."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("h5py")

from helpers.mosei_files import videos, write_csd, write_mosei

from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation.mosei.files import read_mosei

pytestmark = pytest.mark.reference


@pytest.mark.parametrize(("source", "aligned"), [("words", False), ("words", True), ("transcripts", False)])
def test_each_segment_has_its_labels_text_and_fold(tmp_path, source, aligned):
    rows = write_mosei(tmp_path, source=source, aligned=aligned)
    segments, counts = read_mosei(str(tmp_path))
    expected = {f"{video}[{i}]": s for video, segs in rows.items() for i, s in enumerate(segs)}
    assert [segment.id for segment in segments] == sorted(expected)
    assert counts == {"segments": len(expected), "no_text": 0, "no_fold": 0}
    for segment in segments:
        assert segment.text.rstrip(".") == expected[segment.id][2]
        assert segment.labels == pytest.approx(expected[segment.id][3])
    folds = {segment.video: segment.fold for segment in segments}
    assert list(folds.values()) == ["train"] * 12 + ["valid"] * 6 + ["test"] * 6


def test_segments_without_text_or_fold_are_counted(tmp_path):
    rows = videos()
    rows["video00"][0] = (*rows["video00"][0][:2], "", rows["video00"][0][3])
    write_mosei(tmp_path, source="transcripts", rows=rows)
    folds = tmp_path / "cmu_mosei_std_folds.py"
    folds.write_text(folds.read_text().replace("'video01', ", ""))
    segments, counts = read_mosei(str(tmp_path))
    assert counts["no_text"] == 1
    assert counts["no_fold"] == len(rows["video01"])
    assert len(segments) + 1 + counts["no_fold"] == counts["segments"]


def labels_of(rows, change):
    """Groups of the labels, with one change of the arrays (features, intervals) of video03."""
    groups = {v: (np.array([s[3] for s in segs]), np.array([s[:2] for s in segs])) for v, segs in rows.items()}
    groups["video03"] = change(*groups["video03"])
    return groups


def with_value(value, column):
    def change(features, intervals):
        features[0, column] = value
        return features, intervals

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f, i: (f[:, :1], i), r"video03 has 1 label columns, expected are 7: sentiment, happy, sad"),
        (lambda f, i: (f, i[:-1]), r"video03 has features \(\d, 7\) and intervals \(\d, 2\)"),
        (with_value(3.5, 0), r"video03, row 0 has sentiment = 3.5, outside \[-3, 3\]"),
        (with_value(-1.0, 6), r"video03, row 0 has fear = -1, outside \[0, 3\]"),
        (with_value(np.nan, 2), r"video03, row 0 has sad = nan, outside \[0, 3\]"),
        (lambda f, i: (f, i * np.inf), r"video03 has a time that is not finite"),
    ],
)
def test_labels_of_another_form_are_refused_with_the_place(tmp_path, change, reason):
    rows = write_mosei(tmp_path)
    write_csd(tmp_path / "labels" / "CMU_MOSEI_Labels.csd", "All Labels", labels_of(rows, change))
    with pytest.raises(BadInput, match=reason):
        read_mosei(str(tmp_path))


@pytest.mark.parametrize(
    ("drop", "reason"),
    [
        ("intervals", r"All Labels/data/video00 has no 'intervals'; it has features"),
        ("features", r"All Labels/data/video00 has no 'features'; it has intervals"),
        ("data", r"has no group All Labels/data; it has metadata, none"),
    ],
)
def test_a_missing_array_is_refused(tmp_path, drop, reason):
    rows = write_mosei(tmp_path)
    write_csd(tmp_path / "labels" / "CMU_MOSEI_Labels.csd", "All Labels", labels_of(rows, lambda *x: x), drop=drop)
    with pytest.raises(BadInput, match=reason):
        read_mosei(str(tmp_path))


def replaced(name, text):
    def change(folder):
        path = next(folder.rglob(name))
        path.unlink() if text is None else path.write_bytes(text)

    return change


def appended(text):
    def change(folder):
        path = folder / "cmu_mosei_std_folds.py"
        path.write_text(path.read_text() + text)

    return change


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (
            replaced("*Labels.csd", None),
            ConfigError,
            r"needs one .csd file of the labels, and has .*Words.csd \(words\)",
        ),
        (replaced("*Words.csd", None), ConfigError, r"needs one .csd file of the words"),
        (replaced("*Words.csd", b"<html>404</html>"), BadInput, r"Words.csd is no file of HDF5"),
        (replaced("*folds.py", None), ConfigError, r"0 files of standard folds; copy cmu_mosei_std_folds.py"),
        (replaced("*folds.py", b"standard_train_fold=['a']"), BadInput, r"no list 'standard_valid_fold'; it has stand"),
        (replaced("*folds.py", b"x = open('/etc/passwd')"), BadInput, r"more than lists of videos"),
        (appended("standard_test_fold=['video00', 'video20']\n"), BadInput, r"'video00' is in train and test"),
        (appended("standard_test_fold=['x']\n"), ConfigError, r"no segment with a text in the fold test"),
    ],
)
def test_missing_and_damaged_files_are_named(tmp_path, change, error, reason):
    write_mosei(tmp_path)
    change(tmp_path)
    with pytest.raises(error, match=reason):
        read_mosei(str(tmp_path))


def test_a_transcript_with_fewer_fields_is_refused(tmp_path):
    write_mosei(tmp_path, source="transcripts")
    path = tmp_path / "Combined" / "video02.txt"
    path.write_text(path.read_text() + "video02___9___good film\n")
    with pytest.raises(BadInput, match=r"video02.txt:\d has 3 fields; expected are video___clip___start___end___text"):
        read_mosei(str(tmp_path))


def test_a_folder_that_is_absent_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such local folder"):
        read_mosei(str(tmp_path / "none"))
