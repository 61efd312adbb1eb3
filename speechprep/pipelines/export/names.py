"""Safe and unique file names for recordings and utterances.

A name depends on its own key and on the keys with the same name. It does not depend on the order of the keys.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

MAX_BYTES = 180  # of a name in UTF-8, so that a suffix and an ending still fit into 255
_UNSAFE = re.compile(r"[^\w.+=@#-]|[\u0000-\u001f]")  # also blanks: CTM and Kaldi separate fields by them
_HASH = 8  # hex digits


def safe_name(text: str) -> str:
    """The text as a file name: letters and digits of any script, and `. + = @ # - _`; at most MAX_BYTES bytes."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", text)).lstrip(".-")
    while len(name.encode()) > MAX_BYTES:
        name = name[: -max((len(name.encode()) - MAX_BYTES) // 4, 1)]
    return name or "_"


def stem(uri: str) -> str:
    """The file name of a path or URI without folder and ending."""
    path = unquote(urlsplit(uri).path) if "://" in uri else uri
    return posixpath.splitext(posixpath.basename(path.rstrip("/")))[0]


def unique_names(keys: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Key -> name.

    Args:
        keys: (key, wanted name). Names that differ only in case, or that were shortened to the same text, get the start
            of the sha256 of their key.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, wanted in sorted(set(keys)):
        groups.setdefault(safe_name(wanted).casefold(), []).append((key, safe_name(wanted)))
    names = {key: name for group in groups.values() if len(group) == 1 for key, name in group}
    taken = {name.casefold() for name in names.values()}
    for key, name in sorted(pair for group in groups.values() if len(group) > 1 for pair in group):
        digest, digits = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest(), _HASH
        while f"{name}-{digest[:digits]}".casefold() in taken:
            digits += 1
        names[key] = f"{name}-{digest[:digits]}"
        taken.add(names[key].casefold())
    return names
