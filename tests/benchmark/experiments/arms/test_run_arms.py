"""Arms over seeds: what is run, what a run's file says, what is not run twice, what a failure leaves alone."""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from benchmark.cli import app
from benchmark.experiments.arms import run_arms as arm_runs
from benchmark.experiments.arms import run_job as arm_run
from benchmark.experiments.arms import tables as arm_tables
from benchmark.experiments.arms.job import ARMS, UNTRAINED, Job, job_of, weights
from benchmark.experiments.arms.processes import Task, run_all
from benchmark.experiments.option_lists import numbers, strengths
from mmrl.cli.quickstart.settings import LEVELS, NEUTRAL, QuickstartPlan
from mmrl.world.splits import Sizes
from tests.benchmark.experiments.arms.test_tables import run as finished
from tools.base.model import build_model

METRICS = {"accuracy", "consistency", "support", "events", "station"}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Random weights, one octet a level, one step."""
    base = build_model(tmp_path_factory.mktemp("bases") / "weak", seed=0)
    return QuickstartPlan(base, Sizes(train=1, L1=1, L2=1, L3=1), steps=1, prompts=2, completions=4, new_tokens=8)


@pytest.fixture(scope="module")
def out(tmp_path_factory, plan):
    """What three jobs left, each done in this process."""
    out = tmp_path_factory.mktemp("rl")
    jobs = arm_runs.wanted(out, ["grpo_kl0.1", "care_frozen"], [3], [0.8], plan)
    for job in (jobs[0].shared, *jobs):
        arm_runs.task_of(job)
        arm_run.do(job_of((job.folder / "job.json").read_text()))
    return out


def jobs_of(out, plan, names=("grpo", "care"), seeds=(0, 1)):
    return arm_runs.wanted(out, names, seeds, [0.8], plan)


def pretend(monkeypatch, script):
    """Children that do something else than train."""

    def task_of(job, make=arm_runs.task_of):
        task = make(job)
        return replace(task, command=(sys.executable, "-c", script, task.command[-1]))

    monkeypatch.setattr(arm_runs, "task_of", task_of)


WRITE = """
import json, sys
from pathlib import Path
job = json.load(open(sys.argv[1]))
print("started", job["arm"])
if job["arm"] == "grpo" and job["seed"] == 0:
    sys.exit("no memory left")
