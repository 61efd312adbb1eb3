"""Word errors against sclite's reports, published figures and jiwer."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import BadInput, ConfigError, MissingBackend
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.files import Table
from speechprep.models.evaluation.normalise import normaliser
from speechprep.models.evaluation.wer import cer, wer
from speechprep.tokenizers.alignment.edit_distance import edit_counts
from speechprep.tokenizers.text.error_units import characters, split_unspaced

FIGURES = ("hits", "substitutions", "deletions", "insertions")
texts = st.dictionaries(
    st.text("xyz", min_size=1, max_size=3),
    st.tuples(st.lists(st.sampled_from("abAB"), min_size=1, max_size=6), st.lists(st.sampled_from("abAB"), max_size=6)),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("system", ["b1", "s5"])
def test_librispeech_by_two_recognisers_is_as_published(shared_data, system):
    folder = shared_data / "wer-librispeech-rnnt"
    expected = json.loads((folder / "expected.json").read_text())[f"hyp.{system}"]
    right, said = (Table(str(folder / f"{name}.jsonl")).texts() for name in ("ref", f"hyp.{system}"))
    found = wer(right, said)
    assert 100 * found.score == pytest.approx(expected["error_rate_pct"], rel=1e-14)
    assert found.counts["words"] == expected["ref_words"]
    assert found.counts["substitutions"] == expected["subs"]
    assert found.counts["insertions"] == expected["ins"]
    assert found.counts["deletions"] == expected["dels"]
    parts = expected["jiwer"]
    assert sum(found.counts[f] for f in FIGURES[1:]) == parts["subs"] + parts["ins"] + parts["dels"]


@pytest.fixture
def sclite(shared_data, tmp_path):
    folder = shared_data / "sctk-scoring"
    for name in ("ref", "hyp"):
        (tmp_path / f"{name}.trn").write_text((folder / f"csrnab.{name}").read_text())
    right, said = (Table(str(tmp_path / f"{name}.trn")).texts() for name in ("ref", "hyp"))
    return right, said, folder / "expected"


def test_every_sentence_has_the_counts_of_sclite(sclite):
    right, said, folder = sclite
    scores = re.findall(
        r"id: \((\S+)\)\s+Scores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", (folder / "test1.pra").read_text()
    )
    assert len(scores) == len(right) == 51
    for id, *counts in scores:
        found = wer({id: right[id]}, {id: said[id]}, alternations=True).counts
        assert [found[f] for f in FIGURES] == [int(c) for c in counts], id


def test_every_speaker_and_the_sum_are_those_of_sclite(sclite):
    right, said, folder = sclite
    lines = re.findall(
        r"\| (4t\d|Sum) +\| +(\d+) +(\d+) \| +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)",
        (folder / "test1.raw").read_text(),
    )
    assert [line[0] for line in lines] == ["4t0", "4t1", "4t2", "Sum"]
    for speaker, *figures in lines:
        part = [id for id in right if speaker == "Sum" or id.startswith(speaker)]
        found = wer({id: right[id] for id in part}, {id: said[id] for id in part}, alternations=True).counts
        errors = sum(found[f] for f in FIGURES[1:])
        names = ("utterances", "words", *FIGURES)
        assert [found[n] for n in names] + [errors, found["wrong_utterances"]] == [int(f) for f in figures]


@given(texts)
def test_counts_add_up_and_the_corpus_is_the_sum_of_its_utterances(pairs):
    right = {id: " ".join(a) for id, (a, _) in pairs.items()}
    said = {id: " ".join(b) for id, (_, b) in pairs.items()}
    found = wer(right, said).counts
    assert found["hits"] + found["substitutions"] + found["deletions"] == found["words"]
    assert found["hits"] + found["substitutions"] + found["insertions"] == sum(len(b) for _, b in pairs.values())
    parts = [wer({id: right[id]}, {id: said[id]}).counts for id in pairs]
    assert {name: sum(part[name] for part in parts) for name in found} == found
    assert found == wer({id: text.upper() for id, text in right.items()}, said).counts


words = st.lists(st.sampled_from("abc"), max_size=5)


def alignments(a, b):
    """Every alignment of two short sequences, as (errors, substitutions)."""
    if not a or not b:
        return {(len(a) + len(b), 0)}
    wrong = int(a[0] != b[0])
    both = {(e + wrong, s + wrong) for e, s in alignments(a[1:], b[1:])}
    return both | {(e + 1, s) for e, s in alignments(a[1:], b) | alignments(a, b[1:])}


@given(words, words)
def test_of_all_alignments_it_counts_one_with_fewest_errors_and_then_most_hits(a, b):
    found = edit_counts(a, b)
    assert (found.errors, found.substitutions) == min(alignments(a, b))
    assert found.hits == edit_counts(b, a).hits


@given(words, words, words, words)
def test_an_alternation_is_as_good_as_its_better_way(before, one, other, said):
    both = edit_counts([*before, (tuple(one), tuple(other)), *before], said)
    ways = [edit_counts([*before, *way, *before], said) for way in (one, other)]
    assert (both.errors, both.substitutions, both.words) == min((w.errors, w.substitutions, w.words) for w in ways)


def test_alternatives_are_read_as_sclite_writes_them():
    right = {"u": "for { @ / an } Investor { in / in the } end"}
    assert wer(right, {"u": "for investor in the end"}, alternations=True).score == 0
    assert wer(right, {"u": "for an investor in end"}, alternations=True).counts["words"] == 5
    assert wer(right, {"u": "for investor in the end"}).score > 0
    for broken in ("a { b / c", "a } b", "{ a / { b / c } }"):
        with pytest.raises(BadInput, match="without nesting"):
            wer({"u": broken}, {"u": "a"}, alternations=True)


def test_characters_count_spaces_and_runs_of_them_once():
    found = cer({"u": "ab  c"}, {"u": " a bc "})
    assert (found.counts["characters"], found.counts["insertions"], found.counts["deletions"]) == (4, 1, 1)


def test_case_is_folded_by_librispeech_and_kept_by_none():
    assert wer({"u": "A b."}, {"u": "a b"}).score == 0.5
    assert wer({"u": "A b."}, {"u": "a b"}, normalise="none").score == 1.0


def test_an_empty_utterance_counts_its_insertions_and_an_empty_corpus_is_refused():
    found = wer({"a": "", "b": "x y"}, {"a": "u", "b": "x y"}, bootstrap=Bootstrap(50))
    assert (found.score, found.counts["insertions"]) == (0.5, 1)
    with pytest.raises(BadInput, match="contain no words"):
        wer({"a": " "}, {"a": "u"})


def test_a_text_too_long_for_the_table_is_refused():
    with pytest.raises(BadInput, match="300,000 words"):
        edit_counts(["a"], ["a"] * 300_000)


def test_an_interval_over_speakers_is_asked_for_by_a_mapping():
    right = {f"{s}-{i}": "a b c d" for s in "pqr" for i in range(5)}
    said = {id: "a b c d" if id[0] == "p" else "a b c x" for id in right}
    found = wer(right, said, bootstrap=Bootstrap(speakers={id: id[0] for id in right}))
    assert (found.interval.over, found.interval.groups) == ("speakers", 3)
    assert found.interval.low < found.score < found.interval.high


@pytest.fixture
def spellings(shared_data):
    pytest.importorskip("transformers")
    return str(shared_data / "whisper-normalizer" / "english.json")


def test_whisper_folds_spelling_numbers_fillers_and_contractions(spellings):
    right = {"u": "Mr. Brown won't pay twenty-one pounds for that colour [noise]"}
    said = {"u": "um mister brown will not pay 21 pounds for that color"}
    assert wer(right, said, normalise="whisper", spellings=spellings).score == 0
    assert wer(right, said).score > 0.5


def test_what_cannot_normalise_says_what_is_missing(monkeypatch, tmp_path):
    from speechprep.models.evaluation import normalise

    with pytest.raises(
        ConfigError, match="unknown normalisation 'nist'; set one of none, librispeech, unicode, whisper"
    ):
        normaliser("nist")
    with pytest.raises(ConfigError, match="no effect on the normalisation"):
        normaliser("librispeech", "a.json")
    with pytest.raises(ConfigError, match="no such file"):
        normaliser("whisper", str(tmp_path / "none.json"))
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ConfigError, match="not an object of word -> word"):
        normaliser("whisper", str(tmp_path / "list.json"))
    monkeypatch.setattr(normalise, "find_spec", lambda name: None)
    normalise._openai.cache_clear()
    with pytest.raises(MissingBackend, match=r"needs the package 'openai-whisper'.*normalizer\.json"):
        normaliser("whisper")


@pytest.mark.reference
@pytest.mark.parametrize("normalise", ["librispeech", "whisper"])
@pytest.mark.parametrize("system", ["b1", "s5"])
def test_totals_are_those_of_jiwer(shared_data, system, normalise):
    jiwer = pytest.importorskip("jiwer")
    if normalise == "whisper":
        pytest.importorskip("whisper")
    folder = shared_data / "wer-librispeech-rnnt"
    right, said = (Table(str(folder / f"{name}.jsonl")).texts() for name in ("ref", f"hyp.{system}"))
    found = wer(right, said, normalise=normalise)
    clean = normaliser(normalise)
    theirs = jiwer.process_words([clean(right[id]) for id in right], [clean(said[id]) for id in right])
    assert found.score == pytest.approx(theirs.wer, rel=1e-14)
    assert sum(found.counts[f] for f in FIGURES[1:]) == theirs.substitutions + theirs.deletions + theirs.insertions
    assert found.counts["hits"] >= theirs.hits


@pytest.mark.reference
def test_character_totals_are_those_of_jiwer(shared_data):
    jiwer = pytest.importorskip("jiwer")
    folder = shared_data / "wer-librispeech-rnnt"
    right, said = (Table(str(folder / f"{name}.jsonl")).texts() for name in ("ref", "hyp.b1"))
    some = sorted(right)[:300]
    found = cer({id: right[id] for id in some}, {id: said[id] for id in some})
    theirs = jiwer.process_characters([right[id] for id in some], [said[id] for id in some])
    assert found.score == pytest.approx(theirs.cer, rel=1e-14)
    assert found.counts["characters"] == theirs.hits + theirs.substitutions + theirs.deletions


@pytest.mark.reference
def test_both_packages_that_bring_whispers_normaliser_agree(spellings, shared_data):
    pytest.importorskip("whisper")
    one, other = normaliser("whisper"), normaliser("whisper", spellings)
    rows = (shared_data / "slue-voxpopuli" / "slue-voxpopuli_fine-tune.tsv").read_text().splitlines()[1:]
    for text in [row.split("\t")[1] for row in rows[:1500]]:
        assert one(text) == other(text)


SCRIPTS = [
    "привет мир",
    "你好世界 hello",
    "สวัสดีครับ",
    "नमस्ते दुनिया",
    "مرحبا بالعالم",
    "한국어 텍스트",
    "un été chaud",
    "",
]


@pytest.mark.parametrize("normalise", ["librispeech", "unicode"])
def test_errors_are_counted_in_every_script(normalise):
    pairs = {
        "ru": ("Привет мир", "совсем другое", 1.0),
        "zh": ("你好世界", "你们世界", 0.25),
        "th": ("สวัสดี", "สวัสดี", 0.0),
    }
    for id, (right, said, expected) in pairs.items():
        assert wer({id: right}, {id: said}, normalise=normalise).score == expected, id
    assert cer({"zh": "你 好 世 界"}, {"zh": "你好世界"}, normalise=normalise).score == 0
    assert wer({"fr": "e\u0301te\u0301"}, {"fr": "ÉTÉ"}, normalise=normalise).score == 0
    assert wer({"fr": "e\u0301te\u0301"}, {"fr": "été"}, normalise="none").score == 1


def test_punctuation_counts_unless_the_normalisation_removes_it():
    right, said = {"u": "Привет, мир!"}, {"u": "привет мир"}
    assert wer(right, said, normalise="librispeech").score == 1
    assert wer(right, said, normalise="unicode").score == 0


@pytest.mark.reference
@pytest.mark.parametrize("normalise", ["unicode", "whisper-basic"])
@given(st.lists(st.tuples(st.sampled_from(SCRIPTS[:-1]), st.sampled_from(SCRIPTS)), min_size=1, max_size=5))
def test_rates_of_every_script_are_those_of_jiwer(normalise, pairs):
    jiwer = pytest.importorskip("jiwer")
    right = {str(i): pair[0] for i, pair in enumerate(pairs)}
    said = {str(i): pair[1] for i, pair in enumerate(pairs)}
    clean = normaliser(normalise)
    words = [[" ".join(split_unspaced(clean(text))) for text in side.values()] for side in (right, said)]
    assert wer(right, said, normalise=normalise).score == pytest.approx(jiwer.wer(*words), abs=1e-12)
    signs = [[characters(clean(text)) for text in side.values()] for side in (right, said)]
    assert cer(right, said, normalise=normalise).score == pytest.approx(jiwer.cer(*signs), abs=1e-12)


@pytest.mark.reference
@pytest.mark.parametrize("text", SCRIPTS)
def test_the_basic_normaliser_is_that_of_whisper(text):
    whisper = pytest.importorskip("whisper.normalizers")
    decorated = f"[Noise] {text}!"
    assert normaliser("whisper-basic")(decorated) == whisper.BasicTextNormalizer()(decorated)
