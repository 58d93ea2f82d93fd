"""``mmrl eval run`` on real files: kills, missing media, conditions, the cache, other families, audits of media."""

import json
import shutil
import signal
import sys

import pytest

from mmrl.cli import app
from mmrl.config.load import dump, load, parse
from mmrl.config.schema import EvalConfig
from mmrl.evaluation import read_items, read_records, response_cache
from mmrl.evaluation.commands import run as running
from mmrl.models import families
from tests import run_fixtures
from tests.models import tiny_generic
from tests.models.vision.test_feature_cache import Hook


@pytest.fixture
def own(root, tmp_path):
    """Data of one's own, to be broken."""
    shutil.copytree(root, tmp_path / "data", ignore=shutil.ignore_patterns("model", "learnt", "answers"))
    return tmp_path / "data"


@pytest.fixture
def mmrl(root, own, tmp_path, monkeypatch, capsys):
    def ask(*told, model=root / "answers", **section):
        plain = {
            "root": str(own),
            "sets": [{"name": "all", "format": "messages", "file": "d.jsonl", "expect": 8}],
            "template": "plain",
            "graders": {"accuracy": "accuracy", "vowels": f"{own}/graders.py:vowels"},
            "decoding": {"temperature": 1.0, "max_new_tokens": 6},
            "batch_size": 3,
            "workers": 0,
        }
        config = {"out": str(tmp_path / "out"), "model": {"path": str(model)}, "evaluation": plain | section}
        path = tmp_path / "eval.yaml"
        path.write_text(dump(parse(EvalConfig, config, "made")))
        command = ["run", str(path), *told] if not told or told[0].startswith(("-", "out=")) else told
        monkeypatch.setattr(sys, "argv", ["mmrl", "eval", *map(str, command)])
        with pytest.raises(SystemExit) as end:
            app.main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return ask


