"""What benchmarks make of scored answers: groups, published averages, intervals."""

from dataclasses import replace

import numpy as np
import pytest

from benchmark.protocols.general_video import groups
from benchmark.protocols.general_video.lines import lines, stratified
from benchmark.protocols.general_video.protocol import equal
from benchmark.protocols.general_video.protocols import PROTOCOLS
from mmrl.config.load import load
from mmrl.config.open_data import open_set
from mmrl.config.schema import EvalConfig
from mmrl.data.formats import tempcompass
from mmrl.evaluation import Item, Record
from mmrl.evaluation.records import File, item_of
from mmrl.evaluation.statistics import mean_interval
from tests.benchmark.protocols.layouts import CONFIGS, fixture

NAMES = sorted(PROTOCOLS)


def items_of(name):
    """The items of a fixture."""
    sets = load(EvalConfig, CONFIGS / f"{name}.yaml").evaluation.sets
    data = [open_set(one, fixture(name), "file", 0) for one in sets]
    return {e.id: item_of(e) for each in data for e in (each.example(i, 0) for i in range(len(each)))}


def record(item, **scores):
    return Record(item.id, 0, item.cluster, "", "ok" if scores else "media_error", None, 1, True, {}, scores)


def right(name, **more):
    """Records in which everything is right."""
    metrics = PROTOCOLS[name].columns
    return [record(item, **(dict.fromkeys(metrics, 1.0) | more)) for item in items_of(name).values()]


@pytest.mark.parametrize("name", NAMES)
def test_every_item_of_a_fixture_has_a_place_in_every_division(name):
    items = items_of(name)
    made = lines(PROTOCOLS[name], items, right(name))
    for division in PROTOCOLS[name].divisions:
        assert sum(line.items for line in made if line.division == division) == len(items)
    assert all(mean == (1.0, pytest.approx(mean[1]), 1.0) for line in made for mean in line.means.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmarks_config_has_the_graders_of_its_columns(name):
    section = load(EvalConfig, CONFIGS / f"{name}.yaml").evaluation
    assert set(PROTOCOLS[name].columns) <= set(section.graders)
    assert all(one.expect for one in section.sets)


def test_what_was_not_seen_counts_as_wrong():
    items = items_of("video_holmes")
    first, *rest = items.values()
    made = lines(PROTOCOLS["video_holmes"], items, [record(first), *(record(i, official=1, lenient=1) for i in rest)])
    assert made[0].means["official"][0] == pytest.approx(2 / 3, abs=1e-10)


def test_vsi_benchs_average_is_over_eight_tasks_and_the_three_directions_are_one():
    assert sum(groups.VSI_WEIGHTS.values()) == pytest.approx(1, abs=1e-12)
    kinds = [*groups.VSI_TASKS, *groups.DIRECTIONS] * 2
    scores = [float(kind in (*groups.VSI_TASKS[:2], groups.DIRECTIONS[0])) for kind in kinds]
    # two of the seven tasks, and one of the three directions: 2/8 + 1/24
    mean, low, high = stratified(scores, kinds, groups.VSI_WEIGHTS, list(range(len(kinds))))
    assert mean == pytest.approx(2 / 8 + 1 / 24, abs=1e-12)
    assert low <= mean <= high


def test_a_mean_over_groups_of_equal_size_is_the_plain_mean_with_a_tighter_interval():
    rng = np.random.default_rng(0)
    labels = ["a"] * 200 + ["b"] * 200
    scores = np.concatenate([rng.random(200) < 0.2, rng.random(200) < 0.9]).astype(float)
    mean, low, high = stratified(scores, labels, equal(("a", "b")), list(range(400)))
    assert mean == pytest.approx(scores.mean(), abs=1e-12)
    plain = mean_interval(scores, list(range(400)))
    assert high - low < plain[1] - plain[0]  # what differs between groups is no sampling error


def test_the_interval_over_groups_has_the_stratified_standard_error():
    rng = np.random.default_rng(1)
    labels = np.array(["a"] * 300 + ["b"] * 700)
    scores = (rng.random(1000) < 0.5).astype(float)
    _, low, high = stratified(scores, labels, {"a": 0.5, "b": 0.5}, list(range(1000)))
    error = np.sqrt(sum(0.25 * scores[labels == g].var() / (labels == g).sum() for g in "ab"))
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.05)


