"""The quickstart in small: everything that it promises to write is there, and says what it should."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmrl.cli.quickstart import evaluate_levels
from mmrl.cli.quickstart import train_arms as training
from mmrl.cli.quickstart.evaluate_levels import LEVEL_RUNS
from mmrl.cli.quickstart.experiment import MARK, run_quickstart, start_over
from mmrl.cli.quickstart.settings import ARMS, CONTROLS, LEVELS, QuickstartPlan, evaluation_section, training_config
from mmrl.cli.quickstart.train_arms import train_arms
from mmrl.config.load import load
from mmrl.config.schema import Config, EvalConfig
from mmrl.models.loading import load_policy
from mmrl.training.checkpoint import latest
from mmrl.world.splits import Sizes
from tests import run_fixtures
from tools.base.model import build_model

pytestmark = pytest.mark.timeout(
    900
)  # it starts processes that import torch, which takes its time where cores are busy
CONFIGS = Path(__file__).parents[2] / "configs"
METRICS = ("accuracy", "consistency", "events", "support", "cue")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Random weights, one octet a level, two steps."""
    base = build_model(tmp_path_factory.mktemp("base") / "model", seed=0)
    return QuickstartPlan(base, Sizes(train=1, L1=1, L2=1, L3=1), steps=2, prompts=2, completions=4, new_tokens=12)


@pytest.fixture(scope="module")
def out(tmp_path_factory, plan):
    """The whole of it: arms in copies of this process, levels in this one."""
    out = tmp_path_factory.mktemp("quick") / "start"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            training, "subprocess", SimpleNamespace(Popen=run_fixtures.ForkedTraining, STDOUT=subprocess.STDOUT)
        )
        patched.setattr(evaluate_levels, "ProcessPoolExecutor", run_fixtures.ThisProcess)
        run_quickstart(out, seed=3, plan=plan)
    return out


@pytest.fixture(scope="module")
def summary(out):
    return json.loads((out / "summary.json").read_text())


def test_the_summary_says_what_was_run(out, summary, plan):
    assert summary["seed"] == 3
    assert summary["seconds"] == pytest.approx(sum(summary["phases"].values()), abs=0.2)
    assert set(summary["phases"]) == {"render", "train", "evaluate"}
    assert summary["commit"]
    assert summary["plan"]["steps"] == plan.steps
    assert summary["plan"]["sizes"]["L1"] == 1
    assert str(out.parent.parent) not in (out / "summary.json").read_text()


@pytest.mark.parametrize("level", LEVELS)
def test_the_summary_has_every_metric_of_both_arms_and_their_difference(summary, level):
    wanted = METRICS[:-1] if level == "L1_neutral" else METRICS  # no border names a letter there
    tables = (summary["arms"]["grpo"], summary["arms"]["care"], summary["care_minus_grpo"])
    for found in tables:
        assert tuple(found[level]) == wanted
        for numbers in found[level].values():
            assert numbers["n"] == 8
            assert 0 <= numbers["before"] <= 1
            assert numbers["difference"] == pytest.approx(numbers["after"] - numbers["before"])
            assert len(numbers["interval"]) == 2
    grpo, care, gap = (found[level] for found in tables)
    for metric in wanted:
        assert grpo[metric]["before"] == care[metric]["before"]  # the base
        assert (gap[metric]["before"], gap[metric]["after"]) == (grpo[metric]["after"], care[metric]["after"])


def test_the_controls_are_compared_with_the_full_video(summary):
    for arm in ARMS:
        assert tuple(summary["conditions"][arm]) == CONTROLS
        for found in summary["conditions"][arm].values():
            assert found["accuracy"]["before"] == summary["arms"][arm]["L1_neutral"]["accuracy"]["after"]


def test_the_records_of_every_look_are_kept(out):
    for look in LEVEL_RUNS:
        records = (out / "eval" / look.folder / look.level / "samples.jsonl").read_text().splitlines()
        assert len(records) == 8
    folder = out / "eval" / "care_observation_only" / "L1_neutral"
    first = json.loads((folder / "samples.jsonl").read_text().split("\n")[0])
    assert [medium["kind"] for medium in first["request"]["media"]] == ["image"]


