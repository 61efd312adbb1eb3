"""Position in the units of Whisper, by layer and setting: `python benchmarks/position.py MODEL DATA`.

MODEL is a Whisper model folder, DATA the folder of the shared data. Codebooks are fitted by the stages `sample` and
`cluster` on librispeech-mini and longform, with windows of up to 30 s, and judged on timit-sample:

    phone PNMI      with the 39 phones of Lee and Hon (1989), without glottal stops
    position PNMI   with the time since the start of the clip, in bins of 0.5 s
    kept            share of the units that stay after 3 s and 10 s of noise at -65 dBFS before the clip
    gate            smallest share in the shift test of `cluster`, on the speech of the fit

Every figure is the mean over the seeds of k-means; the range of the phone PNMI follows in brackets. Results and the
frames of all layers are stored in `--out`, and a second call computes only missing ones.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the import of NumPy

import numpy as np
from whisper_layers import register

from speechprep.artifacts.run import open_dataset
from speechprep.artifacts.timebase import FrameGrid
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.pipelines.engine.stage import find_stage
from speechprep.pipelines.stages.cluster.position import Normalisation, learn, shift_test
from speechprep.pipelines.stages.cluster.quality import agreement
from speechprep.pipelines.stages.cluster.selection import limit_silence, read_frames
from speechprep.pipelines.stages.cluster.stage import STAGE
from speechprep.registry import make
from speechprep.tokenizers.kmeans.fit import KMeans
from speechprep.tokenizers.kmeans.nearest import Centroids

FITTED_ON = ("librispeech-mini", "longform")
JUDGED_ON = "timit-sample"
LEADS = (3.0, 10.0)
NOISE_DBFS = -65.0
SETTINGS: dict[str, dict[str, Any]] = {
    "raw": {},
    "centred": {"center": "position"},
    "standardised": {"standardize": True},
    "both": {"center": "position", "standardize": True},
}
FOLDED = {  # Lee and Hon, 1989: 61 phones of TIMIT -> 39
    "ao": "aa", "ax": "ah", "ax-h": "ah", "axr": "er", "hv": "hh", "ix": "ih", "el": "l", "em": "m", "en": "n",
    "nx": "n", "eng": "ng", "zh": "sh", "ux": "uw", "pcl": "sil", "tcl": "sil", "kcl": "sil", "bcl": "sil",
    "dcl": "sil", "gcl": "sil", "h#": "sil", "pau": "sil", "epi": "sil",
}  # fmt: skip


def step(name: str, out: Path, inputs: dict[str, Path], config: dict[str, Any], seed: int, sources: list[str]) -> None:
    """Run one stage into the folder `out`."""
    stage = find_stage(name)
    read = {role: str(folder) for role, folder in inputs.items()}
    run_steps(
        [Step(name, stage, stage.configure(config), seed, read, str(out), sources)], Options(max_reject_fraction=1.0)
    )


def clips(options: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    """Rows of the manifest of a set with the full path of each file: every `--every`-th clip."""
    folder = (options.data / name).resolve()
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    return [{**row, "audio": str(folder / row["audio"])} for row in rows[:: options.every]]


def sources(options: argparse.Namespace) -> list[str]:
    """Manifests of the fit; with `--every`, librispeech-mini is thinned out, and longform stays whole."""
    if options.every == 1:
        return [str(options.data / name / "manifest.jsonl") for name in FITTED_ON]
    thinned = options.out / f"{FITTED_ON[0]}-every-{options.every}.jsonl"
    thinned.write_text("".join(json.dumps(row) + "\n" for row in clips(options, FITTED_ON[0])))
    return [str(thinned), str(options.data / FITTED_ON[1] / "manifest.jsonl")]


class Judge:
    """Frames of the clips of `JUDGED_ON`, alone and after noise, with phones and positions."""

    def __init__(self, options: argparse.Namespace, extractor: Any) -> None:
        import soundfile

        extractor.load()
        rows = clips(options, JUDGED_ON)
        audio = [soundfile.read(row["audio"], dtype="float32")[0] for row in rows]
        after_noise = audio[: options.shifted]
        self.grid = extractor.grid
        self.frames = [extractor.extract([one])[0] for one in audio]
        numbers: dict[str, int] = {}
        self.phones = np.concatenate(
            [self._phones(row, len(f), numbers) for row, f in zip(rows, self.frames, strict=True)]
        )
        half = round(self.grid.rate / 2)
        self.positions = np.concatenate([np.arange(len(f)) // half for f in self.frames])
        rng = np.random.default_rng(0)
        self.after: dict[float, list[Any]] = {}
        for seconds in LEADS:
            n = round(seconds * extractor.sample_rate)
            level = 10 ** (NOISE_DBFS / 20)
            noise = [level * rng.standard_normal(n).astype(np.float32) for _ in after_noise]
            both = [np.concatenate([a.astype(np.float32), b]) for a, b in zip(noise, after_noise, strict=True)]
            self.after[seconds] = [extractor.extract([one])[0] for one in both]

    def _phones(self, row: dict[str, Any], n: int, numbers: dict[str, int]) -> Any:
        labels = np.full(n, -1, np.int64)
        for phone in row["phones"]:
            name = FOLDED.get(phone["p"], phone["p"])
            first, last = (round(phone[key] * self.grid.rate) for key in ("start", "end"))
            labels[first:last] = -1 if name == "q" else numbers.setdefault(name, len(numbers))
        return labels

    def figures(self, centroids: Centroids) -> dict[str, float]:
        """All figures of the units of these centroids."""
        units = [centroids.assign(f, np.arange(len(f))) for f in self.frames]
        everything = np.concatenate(units)
        result = {
            "phone": agreement(everything, self.phones)["pnmi"],
            "position": agreement(everything, self.positions)["pnmi"],
        }
        for seconds, frames in self.after.items():
            lead = round(seconds * self.grid.rate)
            kept = []
            for alone, f in zip(units, frames, strict=False):
                shifted = centroids.assign(f, np.arange(len(f)))[lead:]
                n = min(len(alone), len(shifted))
                kept.append(float((shifted[:n] == alone[:n]).mean()))
            result[f"kept_{seconds:g}"] = float(np.mean(kept))
        return result


class Fit:
    """K-means of `cluster` on a `sample` folder in memory: the same centroids, without a second read of the frames."""

    def __init__(self, folder: Path) -> None:
        self.data = open_dataset(str(folder))
        self.made_from = self.data.extra
        self.grid = FrameGrid(**self.made_from["grid"])
        self.sample = read_frames(self._batches(["id", "frames", "silent", "positions"]))
        blobs = [np.frombuffer(b.as_buffer(), "<f4") for batch in self._batches(["features"]) for b in batch.column(0)]
        self.frames = np.concatenate(blobs).reshape(-1, self.made_from["dim"])

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        return self.data.batches(columns, rows=16)

    def normalised(self, setting: str) -> tuple[Normalisation, Any]:
        """Normalisation of a setting, and all frames after it."""
        config, made_from = STAGE.configure(SETTINGS[setting]), self.made_from
        sizes = made_from["dim"], made_from["window_frames"]
        found = learn(config, self.sample, self._batches, *sizes, self.grid)
        return found, found.transform(self.frames, self.sample.position)

    def centroids(self, normalisation: Normalisation, frames: Any, k: int, seed: int) -> tuple[Centroids, float]:
        """Centroids, and the smallest share of the shift test of `cluster`."""
        kept = limit_silence(self.sample, 0.3, seed)
        fit = KMeans(device="cpu").fit(frames[kept.row], k, seed, keys=kept.keys(seed))
        centroids = Centroids(fit.centroids, transform=normalisation.transform)
        shift = shift_test(self._batches, centroids, self.made_from["shift_leads"], normalisation.covered, self.grid)
        return centroids, min(shift["kept"].values())


def measure(options: argparse.Namespace, layer: int) -> Iterator[tuple[int, str, list[dict[str, float]]]]:
    """(K, setting, figures of each seed)."""
    part = f"-every-{options.every}" if options.every > 1 else ""
    out: Path = options.out / options.model.name / f"layer-{layer}{'-padded' if options.padded else ''}{part}"
    corpus = options.out / f"utterances{part}"
    step("ingest", corpus, {}, {"shards": 4}, 0, sources(options))
    extractor_options = {"model": str(options.model), "layer": layer, "truncate": not options.padded, "device": "cpu"}
    config = {"backend": "whisper", "options": extractor_options, "max_frames": 10**9}
    step("sample", out / "sample", {"utterances": corpus, "corpus": corpus}, config, 0, [])
    fit = judge = None
    for setting in options.settings:
        normalised = None
        for k in options.k:
            results = []
            for seed in range(options.seeds):
                store = out / f"{setting}-k{k}-{seed}.json"
                if not store.exists():
                    fit = fit or Fit(out / "sample")
                    normalised = normalised or fit.normalised(setting)
                    judge = judge or Judge(options, make("extractors", "whisper", extractor_options))
                    centroids, gate = fit.centroids(*normalised, k, seed)
                    store.write_text(json.dumps({**judge.figures(centroids), "gate": gate}))
                results.append(json.loads(store.read_text()))
            yield k, setting, results


def main() -> None:
    """Print a table, one row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=["raw", "standardised", "centred"])
    parser.add_argument("--k", type=int, nargs="+", default=[100])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shifted", type=int, default=32, help="clips that are judged after noise")
    parser.add_argument("--every", type=int, default=1, help="use every N-th short clip to fit and to judge")
    parser.add_argument("--padded", action="store_true", help="frames with padding to 30 s; default: truncated")
    parser.add_argument("--out", type=Path, default=Path("position"))
    options = parser.parse_args()
    register(options.out / "frames")
    names = ("phone", "position", "kept_3", "kept_10", "gate")
    print("| layer | K | setting | phone PNMI | position PNMI | kept 3 s | kept 10 s | gate |")
    print("|---|---|---|---|---|---|---|---|")
    for layer in options.layers:
        for k, setting, rows in measure(options, layer):
            cells = [f"{np.mean([row[name] for row in rows]):.3f}" for name in names]
            low, high = (limit(row["phone"] for row in rows) for limit in (min, max))
            cells[0] += f" ({low:.2f} to {high:.2f})"
            print(f"| {layer} | {k} | {setting} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
