"""CMU-MOSEI in the form of the SDK's files, with made-up videos: .csd files, transcripts and standard folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

GOOD, BAD = ["good", "great", "nice"], ["bad", "awful", "poor"]
PLAIN = ["the", "film", "was", "and", "then", "a", "story"]


def videos(count: int = 24, seed: int = 0) -> dict[str, list[tuple[float, float, str, list[float]]]]:
    """Video -> segments (start, end, text, labels). Words tell the sentiment; all emotions but fear follow it."""
    rng = np.random.default_rng(seed)
    out = {}
    for number in range(count):
        segments, at = [], 0.5
        for _ in range(int(rng.integers(2, 5))):
            sign = int(rng.choice([-1, 0, 1]))
            words = [PLAIN[i] for i in rng.integers(0, len(PLAIN), 5)]
            if sign:
                words[2] = (GOOD if sign > 0 else BAD)[int(rng.integers(0, 3))]
            up, down = float(sign > 0), float(sign < 0)
            labels = [2.0 * sign, up, down, down, up, down, 0.0]
            segments.append((at, at + 2.5, " ".join(words), labels))
            at += 3.0
        out[f"video{number:02d}"] = segments
    return out


def write_csd(path: Path, root: str, groups: dict[str, tuple[Any, Any]], *, drop: str = "") -> None:
    """A computational sequence: group -> features and intervals. `drop` leaves an array or the group `data` out."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        data = file.create_group(root).create_group("none" if drop == "data" else "data")
        file[root].create_group("metadata").create_dataset("root name", data=[root.encode()])
        for name, (features, intervals) in groups.items():
            group = data.create_group(name)
            for key, values in (("features", features), ("intervals", intervals)):
                if key != drop:
                    group.create_dataset(key, data=values)


def write_mosei(
    folder: Path,
    *,
    source: str = "words",
    aligned: bool = False,
    rows: dict[str, list[tuple[float, float, str, list[float]]]] | None = None,
) -> dict[str, list[tuple[float, float, str, list[float]]]]:
    """Labels, texts and folds in a folder; the segments are returned. `aligned`: groups "<video>[k]"."""
    rows = videos() if rows is None else rows
    labels, words = {}, {}
    for video, segments in rows.items():
        features, intervals = np.array([s[3] for s in segments], np.float32), np.array([s[:2] for s in segments])
        if aligned:
            labels |= {f"{video}[{i}]": (features[i : i + 1], intervals[i : i + 1]) for i in range(len(segments))}
        else:
            labels[video] = (features[::-1], intervals[::-1])  # the release is not sorted by time
        spoken = [(0.0, 0.3, "sp")]
        for start, end, text, _ in segments:
            step = (end - start) / max(len(text.split()), 1)
            spoken += [(start + i * step, start + (i + 1) * step, w) for i, w in enumerate(text.split())]
        words[video] = (np.array([[w[2].encode()] for w in spoken], "S32"), np.array([w[:2] for w in spoken]))
    write_csd(folder / "labels" / "CMU_MOSEI_Labels.csd", "All Labels", labels)
    if source == "words":
        write_csd(folder / "languages" / "CMU_MOSEI_TimestampedWords.csd", "words", words)
    else:
        (folder / "Combined").mkdir()
        for video, segments in rows.items():
            lines = [
                f"{video}___{i}___{start}___{end}___  {text}.\n" for i, (start, end, text, _) in enumerate(segments)
            ]
            (folder / "Combined" / f"{video}.txt").write_text("".join(lines))
    names = sorted(rows)
    folds = {"train": names[: len(names) // 2], "valid": names[len(names) // 2 : -6], "test": names[-6:]}
    text = "".join(f"standard_{fold}_fold={members!r}\n" for fold, members in folds.items())
    (folder / "cmu_mosei_std_folds.py").write_text(text)
    return rows
