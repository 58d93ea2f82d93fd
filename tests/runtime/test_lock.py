"""One process at a time: the second waits, or is refused with the name of the first."""

import os
import signal
import time
from multiprocessing import get_context

import pytest

from mmrl.runtime.lock import LockedError, lock_or_refuse, waiting_lock
from tests import run_fixtures

FORK = get_context("fork")


def hold(path, held, free, lock):
    """Hold a lock until somebody says so."""
    with lock(path):
        held.set()
        assert free.wait(20)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock, and the event that lets it go."""
    held, free = FORK.Event(), FORK.Event()
    process = FORK.Process(target=hold, args=(tmp_path / ".lock", held, free, lock_or_refuse))
    process.start()
    assert held.wait(20)
    yield process, free
    free.set()
    process.join(20)


def test_the_second_is_told_who_the_first_is(tmp_path, holder):
    process, free = holder
    with pytest.raises(LockedError) as caught, lock_or_refuse(tmp_path / ".lock"):
        pass
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}: process {process.pid} on ")
    assert said.endswith(" is writing here; wait for it, or choose another folder")
    free.set()
    process.join(20)
    with lock_or_refuse(tmp_path / ".lock"):
        pass
    assert not (tmp_path / ".lock.holder").exists()


def test_a_patient_one_waits(tmp_path, holder):
    _, free = holder
    at_once = FORK.Event()
    at_once.set()
    waiter = FORK.Process(target=hold, args=(tmp_path / ".lock", FORK.Event(), at_once, waiting_lock))
    waiter.start()
    time.sleep(0.2)
    assert waiter.is_alive()
    free.set()
    waiter.join(20)
    assert waiter.exitcode == 0


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    def doomed():
        with lock_or_refuse(tmp_path / ".lock"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert run_fixtures.death_of(doomed) == signal.SIGKILL
    with lock_or_refuse(tmp_path / ".lock"):
        assert f"process {os.getpid()} " in (tmp_path / ".lock.holder").read_text()


def test_an_error_inside_passes_and_frees_the_lock(tmp_path):
    with pytest.raises(TimeoutError), lock_or_refuse(tmp_path / ".lock"):
        raise TimeoutError
    with waiting_lock(tmp_path / ".lock"):
        pass
