"""The embedder caption: close texts are near, whatever their endings; weights are those of the corpus."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.backends.embedders.caption import CaptionEmbedder, stem, words

CAPTIONS = [
    "Dog Bark 4",
    "rain on a tin roof",
    "Siren of a police car",
    "a man speaks",
    "a woman speaks",
    "church bells",
]


def fitted() -> CaptionEmbedder:
    return CaptionEmbedder().fit(CAPTIONS)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [("dogs barking", 0), ("raining", 1), ("police sirens", 2), ("churchbell", 5), ("THE WOMAN IS SPEAKING", 4)],
)
def test_other_endings_and_spellings_find_the_caption(query: str, wanted: int) -> None:
    embedder = fitted()
    assert int((embedder.embed_text(CAPTIONS) @ embedder.embed_text([query])[0]).argmax()) == wanted


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        (["bark", "barks", "barked", "barking"], "bark"),
        (["run", "running", "runs"], "run"),
        (["glass", "glasses"], "glass"),
    ],
)
def test_forms_of_a_word_share_a_stem(forms: list[str], expected: str) -> None:
    assert {stem(form) for form in forms} == {expected}


def test_a_text_of_function_words_alone_keeps_them() -> None:
    assert words("to be or not to be") == {"not": 1}
    assert words("to the") == {"to": 1, "the": 1}


def test_the_order_of_the_corpus_does_not_change_the_weights() -> None:
    plain = CaptionEmbedder()
    first, second = plain.fit(CAPTIONS), plain.fit(reversed(CAPTIONS))
    assert plain.identity() == CaptionEmbedder().identity(), "fit must not change the embedder that threads share"
    assert first.identity() == second.identity() != fitted_on_less().identity()


def fitted_on_less() -> CaptionEmbedder:
    return CaptionEmbedder().fit(CAPTIONS[:3])


def test_saved_weights_give_the_same_vectors(tmp_path: Path) -> None:
    embedder, again = fitted(), CaptionEmbedder()
    embedder.save(tmp_path)
    again.restore(tmp_path)
    assert again.identity() == embedder.identity()
    assert np.array_equal(again.embed_text(CAPTIONS), embedder.embed_text(CAPTIONS))


def test_weights_that_are_missing_or_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StaleArtifact, match="cannot be read"):
        CaptionEmbedder().restore(tmp_path)
    CaptionEmbedder(dim=64).save(tmp_path)
    with pytest.raises(StaleArtifact, match=r"\(64,\)"):
        CaptionEmbedder().restore(tmp_path)


def test_a_dimension_too_small_to_tell_words_apart_is_refused() -> None:
    with pytest.raises(ConfigError, match="dim = 4"):
        CaptionEmbedder(dim=4)


def test_class_names_find_sounds_by_their_titles_alone(shared_data: Path) -> None:
    rows = [json.loads(line) for line in (shared_data / "esc50" / "manifest.jsonl").read_text().splitlines()]
    labels = np.array([row["labels"][0] for row in rows])
    embedder = CaptionEmbedder().fit(row["title"] for row in rows)
    classes = sorted(set(labels))
    scores = (
        embedder.embed_text([c.replace("_", " ") for c in classes]) @ embedder.embed_text([r["title"] for r in rows]).T
    )
    order = labels[np.argsort(-scores, axis=1, kind="stable")]
    assert np.mean(order[:, 0] == np.array(classes)) >= 0.94
    assert np.mean(order[:, :4] == np.array(classes)[:, None]) >= 0.75