@pytest.mark.slow("processes that import torch; the records above are made by the same function in this one")
def test_processes_of_their_own_make_the_same_records(out, plan, tmp_path):
    learned = {arm: latest(out / arm / "checkpoints") for arm in ARMS}
    evaluate_levels.evaluate_levels({"base": plan.base} | learned, plan, out / "world", tmp_path, seed=3)
    for look in LEVEL_RUNS:
        here, there = (
            {(row["item"], row["sample"]): row["response"]["text"] for row in run_fixtures.lines(path)}
            for path in (folder / look.folder / look.level / "samples.jsonl" for folder in (out / "eval", tmp_path))
        )
        assert here == there


def test_the_report_is_one_file_with_both_arms(out):
    page = (out / "report.html").read_text()
    assert page.count('class="strip"') == 4  # two steps, two arms
    assert "data:image/png;base64," in page
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    for shown in (
        "GRPO, no KL",
        "GRPO-CARE",
        "L1_neutral",
        "Models compared",
        "GRPO-CARE, shuffled",
        "Reward: accuracy",
    ):
        assert shown in page


def test_metrics_rollouts_and_config_of_care_lie_at_the_top_and_both_arms_keep_theirs(out):
    for folder in (out, out / "grpo", out / "care"):
        metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [row["step"] for row in metrics] == [1, 2]
        assert len(json.loads((folder / "rollouts.jsonl").read_text().splitlines()[0])["completions"]) == 4
    assert "name: care" in (out / "config.yaml").read_text()
    assert "name: grpo" in (out / "grpo" / "config.yaml").read_text()


def test_both_arms_see_the_same_prompts_with_options_as_the_border_has_them(out):
    seen = []
    for arm in ARMS:
        rows = [json.loads(line) for line in (out / arm / "rollouts.jsonl").read_text().splitlines()]
        seen.append([(row["step"], row["example"], row["choices"]) for row in rows])
    assert seen[0] == seen[1]
    rows = [json.loads(line) for line in (out / "world" / "annotations" / "training.jsonl").read_text().splitlines()]
    stated = {row["sample_id"]: [row[f"choice_{letter}"] for letter in "abcd"] for row in rows}
    assert all(stated[example] == choices for _, example, choices in seen[0])


def test_an_arm_can_be_trained_again_by_the_command_on_its_first_line(out):
    for arm in ARMS:
        path = out / f"{arm}.yaml"
        assert path.read_text().split("\n")[0] == f"# mmrl train {path}"
        assert load(Config, path).algorithm.name == arm


def test_the_checkpoint_is_loaded_by_from_pretrained(out):
    assert load_policy(out / "checkpoint", "toy").model.config.model_type == "qwen2_5_vl"


ARM = """#!/bin/sh
echo "arguments: $@"
case "$4" in *grpo.yaml) echo "expected a model, found nothing at nowhere"; exit 2 ;; esac
while :; do sleep 0.1; done
"""


def test_where_one_arm_fails_the_other_is_stopped_and_the_log_is_shown(out, plan, tmp_path, monkeypatch):
    """A program stands for Python: it fails as GRPO, and as CARE goes on until it is ended."""
    (tmp_path / "python").write_text(ARM)
    (tmp_path / "python").chmod(0o755)
    configs = {arm: training_config(arm, plan, out / "world", tmp_path / arm, 0) for arm in ARMS}
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(RuntimeError, match=r"(?s)GRPO, no KL: training ended with status 2.*found nothing at") as error:
        train_arms(configs)
    assert f"arguments: -m mmrl train {tmp_path}/grpo.yaml" in str(error.value)
    assert "grpo/log.txt" in str(error.value)
    assert not running(tmp_path / "care.yaml")


