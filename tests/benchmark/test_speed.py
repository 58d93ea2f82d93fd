"""The speed measurement: arithmetic counted by hand and by torch, figures that follow from figures, and one true point."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from benchmark.cli import app
from benchmark.speed import case as cases
from benchmark.speed import command, flops, page, ratios, run
from benchmark.speed.case import Case, Shape, View
from benchmark.tables import markdown

TINY = Shape(32, 2, 2, 1, 48, 32, 2, 2, 48, (1,), (2, 3, 3), True, 100.0)


@pytest.fixture
def tiny(monkeypatch):
    """A case of a very small model and clip, under the names of the usual ones."""
    monkeypatch.setitem(cases.SHAPES, "6m", TINY)
    monkeypatch.setitem(cases.VIEWS, 350, View(4, 112, 112))
    return Case(350, 4, 6)


def test_training_arithmetic_by_hand():
    # hidden 2, one head of 2 for queries, keys and values, 1 layer, 3 wide: 4 x 4 + 3 x 6 = 34 weights
    shape = Shape(2, 1, 1, 1, 3, 1, 1, 1, 1, (), (0, 0, 1), True)
    assert flops.body(shape) == 2 * 34
    assert flops.pairs(3) == 1 + 2 + 3
    assert flops.pairs(2, before=3) == 4 + 5
    assert flops.attention(shape, 6) == 4 * 2 * 6


def test_sharing_a_prompt_saves_its_copies_and_nothing_else():
    case = Case(1100, 8, 64, tower="frozen")
    shared, apart = (flops.training(case, 1093, shared) for shared in (True, False))
    assert apart.head == shared.head
    assert apart.body / shared.body == pytest.approx(8 * (1093 + 64) / (1093 + 8 * 64))
    assert apart.tower == 8 * shared.tower
    assert apart.attention - shared.attention == 3 * 7 * flops.attention(case.shape, flops.pairs(1093))
    trained = flops.training(replace(case, tower="trained"), 1093, shared=True)
    assert trained.tower == 3 * shared.tower
    one = replace(case, group=2)
    assert flops.training(one, 0, True).body == flops.training(one, 0, False).body  # without a prompt nothing is shared


def test_arithmetic_is_what_torch_counts(tiny):
    """torch counts full squares of attention, and merger and patches as we do."""
    from benchmark.speed.model import build_config, build_model, build_processor

    processor = build_processor(tiny)
    model = build_model(tiny, processor.tokenizer)
    config = build_config(tiny, processor.tokenizer)
    config._attn_implementation = "eager"
    model = type(model)(config).eval()
    tokens, view = 20, tiny.view
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.model.language_model(inputs_embeds=torch.randn(1, tokens, TINY.hidden))
    expected = tokens * flops.body(TINY) + flops.attention(TINY, tokens**2)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.01)  # rotations' table is a product, too
    grid = torch.tensor([[view.frames // 2, view.height // 14, view.width // 14]])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.model.visual(torch.randn(view.patches, flops.PATCH), grid_thw=grid)
    assert counter.get_total_flops() == pytest.approx(flops.tower(tiny), rel=0.01)


def test_models_have_the_sizes_that_they_are_called_by():
    from transformers import Qwen2_5_VLForConditionalGeneration

    from benchmark.speed.model import build_config, build_tokenizer

    tokenizer = build_tokenizer(320)
    for name, millions in (("6m", 6.0), ("3b", 3755), ("7b", 8292)):  # Qwen2.5-VL-3B: 3.75 B, -7B: 8.29 B
        with torch.device("meta"):
            model = Qwen2_5_VLForConditionalGeneration(build_config(Case(model=name), tokenizer))
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(
            millions, rel=0.05 if name == "6m" else 2e-3
        )


def laps(**seconds):
    return {name: {"min": s, "median": s, "max": s, "n": 1, "cpu_min": s} for name, s in seconds.items()}


def found(case):
    """A point with round figures."""
    ours = {
        "prompt_tokens": 1093,
        "laps": laps(train=1.0, sample=0.5, step=2.0),
        "peak_bytes_above": 100 * page.MIB,
        "work": {"vision_passes_per_prompt": 3.0},
        "logp_error": {"ratio": 1.25},
        "threads": 2,
        "seconds_in_all": 20.0,
    }
    plain = ours | {"laps": laps(train=6.0, sample=1.0, step=9.0), "peak_bytes_above": 300 * page.MIB}
    floor = {"laps": laps(prefill=0.2), "floor": {"min": 1.6, "median": 1.7, "cpu_min": 1.5}, "threads": 2}
    trl = plain | {"laps": laps(train=7.0, sample=1.5, step=12.0), "peak_bytes_above": 500 * page.MIB}
    return {"mmrl": ours, "plain": plain, "floor": floor | {"seconds_in_all": 20.0}, "trl": trl}


def test_ratios_and_targets_follow_from_figures():
    case = Case()
    figures = ratios.ratios(case, found(case))
    assert figures["train_ratio_plain"] == 6
    assert figures["sample_ratio_plain"] == 2
    assert figures["floor_ratio"] == 1.25
    assert figures["step_ratio_trl"] == 6
    assert figures["memory_share_trl"] == 0.2
    goals = ratios.targets(case, figures)
    assert all(ratios.met(goal) for goal in goals)
    assert {name for name, *_ in goals} == {
        "train_ratio_plain", "sample_ratio_plain", "floor_ratio", "step_ratio_trl", "memory_share_trl",
    }  # fmt: skip
    worse = ratios.targets(case, figures | {"train_ratio_plain": 4.5, "floor_ratio": 1.31})
    assert [name for name, *_ in filter(lambda goal: not ratios.met(goal), worse)] == [
        "floor_ratio",
        *["train_ratio_plain"] * 2,
    ]
    assert ratios.targets(Case(350), figures) == []


def test_growth_compares_like_with_like():
    points = [(Case(), 2.0), (Case(group=16), 3.0), (Case(2100), 4.0), (Case(2100, tower="frozen"), 1.0)]
    assert [(found, limit) for _, found, _, limit in ratios.growth(points)] == [(1.5, 1.4), (2.0, 2.2)]


def test_utilisation_is_known_for_known_devices():
    case = Case(4200, 8, 256, model="3b")
    figures = ratios.utilisation(case, found(case), "1 x NVIDIA H200")
    needed = flops.training(case, 1093, shared=True).total
    assert figures["train"] == pytest.approx(needed / 1.0 / 989e12)
    assert ratios.utilisation(case, found(case), "1 x something else") == {}


def test_points_are_combinations_with_the_central_one_first():
    points = list(cases.cases([350, 1100], [8, 4], [64], [320], ["trained"], [False]))
    assert len(points) == 4
    assert points[0] == Case()
    assert len({point.name for point in points}) == 4


def test_without_options_the_points_are_the_published_ones_and_an_option_leaves_the_rest_central():
    assert command.Axes().cases() == list(cases.PUBLISHED)
    assert command.Axes(groups="4,16").cases() == [Case(group=4), Case(group=16)]
    assert len({case.name for case in cases.PUBLISHED}) == len(cases.PUBLISHED)
    for name, values in {"prompt": (350, 4200), "group": (4, 16), "new_tokens": (256,), "vocabulary": (32000,)}.items():
        assert {getattr(case, name) for case in cases.PUBLISHED} >= {*values}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--quick", "--groups", "4"],
            "--quick: expected the central point, with --towers and --checkpointing at most",
        ),
        (["--quick", "--towers", "both"], "--quick: expected the central point"),
        (["--prompts", "1000"], "prompt: expected one of 350, 1100, 2100, 4200, found 1000"),
        (["--groups", "x"], "--groups: expected whole numbers as in 4,8; found 'x'"),
        (["--towers", "half"], "tower: expected one of trained, frozen, found half"),
        (["--contenders", "mmrl,verl"], "--contenders: expected some of mmrl, plain, trl, floor; found verl"),
        (["--checkpointing", "maybe"], "--checkpointing: expected one of off, on, both; found 'maybe'"),
        (["--quick", "--contenders", "mmrl"], "--quick needs mmrl, plain, floor"),
        (["--clock", "moon"], "--clock: expected one of wall, processor; found 'moon'"),
        (["--clock", "processor", "--threads", "2"], "--clock processor: needs --threads 1"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(options, said, tmp_path):
    done = CliRunner().invoke(app, ["speed", str(tmp_path / "out"), *options, "--plan"])
    assert isinstance(done.exception, ValueError)
    assert said in str(done.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_gpu_that_is_not_there_is_missed_before_anything_is_built(tmp_path):
    done = CliRunner().invoke(app, ["speed", str(tmp_path / "out"), "--gpu"])
    assert "--gpu: expected a CUDA device, found none" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_plan_names_what_is_left_and_how_long_it_takes(tmp_path):
    case = Case()
    how = run.Plan(tmp_path, ("mmrl", "plain", "floor"), threads=2)
    for name, one in found(case).items():
        run.keep(case, name, one, how)
    (_, lines), left = run.listing([case, Case(group=16)], how)
    assert [line[2] for line in lines[:3]] == ["finished"] * 3
    assert all(float(line[2]) > 0 for line in lines[3:])
    assert left.startswith("About ")
    with pytest.raises(ValueError, match=r"expected figures of 1 threads, found \{2\}"):
        run.missing(case, replace(how, threads=1))


def test_table_and_picture_show_all_points(tmp_path):
    how = run.Plan(tmp_path, ("mmrl",), threads=2)
    for name, one in found(Case()).items():
        run.keep(Case(), name, one, how)
    run.keep(Case(350), "mmrl", found(Case())["mmrl"], how)
    points = page.points(tmp_path)
    header, lines = page.cells(points)
    first = dict(zip(header, lines[0], strict=True))
    assert (first["train x"], first["over floor"], first["TRL"]) == ("6.00", "1.25", "500")
    assert dict(zip(header, lines[1], strict=True))["train x"] == ""
    page.draw(points, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 10_000
    json.dumps(page.as_json(points), allow_nan=False)


def test_every_contender_measures_a_point(tiny, tmp_path):
    """The real run, the untouched model and the floor, at sizes at which only the counts mean something."""
    from benchmark.speed import floor, ours, plain
    from benchmark.speed.model import make_root

    root = make_root(tmp_path / "root", tiny, 2)
    everybody = {
        name: module.measure(tiny, root, tmp_path / name, 1)
        for name, module in (("mmrl", ours), ("plain", plain), ("floor", floor))
    }
    mine = everybody["mmrl"]
    assert mine["work"]["vision_passes_with_gradient"] == 1
    assert mine["reported"]["media/decodes_per_file"] == 1
    assert mine["prompt_tokens"] == everybody["plain"]["prompt_tokens"] == everybody["floor"]["prompt_tokens"]
    assert mine["logp_error"]["plain"]["max"] < 1e-4
    assert mine["logp_error"]["ratio"] < 3
    assert everybody["plain"]["work"]["trained_tokens"] == 4 * (mine["prompt_tokens"] + 6)
    assert everybody["plain"]["micro_batches"].keys() <= {"1", "2", "4"}
    assert everybody["floor"]["floor"]["min"] > 0
    figures = run.point(tiny, everybody, run.Plan(tmp_path, ("mmrl",)))
    assert {"train_ratio_plain", "sample_ratio_plain", "floor_ratio", "flops_ratio"} <= figures["ratios"].keys()


def test_micro_batches_are_tried_until_they_are_slower():
    from benchmark.speed.clock import Lap, Watch
    from benchmark.speed.plain import micro_batches

    watch, seconds = Watch(), {1: 3.0, 2: 2.0, 4: 2.05, 8: 2.3, 16: 1.0}

    def run(micro):
        watch.laps[f"train {micro}"] = [Lap(seconds[micro], seconds[micro])]

    assert micro_batches(run, 4, watch).keys() == {1, 2, 4}
    assert micro_batches(run, 16, watch).keys() == {1, 2, 4, 8}


def test_a_failed_contender_is_named_with_the_end_of_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "waited", lambda job, log, plan: log.write_text("out of memory\n") and 9)
    said = []
    failed = run.run([Case()], run.Plan(tmp_path, ("mmrl",)), said.append)
    assert failed == ["6m_p1100_g8_t64_v320_trained mmrl"]
    assert "ended with status 9" in said[0]
    assert "out of memory" in said[0]


@pytest.mark.slow("minutes; test_every_contender_measures_a_point runs each")
def test_the_quick_measurement_ends_with_one_json_object():
    done = CliRunner().invoke(app, ["speed", "--quick"])
    assert done.exit_code == 0, done.output
    last = json.loads(done.output.splitlines()[-1])
    assert set(last) == {
        "train_ratio", "sample_ratio", "floor_ratio", "vision_passes_per_prompt", "logp_error_vs_plain", "mode",
    }  # fmt: skip
    assert last["mode"] == "trained"


def test_quick_ends_with_one_line_of_json(monkeypatch):
    monkeypatch.setattr(run, "measured", lambda name, case, plan: found(case)[name] | {"seconds_in_all": 1.0})
    done = CliRunner().invoke(app, ["speed", "--quick", "--towers", "frozen"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output.splitlines()[-1]) == {
        "train_ratio": 6.0,
        "sample_ratio": 2.0,
        "floor_ratio": 1.25,
        "vision_passes_per_prompt": 3.0,
        "logp_error_vs_plain": 1.25,
        "mode": "frozen",
    }


RESULTS = Path(run.__file__).parents[1] / "results" / "speed"


def test_the_readme_quotes_the_targets_of_the_points():
    readme = (RESULTS.parents[1] / "README.md").read_text()
    points = page.points(RESULTS)
    assert markdown(page.goals(points), words=2) in readme
    assert "results/speed/table.md" in readme


def test_written_points_follow_from_their_figures():
    for point in page.points(RESULTS):
        case = page.case_of(point)
        assert point["ratios"] == ratios.ratios(case, point["contenders"], ratios.CLOCKS[point["clock"]])
        assert [tuple(goal) for goal in point["targets"]] == ratios.targets(case, point["ratios"])
        assert all(len(one["commit"]) == 12 for one in point["contenders"].values()), "of commits as they stand"
