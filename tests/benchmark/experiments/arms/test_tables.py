"""Runs over seeds: intervals by hand, pairs by seed, refusals that say what is wrong."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmark.cli import app
from benchmark.experiments.arms import tables as arm_tables

T2 = 4.302652729911275  # 97.5 % point of Student's t with 2 degrees of freedom, from a printed table: 4.303


def metric(mean, half=0.05, n=240):
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def run(arm, seed, accuracy, consistency=0.8, **more):
    made = {
        "arm": arm,
        "seed": seed,
        "steps": 120,
        "base": "toy",
        "command": f"python -m benchmark world arms --arm {arm} --seed {seed}",
        "commit": "0123456789ab",
        "machine": "two cores",
        "seconds": 60.0,
        "levels": {"L1": {"accuracy": metric(accuracy), "consistency": metric(consistency)}},
        "before": {"L1": {"accuracy": metric(0.55), "consistency": metric(0.7)}},
    }
    return made | more


def folder(path, runs):
    for one in runs:
        (path / f"{one['arm']}-{one['seed']}.json").write_text(json.dumps(one))
    return path


RUNS = [
    *(run("grpo", seed, 0.6, 0.6) for seed in (0, 1, 2)),
    *(run("care", seed, accuracy, 0.9) for seed, accuracy in enumerate((0.8, 0.7, 0.9))),
]


def of(found, **wanted):
    (one,) = [one for one in found if all(getattr(one, key) == value for key, value in wanted.items())]
    return one


def test_means_over_seeds_worked_by_hand(tmp_path):
    found = arm_tables.spreads(arm_tables.read(folder(tmp_path, RUNS)))
    care = of(found, arm="care", metric="accuracy")
    # 0.8 0.7 0.9: mean 0.8, s = 0.1, error 0.1 / sqrt 3
    assert care.mean == pytest.approx(0.8)
    assert (care.low, care.high) == (pytest.approx(0.8 - T2 * 0.1 / 3**0.5), pytest.approx(0.8 + T2 * 0.1 / 3**0.5))
    assert care.seeds == {0: 0.8, 1: 0.7, 2: 0.9}


def test_differences_are_paired_by_seed(tmp_path):
    grpo, care = (0.7, 0.5, 0.6), (0.8, 0.6, 0.8)
    runs = [run(arm, seed, one) for arm, values in (("grpo", grpo), ("care", care)) for seed, one in enumerate(values)]
    found = of(
        arm_tables.contrasts(arm_tables.read(folder(tmp_path, runs))), arm="care", other="grpo", metric="accuracy"
    )
    # differences 0.1 0.1 0.2: mean 0.4 / 3, residuals -1/30 -1/30 2/30, s^2 = 6/900 / 2, error = sqrt(1/300 / 3) = 1/30
    assert found.mean == pytest.approx(0.4 / 3)
    assert (found.low, found.high) == (pytest.approx(0.4 / 3 - T2 / 30), pytest.approx(0.4 / 3 + T2 / 30))
    assert found.p_signflip == 0.25  # all three positive: two of eight flips are as extreme
    assert found.seeds == [0, 1, 2]


def test_an_arm_is_compared_with_what_each_run_started_from(tmp_path):
    found = of(
        arm_tables.contrasts(arm_tables.read(folder(tmp_path, RUNS))), arm="care", other="before", metric="accuracy"
    )
    # 0.25 0.15 0.35 over 0.55
    assert found.mean == pytest.approx(0.25)
    assert found.low == pytest.approx(0.25 - T2 * 0.1 / 3**0.5)


def test_seeds_that_only_one_arm_has_are_not_in_the_difference(tmp_path):
    found = arm_tables.contrasts(arm_tables.read(folder(tmp_path, [*RUNS, run("care", 7, 0.1)])))
    assert of(found, arm="care", other="grpo", metric="accuracy").seeds == [0, 1, 2]
    assert of(found, arm="care", other="before", metric="accuracy").seeds == [0, 1, 2, 7]


def test_one_seed_leaves_the_limits_open(tmp_path):
    runs = arm_tables.read(folder(tmp_path, [run("grpo", 0, 0.6), run("care", 0, 0.8)]))
    assert of(arm_tables.spreads(runs), arm="care", metric="accuracy").low is None
    found = of(arm_tables.contrasts(runs), arm="care", other="grpo", metric="accuracy")
    assert (found.mean, found.low, found.high) == (pytest.approx(0.2), None, None)
    assert arm_tables.difference_cells([found])[1][0][4] == "? to ?"


def test_a_base_that_was_copied_into_every_run_has_no_spread_over_seeds(tmp_path):
    found = of(arm_tables.spreads(arm_tables.read(folder(tmp_path, RUNS))), arm="before", metric="accuracy")
    assert (found.mean, found.low, found.high) == (pytest.approx(0.55), None, None)


def test_a_base_that_was_examined_anew_has_one(tmp_path):
    runs = [run("grpo", s, 0.6, before={"L1": {"accuracy": metric(v)}}) for s, v in enumerate((0.4, 0.5, 0.6))]
    found = of(arm_tables.spreads(arm_tables.read(folder(tmp_path, runs))), arm="before", metric="accuracy")
    assert (found.mean, found.low) == (pytest.approx(0.5), pytest.approx(0.5 - T2 * 0.1 / 3**0.5))


def test_bases_stand_apart(tmp_path):
    runs = [*RUNS, *(run("weak", s, 0.5, base="weaker") for s in (0, 1))]
    names = [one.arm for one in arm_tables.spreads(arm_tables.read(folder(tmp_path, runs))) if one.metric == "accuracy"]
    assert names == ["before (toy)", "before (weaker)", "care", "grpo", "weak"]


def test_runs_that_are_not_alike_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected JSON files, one a run, found none"):
        arm_tables.read(tmp_path)
    folder(tmp_path, RUNS)
    (tmp_path / "zz.json").write_text(json.dumps(run("care", 2, 0.3)))
    with pytest.raises(ValueError, match=r"zz\.json: arm care, seed 2 is in care-2\.json already"):
        arm_tables.read(tmp_path)
    (tmp_path / "zz.json").write_text(json.dumps(run("care", 3, 0.3, steps=60)))
    with pytest.raises(ValueError, match=r"arm care: expected runs with the same steps, found \[60, 120\]"):
        arm_tables.read(tmp_path)
    (tmp_path / "zz.json").write_text(json.dumps(run("care", 3, 0.3, levels={"L1": {"accuracy": metric(0.3)}})))
    with pytest.raises(ValueError, match=r"found \[\('L1', 'consistency'\)\] only in some"):
        arm_tables.read(tmp_path)


def test_a_file_that_is_no_run_is_named(tmp_path):
    broken = run("care", 0, 0.5)
    del broken["before"]
    with pytest.raises(ValueError, match=r"care-0\.json: expected a run's summary .*\nbefore\n"):
        arm_tables.read(folder(tmp_path, [broken]))
    with pytest.raises(ValueError, match=r"mean\n.*finite"):
        arm_tables.read(folder(tmp_path, [run("care", 0, float("nan"))]))


def test_metrics_are_chosen_in_order(tmp_path):
    means = arm_tables.spreads(arm_tables.read(folder(tmp_path, RUNS)))
    chosen = arm_tables.chosen(means, ["consistency", "accuracy"])
    assert list(dict.fromkeys(one.metric for one in chosen)) == ["consistency", "accuracy"]
    with pytest.raises(ValueError, match="--metrics: expected some of accuracy, consistency; found 'cac'"):
        arm_tables.chosen(means, ["cac"])


def test_the_command_writes_table_and_picture(tmp_path):
    folder(tmp_path, RUNS)
    for _ in range(2):  # the second time its own table lies there
        done = CliRunner().invoke(app, ["table", str(tmp_path), "--metrics", "consistency"])
        assert done.exit_code == 0, done.output
    assert "care - grpo" in done.output
    assert "accuracy" not in done.output
    table = json.loads((tmp_path / "table.json").read_text())
    assert [one["seed"] for one in table["runs"]] == [0, 1, 2, 0, 1, 2]
    assert {one["metric"] for one in table["means"]} == {"consistency"}
    with Image.open(tmp_path / "table.png") as picture:
        assert picture.size > (400, 300)


def test_some_arms_have_a_table_of_their_own_name(tmp_path):
    folder(tmp_path, RUNS)
    asked = ["table", str(tmp_path), "--metrics", "accuracy", "--arms", "care", "--name", "alone", "--markdown"]
    for _ in range(2):  # the second time it lies there
        done = CliRunner().invoke(app, asked)
        assert done.exit_code == 0, done.output
    assert done.stdout.startswith("| level | arm | accuracy |\n")
    assert "grpo" not in done.stdout
    assert {run["arm"] for run in json.loads((tmp_path / "alone.table.json").read_text())["runs"]} == {"care"}
    with pytest.raises(ValueError, match="--arms: expected some of care, grpo; found 'ppo'"):
        arm_tables.of_arms(arm_tables.read(tmp_path), ["ppo"])


def test_percent_with_limits_worked_by_hand(tmp_path):
    means = [arm_tables.Spread("L1", "accuracy", "care", 0.756, 0.5, None, {0: 0.756})]
    assert arm_tables.arm_cells(means) == (["level", "arm", "accuracy"], [["L1", "care", "76 [50, ?]"]])
