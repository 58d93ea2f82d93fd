"""A run that was killed, wherever, and resumed is the run that was not killed: bit for bit."""

import json
import os
import signal
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from mmrl.config.open_model import policy_of
from mmrl.runtime import files
from mmrl.training import checkpoint, run_log
from mmrl.training import loop as running
from mmrl.training.build import build
from mmrl.training.step.non_finite import NonFiniteError
from tests import run_fixtures

STEPS, LAST = 8, "step-000008"
SFT, CARE = "sft", "care"


def setting(root, out, algorithm):
    """A run with all that has a state: average, momentum, schedule, and a reward that draws from the global one."""
    rewards = {
        "accuracy": {"grader": "accuracy"},
        "vowels": {"grader": f"{root}/graders.py:vowels"},
        "chance": {"grader": f"{root}/graders.py:chance", "weight": 0.1},
    }
    more = {"rewards": rewards} if algorithm == CARE else {}
    model = root / "answers" if algorithm == CARE else root / "model"
    return run_fixtures.config(root, out, algorithm, model=model, steps=STEPS, save_every=2, **more)


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    """Runs that nothing interrupted, by algorithm."""

    @cache
    def run(algorithm):
        folder = tmp_path_factory.mktemp("whole") / algorithm
        build(setting(root, folder, algorithm), quiet=True).fit(quiet=True)
        return folder

    return run