def test_clusters_widen_the_interval_over_groups():
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(100), 10)
    scores = np.repeat((rng.random(100) < 0.5).astype(float), 10)
    labels = np.tile(["a", "b"], 500)
    widths = [np.ptp(stratified(scores, labels, equal(("a", "b")), c)[1:]) for c in (clusters, np.arange(1000))]
    assert widths[0] > 2 * widths[1]


def test_mvbench_tasks_are_blocks_of_200_ids_and_their_folders_must_agree():
    items = items_of("mvbench")
    assert {i: groups.mvbench_task(item) for i, item in items.items()} == {
        "601": "action_prediction", "1282": "counterfactual_inference", "1601": "episodic_reasoning",
    }  # fmt: skip
    moved = replace(items["601"], media=(File("video", "Evaluation/MVBench/clevrer/a.mp4"),))
    with pytest.raises(ValueError, match="item 601: expected a video of action_prediction in star, found"):
        groups.mvbench_task(moved)


def test_videommmu_tracks_are_blocks_of_300_ids_and_disciplines_are_in_the_names():
    items = items_of("videommmu")
    track = PROTOCOLS["videommmu"].divisions["track"]
    assert [track(item) for item in items.values()] == ["adaptation", "comprehension", "perception"]
    assert [groups.mmmu_discipline(item) for item in items.values()] == ["science", "science", "humanities"]
    with pytest.raises(ValueError, match="problem_id: expected 1 to 900, found 901"):
        track(replace(items["14"], fields=items["14"].fields | {"problem_id": 901}))


def test_tempcompass_kinds_are_told_from_the_wording_in_both_files():
    for item in items_of("tempcompass_questions").values():
        assert groups.tempcompass_kind(item) == groups.tempcompass_file(item)
    kinds = [groups.tempcompass_kind(item) for item in items_of("tempcompass").values()]
    assert kinds == [tempcompass.KINDS[0], tempcompass.KINDS[1], tempcompass.KINDS[2]]


def test_a_group_that_the_release_does_not_have_is_named():
    item = Item("7", "7", "?", "B", "choice", ("a", "b"), (), {"duration_group": 90})
    with pytest.raises(ValueError, match="item 7: duration_group: expected one of 15, 60, 600, 3600, found 90"):
        PROTOCOLS["longvideobench"].divisions["duration"](item)


def test_groups_stand_in_the_benchmarks_own_order():
    made = lines(PROTOCOLS["longvideobench"], items_of("longvideobench"), right("longvideobench"))
    assert [line.group for line in made if line.division == "duration"] == ["8-15 s", "15-60 s", "900-3600 s"]


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_a_section_with_its_count_and_the_commit_of_its_loader(name):
    page = (CONFIGS.parents[1] / "docs" / "benchmarks.md").read_text()
    bare = name.removesuffix("_subtitles")
    (row,) = (line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line)
    expected = sum(one.expect for one in load(EvalConfig, CONFIGS / f"{name}.yaml").evaluation.sets)
    assert f"| {expected:,} |" in row
    assert any(line.startswith("## ") and f"`{bare}`" in line for line in page.splitlines())
    assert PROTOCOLS[name].loader.rpartition(" ")[2] in page


@pytest.mark.parametrize("name", NAMES)
def test_a_config_asks_in_the_wording_that_the_page_states(name):
    page = (CONFIGS.parents[1] / "docs" / "benchmarks.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line)
    template = load(EvalConfig, CONFIGS / f"{name}.yaml").evaluation.template
    assert ("`care_eval`" in row) == (template == "care_eval")
    assert template in ("care_eval", name.removesuffix("_subtitles"))
