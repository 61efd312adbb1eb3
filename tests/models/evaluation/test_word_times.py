"""Reference word times from TextGrid, CTM and datasets, and the errors of boundaries against them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation.alignment.boundaries import AlignedWords, level_errors, utterance_errors
from speechprep.models.evaluation.alignment.references import matched_ids, read_references
from speechprep.models.evaluation.alignment.summary import summary
from speechprep.models.evaluation.alignment.textgrid import Timed, ctm_words, decoded, textgrid_words
from speechprep.models.evaluation.bootstrap import Bootstrap

LABELS = [Timed("", 0.0, 0.25), Timed('the "cat"', 0.25, 0.5), Timed("sat [2]", 0.5, 1.0)]


def long_form(labels, tier="words", point_tier=False) -> str:
    rows = "".join(
        f"        intervals [{i}]:\n            xmin = {w.start}\n            xmax = {w.end}\n"
        f'            text = "{w.text.replace(chr(34), chr(34) * 2)}"\n'
        for i, w in enumerate(labels, 1)
    )
    points = (
        '    item [1]:\n        class = "TextTier"\n        name = "bells"\n        xmin = 0\n        xmax = 1\n'
        '        points: size = 1\n        points [1]:\n            number = 0.5\n            mark = "7"\n'
    )
    return (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 1\ntiers? <exists>\n'
        f"size = {1 + point_tier}\nitem []:\n{points if point_tier else ''}    item [2]:\n"
        f'        class = "IntervalTier"\n        name = "{tier}"\n        xmin = 0\n        xmax = 1\n'
        f"        intervals: size = {len(labels)}\n{rows}"
    )


def short_form(labels, tier="words") -> str:
    rows = "".join(f'{w.start}\n{w.end}\n"{w.text.replace(chr(34), chr(34) * 2)}"\n' for w in labels)
    return (
        f'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1\n<exists>\n1\n"IntervalTier"\n"{tier}"\n0\n1\n'
        f"{len(labels)}\n{rows}"
    )


@pytest.mark.parametrize("tier", ["words", "Word", "anna - words", "the only tier"])
def test_both_text_formats_of_praat_have_the_same_words(tier):
    assert textgrid_words(long_form(LABELS, tier), "a") == LABELS == textgrid_words(short_form(LABELS, tier), "a")
    assert textgrid_words(long_form(LABELS, tier, point_tier=True), "a") == LABELS


def test_utf16_and_a_byte_order_mark_are_read():
    labels = [Timed("größer", 0.0, 1.0)]
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert textgrid_words(decoded(short_form(labels).encode(encoding), "a"), "a") == labels
    with pytest.raises(BadInput, match="save it as UTF-8"):
        decoded(b"\xe4\xf6", "a")


@given(st.integers(0, 400))
def test_a_cut_textgrid_is_refused_in_one_line(cut):
    whole = long_form(LABELS)
    kept = whole[: max(len(whole) - 8 - cut, 0)]
    with pytest.raises(BadInput, match=r"^a: ") as refused:
        textgrid_words(kept, "a")
    assert "\n" not in str(refused.value)


def test_ctm_lines_become_words_of_their_recordings():
    text = ";; comment\nb 1 0.5 0.25 two 0.9\na A 0.0 0.5 one\nb 1 0.25 0.25 one\n"
    words = ctm_words(text, "x.ctm")
    assert words == {"b": [Timed("one", 0.25, 0.5), Timed("two", 0.5, 0.75)], "a": [Timed("one", 0.0, 0.5)]}
    with pytest.raises(BadInput, match=r"x.ctm:1: 'a 1 zero 1 x' is not"):
        ctm_words("a 1 zero 1 x", "x.ctm")


def test_files_at_any_depth_are_read_without_silences(tmp_path):
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "u1.TextGrid").write_text(long_form([Timed("sil", 0, 0.5), Timed("one", 0.5, 1)]))
    (tmp_path / "rest.ctm").write_text("u2 1 0 1 two\n")
    (tmp_path / "notes.txt").write_text("no reference")
    words = read_references(str(tmp_path))
    assert words == {"anna/u1": [Timed("one", 0.5, 1.0)], "u2": [Timed("two", 0.0, 1.0)]}
    assert matched_ids(["u1", "u2", "u3", "bert/u1"], words) == {"u1": "anna/u1", "u2": "u2", "bert/u1": "anna/u1"}
    assert matched_ids(["u1"], {"a/u1": [], "b/u1": []}) == {}
    (tmp_path / "again.ctm").write_text("u2 1 0 1 two\n")
    with pytest.raises(BadInput, match="'u2' has word times in another file too"):
        read_references(str(tmp_path))


def test_a_place_without_word_times_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="has no word times"):
        read_references(str(tmp_path))
    with pytest.raises(ConfigError, match="no such file"):
        read_references(str(tmp_path / "absent"))
    (tmp_path / "a.ctm").write_text("a 1 0.5 -0.2 one\n")
    with pytest.raises(BadInput, match=r"'one' lasts from 0.5 to 0.3 s"):
        read_references(str(tmp_path / "a.ctm"))


def spoken_at(texts, shift=0.0, drift=0.0) -> list[Timed]:
    return [Timed(text, i + shift, i + 0.5 + shift + drift) for i, text in enumerate(texts)]


@given(st.lists(st.sampled_from(["one", "two", "three", "four"]), min_size=1, max_size=12), st.floats(-0.2, 0.2))
def test_the_error_of_moved_words_is_their_move(texts, shift):
    errors = utterance_errors(spoken_at(texts), AlignedWords(spoken_at(texts, shift, 0.1)))
    np.testing.assert_allclose(errors.onset, 1000 * shift, atol=1e-6)
    np.testing.assert_allclose(errors.offset, 1000 * (shift + 0.1), atol=1e-6)
    np.testing.assert_allclose(errors.boundary, (abs(1000 * shift) + abs(1000 * shift + 100)) / 2, atol=1e-6)
    assert (errors.words, errors.not_found, errors.extra) == (len(texts), 0, 0)


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True),
    st.lists(st.booleans(), min_size=20, max_size=20),
    st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_words_of_one_side_only_are_counted_and_the_others_measured(numbers, left, right):
    """Distinct words, so the pairs are those in both lists: a brute-force reference."""
    words = [Timed("x" + "".join("abcdefghij"[int(d)] for d in str(n)), i, i + 0.5) for i, n in enumerate(numbers)]
    reference = [word for word, here in zip(words, left, strict=False) if here]
    aligned = [word for word, here in zip(words, right, strict=False) if here]
    common = set(reference) & set(aligned)
    errors = utterance_errors(reference, AlignedWords(aligned))
    assert len(errors.boundary) == len(common)
    assert (errors.not_found, errors.extra) == (len(reference) - len(common), len(aligned) - len(common))
    assert not errors.boundary.any()


def test_words_written_together_are_measured_together():
    reference = [Timed("water", 0, 1), Timed("proof", 1, 2), Timed("forty", 2, 3), Timed("two", 3, 4), Timed("a", 4, 5)]
    aligned = [Timed("Water-proof,", 0.1, 2.2), Timed("42", 2, 4), Timed("A!", 4, 5)]
    errors = utterance_errors(reference, AlignedWords(aligned))
    np.testing.assert_allclose(errors.onset, [100, 0, 0], atol=1e-9)
    np.testing.assert_allclose(errors.offset, [200, 0, 0], atol=1e-9)
    assert (errors.words, errors.not_found, errors.extra) == (5, 0, 0)


def test_true_borders_are_counted_in_the_intervals_of_the_words_that_have_one():
    """The onset of the first and the offset of the last word of a pair count; limits are inside."""
    reference = [Timed("water", 0, 1), Timed("proof", 1, 2), Timed("forty", 2, 3), Timed("a", 4, 5)]
    aligned = [Timed("Water-proof,", 0.1, 2.2), Timed("forty", 2, 3), Timed("a", 4, 5)]
    spans = [(0.0, 0.2, 2.1, 2.3), None, (3.9, 4.2, 4.9, 5.0)]
    with_intervals = AlignedWords(aligned, intervals=spans)
    errors = utterance_errors(reference, with_intervals)
    assert errors.inside.tolist() == [True, False, True, True]
    np.testing.assert_allclose(errors.width, [200, 200, 300, 100])
    body = summary(level_errors({"u": reference}, {"u": with_intervals}), None)
    assert body["intervals"] == {"borders": 4, "coverage": 0.75, "mean_width": pytest.approx(200)}
    assert "intervals" not in summary(level_errors({"u": reference}, {"u": AlignedWords(aligned)}), None)


def test_the_order_of_the_references_changes_no_figure():
    references = {id: [Timed("one", 0, 1), Timed("two", 1, 2)] for id in "cab"}
    aligned = {id: AlignedWords(spoken_at(["one", "two"], 0.01 * i)) for i, id in enumerate("cab")}
    bodies = [
        summary(level_errors({id: references[id] for id in order}, aligned), Bootstrap(50, 0.9, 0))
        for order in ("abc", "bca", "cba")
    ]
    assert bodies[0] == bodies[1] == bodies[2]
    assert level_errors(references, {}).missing == ["a", "b", "c"]


def test_unknown_words_of_the_reference_are_left_out():
    reference = [Timed("one", 0, 1), Timed("<unk>", 1, 2), Timed("two", 2, 3)]
    errors = utterance_errors(reference, AlignedWords([Timed("one", 0, 1), Timed("Xyzzy", 1, 2), Timed("two", 2, 3)]))
    assert (errors.words, errors.not_found, errors.extra, errors.unknown) == (2, 0, 1, 1)


def test_the_summary_is_that_of_all_words_and_its_interval_is_over_speakers():
    references = {f"u{i}": spoken_at(["one", "two"]) for i in range(6)}
    moved = {id: AlignedWords(spoken_at(["one", "two"], 0.01 * i)) for i, id in enumerate(references)}
    del moved["u5"]
    speakers = {id: f"s{i % 3}" for i, id in enumerate(references)}
    level = level_errors(references, moved)
    body = summary(level, Bootstrap(200, 0.9, 0, speakers))
    assert body["counts"] == {
        "utterances": 6, "missing": 1, "not_kept": 0, "words": 12, "not_found": 2, "interpolated": 0, "extra": 0,
        "unknown": 0,
    }  # fmt: skip
    assert body["mean"] == pytest.approx(20)
    assert body["interval"]["over"] == "speakers"
    assert body["interval"]["low"] < 20 < body["interval"]["high"]
    assert body["onset"]["within"] == {"20": pytest.approx(0.6), "50": 1.0, "100": 1.0}
    assert body["by_speaker"]["s2"] == {"words": 4, "not_found": 2, "mean": pytest.approx(20)}
    empty = summary(level_errors(references, {}), None)
    assert (empty["mean"], empty["counts"]["not_found"]) == (None, 12)