Path(sys.argv[1]).with_name("levels.json").write_text("{}")
(Path(job["out"]) / f"{job['arm']}+weak-s{job['seed']}.json").touch()
"""


def test_numbers_and_ranges_are_read_and_anything_else_is_refused():
    assert numbers("0-2,7,1") == [0, 1, 2, 7]
    assert strengths("0.25,0.8") == [0.25, 0.8]
    for wrong in ("", "4-0", "a", "1,", "-1"):
        with pytest.raises(ValueError, match="--seeds"):
            numbers(wrong)
    with pytest.raises(ValueError, match="--strengths"):
        strengths("strong")


def test_a_run_is_a_file_that_tables_read_with_the_base_on_the_same_items(out, plan):
    runs = {run.arm: run for run in arm_tables.read(out)}
    assert list(runs) == ["care_frozen+weak", "grpo_kl0.1+weak"]
    for run in runs.values():
        assert (run.seed, run.steps, run.base) == (3, 1, f"weak {weights(plan.base)}")
        assert set(run.levels) == set(run.before) == set(LEVELS)
        for level in LEVELS:
            wanted = METRICS if level == NEUTRAL else METRICS | {"cue"}
            assert set(run.levels[level]) == set(run.before[level]) == wanted
            assert all(value.n == 8 for value in run.levels[level].values())
    first, second = runs.values()
    assert first.before == second.before
    assert f"--arms care_frozen --seeds 3 --steps 1 --strengths 0.8 --base {plan.base.name}" in first.command
    assert str(out.parent) not in first.model_dump_json()


def test_arms_differ_in_their_algorithm_alone(plan, tmp_path):
    configs = [arm_run.config_of(job).model_dump() for job in arm_runs.wanted(tmp_path, list(ARMS), [0], [0.8], plan)]
    for config in configs:
        assert {key for key in config if config[key] != configs[0][key]} <= {"algorithm", "out"}
    found = [(c["algorithm"]["name"], c["algorithm"].get("beta"), c["algorithm"]["reference"]) for c in configs]
    assert found[0] == ("grpo", 0.0, None)
    assert [one[1] for one in found[1:3]] == [0.04, 0.1]
    assert found[1][2]["name"] == found[2][2]["name"] == found[4][2]["name"] == "frozen"
    assert found[3][2]["name"] == "ema"


def test_both_arms_were_shown_the_same_prompts(out):
    seen = []
    for folder in sorted((out / "work").glob("*-s3/train")):
        rows = [json.loads(line) for line in (folder / "rollouts.jsonl").read_text().splitlines()]
        seen.append([(row["example"], row["choices"]) for row in rows])
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_names_say_which_cue_and_which_base(tmp_path, plan):
    (half,) = arm_runs.wanted(tmp_path, ["care"], [0], [0.5], plan)
    assert half.name == "care@0.5+weak"
    assert half.base.endswith("@0.5")  # or the base's figures in worlds of two strengths would be averaged
    assert half.world != replace(half, plan=plan).world
    assert half.shared.result != replace(half, plan=plan).shared.result
    assert job_of(half.as_json()) == half


def test_what_is_finished_is_not_run_again(tmp_path, plan, monkeypatch):
    jobs = jobs_of(tmp_path, plan, ["care"], [1])
    pretend(monkeypatch, WRITE)
    assert arm_runs.run(jobs, 2) == []
    row = finished(jobs[0].name, 1, 0.5, steps=plan.steps, base=jobs[0].base)
    jobs[0].result.write_text(json.dumps(row))
    pretend(monkeypatch, "raise SystemExit(1)")
    assert arm_runs.run(jobs, 2) == []
    jobs[0].result.unlink()  # as an interrupted run leaves it
    assert arm_runs.run(jobs, 2) == ["care+weak, seed 1"]


def test_another_run_by_the_same_name_is_refused(tmp_path, plan):
    (job,) = jobs_of(tmp_path, plan, ["care"], [1])
    job.result.write_text(json.dumps(finished(job.name, 1, 0.5, steps=7, base=job.base)))
    with pytest.raises(ValueError, match=r"expected 1 steps from weak .*, found 7"):
        arm_runs.run([job], 1)


def test_a_run_that_fails_is_reported_with_its_log_and_stops_no_other(tmp_path, plan, monkeypatch, capsys):
    pretend(monkeypatch, WRITE)
    jobs = jobs_of(tmp_path, plan)
    assert arm_runs.run(jobs, 2) == ["grpo+weak, seed 0"]
    told = capsys.readouterr().err
    assert "grpo+weak, seed 0: ended with status 1" in told
    assert "started grpo\nno memory left" in told
    assert [job.result.exists() for job in jobs] == [False, True, True, True]
    assert (tmp_path / "work" / ".gitignore").read_text() == "*\n"


def test_runs_wait_for_the_examination_of_their_base_and_are_left_out_without_it(tmp_path, plan, monkeypatch, capsys):
    pretend(monkeypatch, WRITE.replace('"grpo"', '"base"'))
    jobs = jobs_of(tmp_path, plan)
    assert arm_runs.run(jobs, 2) == ["base+weak, seed 0", "grpo+weak, seed 0", "care+weak, seed 0"]
    assert "not run, because its base could not be examined" in capsys.readouterr().err
    assert [job.result.exists() for job in jobs] == [False, False, True, True]


def test_so_many_processes_at_a_time_and_none_outlives_an_error(tmp_path):
    script = "import sys, time; time.sleep(float(sys.argv[1]))"
    tasks = [Task(str(n), (sys.executable, "-c", script, "60"), tmp_path / f"{n}.txt") for n in range(2)]
    ending = Task("short", (sys.executable, "-c", script, "0"), tmp_path / "short.txt")

    def ended(task, status):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all([tasks[0], ending, tasks[1]], 2, ended)
    assert (tmp_path / "0.txt").exists()
    assert not (tmp_path / "1.txt").exists()  # it never began


def test_a_sigterm_ends_what_was_started(tmp_path):
    task = Task("long", (sys.executable, "-c", "import time; time.sleep(60)"), tmp_path / "long.txt")
    began = time.monotonic()
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(SystemExit):
        run_all([task], 1, lambda *_: None)
    timer.join()
    assert time.monotonic() - began < 30


def test_a_listing_runs_nothing_and_tells_minutes_by_what_is_finished(tmp_path, plan, monkeypatch):
    monkeypatch.setattr(arm_runs, "run", None)
    asked = ["rl", str(tmp_path), "--base", str(plan.base), "--arms", "grpo,care", "--seeds", "0,1", "--plan"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "4 to run; how long that takes can be said when one has finished" in done.stdout
    assert list(tmp_path.iterdir()) == []
    row = finished("grpo+weak", 0, 0.5, steps=120, base=f"weak {weights(plan.base)}", seconds=240.0)
    (tmp_path / "grpo+weak-s0.json").write_text(json.dumps(row))
    done = CliRunner().invoke(app, asked)
    assert "3 to run: about 6 minutes, 2 at a time" in done.stdout  # 3 runs of 120 steps at 2 s
    assert CliRunner().invoke(app, [*asked, "--steps", "60"]).exit_code == 1  # the finished one has 120


def test_a_wish_that_cannot_be_had_is_refused_before_anything_is_run(tmp_path, plan):
    for names, strength, base, why in (
        (["grpo", "dpo"], 0.8, plan.base, r"--arms.*found dpo"),
        (["grpo"], 1.5, plan.base, "strength"),
        (["grpo"], 0.8, tmp_path / "nowhere", "found nothing at"),
    ):
        with pytest.raises(ValueError, match=why):
            arm_runs.wanted(tmp_path / "out", names, [0], [strength], replace(plan, base=base))
    assert not (tmp_path / "out").exists()


def test_what_could_not_be_seen_is_a_failure_and_not_a_wrong_answer(out, plan):
    job = Job(UNTRAINED, 3, plan, out)
    seen = arm_run.evaluate_level(
        plan.base, arm_run.evaluation_section("L3", "full", plan, job.world, 3), job.folder / "again"
    )
    assert arm_run.measured(seen)["accuracy"]["n"] == 8
    with pytest.raises(RuntimeError, match="found 2 whose files"):
        arm_run.measured(replace(seen, statuses={"ok": 6, "media_error": 2}))


@pytest.mark.slow("the jobs above in processes of their own")
def test_the_command_trains_in_processes_of_their_own_and_not_twice(tmp_path, plan, monkeypatch):
    monkeypatch.setattr(arm_runs, "USUAL", plan)
    asked = ["rl", str(tmp_path), "--base", str(plan.base), "--arms", "care", "--seeds", "0", "--steps", "1"]
    for _ in range(2):
        done = CliRunner().invoke(app, asked)
        assert done.exit_code == 0, done.output
        monkeypatch.setattr(arm_runs, "task_of", None)
    (run,) = arm_tables.read(tmp_path)
    assert run.arm == "care+weak"
    assert (tmp_path / "work" / "care+weak-s0" / "log.txt").read_text()
