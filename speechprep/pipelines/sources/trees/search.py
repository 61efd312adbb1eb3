"""Search of audio files in a tree: by the tail of a path, and by the name without its suffix."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import cached_property

from speechprep.artifacts import storage
from speechprep.pipelines.sources.files import walk
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.audio_names import is_audio

MAX_FILES = 5_000_000  # files of a tree that are searched


@dataclass
class Search:
    """Audio files of a tree by name. The tree is listed on the first search.

    Attributes:
        root: URI of a folder, or of the root of an archive.
    """

    root: str

    @cached_property
    def _folders(self) -> dict[str, list[str]]:
        """Name of an audio file -> URIs of its folders."""
        folders: dict[str, list[str]] = {}
        count = 0
        for folder, names in walk(self.root):
            place = storage.join(self.root, folder) if folder else self.root
            for name in names:
                if is_audio(name):
                    folders.setdefault(name, []).append(place)
                    count += 1
            if count > MAX_FILES:
                return {}
        return folders

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """Name without suffix -> names of audio files."""
        names: dict[str, list[str]] = {}
        for name in self._folders:
            names.setdefault(posixpath.splitext(name)[0], []).append(name)
        return names

    def by_stem(self, stem: str, beside: str = "") -> list[str]:
        """URIs of the audio files with a name without suffix; in the folder `beside` if there is one, else anywhere."""
        found = [storage.join(place, name) for name in self._names.get(stem, []) for place in self._folders[name]]
        here = [uri for uri in found if posixpath.dirname(uri) == beside]
        return sorted(here or found)

    def find(self, path: str, folder: str) -> str | None:
        """URI of the file that a path names, if it is not below the folder of its manifest.

        Manifests of Kaldi, lhotse and NeMo have paths from the working directory of their author. The path is
        therefore tried from each folder above the manifest. Else the only file of the tree with this tail of the path
        is taken: the whole path if it is relative, the longest tail with one file if it is absolute.
        """
        if not storage.is_local(self.root):
            return None
        if "://" not in path and not path.startswith("/"):
            above = folder
            while (above := posixpath.dirname(above)) not in ("", "/", "file:", "file://"):
                if tree.split(folder) is not None and tree.split(above) is None:
                    break
                if tree.is_file(candidate := posixpath.join(above, path)):
                    return candidate
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        places = self._folders.get(parts[-1], []) if parts else []
        tails = range(len(parts)) if path.startswith("/") else range(1)
        for first in tails:
            tail = "/".join(parts[first:])
            found = [uri for uri in (f"{place}/{parts[-1]}" for place in places) if uri.endswith("/" + tail)]
            if len(found) == 1:
                return found[0]
        return None
