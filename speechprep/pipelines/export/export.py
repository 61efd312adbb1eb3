"""The export of a run: rows are read and judged, sorted by recording, and written recording by recording."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from speechprep.artifacts import storage
from speechprep.artifacts.run import Run, open_run
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.engine.stage import find_stage
from speechprep.pipelines.export.formats import choose_tiers, find_format
from speechprep.pipelines.export.names import stem, unique_names
from speechprep.pipelines.export.order import sort_records
from speechprep.pipelines.export.recording import Recording, StoredAudio, recordings
from speechprep.pipelines.export.rows import Counts, Judge, Source, Utterance, read_utterances, recording_key
from speechprep.pipelines.export.writer import Audio, Target, Writer

RECORD = "_export.json"  # in the exported folder
Progress = Callable[[int, float, int], None]  # utterances, seconds of audio, and utterances left out so far


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes:
        format: name of the format.
        folder: absolute path.
        recordings: number of exported recordings.
        utterances: number of exported utterances; `seconds` of their audio.
        rows: tier -> exported rows; units are runs of equal units.
        left_out: "utterances" or tier -> reason -> number.
        changed: reason -> labels that the format could not hold as they are.
        renamed: ids and recordings with another name in the export.
    """

    format: str
    folder: str
    recordings: int
    utterances: int
    seconds: float
    rows: dict[str, int]
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    renamed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _thresholds(filters: Mapping[str, Any]) -> Any:
    thresholds: Any = find_stage("filter").configure(dict(filters))
    others = [limit.option for limit, _ in thresholds.quality_limits()]
    others = (["duplicates"] if thresholds.duplicates != "off" else []) + others
    if others:
        setting = f"{others[0]}={getattr(thresholds, others[0])}"
        raise ConfigError(
            f"export: {setting} is not read here; write the verdicts first, with: "
            f"speechprep filter RUN --set {setting} --out RUN/filtered"
        )
    return thresholds


def export(
    run: str | Path | Run,
    *,
    to: str,
    out: str | Path,
    rows: Sequence[str] = (),
    kept: bool = True,
    filters: Mapping[str, Any] | None = None,
    audio: str = "path",
    progress: Progress | None = None,
) -> Exported:
    """Write words, segments and units of a run in the format of another tool, as `speechprep export` does.

    Args:
        run: run folder, or an opened run; with `utterances`, and with `words` and `units` for these rows.
        to: name of the format, for example "textgrid".
        out: local folder; it must be absent or empty.
        rows: "segments", "words", "units"; empty: those of the format that the run has.
        kept: leave out rows of `words` that are not kept, and utterances without a row.
        filters: options of `filter`, for example {"min_trust": 0.5}; None: the stored verdicts.
        audio: "path": the recordings stay at their place; "copy": they are copied into `out`.
        progress: called after each recording.

    Returns:
        The counts of rows exported, left out by reason, and changed.

    Raises:
        ConfigError: an unknown format, rows or option, or a folder with files.
        MissingBackend: the package of the format is not installed.
        StaleArtifact: the run lacks `utterances`, or its folders are from different runs.
    """
    source = Source.of(run if isinstance(run, Run) else open_run(str(run)))
    form, copied = find_format(to), _audio(audio)
    thresholds = None if filters is None else _thresholds(filters)
    tiers = choose_tiers(form, tuple(rows), source.tiers)
    writer_class, final = form.load(), _place(str(out))
    folder = final.with_name(f"{final.name}{storage.TEMPORARY}{uuid.uuid4().hex}")
    folder.mkdir(parents=True)
    scratch = folder / ".sort"
    scratch.mkdir()
    try:
        counts = Counts(tiers)
        names = _names(source, dots=to != "webdataset")
        writer = writer_class(Target(folder, final, tiers, copied, counts))
        judge = Judge(kept=kept, thresholds=thresholds)
        rows_sorted = _sorted(_exported(read_utterances(source, judge, names), counts), scratch)
        n = _write(writer, recordings(rows_sorted, StoredAudio(source.utterances)), counts, progress)
        shutil.rmtree(scratch)
        renamed = _renamed(names)
        result = Exported(
            to, str(final), n, counts.utterances, counts.seconds, *_plain(counts), sum(map(len, renamed.values()))
        )
        _finish(folder, final, {**result.to_dict(), "renamed": renamed})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _audio(mode: str) -> Audio:
    for known in get_args(Audio):
        if mode == known:
            return cast(Audio, known)
    raise ConfigError(f"audio = {mode!r}; choose 'path' or 'copy'")


def _place(out: str) -> Path:
    """The folder of the export.

    Raises:
        ConfigError: object storage, a file, or a folder with files.
    """
    if not storage.is_local(out):
        raise ConfigError(f"--out {out!r} is not a local folder; export into one and copy it")
    path = Path(storage.absolute(out))
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"--out {out!r} is not empty; choose another folder, or delete this one")
    return path


def _names(source: Source, *, dots: bool) -> dict[str, str]:
    """Names of all recordings (by `recording_key`) and utterances (by "#" and the id) of a run."""
    ids, audio = {}, {}
    for id, uri in source.places():
        key = recording_key(id, uri)
        ids[f"#{id}"] = id if dots else id.replace(".", "_")
        audio[key] = id if uri is None else stem(uri)
    return {**unique_names(audio.items()), **unique_names(ids.items())}


def _exported(utterances: Iterator[Utterance], counts: Counts) -> Iterator[Utterance]:
    for utterance in utterances:
        if utterance.drop is None:
            yield utterance
        else:
            counts.leave_out(utterance, utterance.drop)


def _sorted(utterances: Iterator[Utterance], scratch: Path) -> Iterator[Utterance]:
    records = (((u.recording, u.offset, u.id), asdict(u)) for u in utterances)
    return map(Utterance.of_record, sort_records(records, scratch))


def _write(writer: Writer, source: Iterator[Recording], counts: Counts, progress: Progress | None) -> int:
    """Write all recordings; returns their number."""
    written = done = bad = 0
    try:
        for recording in source:
            try:
                writer.add(recording)
                written += 1
            except BadInput as error:
                bad += len(recording.utterances)
                for utterance in recording.utterances:
                    counts.leave_out(utterance, error.code)
            done += len(recording.utterances)
            if progress is not None:
                progress(done, counts.seconds, bad)
    finally:
        writer.close()
    return written


def _renamed(names: dict[str, str]) -> dict[str, dict[str, str]]:
    """Names in the export -> ids of utterances, and URIs of recordings, where they differ."""
    renamed: dict[str, dict[str, str]] = {"utterances": {}, "recordings": {}}
    for key, name in sorted(names.items(), key=lambda item: item[1]):
        if key.startswith("#"):
            if name != key[1:]:
                renamed["utterances"][name] = key[1:]
        else:
            form, _, original = key.partition(":")
            if name != (stem(original) if form == "uri" else original):
                renamed["recordings"][name] = original
    return renamed


def _plain(counts: Counts) -> tuple[dict[str, int], dict[str, dict[str, int]], dict[str, int]]:
    left_out = {tier: dict(sorted(reasons.items())) for tier, reasons in sorted(counts.left_out.items())}
    changed = {reason: n for reason, n in sorted(counts.changed.items()) if n}
    return {tier: counts.rows[tier] for tier in counts.tiers}, left_out, changed


def _finish(folder: Path, final: Path, record: dict[str, Any]) -> None:
    """Write the counts, and give the folder its name."""
    del record["folder"]  # a path of this machine
    (folder / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if final.exists():
        final.rmdir()
    folder.rename(final)
