"""Every number of a step is explained in docs/metrics.md, and is what a hook beside it counts."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmrl.data.media import video
from mmrl.training.build import build
from mmrl.training.step.metrics import Meter
from tests import run_fixtures
from tests.models.vision.test_feature_cache import Hook

PACKAGE = Path(__file__).parents[3] / "mmrl"
TABLE = (PACKAGE.parent / "docs" / "metrics.md").read_text()
NAMES = [
    name
    for line in TABLE.splitlines()
    if line.startswith("| `")
    for name in re.findall("`([^`]*)`", line.split("|")[1])
]


def explained(name):
    return any(fnmatch(name, pattern) for pattern in NAMES)


@pytest.mark.parametrize("method", ["sft", "grpo", "care"])
def test_each_number_of_a_run_is_in_the_table(root, tmp_path, method):
    build(run_fixtures.config(root, tmp_path / "run", method, steps=3), quiet=True).fit(quiet=True)
    for line in run_fixtures.lines(tmp_path / "run" / "metrics.jsonl"):
        assert not [name for name in line if not explained(name)]


def test_each_name_that_an_algorithm_writes_is_in_the_table():
    written = set()
    for path in sorted((PACKAGE / "algorithms").glob("*.py")):
        constants = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
        written |= {
            value for value in constants if isinstance(value, str) and re.fullmatch(r"[a-z_]+/[a-z_0-9]+", value)
        }
    assert {"care/bonus", "groups/no_success"} <= written
    assert not [name for name in sorted(written) if not explained(name)]


class Decoder:
    """Counts decodes beside the real one."""

    def __init__(self, monkeypatch):
        self.files = []
        for name in ("decode", "read_image"):
            monkeypatch.setattr(video, name, self.around(getattr(video, name)))

    def around(self, decode):
        def counted(path, *rest):
            self.files.append(path.name)
            return decode(path, *rest)

        return counted


def test_counters_are_those_of_hooks_on_the_towers_and_the_decoder(root, tmp_path, monkeypatch):
    plain = run_fixtures.config(root, tmp_path / "run", "care", steps=6)
    run = build(plain, quiet=True)
    hooks, decoder = [Hook(run.feeder.policy.model), Hook(run.trainer.reference.model)], Decoder(monkeypatch)
    run.feeder.reader._decode = video.decode
    run.fit(quiet=True)
    lines = run_fixtures.lines(tmp_path / "run" / "metrics.jsonl")
    assert sum(line["work/vision_passes"] for line in lines) == sum(hook.media for hook in hooks) > 0
    assert sum(line["media/decodes"] for line in lines) == len(decoder.files) == len(set(decoder.files)) == 8
    assert lines[-1]["media/decodes_per_file"] == 1
    assert [line["media/decodes"] for line in lines[4:]] == [0, 0]  # the second epoch
    for line in lines:
        assert line["work/prompts"] == 2
        assert line["work/vision_passes_per_prompt"] == line["work/vision_passes"] / max(1, line["work/media"])
        assert 0 < line["work/trained_tokens"] < line["work/forward_tokens"]
        phases = [v for k, v in line.items() if k.startswith("work/share/") and k != "work/share/data_wait"]
        assert sum(phases) == pytest.approx(1, abs=0.02)
        assert line["work/share/data_wait"] <= line["work/share/data"]
        assert line["memory/peak_bytes"] > 10**7


def test_what_a_validation_does_is_no_steps_work(root, tmp_path):
    sets = [{"name": "own", "format": "messages", "file": "d.jsonl", "limit": 3}]
    validation = {"root": str(root), "sets": sets, "template": "plain", "graders": {"accuracy": "accuracy"}}
    validation |= {"every": 1, "workers": 0, "decoding": {"max_new_tokens": 4}}
    found = []
    for name, more in {"with": {"validation": validation}, "without": {}}.items():
        build(run_fixtures.config(root, tmp_path / name, "grpo", steps=2, **more), quiet=True).fit(quiet=True)
        lines = run_fixtures.lines(tmp_path / name / "metrics.jsonl")
        assert not [key for line in lines for key in line if not explained(key)]
        found.append([(line["work/vision_passes"], line["work/forward_tokens"]) for line in lines])
    assert found[0] == found[1]


def test_a_resumed_runs_frozen_reference_finds_what_the_policy_saw(root, tmp_path):
    """Where the projector learns both keep what the tower's blocks made, and the blocks look once a run."""
    rates = {"learning_rates": {"language_model": 1e-4, "projector": 1e-4, "vision_tower": 0.0}}
    algorithm = {"name": "grpo", "beta": 0.1, "reference": {"name": "frozen"}}
    for steps in (2, 4):
        config = run_fixtures.config(root, tmp_path / "run", "grpo", steps=steps, optimizer=rates, algorithm=algorithm)
        build(config, resume=steps == 4, quiet=True).fit(quiet=True)
    found = [
        (line["work/media"], line["work/vision_passes"])
        for line in run_fixtures.lines(tmp_path / "run" / "metrics.jsonl")
    ]
    assert found == [(media, media) for media, _ in found]


class Two:
    """Two ranks in one process: the other one says the same."""

    def gather(self, value):
        return [value, value]


def test_ranks_are_added_averaged_or_the_largest_taken():
    meter = Meter()
    meter.add("mean", 3.0, 2)
    meter.total("sum", 2.0)
    meter.total("timing_s/step", 4.0)
    meter.most("most", 5.0)
    meter.least("least", 1.0)
    expected = {"mean": 3.0, "sum": 4.0, "timing_s/step": 4.0, "most": 5.0, "least": 1.0}
    assert meter.summary(Two()) == expected


def test_a_spread_is_that_of_all_values_together():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(n, dtype=torch.float64, generator=generator) for n in (3, 1, 7)]
    one, other, alone = Meter(), Meter(), SimpleNamespace(gather=lambda meter: [meter, other])
    one.spread("x", parts[0])
    one.spread("x", parts[1])
    other.spread("x", parts[2])
    every = torch.cat(parts)
    expected = {"mean": every.mean(), "std": every.std(correction=0), "min": every.min(), "max": every.max()}
    assert one.summary(alone) == pytest.approx(
        {f"x/{name}": float(value) for name, value in expected.items()}, abs=1e-12
    )
