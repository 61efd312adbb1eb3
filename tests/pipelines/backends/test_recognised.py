"""Any recogniser with any aligner: languages, texts that do not fit, and what Whisper invents."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import BadInput
from speechprep.pipelines.backends import Aligner, Language, Passage, Recogniser, Transcript, Word
from speechprep.pipelines.backends.aligners.recognised import RecognisedAligner
from speechprep.pipelines.backends.recognisers.voice_activity import CHUNK, RATE
from speechprep.pipelines.backends.recognisers.whisper import WhisperRecogniser
from speechprep.pipelines.backends.recognisers.whisper_model import Decoded, Decoding, WhisperModel

ENGLISH, FRENCH = Language("en", 0.9), Language("fr", 0.7)


class OneWord(Aligner):
    """One word over the whole audio; texts of more than one word do not fit."""

    name = "one"
    sample_rate = RATE

    def __init__(self, *languages: str) -> None:
        self.languages = languages or None
        self.needs_language = len(languages) > 1
        self.asked: list[str] = []

    def identity(self):
        return {"name": "one", "languages": self.languages}

    def for_language(self, language):
        self.asked.append(language.code)
        return super().for_language(language)

    def align(self, audio, text):
        if len(text.split()) > 1:
            raise BadInput("text_too_long", "more than one word")
        return Transcript(text, [Word(text, 0.0, len(audio) / RATE, -1.0, "aligned")])


class Said(Recogniser):
    """The given passages, whatever the audio."""

    name = "said"
    sample_rate = RATE

    def __init__(self, *passages: Passage, language: Language = ENGLISH) -> None:
        self.result, self.of = passages, language

    def identity(self):
        return {"name": "said"}

    def passages(self, blocks):
        list(blocks)
        yield from self.result

    def language(self, audio):
        return self.of


def passage(start, end, text, language=ENGLISH, *scores):
    return Passage(start, end, np.zeros(round((end - start) * RATE), np.float32), text, language, *scores)


SOUND = np.zeros(10 * RATE, np.float32)


def test_words_lie_in_their_passage_and_a_text_that_does_not_fit_divides_it_evenly():
    said = Said(
        passage(1, 2, "yes", ENGLISH, 0.1, -0.2), passage(4, 6, "ha ha", ENGLISH, 0.5, -0.1), passage(7, 8, " ")
    )
    found = RecognisedAligner(said, OneWord()).align(SOUND, None)
    assert found.words == [
        Word("yes", 1.0, 2.0, -1.0, "aligned"),
        Word("ha", 4.0, 5.0, None, "interpolated"),
        Word("ha", 5.0, 6.0, None, "interpolated"),
    ]
    assert (found.text, found.language, found.language_probability) == ("yes ha ha", "en", 0.9)
    assert (found.no_speech_probability, found.log_probability) == (0.5, -0.2)


def test_a_language_without_a_model_is_refused_and_one_with_a_model_is_found():
    two = OneWord("en", "de")
    with pytest.raises(BadInput, match=r"language is 'fr' with a probability of 0.70.*only for en, de") as error:
        RecognisedAligner(Said(passage(1, 2, "oui", FRENCH)), two).align(SOUND, None)
    assert error.value.code == "no_align_model"
    with pytest.raises(BadInput, match="'fr'"):
        RecognisedAligner(Said(language=FRENCH), two).align(SOUND, "oui")
    found = RecognisedAligner(Said(language=ENGLISH), two).align(SOUND, "yes")
    assert (found.words[0].end, found.language, found.language_probability) == (10.0, "en", 0.9)
    given_language = Language("de", None, given=True)
    assert RecognisedAligner(Said(language=given_language), two).align(SOUND, "ja").language is None
    one = OneWord("en")
    assert RecognisedAligner(Said(language=FRENCH), one).align(SOUND, "yes").words  # nobody asks for the language
    assert one.asked == []


def test_the_identity_has_both_and_two_sample_rates_are_refused():
    both = RecognisedAligner(Said(), OneWord())
    assert both.identity() == {"name": "one", "languages": None, "recogniser": {"name": "said"}}


# -- Whisper with the library replaced ---------------------------------------------------------------------------------


class Scripted(WhisperModel):
    """Texts from a script: (chunk length in seconds, temperature) -> Decoded."""

    packages = {}  # noqa: RUF012
    distributions = ()

    def __init__(self, script, decoding=None, batch_size=2):
        super().__init__("m", "cpu", "float32", decoding or Decoding(1), batch_size, 1)
        self.script, self.calls = script, []

    def files(self):
        return []

    def vocabulary(self):
        return None

    def identity(self):
        return {"name": "scripted"}

    def _read(self):
        return True

    def _encoded(self, chunks):
        return [round(len(chunk) / RATE, 2) for chunk in chunks]

    def _language(self, features):
        return ENGLISH

    def _decoded(self, features, language, previous):
        self.calls.append((tuple(features), previous))
        return [self.script(seconds, 0.0) for seconds in features]

    def _sampled(self, features, i, language, previous, temperature):
        self.calls.append((features[i], temperature))
        return self.script(features[i], temperature)._replace(temperature=temperature)


def chunks(*seconds):
    return [np.zeros(round(value * RATE), np.float32) for value in seconds]


GOOD = Decoded("a good text", 0.1, -0.3)
LOOP = Decoded("la " * 100, 0.1, -0.3)
UNSURE = Decoded("what", 0.1, -1.5)
SILENT = Decoded("you", 0.9, -1.5)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ({0.0: GOOD}, (GOOD.text, 0.0, 0)),
        ({0.0: LOOP, 0.2: GOOD}, (GOOD.text, 0.2, 1)),
        ({0.0: UNSURE, 0.2: LOOP, 0.6: GOOD}, (GOOD.text, 0.6, 2)),
        ({0.0: UNSURE, 0.2: UNSURE, 0.6: LOOP}, (LOOP.text, 0.6, 2)),
        ({0.0: SILENT}, (SILENT.text, 0.0, 0)),
    ],
)
def test_a_text_that_fails_is_sampled_at_the_next_temperature(at, expected):
    model = Scripted(lambda seconds, temperature: at[temperature], Decoding(1, (0.0, 0.2, 0.6)))
    (result,), _ = model.texts(chunks(1), None)
    samplings = [call for call in model.calls if not isinstance(call[0], tuple)]
    assert (result.text, result.temperature, len(samplings)) == expected


def test_without_further_temperatures_nothing_is_sampled():
    model = Scripted(lambda seconds, temperature: LOOP)
    assert model.texts(chunks(1, 2), None)[0] == [LOOP, LOOP]
    assert model.calls == [((1.0, 2.0), "")]


def test_the_text_before_is_the_prompt_of_the_next_chunk_but_not_after_a_high_temperature():
    def script(seconds, temperature):
        if seconds == 2 and temperature < 0.6:
            return LOOP
        return Decoded(f"text {seconds:.0f}", 0.1, -0.3)

    model = Scripted(script, Decoding(1, (0.0, 0.6), condition_on_previous_text=True), batch_size=8)
    model.texts(chunks(1, 2, 3, 4), None, "before")
    assert model.calls == [
        ((1.0,), "before"), ((2.0,), "text 1"), (2.0, 0.6), ((3.0,), ""), ((4.0,), "text 3"),
    ]  # fmt: skip


@given(
    st.lists(st.tuples(st.floats(0.3, 25), st.floats(0.2, 20)), min_size=1, max_size=20),
    st.sampled_from([90.0, 100.0, 120.0]),
    st.integers(1, 30),
)
def test_each_chunk_of_speech_is_recognised_once_and_whole(spans, piece, block):
    """Chunks are loud stretches in the recording; a detector on a piece sees the part of them that is in the piece."""
    edges, at = [], 0.0
    for length, pause in spans:
        start = round(at + pause, 2)
        at = round(start + length, 2)
        edges.append((start, at))
    sound = np.zeros(round((at + 0.5) * RATE), np.float32)
    for i, (start, end) in enumerate(edges):
        sound[round(start * RATE) : round(end * RATE)] = i + 1

    class Loud:
        def chunks(self, audio):
            change = np.flatnonzero(np.diff(np.concatenate(([0], audio, [0]))))
            return [(a / RATE, b / RATE) for a, b in pairwise(change.tolist()) if audio[a] > 0]

    made = WhisperRecogniser("m", piece=piece)
    made.model, made.detector = Scripted(lambda seconds, temperature: GOOD), Loud()
    size = block * RATE
    found = list(made.passages(sound[i : i + size] for i in range(0, len(sound), size)))
    assert [(p.start, p.end) for p in found] == [(round(a, 3), round(b, 3)) for a, b in edges]
    assert [int(p.audio[len(p.audio) // 2]) for p in found] == list(range(1, len(edges) + 1))
    assert all(p.end - p.start <= CHUNK for p in found)
    for passage in found:  # the pauses around it, and nothing of the neighbours
        first = round((passage.start - passage.margin) * RATE)
        assert np.array_equal(passage.wide, sound[first : first + len(passage.wide)])
        assert set(np.unique(passage.wide)) <= {0.0, passage.audio[len(passage.audio) // 2]}
        assert 0 <= passage.margin <= 0.2501


def test_a_passage_without_speech_is_dropped_only_if_both_values_say_so():
    made = WhisperRecogniser("m")
    results = {1.0: SILENT, 2.0: GOOD, 3.0: Decoded("sure", 0.9, -0.5), 4.0: UNSURE}
    made.model = Scripted(lambda seconds, temperature: results[seconds])

    class Four:
        def chunks(self, audio):
            return [(0.0, 1.0), (2.0, 4.0), (5.0, 8.0), (10.0, 14.0)]

    made.detector = Four()
    assert [p.text for p in made.passages(iter(chunks(15)))] == [GOOD.text, "sure", UNSURE.text]
    with pytest.raises(BadInput, match="hold no word"):
        next(made.passages(iter([np.zeros(100, np.float32)])))


def test_a_text_of_a_high_temperature_is_no_prompt_for_the_next_piece_either():
    def script(seconds, temperature):
        return LOOP if seconds == 5 and temperature < 0.6 else Decoded(f"text {seconds:.0f}", 0.1, -0.3)

    class OneEach:
        lengths = iter([4.0, 5.0, 6.0])

        def chunks(self, audio):
            return [(10.0, 10.0 + next(self.lengths))]

    made = WhisperRecogniser("m", piece=90.0)
    made.model = Scripted(script, Decoding(1, (0.0, 0.6), condition_on_previous_text=True))
    made.detector = OneEach()
    list(made.passages(iter(chunks(250))))
    assert made.model.calls == [((4.0,), ""), ((5.0,), "text 4"), (5.0, 0.6), ((6.0,), "")]
