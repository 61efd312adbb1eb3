"""The public Python API. `import speechprep` loads this module on first use of one of its functions.

The functions on folders (`run`, `plan`, `stage`, `open`) have the results of the commands. The functions on one
recording or row (`align`, `units`, `interleave`, `decode`) compute in memory, with the results of the stages.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.clips import pairs
from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.manifest import canonical
from speechprep.artifacts.media import audio as media
from speechprep.artifacts.run import Run, open_run
from speechprep.artifacts.timebase import FrameGrid
from speechprep.artifacts.vectors import vectors
from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Aligner, Extractor, Transcript, Word
from speechprep.pipelines.driver import session
from speechprep.pipelines.driver.outcome import Outcome
from speechprep.pipelines.driver.request import check_places, recipe_steps
from speechprep.pipelines.driver.survey import Standing, survey
from speechprep.pipelines.engine.beam.runner import Engine
from speechprep.pipelines.engine.progress import Listener
from speechprep.pipelines.engine.recipe import single
from speechprep.pipelines.engine.run import Options
from speechprep.pipelines.engine.stage import find_stage
from speechprep.pipelines.export.export import export
from speechprep.pipelines.inspect.decode import Decoded, decode_one, load_vocabulary
from speechprep.registry import make
from speechprep.tokenizers.interleave.single import interleave_utterance
from speechprep.tokenizers.kmeans.nearest import Centroids
from speechprep.tokenizers.subword.vocabulary import Vocabulary

__all__ = ["align", "decode", "export", "interleave", "open", "pairs", "plan", "run", "stage", "units", "vectors"]

Audio = str | Path | bytes | NDArray[np.floating[Any]]
"""A file by path or URI, an encoded file, or samples (n,) in [-1, 1]."""


def run(
    recipe: str = "speech",
    *,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int | None = None,
    workers: int | None = None,
    rebuild: bool = False,
    max_reject_fraction: float = 0.05,
    runner: str = "local",
    beam_options: Sequence[str] = (),
    listener: Listener | None = None,
) -> Outcome:
    """Run a recipe over a corpus, as `speechprep run` does.

    Args:
        recipe: name of a shipped recipe ("speech", "demo"), or path of a YAML file.
        inputs: folders, files, globs or URIs to read.
        out: run folder, local or URI.
        options: step -> option -> value, for example {"cluster": {"k": 500}}.
        seed: of all randomness; None: the recipe's.
        workers: local workers; None: the usable cores.
        rebuild: replace folders made with other options or inputs.
        max_reject_fraction: largest share of rejected records of a step.
        runner: "local", or a Beam runner by name.
        beam_options: command-line options of the Beam runner.
        listener: receives the progress.

    Returns:
        The outcome: results by step, wall seconds, and the report's URI.

    Raises:
        SpeechprepError: the run ended early. Committed shards stay; the same call resumes.
    """
    body, steps = recipe_steps(recipe, _paths(inputs), str(out), options=options, seed=seed)
    how = _options(workers, runner, beam_options, rebuild=rebuild, max_reject_fraction=max_reject_fraction)
    return session.run_recipe(body, steps, str(out), how, listener)


def plan(
    recipe: str = "speech",
    *,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int | None = None,
) -> list[Standing]:
    """State of each step of a run, as `speechprep plan` prints it; arguments as of `run`.

    Raises:
        ConfigError: unknown recipe, step, option, value or source.
    """
    _, steps = recipe_steps(recipe, _paths(inputs), str(out), options=options, seed=seed)
    return survey(steps)


def stage(
    name: str,
    *,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    workers: int | None = None,
    rebuild: bool = False,
    max_reject_fraction: float = 0.05,
    runner: str = "local",
    beam_options: Sequence[str] = (),
    listener: Listener | None = None,
) -> Outcome:
    """Run one stage, as `speechprep NAME` does.

    Args:
        name: of the stage, for example "align".
        inputs: for `ingest` and `images` the files to read; for other stages run folders, or the folders in them.
        out: folder of the dataset or artifact.
        options: option -> value.
        seed: of all randomness.
        workers, rebuild, max_reject_fraction, runner, beam_options, listener: as of `run`.

    Raises:
        SpeechprepError: the stage ended early.
    """
    declared, sources = find_stage(name), _paths(inputs)
    if declared.plan is not None:
        check_places(sources, str(out))
    steps = single(declared, dict(options or {}), seed, sources, str(out))
    how = _options(workers, runner, beam_options, rebuild=rebuild, max_reject_fraction=max_reject_fraction)
    return session.run_stage(steps, str(out), how, listener)


def align(
    audio: Audio,
    text: str | None = None,
    *,
    sample_rate: int | None = None,
    backend: str = "pocketsphinx",
    options: Mapping[str, Any] | None = None,
) -> Transcript:
    """Word times of one recording.

    Args:
        audio: see `Audio`.
        text: its transcript; None: the recording is recognised.
        sample_rate: of samples, in Hz; not needed for a file.
        backend: name of the aligner.
        options: its parameters.

    Returns:
        The transcript, with start and end of each word in seconds.

    Raises:
        BadInput: the audio cannot be decoded, or the text does not fit it.
        ConfigError, MissingBackend: unknown aligner or parameter; absent package or model.
    """
    aligner: Aligner = _loaded("aligners", backend, canonical(dict(options or {})))
    return aligner.align(_samples(audio, sample_rate, aligner.sample_rate), text)


def units(
    audio: Audio,
    codebook: str | Path | Codebook,
    *,
    sample_rate: int | None = None,
) -> NDArray[np.int64]:
    """Units of one recording, one for each frame: (frames,).

    Args:
        audio: see `Audio`.
        codebook: an artifact of `cluster` or `codebook import`, or its folder.
        sample_rate: of samples, in Hz; not needed for a file.

    Raises:
        BadInput: the audio cannot be decoded, is shorter than one frame, or is longer than the window of a centred
            codebook.
        StaleArtifact: the extractor on this machine is not the codebook's.
    """
    book = codebook if isinstance(codebook, Codebook) else Codebook.load(Path(codebook))
    extractor: Extractor = _loaded("extractors", book.backend["extractor"], canonical(book.backend["options"]))
    book.check(extractor)
    samples = _samples(audio, sample_rate, extractor.sample_rate)
    ids = extractor.units([samples], Centroids.of(book))[0]
    book.check_length(len(ids))
    return np.asarray(ids, np.int64)


def open(folder: str | Path) -> Run:  # noqa: A001 - `speechprep.open`
    """The datasets and artifacts of a run folder: `open(folder)["words"].batches(["id", "text"])`.

    Args:
        folder: run folder, or the folder of one dataset; local or URI.

    Raises:
        DamagedFile, SchemaMismatch: a manifest that cannot be read.
    """
    return open_run(str(folder))


def interleave(
    words: Transcript | Sequence[Word],
    units: Sequence[int] | NDArray[np.integer[Any]],
    run: str | Path | Run,
    *,
    id: str = "utterance",
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Token rows of one utterance, as the stage `interleave` writes them.

    Args:
        words: its words with times in seconds; empty for speech without a transcript.
        units: its units at frame rate; empty for text without speech.
        run: run folder, for the vocabulary (`subword`) and the frame grid (`units`).
        id: of the utterance; random choices depend on it and on the seed.
        seed: of the random choices.
        options: of the stage, for example {"kinds": ["ast"]}.

    Returns:
        Rows of `tokens`.

    Raises:
        BadInput: `word_not_reversible`: the text model loses a word; `word_without_time`.
        StaleArtifact: the run has no `subword` or no `units`.
    """
    opened = run if isinstance(run, Run) else open_run(str(run))
    config: Any = find_stage("interleave").configure(dict(options or {}))
    grid = FrameGrid(**opened["units"].extra["grid"])
    spoken = words.words if isinstance(words, Transcript) else words
    return interleave_utterance(
        [{"text": word.text, "start": word.start, "end": word.end} for word in spoken],
        units,
        _vocabulary(opened),
        grid,
        id=id,
        kinds=config.kinds,
        policy=config.policy,
        options=config.options,
        seed=seed,
    )