def die(*_, **__):
    """As a machine does."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(function, times, deed=die):
    """The function, and at its call number ``times`` the deed."""
    calls = count(1)

    def wrapped(*args, **options):
        found = function(*args, **options)
        if next(calls) == times:
            deed()
        return found

    return wrapped


def failing(function, times):
    """The function, which fails when it is called for the ``times``-th time."""

    def fail():
        raise ValueError("a grader's own fault")

    return after(function, times, fail)


def half_a_line(path, rows):
    """What a process that is killed while it writes leaves behind."""
    with path.open("a") as file:
        file.write(json.dumps(rows[0])[:20])
        file.flush()
        die()


def half_pruned(folder, _keep):
    """One file of the oldest of several checkpoints is gone."""
    oldest, *newer = sorted(folder.glob("step-*"))
    if newer:
        (oldest / "config.json").unlink()
        die()


def arm(run, place, times):
    """Let the process die at a place, when it comes there for the ``times``-th time."""
    trainer = run.trainer
    if place in ("sample", "grade", "backward"):
        owner = trainer if place == "backward" else trainer.collector
        setattr(owner, place, after(getattr(owner, place), times))
    elif place == "optimizer":
        trainer.optimizer.step = after(trainer.optimizer.step, times)
    elif place == "metrics":
        run.log.log = after(run.log.log, times)
    elif place == "half a line":
        run.step = after(run.step, times, lambda: setattr(run_log, "append", half_a_line))
    elif place == "file of a checkpoint":
        checkpoint.save_file = after(checkpoint.save_file, times)
    elif place == "before the rename":
        files.flush = after(files.flush, times)
    elif place == "after the rename":
        checkpoint.prune = die
    else:
        assert place == "half deleted"
        checkpoint.prune = half_pruned


PLACES = {  # place -> how often a process may come there before it dies
    "sample": 3, "grade": 5, "backward": 2, "optimizer": 3, "metrics": 3, "half a line": 2,
    "file of a checkpoint": 2, "before the rename": 1, "after the rename": 1, "half deleted": 1,
}  # fmt: skip


def same(folder: Path, expected: Path) -> None:
    """Two runs that are the same run."""
    assert run_fixtures.numbers(folder) == run_fixtures.numbers(expected)
    assert run_fixtures.lines(folder / "rollouts.jsonl") == run_fixtures.lines(expected / "rollouts.jsonl")
    mine, other = folder / "checkpoints" / LAST, expected / "checkpoints" / LAST
    files = sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert sorted(path.relative_to(mine) for path in mine.rglob("*") if path.is_file()) == files
    for file in files:
        if file.suffix == ".safetensors":
            assert (mine / file).read_bytes() == (other / file).read_bytes(), file
    one, two = checkpoint.read_state(mine), checkpoint.read_state(other)
    assert one["config"].pop("out") != two["config"].pop("out")
    assert one == two
    assert not list(folder.rglob("*.partial"))


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize(
    "algorithm",
    [pytest.param(SFT, marks=pytest.mark.slow("CARE's run, below, comes to the same places and more")), CARE],
)
def test_a_run_killed_anywhere_and_resumed_is_the_run_that_was_not_killed(root, whole, tmp_path, algorithm, half):
    """Both halves together die at every place."""
    config = setting(root, tmp_path / "run", algorithm)
    generator, deaths = np.random.default_rng(0), []
    places = [str(place) for place in generator.permutation(list(PLACES))[half::2]]

    def begin():
        return build(config, resume=checkpoint.latest(tmp_path / "run" / "checkpoints") is not None, quiet=True)

    for place in places:
        times = int(generator.integers(1, PLACES[place] + 1))

        def doomed(place=place, times=times):
            run = begin()
            arm(run, place, times)
            run.fit(quiet=True)

        deaths.append(run_fixtures.death_of(doomed))
    assert set(deaths) <= {signal.SIGKILL, 0}
    assert deaths.count(signal.SIGKILL) >= 3, dict(zip(places, deaths, strict=True))
    begin().fit(quiet=True)
    same(tmp_path / "run", whole(algorithm))


def test_the_runs_above_exercise_bonus_and_average(whole):
    numbers = run_fixtures.numbers(whole(CARE))
    assert max(line["care/bonus"] for line in numbers) > 0
    assert all(line["ema/drift_ratio"] >= 0.99 for line in numbers if line["step"] % 2 == 0)
    assert len({line["rewards/chance/mean"] for line in numbers}) == STEPS


@pytest.mark.parametrize(
    "place",
    [
        "file of a checkpoint",
        pytest.param(
            "before the rename", marks=pytest.mark.slow("a run that is killed anywhere, above, dies there, too")
        ),
    ],
)
def test_a_half_written_checkpoint_is_never_taken_for_one(root, whole, tmp_path, place):
    config = setting(root, tmp_path / "run", CARE)

    def doomed():
        run = build(config, quiet=True)
        arm(run, place, 2)
        run.fit(quiet=True)

    assert run_fixtures.death_of(doomed) == signal.SIGKILL
    folder = tmp_path / "run" / "checkpoints"
    assert [p.name for p in folder.glob("*.partial")] in (["step-000002.partial"], ["step-000004.partial"])
    newest = checkpoint.latest(folder)
    assert newest is None or newest.name == "step-000002"
    build(config, resume=newest is not None, quiet=True).fit(quiet=True)
    same(tmp_path / "run", whole(CARE))


def test_an_error_between_checkpoints_loses_nothing(root, whole, tmp_path):
    config = setting(root, tmp_path / "run", CARE)
    run = build(config, quiet=True)
    run.trainer.collector.grade = failing(run.trainer.collector.grade, 3)
    with pytest.raises(ValueError, match="own fault"):
        run.fit(quiet=True)
    assert run.saved == 2
    build(config, resume=True, quiet=True).fit(quiet=True)
    same(tmp_path / "run", whole(CARE))


def test_an_error_in_the_middle_of_several_updates_keeps_the_weights_before_them(root, tmp_path):
    config = run_fixtures.config(
        root,
        tmp_path / "run",
        "grpo",
        algorithm={"name": "grpo", "beta": 0.0, "epsilon": 0.2},
        mini_batches_per_step=2,
        steps=2,
    )
    run = build(config, quiet=True)
    run.trainer.normalisers = failing(run.trainer.normalisers, 4)  # the second update of the second step
    with pytest.raises(ValueError, match="own fault"):
        run.fit(quiet=True)
    assert run.trainer.mid_step
    assert checkpoint.latest(run.checkpoints) is None


def test_a_loss_that_is_not_finite_leaves_a_run_that_can_go_on(root, whole, tmp_path):
    config = setting(root, tmp_path / "run", CARE)
    run = build(config, quiet=True)
    run.trainer.collector.weights = {**run.trainer.collector.weights, "vowels": float("nan")}
    with pytest.raises(NonFiniteError, match="step 1: expected a finite loss"):
        run.fit(quiet=True)
    assert [p.name for p in run.checkpoints.iterdir()] == ["step-000000"]
    build(config, resume=True, quiet=True).fit(quiet=True)
    same(tmp_path / "run", whole(CARE))


def test_a_validation_that_fails_loses_neither_weights_nor_numbers(root, tmp_path, monkeypatch):
    sets = [{"name": "own", "format": "messages", "file": "d.jsonl"}]
    validation = {"root": str(root), "sets": sets, "template": "plain", "graders": {"a": "accuracy"}, "every": 2}
    validated = run_fixtures.config(root, tmp_path / "run", steps=2, validation=validation)
    monkeypatch.setattr(running, "evaluate_model", lambda *_, **__: die_softly())
    with pytest.raises(OSError, match="no data"):
        build(validated, quiet=True).fit(quiet=True)
    assert checkpoint.latest(tmp_path / "run" / "checkpoints").name == "step-000002"
    assert [line["step"] for line in run_fixtures.numbers(tmp_path / "run")] == [1, 2]


def die_softly():
    raise OSError("no data")


def test_another_experiment_is_not_resumed_and_more_steps_are(root, tmp_path):
    out = tmp_path / "run"
    build(run_fixtures.config(root, out, steps=1), quiet=True).fit(quiet=True)
    before = (out / "metrics.jsonl").read_text()
    rates = {"learning_rates": {"language_model": 1e-4, "projector": 1e-3, "vision_tower": 1e-3}}
    said = r"because optimizer\.learning_rates\.language_model changed; the first: expected 0\.001, found 0\.0001\. Only out, "
    with pytest.raises(ValueError, match=said):
        build(run_fixtures.config(root, out, steps=1, optimizer=rates), resume=True, quiet=True)
    assert (out / "metrics.jsonl").read_text() == before
    data = run_fixtures.settings(root, out)["data"] | {"on_bad_media": "skip", "frame_cache_bytes": 0}
    build(
        run_fixtures.config(root, out, steps=3, data=data, max_tokens_per_micro_batch=99), resume=True, quiet=True
    ).fit(quiet=True)
    assert [line["step"] for line in run_fixtures.numbers(out)] == [1, 2, 3]


def test_a_run_is_not_overwritten(root, tmp_path):
    config = run_fixtures.config(root, tmp_path / "run", steps=1)
    build(config, quiet=True).fit(quiet=True)
    with pytest.raises(
        ValueError, match="holds a run at step-000001; add --resume to go on with it, or choose another out"
    ):
        build(config, quiet=True)


def test_a_checkpoint_of_another_model_is_refused(root, tmp_path):
    config = run_fixtures.config(root, tmp_path / "run", steps=1)
    run = build(config, quiet=True)
    run.fit(quiet=True)
    path = run.checkpoints / "step-000001" / checkpoint.STATE / "state.json"
    state = json.loads(path.read_text())
    name = next(iter(state["shapes"]))
    state["shapes"][name] = [1, 2]
    path.write_text(json.dumps(state))
    with pytest.raises(
        ValueError, match=f"a checkpoint of another model; 1 parameters differ, the first is {name}: expected"
    ):
        build(config, resume=True, quiet=True)
    path.unlink()
    with pytest.raises(ValueError, match=r"expected a checkpoint of mmrl, found no trainer/state\.json"):
        build(config, resume=True, quiet=True)


def test_a_checkpoint_of_an_older_version_is_refused_before_its_config_is_compared(root, tmp_path):
    config = run_fixtures.config(root, tmp_path / "run", steps=1)
    run = build(config, quiet=True)
    run.fit(quiet=True)
    path = run.checkpoints / "step-000001" / checkpoint.STATE / "state.json"
    state = json.loads(path.read_text())
    state["version"] -= 1
    state["config"]["validate_every"] = None
    path.write_text(json.dumps(state))
    with pytest.raises(
        ValueError, match=r"expected checkpoint version 3, found 2, .* whose config has other keys; go on with that"
    ):
        build(config, resume=True, quiet=True)


def test_a_checkpoint_is_a_model_directory(root, whole):
    found = policy_of(
        run_fixtures.config(root, whole, model=whole(CARE) / "checkpoints" / LAST).model, "plain", torch.device("cpu")
    )
    assert found.model.dtype == torch.float32


def test_the_journal_keeps_lines_whatever_completions_hold(tmp_path):
    rows = [{"step": 1, "text": "a\u2028b\x85c\x0cd"}, {"step": 2, "text": "e"}, {"step": 3, "text": "f"}]
    run_log.append(tmp_path / "rollouts.jsonl", rows)
    with (tmp_path / "rollouts.jsonl").open("a") as file:
        file.write('{"step": 3, "te')
    run_log.keep_until(tmp_path / "rollouts.jsonl", 2)
    assert run_fixtures.lines(tmp_path / "rollouts.jsonl") == rows[:2]
    assert [p.name for p in tmp_path.iterdir()] == ["rollouts.jsonl"]


def test_records_of_a_run_without_a_checkpoint_are_set_aside_and_named(root, tmp_path, capsys):
    build(run_fixtures.config(root, tmp_path / "run", steps=1), quiet=True).step()  # and is killed
    for number in (1, 2):
        (before,) = run_fixtures.lines(tmp_path / "run" / "metrics.jsonl")
        build(run_fixtures.config(root, tmp_path / "run", steps=1), quiet=True).step()
        assert run_fixtures.lines(tmp_path / "run" / f"metrics.{number}.jsonl") == [before]
        assert (tmp_path / "run" / f"rollouts.{number}.jsonl").exists()
        assert f"its records are in metrics.{number}.jsonl now" in capsys.readouterr().out
