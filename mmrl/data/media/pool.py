"""A pool of processes that decode media files under a time limit.

A decoder can hang while it holds the interpreter's lock (dmlc/decord#373), so that only another process can end it. A
worker that exceeds the time limit, or that dies, is replaced; its file gives a MediaError.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from mmrl.data.media.errors import MediaError

LEAVING = 10.0  # seconds that close() waits for the workers


class DecodingPool:
    """Run functions of a path in ``workers`` processes; with 0 workers at once in this process, without a time limit."""

    def __init__(self, workers: int, timeout: float) -> None:
        if workers < 0:
            raise ValueError(f"media.workers: expected 0 or more, found {workers}")
        if not timeout > 0:
            raise ValueError(f"media.timeout: expected seconds above 0, found {timeout}")
        self.timeout = timeout
        # spawn: threads and CUDA do not survive a fork, nor do open decoders. Starts when the first file is asked for.
        self._pool = ProcessPool(max_workers=workers, context=multiprocessing.get_context("spawn")) if workers else None

    def submit(self, function: Callable[..., Any], path: Path, *rest: Any) -> Future:
        """Return a future of ``function(path, *rest)``; get its result with ``result_of``."""
        if self._pool is not None:
            return self._pool.schedule(function, args=(path, *rest), timeout=self.timeout)
        future: Future = Future()
        try:
            future.set_result(function(path, *rest))
        except MediaError as error:
            future.set_exception(error)
        return future

    def result_of(self, future: Future, path: Path) -> Any:
        """Wait for a future and return its result.

        Raises MediaError if the file, or its decoding process, failed; RuntimeError if no process can start.
        """
        try:
            return future.result()
        except Late:
            found = f"nothing after {self.timeout:g} s (timeout)"
            raise MediaError(path, found, "a file that decodes in time") from None
        except ProcessExpired as error:
            raise MediaError(path, f"a decoder that died (exit code {error.exitcode})", "a file that decodes") from None
        except BrokenProcessPool:
            raise RuntimeError(
                "media.workers: expected processes that decode, found that none can start; what they said stands above. A script "
                'needs `if __name__ == "__main__":` around what it does; workers: 0 decodes in this process'
            ) from None

    def close(self) -> None:
        """End the workers; unfinished work is lost."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join(LEAVING)


def finished(value: Any) -> Future:
    """Return a future whose result is ``value``."""
    future: Future = Future()
    future.set_result(value)
    return future
