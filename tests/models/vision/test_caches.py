"""Caches in whole runs: before the first step they are tried, and then nothing is decoded or seen twice."""

import pytest

from mmrl.config.load import parse
from mmrl.config.schema import Config
from mmrl.training.build import build
from tests import run_fixtures
from tests.models.vision import test_projector
from tests.models.vision.test_feature_cache import Hook


def test_a_cache_folder_that_cannot_be_written_is_an_error_before_anything_is_read(root, tmp_path):
    (tmp_path / "file").write_text("")
    data = run_fixtures.settings(root, tmp_path)["data"] | {"cache_dir": str(tmp_path / "file" / "cache")}
    with pytest.raises(ValueError, match=r"cache_dir: expected a folder that can be written, found .*file/cache"):
        build(run_fixtures.config(root, tmp_path / "run", data=data), quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_second_run_decodes_nothing_and_learns_the_same(root, tmp_path):
    found = {}
    for name, cache in {"without": None, "first": tmp_path / "cache", "second": tmp_path / "cache"}.items():
        data = run_fixtures.settings(root, tmp_path)["data"] | {
            "frame_cache_bytes": 0,
            "cache_dir": cache and str(cache),
        }
        run = build(run_fixtures.config(root, tmp_path / name, "care", data=data, steps=4), quiet=True)
        run.fit(quiet=True)
        found[name] = run_fixtures.numbers(tmp_path / name), run.feeder.reader.counts
    assert found["without"][0] == found["first"][0] == found["second"][0]
    assert found["without"][1].decodes > found["first"][1].decodes - 1 >= 0
    assert (found["second"][1].decodes, found["second"][1].disk.corrupt) == (0, 0)
    assert (tmp_path / "cache" / ".mmrl_media_seen.jsonl").exists()


FROZEN = {"learning_rates": {"language_model": 1e-4, "projector": 0.0, "vision_tower": 0.0}}


def run_of(root, out, cache, feature_cache_bytes=2**30, method="care", optimizer=FROZEN):
    """A run of six steps over eight examples, and a hook on the towers of policy and reference."""
    plain = run_fixtures.settings(root, out, method, optimizer=optimizer, steps=6)
    plain["data"] |= {"cache_dir": cache and str(cache)}
    plain["model"] |= {"feature_cache_bytes": feature_cache_bytes}
    run = build(parse(Config, plain, "made"), quiet=True)
    hooks = [Hook(run.feeder.policy.model), Hook(run.trainer.reference.model)]
    run.fit(quiet=True)
    return run_fixtures.numbers(out), [hook.media for hook in hooks], run_fixtures.lines(out / "metrics.jsonl")


def test_a_frozen_tower_sees_each_medium_once_a_run_and_the_caches_change_no_number(root, tmp_path):
    cache = tmp_path / "cache"
    numbers, (policy, reference), costs = run_of(root, tmp_path / "memory", None)
    assert (policy, reference) == (sum(line["work/vision_passes"] for line in costs), 0)
    assert (
        policy == 8
    )  # four examples with one medium, two with two; six steps of two examples are one epoch and a half
    without, (passes, _), _ = run_of(root, tmp_path / "without", None, feature_cache_bytes=0)
    assert passes == 12
    first, (passes, _), _ = run_of(root, tmp_path / "first", cache, feature_cache_bytes=0)
    assert passes == 8
    second, looked, costs = run_of(root, tmp_path / "second", cache, feature_cache_bytes=0)
    assert looked == [0, 0]
    assert not any(line["work/vision_passes"] for line in costs)
    assert numbers == without == first == second


def test_a_tower_that_trains_looks_twice_and_its_average_once(root, tmp_path):
    trained = {"learning_rates": dict.fromkeys(("language_model", "projector", "vision_tower"), 1e-4)}
    _, (policy, reference), costs = run_of(root, tmp_path / "run", None, optimizer=trained)
    later = [line["work/vision_passes_per_prompt"] for line in costs[1:]]  # the first step also checks itself
    assert all(1 <= passes <= 3 for passes in later)  # groups of which no token moves the policy are not learned from
    assert policy + reference == sum(line["work/vision_passes"] for line in costs)


@pytest.mark.parametrize("method", ["vargrad", "grpo"])
def test_what_was_seen_for_sampling_is_there_when_the_same_step_reads_without_learning(root, tmp_path, method):
    """Of an algorithm that asks what the policy says before it learns, and of one that does not: two passes a medium."""
    trained = {"learning_rates": dict.fromkeys(("language_model", "projector", "vision_tower"), 1e-4)}
    _, (policy, reference), costs = run_of(root, tmp_path / "run", None, method=method, optimizer=trained)
    media = [line["work/media"] for line in costs]
    learned = [m * (1 - line["groups/frac_without_signal"]) for m, line in zip(media, costs, strict=True)]
    assert policy == sum(media) + sum(learned) > 1.5 * sum(media)
    assert reference == 8  # frozen: each medium of an epoch and a half, once


PROJECTOR = {"learning_rates": {"language_model": 1e-4, "projector": 1e-2, "vision_tower": 0.0}}
REFERENCES = {"none": None, "frozen": {"name": "frozen"}, "ema": {"name": "ema", "every": 1, "decay": 0.5}}


REPEATED = pytest.mark.slow(
    "two runs more of what ema, with two readers of which one follows the other, shows by default"
)


@pytest.mark.parametrize("reference", [pytest.param(name, marks=[REPEATED] * (name != "ema")) for name in REFERENCES])
def test_where_only_the_projector_learns_the_blocks_look_once_in_two_epochs(root, tmp_path, reference):
    found = {}
    for kept in (2**30, 0):  # eight examples, four with one medium and two with two, two a step
        name = "care" if REFERENCES[reference] else "grpo"
        plain = run_fixtures.settings(root, tmp_path / str(kept), name, optimizer=PROJECTOR, steps=8)
        plain["model"] |= {"feature_cache_bytes": kept}
        plain["algorithm"] |= {"reference": REFERENCES[reference]} if REFERENCES[reference] else {"beta": 0.0}
        run = build(parse(Config, plain, "made"), quiet=True)
        readers = [reader for reader in (run.feeder.policy, run.trainer.reference) if reader is not None]
        assert len(readers) == 1 + (reference != "none")
        before = run.feeder.policy.model.model.visual.merger.mlp[0].weight.clone()
        hooks = [test_projector.Hook(reader.model) for reader in readers]
        run.fit(quiet=True)
        assert not before.equal(run.feeder.policy.model.model.visual.merger.mlp[0].weight)
        found[kept] = run_fixtures.numbers(tmp_path / str(kept)), hooks
        costs = run_fixtures.lines(tmp_path / str(kept) / "metrics.jsonl")
        per_prompt = [line["work/vision_passes_per_prompt"] for line in costs if line["work/media"]]
        assert per_prompt == [1.0] * (len(per_prompt) // 2) + [float(not kept)] * (len(per_prompt) // 2)
        media = 8 if kept else 16
        assert [(hook.media, hook.blocks) for hook in hooks] == [(media, media), (0, 0)][: len(hooks)]
        assert sum(line["work/vision_passes"] for line in costs) == media
        kept_now = run.feeder.policy.tower.cache.memory._kept.values()
        assert [states._version for states in kept_now] == [0] * (8 if kept else 0)  # nobody wrote to them
        assert hooks[0].merged > 8  # a rollout each step, and where something is learned, once more
    assert found[2**30][0] == found[0][0]