def decode(row: Mapping[str, Any], run: str | Path | Run) -> Decoded:
    """A row of `tokens` back as words, units and times.

    Args:
        row: of `interleave`, or of `open(run)["tokens"]`.
        run: run folder, for the vocabulary (`subword`) and the frame grid (`units`).

    Raises:
        BadInput: `row_inconsistent`: the row was made with another vocabulary, or changed.
    """
    opened = run if isinstance(run, Run) else open_run(str(run))
    return decode_one(row, _vocabulary(opened), FrameGrid(**opened["units"].extra["grid"]))


@lru_cache(maxsize=2)
def _vocabulary_at(uri: str, content: str) -> Vocabulary:
    return load_vocabulary(uri)


def _vocabulary(run: Run) -> Vocabulary:
    subword = run["subword"]
    return _vocabulary_at(subword.uri, subword.manifest.content)


def _paths(inputs: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(inputs)] if isinstance(inputs, str | Path) else [str(path) for path in inputs]


def _options(
    workers: int | None, runner: str, beam_options: Sequence[str], *, rebuild: bool, max_reject_fraction: float
) -> Options:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    engine = Engine(runner, workers or cores, list(beam_options))
    return Options(engine, rebuild, max_reject_fraction)


@lru_cache(maxsize=2)
def _loaded(family: str, name: str, options: str) -> Any:
    """A loaded backend. The last two stay in memory for further calls."""
    import json

    backend = make(family, name, json.loads(options))
    backend.load()
    return backend


def _samples(audio: Audio, sample_rate: int | None, wanted_rate: int) -> NDArray[np.float32]:
    """Mono float32 samples (n,) at the rate of a backend."""
    if not isinstance(audio, np.ndarray):
        source = str(audio) if isinstance(audio, Path) else audio
        return media.decode(source, offset=0.0, duration=None, sample_rate=wanted_rate)
    if sample_rate is None:
        raise ConfigError("samples without their rate; give sample_rate in Hz")
    if audio.ndim != 1:
        raise ConfigError(f"samples of shape {audio.shape}; give one channel, of shape (n,)")
    return media.resample(audio.astype(np.float32), sample_rate, wanted_rate)
