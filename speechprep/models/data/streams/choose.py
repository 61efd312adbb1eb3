"""Choice of the stream of a source: by the kind of its folder and the treatment of its documents."""

from __future__ import annotations

from speechprep.errors import ConfigError
from speechprep.models.data.codes import Codes
from speechprep.models.data.folder import open_folder
from speechprep.models.data.source import Source
from speechprep.models.data.streams.base import Stream
from speechprep.models.data.streams.fitted import FittedStream
from speechprep.models.data.streams.packed import PackedStream
from speechprep.models.data.streams.running import RunningStream


def open_stream(source: Source, context: int, codes: Codes, seed: int, window: int, *, names: bool) -> Stream:
    """The stream of a source.

    Raises:
        ConfigError: options without a meaning for the kind of folder; no rows; rows of another length; whole
            documents longer than the context.
        StaleArtifact, SchemaMismatch: see `open_folder`.
    """
    folder = open_folder(source.folder, codes)
    if folder.kind == "packed":
        for option, given in (("kinds", source.kinds is not None), ("part", source.part is not None)):
            if given:
                raise ConfigError(
                    f"{source.folder}: {option} cannot be had from 'packed', whose rows mix documents; read 'tokens', "
                    "or pack what you want by itself"
                )
        return PackedStream(source, folder, context, codes, seed, window, names=names)
    kind = RunningStream if source.documents == "split" else FittedStream
    return kind(source, folder, context, codes, seed, window, names=names)
