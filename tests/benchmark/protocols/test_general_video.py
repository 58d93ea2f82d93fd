"""The command on fixtures: a tiny random model answers all benchmarks; what is missing is said."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from benchmark import cli
from benchmark.protocols.general_video import run
from benchmark.protocols.general_video.protocols import PROTOCOLS
from mmrl.config.load import load
from mmrl.config.schema import EvalConfig
from mmrl.evaluation.commands.run import opened
from tests import tiny_models
from tests.benchmark.protocols.layouts import CONFIGS, lay_out

SMALL = (
    "model.compute_dtype=float32", "model.video_pixels=[784,3136]", "evaluation.decoding.max_new_tokens=6",
    "evaluation.frames={count: 4}", "evaluation.workers=0", "evaluation.reader=pyav",
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A directory of random weights."""
    path = tmp_path_factory.mktemp("model") / "model"
    processor = tiny_models.processor("qwen2_5_vl")
    tiny_models.model("qwen2_5_vl", processor).save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """All fixtures, a folder each."""
    root = tmp_path_factory.mktemp("data")
    for name in PROTOCOLS:
        lay_out(name, root / name)
    return root


def call(model, data, out, only, *more):
    words = ["general_video", "--model", model, "--data", data, "--out", out, "--only", only, *more, *SMALL]
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def whole(name, data):
    """Overrides under which a fixture is a whole release."""
    sets = load(EvalConfig, CONFIGS / f"{name}.yaml").evaluation.sets
    sizes = [len(flat(json.loads((data / name / one.file).read_text()))) for one in sets]
    return [f"evaluation.sets.{index}.expect={size}" for index, size in enumerate(sizes)]


def flat(content):
    """The questions of a file."""
    return content if isinstance(content, list) else [q for by in content.values() for qs in by.values() for q in qs]


def test_all_benchmarks_make_their_tables_from_the_fixtures_and_say_that_they_are_partial(model, data, tmp_path):
    done = call(model, data, tmp_path, ",".join(PROTOCOLS), "--partial")
    assert done.exit_code == 1, done.output
    for name, protocol in PROTOCOLS.items():
        assert f"{protocol.title}: PARTIAL: " in done.stdout
        table = json.loads((tmp_path / f"{name}.partial" / "table.json").read_text())["tables"][0]
        assert (table["partial"], table["failed"]) == (True, 0)
        assert table["items"] >= 3
        assert table["lines"][-1]["means"].keys() == protocol.columns.keys()
    assert "VSI-Bench: PARTIAL: 3 of 5,130 items, not the benchmark's number" in done.stdout
    assert "tvbench: partial, 10 of 2525 items (action_antonym: 1 items where the release has 320;" in done.stderr


def test_a_whole_table_ends_with_status_0_and_is_not_generated_again(model, data, tmp_path):
    wanted = whole("video_holmes", data)
    first = call(model, data, tmp_path, "video_holmes", "--condition", "blind", *wanted)
    assert first.exit_code == 0, first.output + first.stderr
    assert "Video-Holmes: 3 items, full" in first.stdout
    assert "Video-Holmes: 3 items, blind" in first.stdout
    assert "blind minus full, paired by item" in first.stdout
    folder = tmp_path / "video_holmes" / "video_holmes"
    samples = (folder / "samples.jsonl").read_bytes()
    (folder / "scores.default.jsonl").unlink()
    facts = json.loads((tmp_path / "video_holmes" / "run.json").read_text())
    assert (facts["expected"], facts["scored"]) == ({"video_holmes": 3}, {"video_holmes": 3})
    assert facts["finished"]
    again = call(model, data, tmp_path, "video_holmes", *wanted)
    assert again.exit_code == 0
    assert (folder / "samples.jsonl").read_bytes() == samples
    assert (folder / "costs.jsonl").read_text().count("\n") == 1  # one batch, generated once


def test_fewer_items_than_the_release_has_are_refused_and_the_other_benchmark_is_finished(model, data, tmp_path):
    root = tmp_path / "data"
    for name in ("mmvu", "video_holmes"):
        shutil.copytree(data / name, root / name)
    path = root / "mmvu" / "eval_mmvu.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:2]))
    done = call(model, root, tmp_path / "out", "mmvu,video_holmes", "evaluation.sets.0.expect=3")
    assert done.exit_code == 1
    assert "mmvu: 2 items where the release has 3. Complete the data, or say --partial" in done.stderr
    assert not (tmp_path / "out" / "mmvu").exists()
    table = json.loads((tmp_path / "out" / "video_holmes" / "table.json").read_text())["tables"][0]
    assert (table["items"], table["partial"]) == (3, False)


