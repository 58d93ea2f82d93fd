"""Callbacks: what they are told and when, that they change nothing, that they can end a run, and whose error it was."""

import json
import random

import numpy as np
import pytest
import torch

from mmrl.training.build import build
from mmrl.training.callbacks import Callback, check_callbacks
from tests import run_fixtures


class Told(Callback):
    """Writes down what it is told."""

    def __init__(self):
        self.calls = []

    def on_step(self, run, step, metrics):
        self.calls.append(("step", step, dict(metrics)))

    def on_checkpoint(self, run, directory):
        assert (directory / "config.json").exists()
        self.calls.append(("checkpoint", directory.name))

    def on_validation(self, run, step, metrics):
        self.calls.append(("validation", step, dict(metrics)))

    def on_end(self, run):
        self.calls.append(("end", run.trainer.step_done))


class Draws(Callback):
    """Draws from every global random state, wherever it can."""

    def draw(self, *_):
        random.random(), np.random.rand(), torch.rand(1)

    on_step = on_checkpoint = on_validation = on_end = draw


def sections(root):
    return {
        "root": str(root), "sets": [{"name": "own", "format": "messages", "file": "d.jsonl", "limit": 2}], "template": "plain",
        "graders": {"accuracy": "accuracy"}, "decoding": {"temperature": 1.0, "max_new_tokens": 4}, "workers": 0, "every": 2,
    }  # fmt: skip


def fitted(root, out, *callbacks, resume=False, **changes):
    run = build(run_fixtures.config(root, out, **changes), resume=resume, quiet=True, callbacks=callbacks)
    run.fit(quiet=True)
    return run


def test_callbacks_are_told_in_order_what_is_on_record(root, tmp_path):
    told = Told()
    fitted(root, tmp_path / "run", told, steps=4, save_every=3, validation=sections(root))
    assert [call[:2] for call in told.calls] == [
        ("step", 1), ("validation", 2), ("step", 2), ("step", 3), ("checkpoint", "step-000003"), ("validation", 4),
        ("step", 4), ("checkpoint", "step-000004"), ("end", 4),
    ]  # fmt: skip
    logged = run_fixtures.lines(tmp_path / "run" / "metrics.jsonl")
    assert [call[2] for call in told.calls if call[0] == "step"] == [
        {name: value for name, value in line.items() if name in call[2]}
        for line, call in zip(logged, [call for call in told.calls if call[0] == "step"], strict=True)
    ]
    assert all("validation/own/accuracy" in call[2] for call in told.calls if call[0] == "validation")


def test_a_run_is_the_same_with_a_callback_that_draws(root, tmp_path):
    """The reward draws from the global random state, too."""
    changes = dict(method="grpo", steps=3, save_every=1)
    changes["rewards"] = {"chance": {"grader": f"{root}/graders.py:chance"}}
    fitted(root, tmp_path / "without", **changes)
    fitted(root, tmp_path / "with", Draws(), **changes)
    assert run_fixtures.numbers(tmp_path / "with") == run_fixtures.numbers(tmp_path / "without")


class StopsAt(Callback):
    def __init__(self, last):
        self.last = last

    def on_step(self, run, step, metrics):
        if step == self.last:
            run.stop()


def test_a_callback_ends_a_run_that_can_be_resumed(root, tmp_path):
    told = Told()
    run = fitted(root, tmp_path / "run", StopsAt(2), told, steps=4)
    assert run.done
    assert run.trainer.step_done == 2
    assert told.calls[-2:] == [("checkpoint", "step-000002"), ("end", 2)]
    again = fitted(root, tmp_path / "run", resume=True, steps=4)
    assert again.trainer.step_done == 4
    fitted(root, tmp_path / "whole", steps=4)
    assert run_fixtures.numbers(tmp_path / "run") == run_fixtures.numbers(tmp_path / "whole")


def test_a_run_can_be_stepped_by_hand(root, tmp_path):
    run = build(run_fixtures.config(root, tmp_path / "run", steps=2), quiet=True)
    steps = 0
    while not run.done:
        assert "loss" in run.step()
        steps += 1
    run.save()
    run.close()
    assert steps == 2
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-000002"]


class Fails(Callback):
    def on_step(self, run, step, metrics):
        if step == 2:
            raise KeyError("mine")


def test_an_error_of_a_callback_names_it_and_leaves_a_checkpoint(root, tmp_path):
    told = Told()
    with pytest.raises(KeyError, match="mine") as caught:
        fitted(root, tmp_path / "run", told, Fails(), steps=4)
    assert caught.value.__notes__ == ["raised by Fails.on_step, a callback of this run, after step 2"]
    assert told.calls[-1] == ("checkpoint", "step-000002")
    state = json.loads((tmp_path / "run" / "checkpoints" / "step-000002" / "trainer" / "state.json").read_text())
    assert state["step"] == 2


@pytest.mark.parametrize(
    ("callbacks", "said"),
    [
        (Told(), r"expected a list, found one Told; write \[...\] around it"),
        ([Told], r"found the class Told; write Told\(\)"),
        ([print], "expected objects of classes that inherit from mmrl.Callback, found <built-in function print>"),
    ],
)
def test_what_is_no_callback_is_refused_before_anything_is_loaded(callbacks, said, tmp_path):
    with pytest.raises(TypeError, match=said):
        check_callbacks(callbacks)


def test_a_callback_may_end_the_run_in_a_validation(root, tmp_path):
    class Enough(Told):
        def on_validation(self, run, step, metrics):
            super().on_validation(run, step, metrics)
            run.stop()

    told = Enough()
    fitted(root, tmp_path / "run", told, steps=6, validation=sections(root))
    assert [call[:2] for call in told.calls][-3:] == [("step", 2), ("checkpoint", "step-000002"), ("end", 2)]
