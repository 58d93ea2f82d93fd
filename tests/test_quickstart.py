"""The quickstart in small: everything that it promises to write is there, and says what it should."""

import json

import pytest

from mmrl.models.policy import load_policy
from mmrl.quickstart import MARK, Plan, quickstart, start_over
from mmrl.world.build import Sizes
from mmrl.world.demos import Demonstrations

SMALL = Plan(Sizes(train=2, L1=1, L2=1, L3=1), Demonstrations(), drill_steps=2, sft_steps=2, rl_steps=2, prompts=2)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("quick") / "start"
    quickstart(out, seed=3, plan=SMALL)
    return out


def test_the_summary_has_both_metrics_on_three_levels(out):
    summary = json.loads((out / "summary.json").read_text())
    assert summary["seed"] == 3
    assert summary["seconds"] > 0
    assert summary["commit"]
    for level in ("L1", "L2", "L3"):
        for metric in ("accuracy", "consistency"):
            found = summary["arms"]["care"][level][metric]
            assert found["n"] == 8
            assert 0 <= found["before"] <= 1
            assert found["difference"] == pytest.approx(found["after"] - found["before"])
            assert len(found["interval"]) == 2


def test_the_report_is_one_file_with_pictures(out):
    page = (out / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_metrics_rollouts_and_config_lie_at_the_top(out):
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in metrics] == [1, 2]
    assert len(json.loads((out / "rollouts.jsonl").read_text().splitlines()[0])["completions"]) == 8
    assert "name: care" in (out / "config.yaml").read_text()


def test_the_checkpoint_is_loaded_by_from_pretrained(out):
    assert load_policy(out / "checkpoint", "toy").model.config.model_type == "qwen2_5_vl"


def test_an_earlier_quickstart_is_made_anew_and_anything_else_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(FileExistsError, match="another --out"):
        start_over(tmp_path)
    (tmp_path / MARK).touch()
    start_over(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MARK]