@pytest.mark.slow("real arms in new interpreters; the test above has programs in their place, the fixture forks")
def test_arms_train_in_interpreters_of_their_own_as_they_do_here(out, plan, tmp_path):
    configs = {arm: training_config(arm, plan, out / "world", tmp_path / arm, 3) for arm in ARMS}
    assert list(train_arms(configs)) == list(ARMS)
    for arm in ARMS:
        assert run_fixtures.numbers(tmp_path / arm) == run_fixtures.numbers(out / arm)


@pytest.mark.slow("real arms in new interpreters; the test above has programs in their place")
def test_where_one_real_arm_fails_the_other_is_stopped(out, plan, tmp_path):
    configs = {arm: training_config(arm, plan, out / "world", tmp_path / arm, 0) for arm in ARMS}
    configs["care"] = configs["care"].model_copy(update={"steps": 100_000})
    broken = configs["grpo"].model.model_copy(update={"path": str(tmp_path / "nowhere")})
    configs["grpo"] = configs["grpo"].model_copy(update={"model": broken})
    with pytest.raises(RuntimeError, match=r"(?s)GRPO, no KL: training ended with status 2.*found nothing at") as error:
        train_arms(configs)
    assert "grpo/log.txt" in str(error.value)
    assert not running(tmp_path / "care.yaml")


@pytest.mark.slow("two real trainings; test_app presses Ctrl-C in one")
@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_ctrl_c_and_termination_stop_both_arms(out, plan, tmp_path, number, error):
    configs = {
        arm: training_config(arm, plan, out / "world", tmp_path / arm, 0).model_copy(update={"steps": 100_000})
        for arm in ARMS
    }

    def press():
        late = time.monotonic() + 400
        while time.monotonic() < late and not all((tmp_path / arm / "metrics.jsonl").exists() for arm in ARMS):
            time.sleep(0.1)
        os.kill(os.getpid(), number)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(error):
        train_arms(configs)
    assert not any(running(tmp_path / f"{arm}.yaml") for arm in ARMS)
    assert all(any((tmp_path / arm / "checkpoints").iterdir()) for arm in ARMS)


def running(config: Path) -> bool:
    """Whether some process was started with this config."""
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)]
    return any(str(config).encode() in line for line in lines)


def readable(path: Path) -> bool:
    """Whether a process is still there and ours."""
    return path.exists() and path.stat().st_uid == os.getuid()


@pytest.mark.parametrize("arm", ARMS)
def test_the_toy_configs_train_the_arms_of_the_quickstart(arm):
    written = load(Config, CONFIGS / f"toy_{arm}.yaml")
    same = training_config(
        arm, QuickstartPlan(Path(written.model.path)), Path(written.data.root), Path(written.out), written.seed
    )
    more = ("save_every", "validation", "best_metric")  # which the quickstart does after training
    assert written.model_copy(update={key: getattr(same, key) for key in more}) == same
    assert (CONFIGS.parent / written.model.path).resolve() == QuickstartPlan().base.resolve()


def test_the_toy_evaluation_looks_as_the_quickstart_does():
    written = load(EvalConfig, CONFIGS / "eval" / "toy.yaml").evaluation
    for one in written.sets:
        assert one.expect == 8 * getattr(QuickstartPlan().sizes, one.name)
        same = evaluation_section(one.name, "full", QuickstartPlan(), Path(written.root), written.seed)
        assert written.model_copy(update={"sets": (one.model_copy(update={"expect": None}),)}) == same


def test_a_base_that_is_not_there_is_said_before_anything_is_rendered(tmp_path):
    with pytest.raises(ValueError, match="found nothing at"):
        run_quickstart(tmp_path / "out", 0, QuickstartPlan(base=tmp_path / "nowhere"))
    assert not (tmp_path / "out").exists()


def test_an_earlier_quickstart_is_made_anew_and_anything_else_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(FileExistsError, match="another --out"):
        start_over(tmp_path)
    (tmp_path / MARK).touch()
    start_over(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MARK]
