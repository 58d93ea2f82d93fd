"""The costs of a step: differences of counters, worked by hand."""

from types import SimpleNamespace

import pytest

from mmrl.data.media.reader import Counts
from mmrl.models.language import Work
from mmrl.training.profile import Costs, shares


class Alone:
    """One rank."""

    def gather(self, mine):
        return [mine]


def costs(*works, cache=None):
    """Of readers with so much work done, and a feeder that has made three prompts with four media."""
    tower = SimpleNamespace(cache=cache)
    readers = [SimpleNamespace(work=work, tower=tower) for work in works]
    reader = SimpleNamespace(counts=Counts(), kept_bytes=700)
    policy = SimpleNamespace(tower=tower)
    feeder = SimpleNamespace(reader=reader, policy=policy, prompts_made=3, media_made=4, skipped=0)
    return Costs(readers, feeder, Alone())


def test_work_of_all_models_is_added_and_begins_anew_with_each_step():
    policy, reference = Work(6, 100, 25, 4000, 0), Work(2, 300, 0, 5000, 0)
    measured = costs(policy, reference)
    found = measured.of_step(2.0, {})
    assert (found["work/vision_passes"], found["work/forward_tokens"]) == (8, 400)
    assert found["work/padding_share"] == pytest.approx(25 / 400)  # of all tokens, and no mean of two shares
    assert found["work/logit_bytes"] == 5000
    assert (found["work/prompts"], found["work/media"]) == (3, 4)
    assert found["work/vision_passes_per_prompt"] == 8 / 4
    assert "work/rollout_halvings" not in found
    again = measured.of_step(2.0, {})
    assert [again[f"work/{name}"] for name in ("vision_passes", "forward_tokens", "prompts", "media")] == [0, 0, 0, 0]
    assert again["work/vision_passes_per_prompt"] == 0


def test_halvings_are_told_where_there_were_any():
    assert costs(Work(halvings=2), Work(halvings=1)).of_step(1.0, {})["work/rollout_halvings"] == 3


def test_counters_that_only_grow_become_those_of_a_step():
    measured = costs(Work())
    counts = measured.feeder.reader.counts
    counts.decodes, counts.hits, counts.files, counts.seconds_waited = 5, 2, 4, 1.5
    first = measured.of_step(2.0, {})
    assert (first["media/decodes"], first["media/hits"], first["seconds/data_wait"]) == (5, 2, 1.5)
    assert (first["media/decodes_per_file"], first["media/memory_bytes"]) == (5 / 4, 700)
    counts.decodes, counts.failures, counts.disk.hits, measured.feeder.skipped = 6, 1, 9, 2
    second = measured.of_step(2.0, {})
    assert (second["media/decodes"], second["media/hits"], second["media/failures"]) == (1, 0, 1)
    assert (second["media/disk_hits"], second["seconds/data_wait"]) == (9, 0)
    assert second["media/decodes_per_file"] == 6 / 4  # since the run began
    assert second["media/skipped_examples"] == 2


def test_what_was_done_before_a_step_is_not_the_steps():
    """A validation works with the same models and the same cache of features."""
    cache = SimpleNamespace(hits=0, tally=Counts().disk, memory=SimpleNamespace(bytes=80))
    measured = costs(Work(), cache=cache)
    measured.of_step(1.0, {})
    cache.hits, cache.tally.read_bytes = 7, 50
    measured.readers[0].work.vision_passes = 9
    measured.start()
    cache.hits = 10
    found = measured.of_step(1.0, {})
    assert (found["media/features/hits"], found["media/features/disk_read_bytes"]) == (3, 0)
    assert (found["work/vision_passes"], found["media/features/memory_bytes"]) == (0, 80)


def test_the_seconds_of_a_step_are_those_of_its_phases_and_the_rest_is_learning():
    found = costs(Work()).of_step(10.0, {"seconds/sample": 4.0, "seconds/update": 1.0, "loss": 3.0})
    assert (found["seconds/step"], found["seconds/learn"]) == (10.0, 5.0)
    parts = {name: value for name, value in found.items() if name.startswith("work/share/")}
    assert parts == {
        "work/share/sample": 0.4, "work/share/update": 0.1, "work/share/learn": 0.5, "work/share/data_wait": 0.0,
    }  # fmt: skip
    assert costs(Work()).of_step(1.0, {"seconds/sample": 1.25})["seconds/learn"] == 0  # clocks that disagree


def test_without_media_nothing_is_divided_by_nothing():
    numbers = {"seconds/step": 2.0, "work/media": 0.0, "work/vision_passes": 0.0}
    assert shares(numbers) == {"work/vision_passes_per_prompt": 0.0}
