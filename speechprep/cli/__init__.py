"""The command line, without logic of its own.

`speechprep --help` must be quick. So each command has its own file, imported when the command is called (`app.py` holds
the table), and imports its work inside its function.
"""

from __future__ import annotations

import sys

from speechprep.process import settle


def main(args: list[str] | None = None) -> None:
    """Entry point of the console script: parse, run, and turn each error into one line and an exit code."""
    settle()
    from speechprep.cli import app, errors

    args = list(sys.argv[1:] if args is None else args)
    debug = errors.take_debug(args)
    with errors.edge(debug=debug):
        sys.exit(app.run(args))
