"""Meanings of the columns of all datasets, for the dataset card."""

from __future__ import annotations

from speechprep.artifacts.scores import SCORES

_ANY = {  # the same in each dataset
    "id": "id of the utterance",
    "audio": "URI of the audio file; null if the audio is stored",
    "offset": "start in the audio file, in seconds",
    "duration": "seconds; null: text without audio",
    "speaker": "speaker of the corpus",
    "language": "language, detected or of the corpus",
    "split": "split of the corpus",
    "licence": "licence of the recording",
    "corpus": "corpus of the recording",
    "captions": "descriptions of the content",
    "text": "transcript",
    "t0": "start in seconds",
    "t1": "end in seconds",
    "vector": "embedding of unit length",
    "caption": "description of the sound",
    "language_probability": "probability of the detected language",
    **{score.column: score.description for score in SCORES},
}
_OF = {
    "utterances": {
        "audio_bytes": "encoded audio file",
        "sample_rate": "sample rate of the audio in Hz",
        "labels": "labels of the corpus",
        "words": "word times of the corpus, in seconds from the start of the utterance",
        "audio_sha256": "sha256 of the audio file",
    },
    "words": {
        "text": "aligned transcript",
        "source_text": "transcript of the corpus",
        "words": "words with start, end, score and origin of the times",
        "border_intervals": "intervals with 90 % of the true starts and ends of each word, from fitted boundaries",
        "kept": "verdict of the thresholds",
        "reason": "first threshold that the row fails",
    },
    "units": {"units": "unit of each frame", "codebook": "fingerprint of the codebook"},
    "tokens": {
        "kind": "unit, text, cst_ut, cst_tu or ast",
        "input_ids": "token ids",
        "runs": "stretches of one modality with tokens, words and times",
        "durations": "frames of each unit without repeats",
        "word_t0": "start of each word in seconds",
        "word_t1": "end of each word in seconds",
    },
    "packed": {
        "input_ids": "token ids of fixed length",
        "document_ids": "number of the document of each token; -1 for padding",
        "modality_ids": "modality of each token",
        "ids": "utterance and kind of each document",
    },
    "clips": {
        "id": "id of the clip",
        "utterance": "id of the utterance",
        "recording": "sha256 of the audio file",
        "n_words": "number of words",
        "first_word": "number of the first word in the utterance",
        "last_word": "number of the last word in the utterance",
        "partner": "clip with the audio in the unmatched pairing",
        "tolerance": "relative difference of the two durations, at most",
    },
    "quality": {
        "snr_db": "signal-to-noise ratio in dB",
        "bandwidth_hz": "effective bandwidth in Hz: frequencies above it are 60 dB weaker than the strongest one",
        "clipped_share": "share of clipped samples, 0 to 1",
        "speech_share": "share of frames with speech by the voice activity detector, 0 to 1",
        "dnsmos_overall": "DNSMOS P.835, overall quality, 1 to 5; null: not computed",
        "dnsmos_speech": "DNSMOS P.835, quality of the speech, 1 to 5",
        "dnsmos_background": "DNSMOS P.835, quality of the background, 1 to 5",
        "dnsmos_p808": "DNSMOS P.808, overall quality, 1 to 5",
    },
    "fingerprints": {
        "samples_digest": "digest of the decoded samples and their rate",
        "audio_codes": "audio fingerprint: one code for each 16 ms, 0 where it is quiet",
        "audio_keys": "hashes of the audio, to find candidates",
        "audio_places": "frame of each key",
        "text_digest": "digest of the normalised text",
        "text_shingles": "hashes of runs of words",
        "text_keys": "hashes of the text, to find candidates",
    },
    "duplicates": {
        "audio_duplicate_of": "smallest id with the same audio; null for this id itself and for other audio",
        "audio_similarity": "largest similarity of the audio to another one in the group; 1 for equal samples",
        "text_duplicate_of": "smallest id with the same text; null for this id itself and for other texts",
        "text_similarity": "largest similarity of the text to another one in the group; 1 for equal words",
    },
    "pooled": {
        "id": "id of the utterance or clip",
        "mean": "mean over the valid frames",
        "mean_all": "mean over all frames",
        "n_valid": "number of valid frames",
    },
    "image_codes": {
        "id": "id of the image",
        "image": "URI of the image",
        "width": "pixels",
        "height": "pixels",
        "codes": "codes row by row",
        "image_sha256": "sha256 of the image file",
    },
}


def meaning(dataset: str, column: str) -> str:
    """Meaning of a column; empty for columns of other packages."""
    return _OF.get(dataset, {}).get(column) or _ANY.get(column, "")
