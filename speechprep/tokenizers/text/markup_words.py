"""Words of stage directions in many languages: sounds, speech that was not written down, and names of speakers."""

# ruff: noqa: RUF001 - this file lists words in several scripts

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# A sound, in a form of stage directions: (laughs), [background noise]. A past tense (he laughed) is a sentence.
SOUNDS = _set(
    # English
    "laugh laughs laughing laughter chuckle chuckles chuckling giggle giggles giggling snicker snickers sigh sighs "
    "sighing cough coughs coughing sneeze sneezes sneezing sniff sniffs sniffles sniffling sob sobs sobbing crying "
    "weeps weeping gasp gasps gasping groan groans groaning moans moaning grunt grunts grunting screams screaming "
    "shouting yells yelling whispers whispering applause applauds clapping claps cheers cheering boos booing music "
    "noise noises silence pause beep beeps beeping buzzing ringing static breath breaths breathing inhales exhales "
    "yawn yawns snores snoring throat hums humming singing whistles whistling knocks knocking slams footsteps barks "
    "barking thunder blank_audio "
    # German, Dutch
    "lacht lachen gelächter lachend kichert seufzt seufzen seufzer hustet husten räuspert räuspern weint schluchzt "
    "applaus beifall musik geräusch geräusche hintergrundgeräusch hintergrundgeräusche stille flüstert schreit stöhnt "
    "klatschen niest gelach zucht hoest muziek geluid lawaai stilte huilt fluistert schreeuwt "
    # French, Spanish, Italian, Portuguese, Romanian
    "rires rire riant soupire soupir soupirs tousse toux applaudissements musique bruit bruits pleure sanglote "
    "chuchote gémit risas ríe riendo suspira suspiro tose tos aplausos música ruido ruidos silencio llora solloza "
    "susurra ridono risate ride sospira sospiro tossisce tosse applausi musica rumore rumori silenzio piange sussurra "
    "risos rindo ruído ruídos barulho silêncio chora sussurra râde râsete aplauze muzică "
    # Swedish, Danish, Norwegian, Finnish, Polish, Czech, Hungarian, Turkish
    "skratt skrattar suckar hostar applåder griner sukker hoster bifald ler latter nauraa naurua musiikkia "
    "śmiech śmieje wzdycha westchnienie kaszle oklaski muzyka hałas cisza płacze szeptem smích vzdech kašel potlesk "
    "hudba nevet nevetés sóhajt taps zene gülüyor kahkaha kahkahalar öksürük öksürür alkış alkışlar müzik gürültü "
    # Russian, Ukrainian, Greek
    "смех смеется смеётся смеются вздох вздыхает кашель кашляет аплодисменты музыка шум тишина плачет шепчет шёпотом "
    "сміх сміється зітхає кашляє оплески музика γέλια μουσική χειροκροτήματα "
    # Arabic, Hebrew, Hindi, Korean
    "ضحك يضحك ضحكات تصفيق موسيقى سعال تنهد צחוק צוחק צוחקת מוזיקה שיעול हंसी हँसी तालियां तालियाँ संगीत खांसी "
    "웃음 웃음소리 박수 음악 기침 한숨 침묵 소음"
)
# Speech that is not written down. A span with one of these words stands for speech of unknown content.
UNKNOWN = _set(
    "unk unknown inaudible unintelligible indistinct crosstalk foreign speaking speaks muffled garbled unclear "
    "indecipherable overlapping spoken_noise spn xxx ? ... … "
    "unverständlich unverst unverst. spricht sprechen onverstaanbaar spreekt incompréhensible indistinct parle "
    "parlent ininteligible incomprensible habla hablan incomprensibile inudibile parla parlano inaudível "
    "ininteligível incompreensível fala ohörbart uforståelig niezrozumiałe niewyraźnie nesrozumitelné érthetetlen "
    "anlaşılmıyor неразборчиво неразб неразб. нрзб говорит говорят нерозбірливо ακατάληπτο لا_يسمع מדבר अस्पष्ट 불명"
)
# The same without spaces between words: such a span begins or ends with one of these.
SOUNDS_UNSPACED = (
    *("笑", "笑い", "笑い声", "拍手", "音楽", "咳", "ため息", "ざわめき", "無音", "雑音", "ノイズ"),
    *(
        "笑声",
        "笑聲",
        "掌声",
        "掌聲",
        "鼓掌",
        "音乐",
        "音樂",
        "咳嗽",
        "叹气",
        "嘆氣",
        "噪音",
        "沉默",
        "哭",
        "หัวเราะ",
        "ดนตรี",
    ),
)
UNKNOWN_UNSPACED = ("聞き取れない", "聞き取り不能", "不明", "听不清", "聽不清", "听不清楚")
# A span with one of these words is a sentence, not a stage direction.
SENTENCE = _set("i you we that which my your was were is are had have has been will would said")
# Names of parts in a conversation, before a colon.
SPEAKERS = _set(
    "speaker spk spkr interviewer interviewee moderator narrator host guest operator sprecher sprecherin interviewter "
    "befragter befragte moderatorin erzähler spreker locuteur locutrice intervenant narrateur hablante entrevistador "
    "entrevistadora entrevistado locutor falante orador parlante relatore intervistatore talare спикер говорящий "
    "диктор ведущий متحدث 화자 話者 说话人 說話人 发言人 發言人 講者 讲者"
)
