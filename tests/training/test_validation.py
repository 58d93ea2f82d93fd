"""Validation inside training: what it costs is logged, it changes nothing that is trained, and the best model is kept."""

import json

import pytest
import torch

from mmrl.config.load import parse
from mmrl.config.schema import Config
from mmrl.evaluation import Mean, Summary
from mmrl.models.loading import load_policy
from mmrl.training import checkpoint
from mmrl.training import loop as running
from mmrl.training.build import build
from tests import run_fixtures
from tests.models.vision.test_feature_cache import Hook


def validated(root, out, steps=4, **changes):
    """A run that validates after each step, with graders of which one draws from the global random state."""
    validation = {
        "root": str(root),
        "sets": [{"name": "own", "format": "messages", "file": "d.jsonl", "limit": 3}],
        "template": "plain",
        "graders": {"accuracy": "accuracy", "chance": f"{root}/graders.py:chance"},
        "decoding": {"temperature": 1.0, "max_new_tokens": 4},
        "workers": 0,
        "every": 1,
    }
    return run_fixtures.config(root, out, steps=steps, validation=validation, **changes)


def weights(folder):
    return load_policy(folder, "plain").model.state_dict()


def test_validation_leaves_weights_and_random_states_as_they_were(root, tmp_path, monkeypatch):
    build(run_fixtures.config(root, tmp_path / "without", steps=3, save_every=1), quiet=True).fit(quiet=True)
    config = validated(root, tmp_path / "with", steps=3, save_every=1)
    run, encoded = build(config, quiet=True), []
    whole = run.validate

    def watched(step):
        before = {name: p.clone() for name, p in run.feeder.policy.model.state_dict().items()}
        state, training = checkpoint.randomness(), run.feeder.policy.model.training
        found = whole(step)
        after = run.feeder.policy.model.state_dict()
        assert all(torch.equal(p, after[name]) for name, p in before.items())
        assert checkpoint.randomness() == state
        assert run.feeder.policy.model.training == training
        encoded.append(found)
        return found

    monkeypatch.setattr(run, "validate", watched)
    run.fit(quiet=True)
    assert len(encoded) == 3
    assert run_fixtures.numbers(tmp_path / "without") == [
        {k: v for k, v in line.items() if not k.startswith("validation/")}
        for line in run_fixtures.numbers(tmp_path / "with")
    ]
    one, other = (weights(tmp_path / name / "checkpoints" / "step-000003") for name in ("without", "with"))
    assert all(torch.equal(p, other[name]) for name, p in one.items())
    line = run_fixtures.lines(tmp_path / "with" / "metrics.jsonl")[0]
    assert line["work/validation_tokens"] > 0
    assert line["timing_s/validation"] > 0


@pytest.mark.parametrize("rate", [1e-4, 0.0], ids=["trains", "frozen"])
def test_each_medium_is_looked_at_once_a_validation_and_once_a_run_by_a_frozen_tower(root, tmp_path, rate):
    """Two sets of the same three questions, of which two have a medium; both media are learned from, too."""
    plain = validated(root, tmp_path / "run", steps=4).model_dump(mode="json")
    one = plain["validation"]["sets"][0]
    plain["validation"]["sets"] = [one, one | {"name": "again"}]
    plain["optimizer"]["learning_rates"] |= {"projector": rate, "vision_tower": rate}
    run, passes = build(parse(Config, plain, "made"), quiet=True), []
    hook, validate = Hook(run.feeder.policy.model), run.validate

    def counted(step):
        before = hook.media
        found = validate(step)
        passes.append(hook.media - before)
        return found

    run.validate = counted
    run.fit(quiet=True)
    lines = run_fixtures.lines(tmp_path / "run" / "metrics.jsonl")
    assert passes == [2] * 4 if rate else sum(passes) + sum(line["work/vision_passes"] for line in lines) == 8
    assert hook.media == sum(passes) + sum(line["work/vision_passes"] for line in lines)
    if not rate:  # each was asked for by one step, and by two sets after each
        found = sum(line["media/features/hits"] for line in lines)
        assert found == sum(line["work/media"] - line["work/vision_passes"] for line in lines)


def scripted(monkeypatch, values):
    """Validations that find these values, one after the other."""
    left = iter(values)

    def examine(policy, section, out, *_, **__):
        (out / "own").mkdir(parents=True)
        value = next(left)
        return {"own": Summary("own", 1, 1, 1, 1, 1, {"ok": 1}, {"accuracy": Mean(value, 0, 1)}, ())}

    monkeypatch.setattr(running, "evaluate_model", examine)


def test_the_best_model_by_a_metric_is_kept_and_can_be_loaded(root, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.2, 0.6, 0.6, 0.4])
    out = tmp_path / "run"
    build(validated(root, out, best_metric="own/accuracy", save_total_limit=9, save_every=1), quiet=True).fit(
        quiet=True
    )
    assert checkpoint.read_best(out) == checkpoint.Best(2, "own/accuracy", 0.6)  # the earlier of two equals
    kept, wanted = weights(out / "best"), weights(out / "checkpoints" / "step-000002")
    assert all(torch.equal(p, kept[name]) for name, p in wanted.items())
    assert not (out / "best" / checkpoint.STATE).exists()


def test_a_step_that_is_both_best_and_due_is_saved_once(root, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.2, 0.6])
    written, write = [], checkpoint.write
    monkeypatch.setattr(checkpoint, "write", lambda path, *rest: written.append(path.name) or write(path, *rest))
    build(validated(root, tmp_path / "run", steps=2, best_metric="own/accuracy", save_every=1), quiet=True).fit(
        quiet=True
    )
    assert written == ["step-000001", "step-000002"]


def test_pruning_leaves_the_best_alone(root, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.9, 0.1, 0.1, 0.1])
    out = tmp_path / "run"
    build(validated(root, out, best_metric="own/accuracy", save_total_limit=1, save_every=1), quiet=True).fit(
        quiet=True
    )
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-000004"]
    assert json.loads((out / "best" / "best.json").read_text()) == {"step": 1, "metric": "own/accuracy", "value": 0.9}
    assert weights(out / "best")


def test_a_best_of_steps_that_are_taken_again_is_forgotten(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    checkpoint.keep_best(tmp_path, tmp_path / "checkpoint", checkpoint.Best(5, "own/accuracy", 0.5))
    checkpoint.drop_later(tmp_path, 5)
    assert checkpoint.read_best(tmp_path) is not None
    checkpoint.drop_later(tmp_path, 4)
    assert checkpoint.read_best(tmp_path) is None
    assert checkpoint.improves(tmp_path, "own/accuracy", 0.0)


def test_another_metric_is_no_rival(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    checkpoint.keep_best(tmp_path, tmp_path / "checkpoint", checkpoint.Best(5, "own/accuracy", 0.5))
    assert checkpoint.improves(tmp_path, "own/consistency", 0.1)
    assert not checkpoint.improves(tmp_path, "own/accuracy", 0.5)


def test_best_must_be_a_metric_of_the_validation(root, tmp_path):
    with pytest.raises(
        ValueError, match=r"best_metric: expected a metric of the validation \(own/accuracy, own/chance\), found"
    ):
        validated(root, tmp_path, best_metric="L1/accuracy")
    with pytest.raises(ValueError, match="there is none"):
        run_fixtures.config(root, tmp_path, best_metric="L1/accuracy")
