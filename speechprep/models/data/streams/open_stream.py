"""Opens the stream of a source: its class follows from the kind of the folder and the option `documents`."""

from __future__ import annotations

from speechprep.errors import ConfigError
from speechprep.models.data.folder import open_folder
from speechprep.models.data.source import Source
from speechprep.models.data.streams.base import Stream
from speechprep.models.data.streams.concatenated import ConcatenatedStream
from speechprep.models.data.streams.packed import PackedStream
from speechprep.models.data.streams.rendered import RenderedStream
from speechprep.models.data.streams.whole_documents import WholeDocumentStream
from speechprep.models.data.vocabulary import VocabularyMetadata


def open_stream(
    source: Source, context: int, vocabulary: VocabularyMetadata, seed: int, window: int, *, names: bool
) -> Stream:
    """The stream of a source.

    Raises:
        ConfigError: options that do not apply to the kind of folder, no rows, rows of another length, or whole
            documents longer than the context.
        StaleArtifact, SchemaMismatch: see `open_folder`.
    """
    if source.render is not None:
        return RenderedStream(source, context, vocabulary, seed, window, names=names)
    folder = open_folder(source.folder, vocabulary)
    if folder.kind == "packed":
        for option, value in (("kinds", source.kinds), ("part", source.part)):
            if value is not None:
                raise ConfigError(
                    f"{source.folder}: {option} does not apply to 'packed', because its rows mix documents; "
                    "read 'tokens', or pack the selection separately"
                )

        return PackedStream(source, folder, context, vocabulary, seed, window, names=names)
    kind = ConcatenatedStream if source.documents == "split" else WholeDocumentStream
    return kind(source, folder, context, vocabulary, seed, window, names=names)
