"""Loaded backends of a worker process: one for all of its threads, or one for each thread.

A backend with a true class attribute `thread_safe` is loaded once for the process. Every other backend is loaded once
for each thread, because an engine may run several tasks of one process at the same time. The backend of a thread is
released when the thread ends.
"""

from __future__ import annotations

import json
import threading
from functools import lru_cache
from typing import Any

from speechprep.pipelines.engine.stage import find_stage

STAGES_KEPT = 2  # number of stages with a backend in memory

_loading = threading.Lock()  # one thread loads at a time, and a shared backend is loaded once


class LoadedBackend:
    """The backends of one stage and configuration, loaded at the first request of each thread."""

    def __init__(self, stage: str, config: str, extras: str) -> None:
        self._stage, self._config, self._extras = stage, config, extras
        self._shared: Any = None
        self._of_thread = threading.local()

    def get(self) -> Any:
        """The backend for the calling thread, None if the stage has none."""
        if self._shared is not None:
            return self._shared
        backend = getattr(self._of_thread, "backend", None)
        if backend is None:
            backend = self._load()
            if backend is not None and backend.thread_safe:
                self._shared = backend
            else:
                self._of_thread.backend = backend
        return backend

    def _load(self) -> Any:
        stage = find_stage(self._stage)
        if stage.backend is None:
            return None
        backend = stage.backend(stage.configure(json.loads(self._config)), json.loads(self._extras))
        if backend is not None:
            backend.load()
        return backend


def loaded_backend(stage: str, config: str, extras: str) -> Any:
    """The loaded backend of a stage for the calling thread.

    Args:
        stage: name of the stage.
        config: options of the stage, as canonical JSON.
        extras: role -> `extra` of the manifest of the input, as canonical JSON.
    """
    with _loading:
        return _entry(stage, config, extras).get()


@lru_cache(maxsize=STAGES_KEPT)
def _entry(stage: str, config: str, extras: str) -> LoadedBackend:
    return LoadedBackend(stage, config, extras)
