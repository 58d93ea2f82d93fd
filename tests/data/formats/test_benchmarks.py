"""Rows in the schemas of public benchmarks, with invented content, as examples."""

import json
import shutil
from pathlib import Path

import pytest

from mmrl.data.formats.egoplan_bench2 import EgoPlanBench2
from mmrl.data.formats.longvideobench import LongVideoBench
from mmrl.data.formats.tempcompass import TempCompass
from mmrl.data.formats.tvbench import TVBench
from mmrl.data.formats.video_holmes import VideoHolmes
from mmrl.data.formats.video_r1_eval import VideoR1Eval
from mmrl.data.prompts import text
from mmrl.rewards.graders import check_gold
from mmrl.types import Media, Span

FIXTURES = Path(__file__).parents[2] / "fixtures"
FILES = {
    "vsi_bench": [VideoR1Eval("eval_vsibench.json")],
    "videommmu": [VideoR1Eval("eval_videommmu.json")],
    "mmvu": [VideoR1Eval("eval_mmvu.json")],
    "mvbench": [VideoR1Eval("eval_mvbench.json")],
    "tempcompass": [VideoR1Eval("eval_tempcompass.json")],
    "videomme": [VideoR1Eval("eval_videomme.json")],
    "longvideobench": [LongVideoBench("lvb_val.json", media="videos")],
    "video_holmes": [VideoHolmes("test_Video-Holmes.json", media="videos")],
    "egoplan_bench2": [EgoPlanBench2("EgoPlan-Bench2.json", media="videos")],
    "tvbench": [TVBench(f"json/{path.name}", media="video") for path in sorted((FIXTURES / "tvbench/json").glob("*"))],
    "tempcompass_questions": [
        TempCompass(f"questions/{name}.json", media="videos")
        for name in ("multi-choice", "yes_no", "caption_matching", "captioning")
    ],
}


def examples(name):
    """All examples of a benchmark's fixture."""
    opened = [source.open(FIXTURES / name) for source in FILES[name]]
    return [data.example(index, 0) for data in opened for index in range(len(data))]


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_a_question_that_can_be_asked_and_graded(name):
    found = examples(name)
    assert len(found) >= 3
    assert len({example.id for example in found}) == len(found)
    for example in found:
        check_gold(example)
        assert example.question in text(example, "care_eval")
        assert example.cluster
        assert all(part.kind == "video" and not part.path.is_absolute() for part in example.media)


def test_video_r1s_rows_may_have_options_without_text_repeated_options_or_one(tmp_path):
    by_id = {example.id: example for name in ("videommmu", "videomme", "mvbench") for example in examples(name)}
    assert by_id["824"].choices == ("", "", "", "")
    assert text(by_id["824"], "care_eval").count("\nB. \n") == 1
    assert by_id["2"].choices[:2] == ("Bread.", "Bread.")
    assert by_id["1282"].choices == ("The ball meets the cone",)


def test_mvbenchs_frames_are_shown_as_the_video_that_the_path_names():
    frames = next(example for example in examples("mvbench") if example.id == "1601")
    assert frames.media == (
        Media("video", Path("Evaluation/MVBench/tvqa/frames_fps3_hq/a_show_s01e01_seg01_clip_01.mp4")),
    )


def test_videommmu_numbers_have_no_options():
    number = next(example for example in examples("videommmu") if example.id == "14")
    assert (number.kind, number.choices, number.answer) == ("numerical", (), "12.97")


def test_longvideobench_reads_candidates_and_the_hubs_padded_columns(tmp_path):
    rows = json.loads((FIXTURES / "longvideobench/lvb_val.json").read_text())
    for row in rows:
        candidates = row.pop("candidates")
        row.update({f"option{i}": candidates[i] if i < len(candidates) else "N/A" for i in range(5)})
    (tmp_path / "lvb_val.json").write_text(json.dumps(rows))
    data = LongVideoBench("lvb_val.json", media="videos").open(tmp_path)
    before = examples("longvideobench")
    for index, example in enumerate(before):
        again = data.example(index, 0)
        assert (again.choices, again.answer, again.media) == (example.choices, example.answer, example.media)
    assert [example.answer for example in before] == ["B", "E", "A"]


