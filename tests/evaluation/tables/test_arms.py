"""Several models side by side: what stands in which cell, in numbers, in the terminal and on the page."""

import io
import re

from rich.console import Console

from mmrl.evaluation import Record, compare, summarise
from mmrl.evaluation.tables.arms import ModelComparison, lines
from mmrl.evaluation.tables.levels import verdict
from mmrl.evaluation.tables.terminal import comparison_table, whole_points
from mmrl.report import ReportData, write_report
from mmrl.report.curves import COLORS, compared, others_compared

ITEMS = 40  # in ten clusters


def summary(level: str, share: float, cue: float | None = None):
    """An examination in which the first items of each cluster of four are right."""
    records = []
    for item in range(ITEMS):
        scores = {"accuracy": float(item % 4 < 4 * share)} | ({} if cue is None else {"cue": float(item % 4 < 4 * cue)})
        records.append(Record(f"i{item}", 0, f"c{item // 4}", "", "ok", None, 1, True, {}, scores))
    return summarise(level, records, ITEMS)


MODELS = {
    "base": {"L1": summary("L1", 0.75, 0.25)},
    "one": {"L1": summary("L1", 0.25, 1.0), "L2": summary("L2", 0.25)},
    "<two>": {"L1": summary("L1", 0.75, 0.25), "L2": summary("L2", 1.0)},
}
COMPARISON = ModelComparison(MODELS, [("one", "base"), ("<two>", "one")], undirected=("cue",))


def test_every_level_and_metric_has_a_line_with_a_cell_for_each_model_and_pair():
    found = list(lines(COMPARISON))
    assert [(line.level, line.metric, line.opens) for line in found] == [
        ("L1", "accuracy", True), ("L1", "cue", False), ("L2", "accuracy", True),
    ]  # fmt: skip
    assert [mean and mean.mean for mean in found[0].means] == [0.75, 0.25, 0.75]
    assert [mean and mean.mean for mean in found[2].means] == [None, 0.25, 1.0]
    assert [gap and gap.mean for gap in found[0].gaps] == [-0.5, 0.5]
    assert found[2].gaps[0] is None
    assert all(line.n == ITEMS for line in found)


def test_a_difference_is_the_paired_one():
    gap = next(lines(COMPARISON)).gaps[1]
    assert gap == compare(MODELS["one"]["L1"], MODELS["<two>"]["L1"])["accuracy"]


def test_more_of_what_has_no_direction_is_neither_better_nor_worse():
    accuracy, cue, _ = lines(COMPARISON)
    assert [verdict(gap, accuracy.undirected) for gap in accuracy.gaps] == ["worse", "better"]
    assert [verdict(gap, cue.undirected) for gap in cue.gaps] == ["differs", "differs"]


def test_the_terminal_shows_them_in_eighty_columns():
    names = {"base": "base", "one": "GRPO, no KL", "<two>": "GRPO-CARE"}
    models = {
        names[name]: {f"{level}_neutral": found for level, found in levels.items()} for name, levels in MODELS.items()
    }
    console = Console(file=io.StringIO(), width=80, color_system=None, _environ={})
    console.print(comparison_table(ModelComparison(models, [("GRPO-CARE", "GRPO, no KL")]), "Title"))
    text = console.file.getvalue()
    assert "…" not in text
    assert re.search(r"L1_neutral accuracy +75.0 +\d+–\d+ +25.0 +\d+–\d+ +75.0 +\d+–\d+ +\+50.0 \+\d+ to \+\d+", text)
    assert re.search(r"L2_neutral accuracy +– +25.0", text)


def test_whole_points():
    assert [whole_points(fraction) for fraction in (0.104, -0.05, 0.001, float("-inf"))] == ["+10", "−5", "0", "?"]


def test_the_page_shows_means_gaps_and_an_axis_and_escapes_names(tmp_path):
    page = write_report(tmp_path, ReportData("Run", comparison=COMPARISON)).read_text()
    assert "Models compared" in page
    for shown in (
        "75.0\u202f%",
        "+50.0",
        "−50.0",
        "&lt;two&gt;",
        'class="difference better"',
        'class="difference differs"',
    ):
        assert shown in page
    assert "<two>" not in page
    assert page.count('class="forest"') == 3
    assert "Before and after" not in page


RUNS = {
    "one": [{"step": step, "rewards/accuracy/mean": step / 10, "timing_s/step": 1.0} for step in range(5)],
    "two": [{"step": step, "rewards/accuracy/mean": 0.5, "care/bonus": 0.1, "odd": step} for step in range(5)],
}


def test_runs_share_a_panel_by_key_and_keep_their_colour():
    panels = {curve.title: curve.svg for curve in compared(RUNS)}
    assert list(panels) == ["Consistency bonus: bonus", "Reward: accuracy"]
    assert all(color in panels["Reward: accuracy"] for color in COLORS[:2])
    assert "one" in panels["Reward: accuracy"]
    assert COLORS[1] in panels["Consistency bonus: bonus"]
    assert COLORS[0] not in panels["Consistency bonus: bonus"]
    assert [curve.title for curve in others_compared(RUNS)] == ["odd", "timing_s/step"]
