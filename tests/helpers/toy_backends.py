"""Backends with which the engine's sharing between threads is tested, and stages that use them."""

from __future__ import annotations

import threading
import time
from typing import Any

from helpers import toy_stages as toy

from speechprep.pipelines.backends import Backend
from speechprep.pipelines.engine.stage import Read, Stage


class OneThread(Backend):
    """Fails if another thread uses it than the one that loaded it, or if two threads are in it at the same time."""

    loads: list[OneThread] = []  # noqa: RUF012 - counts over all instances

    def __init__(self) -> None:
        self._inside = threading.Lock()

    def identity(self) -> dict[str, Any]:
        return {"name": type(self).__name__}

    def load(self) -> None:
        self.thread = threading.get_ident()
        type(self).loads.append(self)

    def work(self) -> None:
        assert self.thread == threading.get_ident(), "used by a thread that did not load it"
        assert self._inside.acquire(blocking=False), "entered by two threads"
        time.sleep(0.01)
        self._inside.release()


class ManyThreads(OneThread):
    """Any thread may use it at any time."""

    thread_safe = True
    loads: list[OneThread] = []  # noqa: RUF012

    def work(self) -> None:
        time.sleep(0.01)


def run(ctx) -> None:
    for batch in ctx.batches("numbers"):
        ctx.backend.work()
        ctx.write(batch)


def stage(name: str, backend: type[OneThread]) -> Stage:
    numbers = (Read("numbers", "numbers"),)
    make = lambda config, extras: backend()  # noqa: E731
    return Stage(f"helpers.toy_backends:{name}", 1, numbers, "used", toy.StageConfig, run, toy.NUMBERS, backend=make)


ALONE = stage("ALONE", OneThread)
ALONE_TOO = stage("ALONE_TOO", OneThread)
SHARED = stage("SHARED", ManyThreads)
