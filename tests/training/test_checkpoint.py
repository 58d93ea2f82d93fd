"""Which directories are checkpoints, in which order, and that a kill between two renames loses none."""

import os
import signal

import pytest
import torch

from mmrl.training import checkpoint
from tests import run_fixtures

STRAYS = ("step-000002.tar", "step-000040-backup", "step-7", "step-000040-backup.partial")


def write(folder, step, value=1.0):
    """A checkpoint without a model."""
    path = folder / checkpoint.name_of(step)
    checkpoint.write(path, lambda _: None, {"optimizer": {"a": torch.tensor([value])}}, {"step": step})
    return path


def value_of(path):
    return checkpoint.read(path)[1]["optimizer"]["a"].item()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    """A folder with strays in it."""
    for name in STRAYS:
        (tmp_path / name).mkdir()
    return tmp_path


def test_a_step_of_seven_digits_is_newer_than_one_of_six(folder):
    write(folder, 999_990), write(folder, 1_000_000)
    assert checkpoint.latest(folder).name == "step-1000000"
    checkpoint.prune(folder, 1)
    assert names(folder) == sorted(["step-1000000", *STRAYS])


def test_later_steps_are_dropped_by_number_and_strays_stay(folder):
    write(folder, 999_999), write(folder, 1_000_000)
    (folder.parent / "run").mkdir()
    folder = folder.rename(folder.parent / "run" / "validation")
    checkpoint.drop_later(folder.parent, 999_999)
    assert names(folder) == sorted(["step-999999", *STRAYS])


def test_a_stray_is_no_checkpoint(folder):
    assert checkpoint.latest(folder) is None
    (folder / "step-000003").write_text("a file")
    assert checkpoint.latest(folder) is None


def die_after_first_rename(work):
    """Do something in another process, which is killed after its first rename of a directory."""

    def doomed():
        rename = os.rename

        def once(*args):
            rename(*args)
            os.kill(os.getpid(), signal.SIGKILL)

        os.rename = once
        work()

    assert run_fixtures.death_of(doomed) == signal.SIGKILL


def test_a_kill_while_a_checkpoint_takes_the_place_of_another_leaves_the_new_one(tmp_path):
    write(tmp_path, 5, 1.0)
    die_after_first_rename(lambda: write(tmp_path, 5, 2.0))
    assert names(tmp_path) == ["step-000005.partial", "step-000005.replaced"]
    assert value_of(checkpoint.latest(tmp_path)) == 2.0
    assert names(tmp_path) == ["step-000005"]


def test_a_kill_while_a_better_model_takes_the_place_of_the_best_leaves_one(tmp_path):
    for step in (1, 2):
        (tmp_path / f"model-{step}").mkdir()
        (tmp_path / f"model-{step}" / "weights").write_text(str(step))
    checkpoint.keep_best(tmp_path, tmp_path / "model-1", checkpoint.Best(1, "own/accuracy", 0.1))
    die_after_first_rename(
        lambda: checkpoint.keep_best(tmp_path, tmp_path / "model-2", checkpoint.Best(2, "own/accuracy", 0.2))
    )
    assert not (tmp_path / "best").exists()
    assert checkpoint.read_best(tmp_path) == checkpoint.Best(2, "own/accuracy", 0.2)
    assert (tmp_path / "best" / "weights").read_text() == "2"
    assert names(tmp_path) == ["best", "model-1", "model-2"]


def test_a_checkpoint_that_cannot_be_written_keeps_the_old_one_and_says_so(tmp_path):
    path = write(tmp_path, 5, 1.0)

    def full(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"step-000005: expected a place that can be written, found .*No space left"):
        checkpoint.write(path, full, {}, {})
    assert value_of(path) == 1.0
    assert names(tmp_path) == ["step-000005"]
