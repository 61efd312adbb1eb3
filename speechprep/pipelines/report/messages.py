"""Messages of stages without the folders of the machine, so that the page is the same elsewhere."""

from __future__ import annotations

import posixpath
import re

_FOLDERS = re.compile(r"(?<![\w./:~-])(?:file://)?(?:/[^/\s'\"<>|:,;()]+)+/(?=[^/\s])")


def without_folders(message: str, uri: str | None = None) -> str:
    """The message with file names in place of absolute paths.

    Args:
        message: text of a stage or of an exception.
        uri: a file that the message may name; its folder may have blanks.
    """
    if uri and posixpath.dirname(uri):
        message = message.replace(posixpath.dirname(uri) + "/", "")
    return _FOLDERS.sub("", message)
