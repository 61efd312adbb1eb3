"""The command line: a skin over `pipelines`. Nothing heavy is imported before a command asks for it.

`speechprep --help` must answer at once, so the commands live in files of their own that are imported when they are
called (`app.py` holds the table), and these import their work inside the functions.
"""

from __future__ import annotations

import sys

from speechprep.process import settle


def main(args: list[str] | None = None) -> None:
    """Entry point of the console script: parses, runs, and turns whatever goes wrong into one line and an exit code."""
    settle()
    from speechprep.cli import app, errors

    args = list(sys.argv[1:] if args is None else args)
    debug = errors.take_debug(args)
    with errors.edge(debug=debug):
        sys.exit(app.run(args))