def test_a_run_that_is_killed_anywhere_ends_with_the_same_scores(mmrl, tmp_path, monkeypatch):
    """A real SIGKILL, in a process of its own, in the middle of writing a line."""
    assert mmrl()[0] == 0
    whole = {name: (tmp_path / "out" / "all" / name).read_bytes() for name in ("samples.jsonl", "scores.default.jsonl")}
    config = load(EvalConfig, tmp_path / "eval.yaml", [f"out={tmp_path / 'killed'}"])
    path = tmp_path / "killed" / "all" / "samples.jsonl"

    def killed(times):
        from mmrl.evaluation import runner as writing

        calls, original = iter(range(99)), writing.line

        def half(record):
            text = original(record)
            if next(calls) == times:
                with path.open("a") as file:
                    file.write(text[: len(text) // 2])
                signal.raise_signal(signal.SIGKILL)
            return text

        writing.line = half
        running.run(config, [], False, "made")

    for times in (1, 6):
        shutil.rmtree(tmp_path / "killed", ignore_errors=True)
        assert run_fixtures.death_of(lambda times=times: killed(times)) == signal.SIGKILL
        assert json.loads((tmp_path / "killed" / "run.json").read_text())["finished"] is None
        assert mmrl(f"out={tmp_path / 'killed'}")[0] == 0
        assert {name: (tmp_path / "killed" / "all" / name).read_bytes() for name in whole} == whole


def test_questions_samples_and_conditions_about_the_same_media_look_once(mmrl, own, tmp_path, monkeypatch):
    """By hand: two videos and an image as they are, and both videos as their last frame: five looks at eleven media."""
    rows = [
        run_fixtures.row(index) for index in (0, 0, 0, 3, 3, 2)
    ]  # a video, thrice; a video and an image, twice; no media
    rows = [row | {"id": f"e{index}"} for index, row in enumerate(rows)]
    for index, row in enumerate(rows):
        row["messages"][0]["content"][-1]["text"] = f"question {index}"
        row["extra"] = f"more of e{index}"
    (own / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    hooks, opened = [], running.opened

    def watched(*args):
        model = opened(*args)
        hooks.append(Hook(model.model))
        return model

    monkeypatch.setattr(running, "opened", watched)
    sets = [{"name": "all", "format": "messages", "file": "d.jsonl", "expect": 6}]
    records = []
    for name, told, cache in (
        ("once", [], None),
        ("always", ["model.feature_cache_bytes=0"], None),
        ("first", ["model.feature_cache_bytes=0"], "cache"),
        ("second", ["model.feature_cache_bytes=0"], "cache"),
    ):
        options = dict(sets=sets, samples=2, batch_size=4, cache_dir=cache and str(tmp_path / cache))
        status, _, err = mmrl(f"out={tmp_path / name}", *told, "--condition", "last_frame", **options)
        assert status == 0, err
        folders = [tmp_path / name / "all", tmp_path / name / "conditions" / "last_frame" / "all"]
        records.append([(folder / "samples.jsonl").read_bytes() for folder in folders])
    assert [hook.media for hook in hooks] == [5, 14, 5, 0]  # of 7 media in the six questions, under two conditions
    assert all(found == records[0] for found in records)


def test_the_name_of_a_folder_decides_nothing(mmrl, root, tmp_path):
    """GRPO-CARE's script decodes otherwise where the model's path contains "Video-R1"."""
    assert mmrl()[0] == 0
    before = (tmp_path / "out" / "all" / "samples.jsonl").read_bytes()
    shutil.copytree(root / "answers", tmp_path / "Video-R1")
    assert mmrl(model=tmp_path / "Video-R1")[0] == 0  # the same measurement: nothing to do
    assert mmrl(f"out={tmp_path / 'again'}", model=tmp_path / "Video-R1")[0] == 0
    assert (tmp_path / "again" / "all" / "samples.jsonl").read_bytes() == before


def test_options_stand_in_the_order_of_the_file(mmrl, tmp_path):
    assert mmrl()[0] == 0
    assert {item.choices for item in read_items(tmp_path / "out" / "all").values()} == {
        ("red", "blue", "green", "grey")
    }


def test_missing_media_cost_their_own_items_and_can_be_asked_again(mmrl, own, tmp_path):
    (own / "v3.mp4").rename(own / "moved.mp4")
    status, out, err = mmrl()
    assert status == 1
    assert "1 of 8 questions could not be asked and count as wrong; the first: v3.mp4" in err.replace(f"{own}/", "")
    assert "1 media_error" in out
    records = {record.item: record for record in read_records(tmp_path / "out" / "all")}
    assert records["e3"].status == "media_error"
    assert len(records) == 8
    (own / "moved.mp4").rename(own / "v3.mp4")
    assert mmrl("--retry")[0] == 0
    assert {record.status for record in read_records(tmp_path / "out" / "all")} <= {
        "ok",
        "truncated",
        "unparsable",
        "empty",
    }


def test_an_annotation_of_another_schema_is_one_message(mmrl, own):
    rows = [json.loads(line) for line in (own / "d.jsonl").read_text().splitlines()]
    rows[2].pop("messages")
    (own / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, _, err = mmrl()
    assert status == 2
    assert "messages" in err
    assert "d.jsonl:3" in err or "line 3" in err


def test_a_cut_download_is_refused(mmrl, own):
    path = own / "d.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    status, _, err = mmrl()
    assert status == 2
    assert "expected 8 examples, found 5" in err


def test_a_model_without_a_chat_template_is_one_message(mmrl, root, tmp_path):
    shutil.copytree(root / "answers", tmp_path / "bare")
    for path in (tmp_path / "bare").glob("chat_template*"):
        path.unlink()
    for path in (tmp_path / "bare").glob("*.json"):
        plain = json.loads(path.read_text())
        if plain.pop("chat_template", None):
            path.write_text(json.dumps(plain))
    status, _, err = mmrl(model=tmp_path / "bare")
    assert status == 2
    assert "has no chat template" in err


def test_conditions_are_asked_in_one_go_and_told_against_full(mmrl, tmp_path):
    status, out, _ = mmrl("--condition", "blind", "--condition", "shuffled", "--condition", "frames:2")
    assert status == 0
    for shown in ("What the conditions tell", "visual gain", "temporal gain"):
        assert shown in out
    found = json.loads((tmp_path / "out" / "gains.json").read_text())["all"]
    assert found["metric"] == "accuracy"
    assert {one["name"] for one in found["gains"]} >= {"visual gain", "temporal gain"}
    assert (tmp_path / "out" / "conditions" / "frames-2" / "all" / "samples.jsonl").exists()
    status, _, err = mmrl("--condition", "blnd")
    assert status == 2
    assert "expected one of full, blind" in err


def test_a_second_run_with_the_cache_samples_nothing(mmrl, tmp_path, monkeypatch):
    cached = {"response_cache": str(tmp_path / "cache")}
    assert mmrl(f"out={tmp_path / 'one'}", **cached)[0] == 0

    def never(*_):
        raise AssertionError("it was sampled again")

    monkeypatch.setattr("mmrl.evaluation.samplers.EngineSampler.answer", never)
    assert mmrl(f"out={tmp_path / 'two'}", **cached)[0] == 0
    one, two = ((tmp_path / name / "all" / "samples.jsonl").read_bytes() for name in ("one", "two"))
    assert one == two


def test_several_conditions_read_the_cache_of_responses_once(mmrl, tmp_path, monkeypatch):
    folders, original = [], response_cache.ResponseCache.__init__

    def counted(cache, folder):
        folders.append(folder)
        original(cache, folder)

    monkeypatch.setattr(response_cache.ResponseCache, "__init__", counted)
    status, _, err = mmrl("--condition", "blind", "--condition", "shuffled", response_cache=str(tmp_path / "cache"))
    assert (status, folders) == (0, [tmp_path / "cache"]), err


def test_media_that_are_others_now_are_found(mmrl, own, tmp_path):
    assert mmrl()[0] == 0
    assert mmrl("audit", tmp_path / "out", "--media")[0] == 0
    shutil.copyfile(own / "v0.mp4", own / "v3.mp4")
    shutil.copyfile(own / "i3.png", own / "i1.png")
    status, out, _ = mmrl("audit", tmp_path / "out", "--media")
    assert status == 1
    assert out.count("decode to other pixels") == 2


def test_what_was_trained_on_is_found_under_any_name(mmrl, root, own, tmp_path):
    assert mmrl()[0] == 0
    train = tmp_path / "train"
    shutil.copytree(own, train)
    rows = [json.loads(line) for line in (train / "d.jsonl").read_text().splitlines()]
    one = rows[1]  # an image, under another name, and another question about it
    (train / "i1.png").rename(train / "renamed.png")
    one["messages"][0]["content"] = [{"type": "image", "image": "renamed.png"}, {"type": "text", "text": "else?"}]
    (train / "d.jsonl").write_text(json.dumps(one) + "\n")
    config = run_fixtures.write_config(
        tmp_path / "train.yaml", run_fixtures.settings(train, tmp_path / "x", model=root / "model")
    )
    status, out, _ = mmrl("audit", tmp_path / "out", "--train", config)
    assert status == 1
    assert "1 of 8 files were trained on under another name, such as i1.png" in " ".join(out.split())
    assert "questions were trained on" not in out


def test_another_family_is_examined_by_the_same_command(mmrl, tmp_path):
    model, processor = tiny_generic.model("llava_onevision")
    assert model.config.model_type not in families.FAMILIES
    model.save_pretrained(tmp_path / "other")
    processor.save_pretrained(tmp_path / "other")
    status, _, err = mmrl(model=tmp_path / "other")
    assert status == 0, err
    assert len(read_records(tmp_path / "out" / "all")) == 8
    plan = json.loads((tmp_path / "out" / "all" / "plan.json").read_text())
    assert plan["settings"]["engine"]["name"] == "transformers.generate"


def test_ls_counts_what_is_done(mmrl, tmp_path):
    assert mmrl()[0] == 0
    path = tmp_path / "out" / "all" / "samples.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    _, out, _ = mmrl("ls", tmp_path)
    assert "3 of 8, unfinished" in out
