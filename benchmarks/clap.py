"""Sounds in an index: `python benchmarks/clap.py FOLDER [--clips 24] [--vectors 50000]`.

FOLDER is one that `speechprep ingest` reads. A ClapModel of the real size (HTSAT tiny, RoBERTa base) with random
weights stands in for a trained one: neither the cost nor the equality of two builds depends on their values. Prints

* the largest difference between the vectors of two builds, and of the same file by transformers' own pipeline;
* self-retrieval by file; time of a build, of one that appends a quarter, of windows one by one and eight at once;
* recall, build and search time of each kind of FAISS index over random unit vectors in clusters.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

RATE = 48_000


def model_folder(folder: Path) -> Path:
    """A model of the real size with random weights."""
    import torch
    from helpers import tiny_clap
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor

    tokens = tiny_clap.tokenizer(folder)
    torch.manual_seed(0)
    model = ClapModel(ClapConfig()).eval()
    model.audio_model.audio_encoder.batch_norm.running_mean.fill_(-20.0)
    model.audio_model.audio_encoder.batch_norm.running_var.fill_(200.0)
    model.save_pretrained(folder)
    ClapProcessor(ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc"), tokens).save_pretrained(folder)
    return folder


def run(name: str, inputs: dict[str, str], out: Path, options: dict[str, Any], sources: list[str]) -> Any:
    from speechprep.pipelines.engine.plan import Step
    from speechprep.pipelines.engine.run import Options, run_steps
    from speechprep.pipelines.engine.stage import find_stage

    stage = find_stage(name)
    step = Step(name, stage, stage.configure(options), 0, inputs, str(out), sources)
    return run_steps([step], Options(max_reject_fraction=1.0))[0]


def some_of(folder: Path, to: Path, clips: int) -> list[str]:
    """Links to the first clips of a folder, and their paths."""
    kinds = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
    found = sorted(p for p in folder.rglob("*") if p.suffix in kinds)[:clips]
    to.mkdir()
    for path in found:
        (to / path.name).symlink_to(path.resolve())
    return [str(to / path.name) for path in found]


def builds(work: Path, files: list[str], model: Path) -> None:
    from speechprep.artifacts import manifest
    from speechprep.pipelines.stages.index.stage import search, vectors

    run("ingest", {}, work / "all", {}, [str(work / "sounds")])
    part = work / "part"
    part.mkdir()
    for file in files[: len(files) * 3 // 4]:
        (part / Path(file).name).symlink_to(Path(file).resolve())
    run("ingest", {}, work / "most", {}, [str(part)])
    options = {"embedder": "clap", "options": {"model": str(model), "device": "cpu"}}
    spent = {}
    steps = {"one": ("all", {}), "two": ("all", {}), "most": ("most", {}), "grown": ("all", {"previous": "index-most"})}
    for name, (corpus, more) in steps.items():
        more = {key: str(work / value) for key, value in more.items()}
        began = time.process_time()
        run("index", {"utterances": str(work / corpus)}, work / f"index-{name}", {**options, **more}, [])
        spent[name] = time.process_time() - began
    one, two, grown = (np.concatenate(list(vectors(work / f"index-{n}"))) for n in ("one", "two", "grown"))
    made = manifest.read(str(work / "index-one"))
    print(f"{len(files)} clips, {len(one)} windows, {made.seconds:.0f} s")
    print(f"two builds differ by at most {np.abs(one - two).max():.1e}; a grown one by {np.abs(one - grown).max():.1e}")
    print(f"stored: recall@10 {made.extra['recall_at_10']}, self-retrieval@1 {made.extra['self_retrieval_at_1']}")
    asked = files[: min(8, len(files))]
    first = [search(str(work / "index-one"), audio=file, k=1)[0] for file in asked]
    ids = [Path(file).stem for file in asked]
    came = sum(hit.id == id or abs(hit.score - 1) < 1e-5 for hit, id in zip(first, ids, strict=True))
    print(f"self-retrieval by file: {came} of {len(asked)}")
    share = spent["grown"] / spent["one"]
    print(
        f"build {spent['one']:.1f} cpu s ({made.seconds / spent['one']:.1f} x real time); append a quarter {share:.2f}"
    )


def calls(model: Path) -> None:
    """The same 15 s twice, and windows one by one against eight at once."""
    from speechprep.pipelines.backends.embedders.clap import ClapEmbedder

    rng = np.random.default_rng(0)
    loud = np.linspace(0.01, 1, 15 * RATE) * np.sin(np.linspace(0, 15 * 3000, 15 * RATE) ** 1.02)
    sound = (0.2 * loud + 0.02 * rng.standard_normal(15 * RATE)).astype(np.float32)
    embedder = ClapEmbedder(str(model), device="cpu")
    embedder.load()
    one, two = (embedder.embed_audio([sound])[0] for _ in range(2))
    given = [embedder._features(sound, sampling_rate=RATE, return_tensors="pt") for _ in range(2)]
    theirs = [embedder._model.get_audio_features(**x).detach().numpy()[0] for x in given]
    print(
        f"a 15 s file twice: here {np.abs(one - two).max():.1e}, transformers {np.abs(theirs[0] - theirs[1]).max():.1e}"
    )
    windows = [np.roll(sound, i)[: 10 * RATE] for i in range(8)]
    spent, found = {}, {}
    for batch in (1, 8):
        embedder.batch = batch
        began = time.process_time()
        found[batch] = np.concatenate(embedder.embed_audio(windows))
        spent[batch] = time.process_time() - began
    gap = np.abs(found[1] - found[8]).max()
    print(f"windows one by one {spent[1] / 8:.2f} cpu s each, eight at once {spent[8] / 8:.2f} (differ by {gap:.0e})")


def kinds(n: int, dim: int = 512) -> None:
    import pyarrow as pa

    from speechprep.artifacts.index import ITEMS_SCHEMA, VectorIndex, exact_scores, recall

    rng = np.random.default_rng(0)
    centres = rng.standard_normal((n // 50, dim)).astype(np.float32)
    made = centres[rng.integers(0, len(centres), n + 200)] + rng.standard_normal((n + 200, dim)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    data, queries = made[:n], made[n:]
    items = pa.Table.from_pylist([{"id": str(i)} for i in range(n)], schema=ITEMS_SCHEMA)
    exact = exact_scores(np.array_split(data, 50), queries, 10)
    for kind in ("Flat", "HNSW32", f"IVF{1 << round(np.log2(4 * n**0.5))},Flat"):
        began = time.process_time()
        index = VectorIndex.build(dim, lambda: np.array_split(data, 50), items, kind)
        built = time.process_time() - began
        began = time.process_time()
        found = index.search(queries, 10)
        asked = (time.process_time() - began) / len(queries)
        share = recall(found, exact)
        print(f"{n} x {dim} {kind:13} recall@10 {share:.3f}  build {built:6.1f} cpu s  query {asked * 1e3:5.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("folder", type=Path, nargs="?", default=shared / "esc50")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--vectors", type=int, default=50_000)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = model_folder(work / "model")
        builds(work, some_of(given.folder, work / "sounds", given.clips), model)
        calls(model)
    kinds(given.vectors)


if __name__ == "__main__":
    main()
