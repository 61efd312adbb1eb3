"""TextGrid files: every interval is read, or the file is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import BadInput
from speechprep.pipelines.sources.timed.praat import read

LABELS = [("hello", 0.0, 0.5), ('the "cat"', 0.5, 1.0), ("", 1.0, 1.25), ("sat [2]", 1.25, 2.0)]


def long_form(labels=LABELS, tiers=("words", "phones")) -> str:
    def tier(number: int, name: str) -> str:
        rows = "".join(
            f"        intervals [{i}]:\n            xmin = {a}\n            xmax = {b}\n"
            f'            text = "{text.replace(chr(34), chr(34) * 2)}"\n'
            for i, (text, a, b) in enumerate(labels, 1)
        )
        return (
            f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"\n        xmin = 0\n'
            f"        xmax = 2\n        intervals: size = {len(labels)}\n{rows}"
        )

    body = "".join(tier(i, name) for i, name in enumerate(tiers, 1))
    return (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 2\ntiers? <exists>\n'
        f"size = {len(tiers)}\nitem []:\n{body}"
    )


def short_form(labels=LABELS, tiers=("words", "phones")) -> str:
    rows = "".join(f'{a}\n{b}\n"{text.replace(chr(34), chr(34) * 2)}"\n' for text, a, b in labels)
    body = "".join(f'"IntervalTier"\n"{name}"\n0\n2\n{len(labels)}\n{rows}' for name in tiers)
    return f'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2\n<exists>\n{len(tiers)}\n{body}'


@pytest.mark.parametrize("form", [long_form, short_form])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_all_intervals_are_read(form, ends):
    assert read(form().replace("\n", ends)) == read(long_form())
    assert read(form()) == read(form(labels=[label for label in LABELS if label[0]]))


@given(st.sampled_from([long_form(), short_form()]), st.integers(10, 500))
def test_a_file_that_was_cut_off_is_refused(whole, cut):
    with pytest.raises(BadInput) as refused:
        read(whole[: max(len(whole) - cut, 60)])
    assert refused.value.code == "bad_transcript"
    assert "\n" not in str(refused.value)
