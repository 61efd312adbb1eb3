"""Calls with a time limit, for inputs on a mount that hangs and for decoders that do not end.

A call runs in a second thread. After its limit the thread is abandoned: Python cannot end a thread. It is a daemon, so
the process can end without it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from speechprep.errors import BadInput

TIME_LIMIT = 600.0  # seconds for the reading of one input, besides its duration

Result = TypeVar("Result")


def too_slow(seconds: float) -> BadInput:
    """The reject of an input beyond its time limit."""
    return BadInput(
        "input_timeout",
        f"reading did not end within {seconds:g} s; check the disk or the file, or raise --input-timeout",
    )


class LimitedCalls:
    """Calls in one other thread, one after the other; the thread is replaced after a call beyond its limit."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] | None = None
        self._results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def call(self, function: Callable[[], Result], seconds: float) -> Result:
        """The result of a function. Its error is raised here.

        Raises:
            BadInput: `input_timeout`.
        """
        if self._calls is None:
            self._start()
        assert self._calls is not None  # noqa: S101 - made by `_start`
        self._calls.put(function)
        try:
            result, error = self._results.get(timeout=seconds)
        except queue.Empty:
            self.close()
            raise too_slow(seconds) from None
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the thread after its current call, without waiting."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None

    def _start(self) -> None:
        calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def work() -> None:
            while (function := calls.get()) is not None:
                try:
                    results.put((function(), None))
                except BaseException as error:  # noqa: BLE001 - raised by `call`
                    results.put((None, error))

        threading.Thread(target=work, daemon=True, name="limited").start()
        self._calls, self._results = calls, results

    def __enter__(self) -> LimitedCalls:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def limited(function: Callable[[], Result], seconds: float) -> Result:
    """The result of a call in a thread of its own.

    Raises:
        BadInput: `input_timeout`.
    """
    with LimitedCalls() as calls:
        return calls.call(function, seconds)


def result_or_reject(function: Callable[[], Result], seconds: float) -> Result | BadInput:
    """The result of a call in a thread of its own, or its BadInput, for example `input_timeout`."""
    try:
        return limited(function, seconds)
    except BadInput as error:
        return error


def limited_blocks(blocks: Iterator[Result], seconds: float) -> Iterator[Result]:
    """The same iterator with a time limit for each of its items.

    Raises:
        BadInput: `input_timeout`.
    """
    end = object()
    with LimitedCalls() as calls:
        while (block := calls.call(lambda: next(blocks, end), seconds)) is not end:
            yield block  # type: ignore[misc]
