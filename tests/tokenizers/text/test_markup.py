"""Markup by span, in texts of several languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.text.markup import unmarked

# text => what is spoken of each token; _ is nothing, ? is unknown speech
TABLE = """
ja [background noise] nein => ja _ _ nein
so (lacht leise) war => so _ _ war
oui (rires) non => oui _ non
sí (se ríe) no => sí _ _ no
да [шум за окном] нет => да _ _ _ нет
да (смеётся громко) нет => да _ _ нет
你好（笑）再见 => 你好+再见
はい（拍手） => はい
네 (웃음소리) 네 => 네 _ 네
he (he laughed at me) left => he (he laughed at me) left
(I am laughing) => (I am laughing)
(which is true) => (which is true)
*sighs deeply* *really* good => _ _ *really* good
**bold** text => **bold** text
2 * 3 * 4 => 2 * 3 * 4
<i>Ja.</i> => Ja.
un<b>glaub</b>lich => unglaublich
eins<br>zwei => eins+zwei
<font color="red">Rot und</font> blau => _ Rot und blau
<v Ann Lee>Hi <c.loud>you</c> => _ _ Hi you
<00:00:01.000><c>Hi</c> => Hi
<|0.00|> hallo<|2.00|> => _ hallo
x < y and z > w => x < y and z > w
x<y and y>w => x<y and y>w
<background noise> hm => _ _ hm
<unk> ja <UNK> => ? ja ?
[unverständlich 00:12] ja => ? ? ja
(неразборчиво) да => ? да
(( )) yes => ? ? yes
((yes)) => ((yes))
(speaking French) yes => ? ? yes
[聞き取れない] はい => ? はい
{F uh,} well => _ uh, well
{\\an8}Ja => Ja
[00:00:00.000 --> 00:00:03.500] ja => _ _ _ ja
1 00:00:00,000 --> 00:00:03,000 ja => _ _ _ _ ja
in 1999 00:00:00.000 --> 00:00:03.000 align:start ja => in 1999 _ _ _ _ ja
at 00:01:23 => at 00:01:23
(00:12) ja => _ ja
SPEAKER_01: ja => _ ja
ja Speaker 2: nein => ja _ _ nein
[SPEAKER_00]: ja => : ja
Sprecherin 3: ja => _ _ ja
Спикер 1: да => _ _ да
说话人1：你好 => 你好
JOHN SMITH: Hello there => _ _ Hello there
NOTE: ALL CAPITALS => NOTE: ALL CAPITALS
Note: this => Note: this
>> Ann: yes => _ _ yes
8:30 am: go => 8:30 am: go
AT&amp;T => AT&T
a\u200bb => a+b
[noise open => [noise open
""".strip().splitlines()


@pytest.mark.parametrize("line", TABLE)
def test_what_is_spoken_of_each_token(line):
    text, expected = line.split(" => ")
    shown = ["?" if m.unknown and not m.text else m.text.replace(" ", "+") or "_" for m in unmarked(text)]
    assert shown == expected.split()


def test_cue_numbers_stand_alone_on_their_line():
    srt = "1\n00:00:00,000 --> 00:00:03,000\nin 1999\n\n2\n00:00:03,000 --> 00:00:07,000\nyes"
    assert [m.text for m in unmarked(srt) if m.text] == ["in", "1999", "yes"]
    assert [m.text for m in unmarked("in 1999\n00:00:03.000 --> 00:00:07.000\nyes") if m.text] == ["in", "1999", "yes"]


def test_names_before_the_lines_of_a_dialogue_are_labels():
    texts = [mark.text for mark in unmarked("Ann: hello\nBob Lee: no, Ann: yes")]
    assert texts == ["", "hello", "", "", "no,", "Ann:", "yes"]
    assert [m.text for m in unmarked("Ann: hello")] == ["Ann:", "hello"]


@given(st.text(alphabet="ab [](){}<>*|/:-.,\n1&;笑（）>", max_size=60))
def test_each_token_has_an_entry_and_text_is_never_added(text):
    marked = unmarked(text)
    assert len(marked) == len(text.split())
    for token, mark in zip(text.split(), marked, strict=True):
        assert "&" in token or set(mark.text) <= {*token, " "}


@given(st.lists(st.sampled_from(["yes", "no", "well", "so"]), max_size=8), st.integers(0, 8))
def test_a_span_leaves_all_tokens_outside_of_it_as_they_are(words, place):
    place = min(place, len(words))
    for span in ("[door opens slowly]", "(laughs quietly)", "<background noise>", "{noise of cars}", "*sighs deeply*"):
        marked = unmarked(" ".join([*words[:place], span, *words[place:]]))
        assert [m.text for m in marked] == [*words[:place], *[""] * len(span.split()), *words[place:]]
