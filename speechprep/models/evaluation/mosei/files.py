"""Reader of CMU-MOSEI in the files of the CMU Multimodal SDK (Zadeh et al. 2018).

    CMU_MOSEI_Labels.csd               "All Labels"/data/<video>/features (n, 7), intervals (n, 2)
    CMU_MOSEI_TimestampedWords.csd     "words"/data/<video>/features (m, 1), intervals (m, 2)
    Transcript/Segmented/Combined/<video>.txt      <video>___<clip>___<start>___<end>___<text>, one segment a line
    cmu_mosei_std_folds.py             lists standard_train_fold, standard_valid_fold and standard_test_fold

A .csd file is HDF5 with one root group. After an alignment by the SDK its groups are "<video>[0]", "<video>[1]", ..;
these are read too. The columns of the labels are sentiment in [-3, 3] and six emotions in [0, 3]. The file of the
standard folds is parsed as literals and never executed.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError, MissingBackend

F64 = NDArray[np.float64]
EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
COLUMNS = ("sentiment", *EMOTIONS)
FOLDS = ("train", "valid", "test")
TOLERANCE = 0.01  # seconds between the times of a segment in the labels and in the transcripts
Source = Literal["auto", "words", "transcripts"]


@dataclass(frozen=True)
class Segment:
    """A labelled segment of a video.

    Attributes:
        id: "<video>[<number>]", numbered by start.
        video: its video.
        fold: one of `FOLDS`.
        text: its transcript.
        labels: sentiment and the six emotions, in the order of `COLUMNS`.
    """

    id: str
    video: str
    fold: str
    text: str
    labels: tuple[float, ...]


def read_mosei(folder: str, source: Source = "auto") -> tuple[list[Segment], dict[str, int]]:
    """The labelled segments with a text and a fold, sorted by id; and counts of all segments and of those left out.

    Args:
        folder: local folder with the files, at any depth.
        source: file with the texts; auto: the transcripts if there are any, else the words.

    Returns:
        The segments; and the counts `segments`, `no_text` and `no_fold`.

    Raises:
        ConfigError: a missing file, or no segment with a text in a fold.
        BadInput: a damaged file, a missing column, or a label out of range; the message names the place.
        MissingBackend: h5py is not installed.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"{folder}: no such local folder; name the folder with the files of CMU-MOSEI")
    roots = _sequences(root)
    labels = _labels(_one(roots, "labels", lambda name: "label" in name, root))
    folds = _folds(root)
    transcripts = sorted(root.rglob("*.txt"))
    if source == "transcripts" or (source == "auto" and transcripts):
        texts = _of_transcripts(transcripts, labels)
        if not any(texts.values()):
            raise ConfigError(
                f"{folder} has no transcript with the times of the labels; copy Transcript/Segmented/Combined there, "
                "or read the words"
            )
    else:
        texts = _of_words(_one(roots, "words", lambda name: name in ("words", "timestampedwords"), root), labels)
    counts: Counter[str] = Counter(segments=0, no_text=0, no_fold=0)
    segments = []
    for video, (intervals, features) in labels.items():
        for number, row in enumerate(np.argsort(intervals[:, 0], kind="stable").tolist()):
            id = f"{video}[{number}]"
            counts["segments"] += 1
            if video not in folds:
                counts["no_fold"] += 1
            elif not any(sign.isalnum() for sign in texts[video, row]):
                counts["no_text"] += 1
            else:
                segments.append(Segment(id, video, folds[video], texts[video, row], tuple(features[row].tolist())))
    for fold in FOLDS:
        if not any(segment.fold == fold for segment in segments):
            raise ConfigError(f"{folder} has no segment with a text in the fold {fold}; of all: {dict(counts)}")
    return sorted(segments, key=lambda segment: segment.id), dict(counts)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """A file of HDF5.

    Raises:
        BadInput: not HDF5.
        MissingBackend: h5py is not installed.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingBackend.package("eval mosei", "h5py", "train") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput("bad_file", f"{path} is no file of HDF5 ({error}); download it again") from error
    with file:
        yield file


def _sequences(root: Path) -> dict[Path, str]:
    """.csd file -> name of its root group."""
    out = {}
    for path in sorted(root.rglob("*.csd")):
        with _open(path) as file:
            names = list(file)
        if len(names) != 1:
            raise BadInput("bad_file", f"{path} has the root groups {names}; a .csd file has one; download it again")
        out[path] = names[0]
    return out


def _one(roots: dict[Path, str], wanted: str, matches: Any, folder: Path) -> tuple[Path, str]:
    """The file of a computational sequence, and its root group.

    Raises:
        ConfigError: no such file, or two.
    """
    plain = {path: name.casefold().removeprefix("cmu_mosei_") for path, name in roots.items()}
    found = [path for path, name in plain.items() if matches(name)]
    if len(found) != 1:
        listing = ", ".join(f"{path.name} ({name})" for path, name in roots.items()) or "no .csd file"
        raise ConfigError(
            f"{folder} needs one .csd file of the {wanted}, and has {listing}; add it or remove the other"
        )
    return found[0], roots[found[0]]


def _groups(file: Any, path: Path, root: str) -> Iterator[tuple[str, Any, F64]]:
    """Video, features (n, k) and intervals (n, 2) of each group. Groups "<video>[k]" come with the name of the video.

    Raises:
        BadInput: a missing group or array, or arrays of other shapes.
    """
    if "data" not in file[root]:
        raise BadInput("missing_column", f"{path} has no group {root}/data; it has {', '.join(file[root]) or 'none'}")
    for name, group in file[root]["data"].items():
        absent = [key for key in ("features", "intervals") if key not in group]
        if absent:
            has = ", ".join(group) or "nothing"
            raise BadInput("missing_column", f"{path}: {root}/data/{name} has no {absent[0]!r}; it has {has}")
        features, intervals = group["features"][()], np.asarray(group["intervals"][()], np.float64)
        if features.ndim != 2 or intervals.shape != (len(features), 2):
            raise BadInput(
                "bad_row",
                f"{path}: {name} has features {features.shape} and intervals {intervals.shape}; they must be (n, k) "
                "and (n, 2)",
            )
        yield name.partition("[")[0] if name.endswith("]") else name, features, intervals


def _labels(place: tuple[Path, str]) -> dict[str, tuple[F64, F64]]:
    """Video -> intervals (n, 2) and labels (n, 7).

    Raises:
        BadInput: another number of columns, or a label or time out of range.
    """
    path, root = place
    parts: dict[str, list[tuple[F64, F64]]] = {}
    low, high = np.array([-3.0, *[0.0] * 6]), np.full(7, 3.0)
    with _open(path) as file:
        for video, raw, intervals in _groups(file, path, root):
            if raw.shape[1] != len(COLUMNS):
                raise BadInput(
                    "missing_column",
                    f"{path}: {video} has {raw.shape[1]} label columns, expected are {len(COLUMNS)}: "
                    f"{', '.join(COLUMNS)}",
                )
            features = np.asarray(raw, np.float64)
            wrong = np.argwhere(~((features >= low - 1e-6) & (features <= high + 1e-6)))
            if len(wrong):
                row, column = wrong[0].tolist()
                raise BadInput(
                    "bad_label",
                    f"{path}: {video}, row {row} has {COLUMNS[column]} = {features[row, column]:g}, outside "
                    f"[{low[column]:g}, {high[column]:g}]; correct the label",
                )
            if not np.isfinite(intervals).all():
                raise BadInput("bad_row", f"{path}: {video} has a time that is not finite; download the file again")
            parts.setdefault(video, []).append((intervals, features))
    return {
        video: (np.concatenate([i for i, _ in parts[video]]), np.concatenate([f for _, f in parts[video]]))
        for video in sorted(parts)
    }


def _folds(root: Path) -> dict[str, str]:
    """Video -> fold, from the lists of the SDK.

    Raises:
        ConfigError: no such file, or two.
        BadInput: a missing list, or a video in two folds.
    """
    files = sorted(root.rglob("*std_folds.py"))
    if len(files) != 1:
        raise ConfigError(
            f"{root} has {len(files)} files of standard folds; copy cmu_mosei_std_folds.py of the SDK there, once"
        )
    lists: dict[str, list[str]] = {}
    try:
        for node in ast.parse(files[0].read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                lists[node.targets[0].id] = [str(video) for video in ast.literal_eval(node.value)]
    except (SyntaxError, ValueError, TypeError) as error:
        raise BadInput("bad_file", f"{files[0]} has more than lists of videos ({error}); restore the file") from error
    folds: dict[str, str] = {}
    for fold in FOLDS:
        name = f"standard_{fold}_fold"
        if name not in lists:
            has = ", ".join(lists) or "no list"
            raise BadInput("missing_column", f"{files[0]} has no list {name!r}; it has {has}")
        for video in lists[name]:
            if folds.setdefault(video, fold) != fold:
                raise BadInput("bad_row", f"{files[0]}: video {video!r} is in {folds[video]} and {fold}; keep one")
    return folds


def _of_words(place: tuple[Path, str], labels: dict[str, tuple[F64, F64]]) -> dict[tuple[str, int], str]:
    """(video, row of its labels) -> the words with their middle inside the interval; pauses `sp` are no words."""
    path, root = place
    texts = {(video, row): "" for video, (intervals, _) in labels.items() for row in range(len(intervals))}
    with _open(path) as file:
        for video, features, times in _groups(file, path, root):
            words = [w.decode("utf-8", "replace") if isinstance(w, bytes) else str(w) for w in features[:, 0].tolist()]
            middle, order = times.mean(1), np.argsort(times[:, 0], kind="stable").tolist()
            for row, (start, end) in enumerate(labels[video][0].tolist() if video in labels else []):
                spoken = [words[i] for i in order if start <= middle[i] < end and words[i] not in ("sp", "")]
                texts[video, row] = " ".join(filter(None, [texts[video, row], *spoken]))
    return texts


def _of_transcripts(paths: list[Path], labels: dict[str, tuple[F64, F64]]) -> dict[tuple[str, int], str]:
    """(video, row of its labels) -> the text of the transcript with the same times.

    Raises:
        BadInput: a line with fewer than five fields, or a time that is no number.
    """
    texts = {(video, row): "" for video, (intervals, _) in labels.items() for row in range(len(intervals))}
    for path in paths:
        if path.stem not in labels:
            continue
        intervals = labels[path.stem][0]
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            if not line.strip():
                continue
            fields = line.split("___", 4)
            try:
                _, _, start, end, text = fields
                times = np.array([float(start), float(end)])
            except ValueError as error:
                raise BadInput(
                    "missing_column",
                    f"{path}:{number} has {len(fields)} fields; expected are video___clip___start___end___text",
                ) from error
            near = np.abs(intervals - times).max(1) if len(intervals) else np.zeros(0)
            if len(near) and near.min() <= TOLERANCE:
                texts[path.stem, int(near.argmin())] = " ".join(text.split())
    return texts
