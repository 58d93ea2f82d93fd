"""Decoding processes that cannot start at all are one error that says what to do."""

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from mmrl.data.media.pool import DecodingPool


def test_a_pool_in_which_no_process_starts_says_what_a_script_needs():
    future: Future = Future()
    future.set_exception(BrokenProcessPool("All workers expired"))
    with pytest.raises(RuntimeError, match=r'media\.workers: .* none can start; .* needs `if __name__ == "__main__":`'):
        DecodingPool(0, 1.0).result_of(future, Path("a.mp4"))
