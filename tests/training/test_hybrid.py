"""A run of a model whose layers keep a recurrent state: it learns, nothing is compared, and the plain path is said once."""

import shutil
from contextlib import nullcontext

import pytest
from safetensors.torch import load_file

from mmrl.config.schema import ConfigError
from mmrl.training.build import build
from tests import run_fixtures

SAID = "model: every completion is read with a copy of its prompt"
METHODS = {
    "grpo": {"name": "grpo", "beta": 0.1, "reference": {"name": "frozen"}},
    "care": {"name": "care", "reference": {"name": "ema", "every": 1, "decay": 0.9}},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return run_fixtures.make_root(tmp_path_factory.mktemp("hybrid") / "root", count=4, family="qwen3_5")


def said(caplog):
    found = sum(record.message.startswith(SAID) for record in caplog.records)
    caplog.clear()
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_run_learns_and_goes_on_where_it_was(root, tmp_path, caplog, method):
    options = {"steps": 3, "algorithm": METHODS[method]}
    whole = build(run_fixtures.config(root, tmp_path / "whole", method, **options), quiet=True)
    whole.fit(quiet=True)
    assert said(caplog) == 1
    config = run_fixtures.config(root, tmp_path / "parts", method, **options)
    run_fixtures.begun(config, steps=2)
    assert said(caplog) == 1
    build(config, resume=True, quiet=True).fit(quiet=True)
    assert said(caplog) == 1
    assert run_fixtures.numbers(tmp_path / "parts") == run_fixtures.numbers(tmp_path / "whole")
    lines = run_fixtures.lines(tmp_path / "whole" / "metrics.jsonl")
    if method == "grpo":  # 2 by the policy; 1 by the reference, whose tower stays, until the second epoch
        assert [line["work/vision_passes_per_prompt"] for line in lines] == [3, 3, 2]
    assert all(not any("compare" in name for name in line) for line in lines)
    assert all(line["sampling/logprob_difference_max"] < 1e-4 for line in lines)
    before, after = (
        load_file(p / "model.safetensors") for p in (root / "model", tmp_path / "whole/checkpoints/step-000003")
    )
    moved = {name for name in before if not before[name].equal(after[name])}
    assert {
        f"model.language_model.layers.0.linear_attn.{part}" for part in ("A_log", "dt_bias", "conv1d.weight")
    } <= moved


ENDS = [("<think>\n", True), ("<think>\n\n</think>\n\n", False)]  # of Qwen3.5's prompts, from 4B on and below
REFUSED = {
    "grpo": "rewards.form: expected the whole think block to be the completion's",
    "sft": "data: expected demonstrations that go on where their prompts end, found .*, and 4 that begin with <think> again",
}


@pytest.mark.parametrize(("end", "refused"), ENDS)
@pytest.mark.parametrize("method", REFUSED)
def test_what_the_chat_template_has_begun_is_not_expected_of_the_completion(root, tmp_path, method, end, refused):
    shutil.copytree(root / "model", tmp_path / "model")
    template = tmp_path / "model" / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant\n", "assistant\n" + end))
    rewards = {} if method == "sft" else {"rewards": {"form": {"grader": "format"}, "right": {"grader": "accuracy"}}}
    config = run_fixtures.config(root, tmp_path / "out", method, model=tmp_path / "model", **rewards)
    with pytest.raises(ConfigError, match=REFUSED[method]) if refused else nullcontext():
        build(config, quiet=True)
