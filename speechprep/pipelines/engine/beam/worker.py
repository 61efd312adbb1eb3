"""Entry point of a local worker process: settles the process and quiets logs before Beam is imported."""

from __future__ import annotations

import logging
import signal
import sys
import warnings

from speechprep.process import settle


def main() -> None:
    """Serve Beam's control channel until the driver closes it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends all of the group; Python would print a traceback each
    settle()
    warnings.filterwarnings("ignore")
    # With a handler on the root logger, Beam's import-time warning installs no handler for stderr.
    logging.getLogger().addHandler(logging.NullHandler())
    from apache_beam.runners.worker import sdk_worker, sdk_worker_main

    # It prints the traceback of every failure; the driver gets the failure itself, and makes one line of it.
    sdk_worker.print = lambda *_, **__: None
    for name in ("apache_beam", "__main__", sdk_worker_main.__name__):
        logging.getLogger(name).setLevel(logging.ERROR)
    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
