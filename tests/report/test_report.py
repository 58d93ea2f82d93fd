"""The page: complete in itself, safe whatever the model wrote, and showing what it was given."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from mmrl.evaluation.statistics import Difference
from mmrl.report import ReportData, Rollout, RolloutCompletion, write_report
from mmrl.report.curves import compared, others_compared, panel_of, read_metrics, running_mean
from mmrl.report.html import forest, parts, picture, reach, tags

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"
FRAMES = np.zeros((4, 15, 3), np.uint8)


def difference(mean=0.2, low=0.1, high=0.3):
    return Difference(0.4, 0.4 + mean, mean, low, high, 0.004, 512, 128)


def full(text="<think>So B.</think><answer>B</answer>", name="x"):
    completion = RolloutCompletion(text, {name: 0.5, "total": 1.5}, True, False, (28, 29), 12)
    return ReportData(
        title=f"Run {name}",
        subtitle=name,
        facts={"seed": "0", name: name},
        levels={
            "L1": {"accuracy": difference(), name: difference(-0.2, -0.3, -0.1)},
            name: {"a": difference(0, -1, 1)},
        },
        runs={
            name: [{"step": step, "reward": step / 10, f"rewards/{name}/mean": 1.0, name: 2.0} for step in range(20)]
        },
        rollouts=[Rollout(name, text, [completion, RolloutCompletion(text)], gold=name, strip=FRAMES)],
        notes=[name],
    )


def test_a_full_report_shows_what_it_was_given(tmp_path):
    page = write_report(tmp_path, full()).read_text()
    assert "Run x" in page
    for shown in (
        "40.0\u202f%",
        "60.0\u202f%",
        "+20.0",
        "+10.0 to +30.0",
        "−20.0",
        "512",
        "correct",
        "reasoning disagrees",
    ):
        assert shown in page
    assert '<td class="difference better">+20.0</td>' in page
    assert '<td class="difference worse">−20.0</td>' in page
    assert '<td class="difference unclear">0.0</td>' in page
    assert "<mark>B</mark>" in page
    assert "reward 1.5" in page
    assert "Reward: weighted sum" in page


def test_what_a_model_writes_stays_text(tmp_path):
    page = write_report(tmp_path, full(text=EVIL, name=EVIL)).read_text()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert not re.search(r"<[^>]*\sonerror", page)
    assert "49" not in re.sub(
        r"<svg.*?</svg>|<style.*?</style>", "", page, flags=re.DOTALL
    )  # a template is no template
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 8


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    page = write_report(tmp_path, full()).read_text()
    assert not re.search(r"<(script|link|iframe|object|embed|base)\b", page)
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'\bsrc="([^"]*)"', page))
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', page))
    assert not re.search(r"url\((?!#)|@import", page)
    assert {address for address in re.findall(r"https?://[^\s\"'<]+", page)} <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "prefers-color-scheme: dark" in page


def test_the_same_data_give_the_same_page(tmp_path):
    one, other = write_report(tmp_path / "a", full()), write_report(tmp_path / "b", full())
    assert one.read_bytes() == other.read_bytes()
    assert [path.name for path in one.parent.iterdir()] == ["report.html"]


def test_an_empty_report_is_a_page(tmp_path):
    page = write_report(tmp_path, ReportData("Nothing yet")).read_text()
    assert "Nothing yet" in page
    assert "<table" not in page
    assert "<h2>" not in page


def test_metrics_are_read_from_the_run(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.4}\n{"step": 3, "lo')
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]
    assert read_metrics(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    ("key", "panel"),
    [
        ("reward", "Reward: weighted sum"),
        ("rewards/accuracy/mean", "Reward: accuracy"),
        ("rewards/accuracy/std", None),
        ("reward_std", None),
        ("care/bonus", "Consistency bonus: bonus"),
        ("validation/L1/consistency", "Validation: L1/consistency"),
        ("entropy", "Entropy"),
        ("completions/mean_length", "Completion length"),
        ("completions/clipped_ratio", "Truncated completions"),
        ("groups/frac_without_signal", "Groups without signal"),
        ("loss", None),
        ("grad_norm", "Gradient norm"),
        ("timing_s/gen", None),
        ("sampling/logprob_difference_max", None),
        ("ema/drift_ratio", None),
        ("learning_rate", None),
    ],
)
def test_metrics_find_their_panel(key, panel):
    assert (panel_of(key) or (0, None, ""))[1] == panel
    runs = {"run": [{"step": step, key: 0.5 + step} for step in range(3)]}
    assert [curve.title for curve in compared(runs)] == ([panel] if panel else [])
    assert [curve.title for curve in others_compared(runs)] == ([] if panel else [key])


def test_what_is_no_number_is_not_plotted():
    table = [{"step": 1, "loss": float("nan"), "entropy": None, "reward": True, "note": "x"}, {"loss": 1.0}]
    assert list(compared({"run": table})) == []
    assert list(others_compared({"run": table})) == []


def test_the_running_mean_looks_back_only():
    assert running_mean([1, 3, 5, 7], 2) == [1, 2, 4, 6]
    assert running_mean([2, 2, 2], 10) == [2, 2, 2]


def test_the_answer_is_cut_out_by_its_span():
    assert parts(RolloutCompletion("<answer>B</answer>", answer_span=(8, 9))) == ("<answer>", "B", "</answer>")
    assert parts(RolloutCompletion("no answer")) == ("no answer", "", "")
    assert parts(RolloutCompletion("<answer> B\n</answer>", answer_span=(8, 11))) == ("<answer> ", "B", "\n</answer>")
    assert "".join(parts(RolloutCompletion("<answer>  </answer>", answer_span=(8, 10)))) == "<answer>  </answer>"
    assert tags("<answer><b>") == "<i>&lt;answer&gt;</i>&lt;b&gt;"


def test_a_strip_is_a_png_in_the_page():
    strip = np.arange(4 * 15 * 3, dtype=np.uint8).reshape(4, 15, 3)
    head, _, encoded = picture(strip).partition(",")
    assert head == "data:image/png;base64"
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))) == strip).all()


@pytest.mark.parametrize("strip", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3)), np.zeros((1, 4, 5, 3), np.uint8)])
def test_what_is_no_picture_is_refused(strip):
    with pytest.raises(ValueError, match="rollout strip: expected"):
        picture(strip)


def test_the_axis_reaches_every_limit():
    table = [difference(0.2, 0.1, 0.31), difference(0, -np.inf, np.inf)]
    assert reach(table) == 0.4
    assert reach([]) == 0.1
    assert forest(table[0], 0.4) == {"left": "62.50", "dot": "75.00", "width": "26.25"}
    assert forest(table[1], 0.4) == {"left": "0.00", "dot": "50.00", "width": "100.00"}


def test_text_of_a_panel_has_the_colour_of_the_page(tmp_path):
    rows = [{"step": step, "entropy": 1 / step} for step in range(1, 30)]
    page = write_report(tmp_path, ReportData("Run", runs={"run": rows})).read_text()
    assert page.count("<svg") == 1
    assert "currentColor" in page
