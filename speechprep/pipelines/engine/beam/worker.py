"""Entry point of a local worker process: process settings and logging, made before Beam is imported."""

from __future__ import annotations

import logging
import signal
import sys
import warnings

from speechprep.process import settle


def main() -> None:
    """Serve the control channel of Beam until the driver closes it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a traceback from each worker
    settle()
    warnings.filterwarnings("ignore")
    # With a handler on the root logger, the import of Beam adds no handler for stderr.
    logging.getLogger().addHandler(logging.NullHandler())
    from apache_beam.runners.worker import sdk_worker, sdk_worker_main

    # Beam prints the traceback of every failure here. The driver receives the failure and prints one line.
    sdk_worker.print = lambda *_, **__: None
    for name in ("apache_beam", "__main__", sdk_worker_main.__name__):
        logging.getLogger(name).setLevel(logging.ERROR)
    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