def test_longvideobenchs_test_split_has_no_golds(tmp_path):
    rows = json.loads((FIXTURES / "longvideobench/lvb_val.json").read_text())
    rows[1]["correct_choice"] = -1
    (tmp_path / "lvb_test.json").write_text(json.dumps(rows))
    with pytest.raises(
        ValueError, match=r"lvb_test.json:2: correct_choice: expected an index from 0 to 4, found -1; golds"
    ):
        LongVideoBench("lvb_test.json").open(tmp_path)


def test_tvbench_cuts_the_two_tasks_that_its_loader_cuts():
    spans = {example.id: example.media[0].span for example in examples("tvbench")}
    assert {name: span for name, span in spans.items() if span is not None} == {
        "action_localization-1": Span(0.5, 2.5),
        "action_sequence-1": Span(1.0, 3.0),
    }
    assert len(spans) == 10


def test_egoplan_shows_a_video_up_to_the_present_and_never_what_is_done_in_it():
    first, second, _ = examples("egoplan_bench2")
    assert first.media == (
        Media("video", Path("videos/00000000-0000-4000-8000-000000000001.mp4"), Span(0, 5, "frames")),
    )
    assert first.cluster == second.cluster
    assert "SECRET" not in text(first, "care_eval")
    assert "water the plants?" in first.question


def test_tempcompass_takes_options_out_of_questions_and_twins_of_a_video_are_one_cluster():
    choice, yes_no, matching, captioning = examples("tempcompass_questions")
    assert (choice.question, choice.choices, choice.answer) == (
        "What is the kite doing?", ("rising", "falling", "turning"), "A",
    )  # fmt: skip
    assert (yes_no.choices, yes_no.answer, yes_no.fields["dim"]) == (("yes", "no"), "A", "action")
    assert matching.choices[1] == "The kite turns and rises."
    assert matching.answer == "B"
    assert captioning.choices[0] == "{'subject': 'kite', 'speed': 'fast'}"
    assert "Generated" not in captioning.question
    assert {example.cluster for example in (choice, yes_no, matching, captioning)} == {"9000000001"}


def test_tempcompass_rows_of_a_list_are_the_same(tmp_path):
    nested = json.loads((FIXTURES / "tempcompass_questions/questions/yes_no.json").read_text())
    rows = [{"video_id": v, "dim": d} | q for v, by in nested.items() for d, qs in by.items() for q in qs]
    (tmp_path / "yes_no.json").write_text(json.dumps(rows))
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines/yes_no.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wanted = examples("tempcompass_questions")[1]
    for name in ("yes_no.json", "lines/yes_no.json"):
        assert TempCompass(name, media="videos").open(tmp_path).example(0, 0) == wanted


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_schema_is_one_message_with_expected_and_found_fields(name, tmp_path):
    source = FILES[name][0]
    other = tmp_path / source.annotations
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_text(json.dumps([{"video_name": "a", "prompt": "b"}] * 30))
    with pytest.raises(ValueError, match=r":1: expected a row with the fields") as error:
        source.open(tmp_path)
    assert str(other) in str(error.value)
    assert "found video_name, prompt (missing:" in str(error.value)
    assert len(str(error.value).splitlines()) <= 12  # 30 rows, of which the first few are shown


def test_a_wrong_value_names_row_field_and_what_was_expected(tmp_path):
    shutil.copytree(FIXTURES / "video_holmes", tmp_path / "copy")
    path = tmp_path / "copy/test_Video-Holmes.json"
    rows = json.loads(path.read_text())
    rows[2]["Options"].pop("B")
    rows[1]["Answer"] = "G"
    path.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match="2 bad rows") as error:
        VideoHolmes(path.name).open(path.parent)
    assert "Holmes.json:2: Answer: expected one of the letters A, B, C, D, E, F, found G" in str(error.value)
    assert "Holmes.json:3: Options: expected options by letter, from A on without a gap" in str(error.value)
