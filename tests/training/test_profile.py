"""The costs of a step: differences of counters, worked by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from mmrl.data.media.reader import Counts
from mmrl.models.language import Work
from mmrl.training.profile import profile, shares


class Alone:
    """One rank."""

    def gather(self, mine):
        return [mine]


class Step:
    """Steps of readers with so much work to do, and of a feeder that makes three prompts with four media in each."""

    def __init__(self, *works, cache=None):
        tower = SimpleNamespace(cache=cache)
        self.works, self.readers = works, [SimpleNamespace(work=Work(), tower=tower) for _ in works]
        reader, policy = SimpleNamespace(counts=Counts(), kept_bytes=700), SimpleNamespace(tower=tower)
        self.feeder = SimpleNamespace(reader=reader, policy=policy, prompts_made=0, media_made=0, skipped=0)

    def run(self, numbers=(), deed=lambda: None):
        """The costs of a step in which the deed is done."""
        with profile(self.readers, self.feeder, Alone()) as found:
            found |= dict(numbers)
            for reader, work in zip(self.readers, self.works, strict=True):
                reader.work = replace(work)
            self.feeder.prompts_made += 3
            self.feeder.media_made += 4
            deed()
        return found


def test_work_of_all_models_is_added_and_begins_anew_with_each_step():
    step = Step(Work(6, 100, 25, 4000, 0), Work(2, 300, 0, 5000, 0))
    for _ in range(2):
        found = step.run()
        assert (found["work/vision_passes"], found["work/forward_tokens"]) == (8, 400)
        assert found["work/padding_share"] == pytest.approx(25 / 400)  # of all tokens, and no mean of two shares
        assert found["work/logit_bytes"] == 5000
        assert (found["work/prompts"], found["work/media"]) == (3, 4)
        assert found["work/vision_passes_per_prompt"] == 8 / 4
        assert "work/rollout_oom_retries" not in found


def test_halvings_are_told_where_there_were_any():
    assert Step(Work(halvings=2), Work(halvings=1)).run()["work/rollout_oom_retries"] == 3


def test_counters_that_only_grow_become_those_of_a_step():
    step = Step(Work())
    counts = step.feeder.reader.counts

    def first():
        counts.decodes, counts.hits, counts.files, counts.seconds_waited = 5, 2, 4, 1.5

    def second():
        counts.decodes, counts.failures, counts.disk.hits, step.feeder.skipped = 6, 1, 9, 2

    found = step.run(deed=first)
    assert (found["media/decodes"], found["media/hits"], found["timing_s/data_wait"]) == (5, 2, 1.5)
    assert (found["media/decodes_per_file"], found["media/memory_bytes"]) == (5 / 4, 700)
    found = step.run(deed=second)
    assert (found["media/decodes"], found["media/hits"], found["media/failures"]) == (1, 0, 1)
    assert (found["media/disk_hits"], found["timing_s/data_wait"]) == (9, 0)
    assert found["media/decodes_per_file"] == 6 / 4  # since the run began
    assert found["media/skipped_examples"] == 2


def test_what_was_done_before_a_step_is_not_the_steps():
    """A validation works with the same models and the same cache of features."""
    cache = SimpleNamespace(hits=0, tally=Counts().disk, memory=SimpleNamespace(bytes=80))
    step = Step(Work(), cache=cache)
    step.run()
    cache.hits, cache.tally.read_bytes = 7, 50
    step.readers[0].work.vision_passes = 9
    found = step.run(deed=lambda: setattr(cache, "hits", 10))
    assert (found["media/features/hits"], found["media/features/disk_read_bytes"]) == (3, 0)
    assert (found["work/vision_passes"], found["media/features/memory_bytes"]) == (0, 80)


def test_work_between_two_steps_is_not_the_next_ones():
    step = Step(Work(vision_passes=1))
    step.readers[0].work.vision_passes = 9
    with profile(step.readers, step.feeder, Alone()) as found:
        pass
    assert found["work/vision_passes"] == 0


def test_the_seconds_of_a_step_are_those_of_its_phases_and_the_rest_is_learning(monkeypatch):
    clock = iter([100.0, 110.0, 200.0, 201.0])
    monkeypatch.setattr("mmrl.training.profile.perf_counter", lambda: next(clock))
    found = Step(Work()).run({"timing_s/sample": 4.0, "timing_s/optimizer": 1.0, "loss": 3.0})
    assert (found["timing_s/step"], found["timing_s/forward_backward"], found["loss"]) == (10.0, 5.0, 3.0)
    parts = {name: value for name, value in found.items() if name.startswith("work/share/")}
    assert parts == {
        "work/share/sample": 0.4, "work/share/optimizer": 0.1, "work/share/forward_backward": 0.5, "work/share/data_wait": 0.0,
    }  # fmt: skip
    assert Step(Work()).run({"timing_s/sample": 1.25})["timing_s/forward_backward"] == 0  # clocks that disagree


def test_without_media_nothing_is_divided_by_nothing():
    numbers = {"timing_s/step": 2.0, "work/media": 0.0, "work/vision_passes": 0.0}
    assert shares(numbers) == {"work/vision_passes_per_prompt": 0.0}
