"""Values of a manifest that `verify` cannot recompute, each with its reason."""

from __future__ import annotations

UNVERIFIED: dict[str, dict[str, str]] = {
    "": {  # every stage
        "versions": "the packages at the time of writing are not recorded elsewhere",
    },
    "ingest": {
        "key": "it depends on the source files, and they may be absent",
        "counters.stated_duration_wrong": "the stated durations are in the source files only",
        "extra.files": "the source files may be absent",
        "extra.unused_transcripts": "the source files may be absent",
    },
    "images": {
        "key": "it depends on the source files, and they may be absent",
        "counters.animated": "the image files may be absent",
        "extra.vocab": "the image codec is not loaded; codes of this size or more are a problem of the rows",
    },
    "clips": {
        "counters.outside_limits": "ranges outside the limits of the duration have no row",
    },
    "sample": {
        "counters.frames_extracted": "frames without a place in the sample are known only after decoding the audio",
    },
    "cluster": {
        "extra.device": "the hardware of the k-means run is not recorded elsewhere",
    },
    "subword": {
        "extra.pieces": "the pieces are counted on the training sample, and it is not stored",
    },
    "pack": {
        "counters.cut_documents": "copies of a repeated document are not told apart from the pieces of a cut document",
    },
    "index": {
        "counters.reused": "the earlier index may be absent",
        "extra.recall_at_10": "it needs the queries of the embedder",
        "extra.self_retrieval_at_1": "it needs the queries of the embedder",
        "extra.caption_finds_own_at_1": "it needs the queries of the embedder",
        "extra.caption_finds_own_at_10": "it needs the queries of the embedder",
    },
}
"""Stage -> field -> reason.

Two further limits hold for every stage:

- An input folder elsewhere, or damaged, is not read: shard keys, and amounts and facts from this input, stay unchecked.
- For a stage of another package, counters besides the rejects and facts that need its backend stay unchecked.
"""


def is_unverified(stage: str, name: str) -> bool:
    """True if a field of the manifest of this stage cannot be recomputed."""
    return name in UNVERIFIED[""] or name in UNVERIFIED.get(stage, {})