def test_moved_media_are_one_message_with_how_many_and_the_first_few(model, data, tmp_path):
    root = tmp_path / "data" / "longvideobench"
    shutil.copytree(data / "longvideobench", root)
    (root / "videos").rename(root / "elsewhere")
    wanted = whole("longvideobench", data)
    done = call(model, tmp_path / "data", tmp_path / "out", "longvideobench", *wanted)
    assert done.exit_code == 1
    assert done.stderr.count("media files are missing") == 1
    assert "2 of 2 media files are missing: videos/dddddddddD0.mp4, videos/eeeeeeeeeE0.mp4" in done.stderr
    (root / "elsewhere" / "eeeeeeeeeE0.mp4").rename(root / "eeeeeeeeeE0.mp4")
    (root / "videos").mkdir()
    (root / "eeeeeeeeeE0.mp4").rename(root / "videos" / "eeeeeeeeeE0.mp4")
    part = call(model, tmp_path / "data", tmp_path / "out", "longvideobench", "--partial", *wanted)
    assert part.exit_code == 1
    assert "PARTIAL: 2 of 3 items" in part.stdout


def test_a_video_that_does_not_decode_counts_as_wrong_and_is_named_and_retried(model, data, tmp_path):
    root = tmp_path / "data" / "video_holmes"
    shutil.copytree(data / "video_holmes", root)
    path = root / "videos" / "ggggggggg-0.mp4"
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    wanted = whole("video_holmes", data)
    done = call(model, tmp_path / "data", tmp_path / "out", "video_holmes", *wanted)
    assert done.exit_code == 1, done.output
    assert "1 of 3 questions could not be asked and count as wrong; the first: " in done.stderr
    assert "ggggggggg-0.mp4" in done.stderr
    assert "Video-Holmes: 3 items, full" in done.stdout  # nothing left the denominator
    path.write_bytes(good)
    again = call(model, tmp_path / "data", tmp_path / "out", "video_holmes", "--retry", *wanted)
    assert again.exit_code == 0, again.stderr


def test_a_file_of_another_schema_is_one_message(model, data, tmp_path):
    root = tmp_path / "data" / "egoplan_bench2"
    root.mkdir(parents=True)
    (root / "EgoPlan-Bench2.json").write_text(json.dumps([{"id": 1, "prompt": "?"}] * 3))
    done = call(model, tmp_path / "data", tmp_path / "out", "egoplan_bench2")
    assert done.exit_code == 1
    assert "EgoPlan-Bench2.json:1: expected a row with the fields sample_id, domain, scenario" in done.stderr
    assert "found id, prompt (missing: sample_id" in done.stderr


def test_a_condition_that_cannot_be_asked_costs_its_own_table(model, data, tmp_path):
    done = call(model, data, tmp_path, "video_holmes", "--condition", "video_only", *whole("video_holmes", data))
    assert done.exit_code == 1
    assert "video_holmes (video_only): " in done.stderr  # there is no picture that it could take away
    assert "Video-Holmes: 3 items, full" in done.stdout
    assert len(json.loads((tmp_path / "video_holmes" / "table.json").read_text())["tables"]) == 1


def test_a_model_is_opened_again_only_where_its_section_differs(model, data, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        run, "opened", lambda section, *rest: seen.append(section.image_pixels) or opened(section, *rest)
    )
    call(model, data, tmp_path, "mmvu,video_holmes,longvideobench_subtitles", "--partial")
    assert seen == [None, (100352, 200704)]  # frames are pictures where subtitles stand between them


def test_subtitles_that_are_not_all_there_are_refused(model, data, tmp_path):
    wanted = whole("videomme_subtitles", data)
    done = call(model, data, tmp_path, "videomme_subtitles", *wanted)
    assert done.exit_code == 1
    assert "videomme_subtitles: 1 of 744 subtitle files are in" in done.stderr
    full = call(model, data, tmp_path, "videomme_subtitles", *wanted, "evaluation.sets.0.subtitles.expect=1")
    assert full.exit_code == 0, full.stderr
    samples = (tmp_path / "videomme_subtitles/videomme_subtitles/samples.jsonl").read_text().splitlines()
    asked = [json.loads(line)["request"]["prompt"] for line in samples]
    assert ["Three boats set out.\\nThe wind" in words.replace("\n", "\\n") for words in asked] == [True, False, False]
    assert ["No subtitles available" in words for words in asked] == [False, True, True]


def test_an_unknown_benchmark_is_refused_before_anything_is_loaded(data, tmp_path):
    done = call("none", data, tmp_path, "videomme,nobench")
    assert isinstance(done.exception, ValueError)
    assert "--only: expected some of vsi_bench" in str(done.exception)
