"""Command line: parsing of options and output of results.

`speechprep --help` must be fast. Each command therefore has its own file, imported on the call of the command, with
further imports inside its function. `app.py` has the table of commands.
"""

from __future__ import annotations

import sys

from speechprep.process import settle


def main(args: list[str] | None = None) -> None:
    """Entry point of the console script. An error becomes one line on stderr and an exit code."""
    settle()
    from speechprep.cli import app, errors

    args = list(sys.argv[1:] if args is None else args)
    debug = errors.take_debug(args)
    with errors.edge(debug=debug):
        sys.exit(app.run(args))
