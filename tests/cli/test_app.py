"""The command line: whatever a user got wrong is one message and status 2; whatever happens, a run can go on."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mmrl.cli import app
from mmrl.training.build import build
from tests import run_fixtures


@pytest.fixture
def mmrl(monkeypatch, capsys):
    """``mmrl ARGUMENTS`` in this process: its status, and what it says on stderr."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["mmrl", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app.main()
        return end.value.code or 0, capsys.readouterr().err

    return call


@pytest.fixture
def own(root, tmp_path):
    """Data of one's own to be damaged, with the session's model, and a config file about them."""
    folder = tmp_path / "own"
    folder.mkdir()
    for path in root.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    return folder


def written(own, root, **changes):
    """A config file about one's own data."""
    plain = run_fixtures.settings(own, own / "run", model=root / "model", steps=changes.pop("steps", 4), **changes)
    return run_fixtures.write_config(own / "run.yaml", plain)


def broken_rows(own, index, **fields):
    """A row of the annotations with other fields."""
    rows = run_fixtures.lines(own / "d.jsonl")
    rows[index] |= fields
    (own / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def bad_config(own, root):
    path = written(own, root)
    path.write_text(path.read_text().replace("steps: 4", "stpes: 4"))


def nothing_there(own, _root):
    return [own / "nowhere.yaml"]


def no_root(own, root):
    written(own, root)
    return [f"data.root={own}/nowhere"]


def no_annotations(own, root):
    written(own, root)
    (own / "d.jsonl").unlink()


def no_answer(own, root):
    rewards = {"accuracy": {"grader": "accuracy"}}
    broken_rows(own, 2, answer=None)
    written(own, root, method="grpo", rewards=rewards)


def same_options(own, root):
    broken_rows(own, 2, choices=["red", "red", "green", "grey"])
    written(own, root)


def no_demonstration(own, root):
    rows = run_fixtures.lines(own / "d.jsonl")
    broken_rows(own, 3, messages=rows[3]["messages"][:1])
    written(own, root)


def corrupt_video(own, root):
    (own / "v4.mp4").write_bytes((own / "v4.mp4").read_bytes()[:400])
    written(own, root)


def missing_image(own, root):
    (own / "i1.png").unlink()
    written(own, root)


def outside(own, root):
    broken_rows(
        own,
        1,
        messages=[
            {"role": "user", "content": [{"type": "image", "image": "../x.png"}]},
            run_fixtures.row(1)["messages"][1],
        ],
    )
    written(own, root)


def no_processor(own, root):
    shutil.copytree(root / "model", own / "model")
    for name in ("processor_config.json", "preprocessor_config.json"):
        (own / "model" / name).unlink(missing_ok=True)
    written(own, root)
    return [f"model.path={own}/model"]


def no_model(own, root):
    written(own, root)
    return [f"model.path={own}/model"]


def alone(own, root):
    written(own, root, method="grpo")
    return ["rollout.group_size=1"]


def no_grader(own, root):
    written(own, root, method="grpo")
    return ["rewards.accuracy.grader=acuracy"]


def odd_batch(own, root):
    written(own, root, method="grpo", algorithm={"name": "grpo", "beta": 0.0, "epsilon": 0.2})
    return ["mini_batches_per_step=2", "prompts_per_step=3"]


MISTAKES = {
    bad_config: ["no key 'stpes'; did you mean 'steps'?", "steps: expected a value, found none"],
    nothing_there: ["expected a YAML file, found nothing at", "nowhere.yaml"],
    no_root: ["root: expected a directory of data, found nothing at", "nowhere"],
    no_annotations: ["sets: expected annotations, found nothing at", "d.jsonl"],
    no_answer: ["example e2: answer: expected a gold for kind 'choice', found None"],
    same_options: ["d.jsonl:3: choices: expected options that differ, found 'red' more than once"],
    no_demonstration: ["expected a demonstration in every row, found 1 without, such as ['e3']"],
    corrupt_video: [
        "v4.mp4 (example e4): expected",
        "replace the file, or list its example under exclude of its set in data.sets",
    ],
    missing_image: ["i1.png (example e1): expected a file, found no such file"],
    outside: ["expected a path inside the data root"],
    no_processor: ["own/model lacks one of preprocessor_config.json, processor_config.json (processor)"],
    no_model: ["model.path: expected a model directory, found nothing at"],
    alone: ["rollout.group_size: expected 2 or more, as grpo compares the completions of a group; found 1"],
    no_grader: ["grader 'acuracy': expected one of accuracy, "],
    odd_batch: ["prompts_per_step: expected a multiple of 2 (ranks x mini_batches_per_step), found 3"],
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_one_message_and_status_2(mmrl, root, own, mistake):
    arguments = mistake(own, root) or []
    config = [own / "run.yaml"] if mistake is not nothing_there else []
    status, said = mmrl("train", *config, *arguments)
    assert status == 2
    assert all(part in said for part in MISTAKES[mistake]), said
    assert "Traceback" not in said
    assert said.count("mmrl: ") == 1
    assert not (own / "run").exists()


def test_a_check_trains_nothing_and_leaves_no_run_behind(mmrl, root, own, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for method in ("sft", "care"):
        status, said = mmrl("train", written(own, root, method=method), "--check")
        assert (status, said) == (0, "")
    assert not (own / "run").exists()
    assert not list((tmp_path / "temporary").iterdir())
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_check_finds_what_would_stop_the_run(mmrl, root, own):
    corrupt_video(own, root)
    status, said = mmrl("train", own / "run.yaml", "--check")
    assert status == 2
    assert "v4.mp4 (example e4)" in said


def test_an_unknown_option_and_an_unknown_command_are_status_2(mmrl):
    assert mmrl("train", "--chekc", "x.yaml")[0] == 2
    assert mmrl("trian")[0] == 2


def test_a_run_is_neither_overwritten_nor_resumed_from_nothing(mmrl, root, own):
    path = written(own, root, steps=1)
    assert mmrl("train", path)[0] == 0
    status, said = mmrl("train", path)
    assert status == 2
    assert "holds a run at step-000001; add --resume to go on with it, or choose another out" in said
    (own / "notes").mkdir()
    (own / "notes" / "mine.txt").write_text("mine")
    status, said = mmrl("train", path, f"out={own}/notes", "--resume")
    assert status == 2
    assert "expected a checkpoint to resume" in said


def test_another_model_is_not_resumed(mmrl, root, own):
    path = written(own, root, steps=1)
    assert mmrl("train", path)[0] == 0
    status, said = mmrl("train", path, f"model.path={root}/answers", "--resume")
    assert status == 2
    assert "cannot resume, because model.path changed" in said
    checkpoint = own / "run" / "checkpoints" / "step-000001"
    state = json.loads((checkpoint / "trainer" / "state.json").read_text())
    state["shapes"]["more"] = [1]
    (checkpoint / "trainer" / "state.json").write_text(json.dumps(state))
    status, said = mmrl("train", path, "--resume")
    assert status == 2
    assert "a checkpoint of another model; 1 parameters differ, the first is more: expected None, found [1]" in said


def damaged_during(own, monkeypatch, step):
    """All videos are cut short when a step is over."""
    from mmrl.training import loop as running

    whole = running.Run.step

    def stepped(run):
        numbers = whole(run)
        if run.trainer.step_done == step:
            for path in own.glob("v*.mp4"):
                path.write_bytes(path.read_bytes()[:400])
        return numbers

    monkeypatch.setattr(running.Run, "step", stepped)


def test_a_file_that_breaks_during_training_stops_with_a_checkpoint_and_the_way_on(mmrl, root, own, monkeypatch):
    path = written(own, root, steps=8)
    plain = run_fixtures.settings(own, own / "run", model=root / "model")
    data = plain["data"] | {"frame_cache_bytes": 0}
    path = written(own, root, steps=8, data=data)
    sound = {video: video.read_bytes() for video in own.glob("v*.mp4")}
    with monkeypatch.context() as patched:
        damaged_during(own, patched, 2)
        status, said = mmrl("train", path)
    assert status == 2
    steps = [line["step"] for line in run_fixtures.lines(own / "run" / "metrics.jsonl")]
    newest = sorted((own / "run" / "checkpoints").iterdir())[-1]
    assert newest.name == f"step-{steps[-1]:06d}"
    assert 2 <= steps[-1] < 8
    assert f"Everything up to step {steps[-1]} is in" in said
    assert f"mmrl train {path} --resume" in said
    assert "data.on_bad_media=skip goes on without such examples" in said
    assert ".mp4 (example e" in said

    again = shutil.copytree(own / "run", own / "again")
    status, _ = mmrl("train", path, f"out={again}", "data.on_bad_media=skip", "--resume")
    assert status == 0
    counts = [line["media/skipped_examples"] for line in run_fixtures.lines(again / "metrics.jsonl")]
    assert len(counts) == 8
    assert counts == sorted(counts)
    assert counts[1] == 0 < counts[-1]

    for video, content in sound.items():
        video.write_bytes(content)
    assert mmrl("train", path, "--resume")[0] == 0
    expected = build(run_fixtures.config(own, own / "whole", model=root / "model", steps=8, data=data), quiet=True)
    expected.fit(quiet=True)
    assert run_fixtures.numbers(own / "run") == run_fixtures.numbers(own / "whole")


def test_a_step_whose_examples_are_all_skipped_is_a_step(mmrl, root, own, monkeypatch):
    data = run_fixtures.settings(own, own / "run")["data"] | {"frame_cache_bytes": 0, "on_bad_media": "skip"}
    data["sets"] = [data["sets"][0] | {"exclude": [f"e{i}" for i in (1, 2, 5, 6)]}]  # leaves those with videos
    path = written(own, root, steps=4, data=data)
    damaged_during(own, monkeypatch, 2)
    assert mmrl("train", path)[0] == 0
    lines = run_fixtures.lines(own / "run" / "metrics.jsonl")
    assert [line["media/skipped_examples"] for line in lines] == [0, 0, 2, 4]
    assert "loss" in lines[1]
    assert "loss" not in lines[2]
    assert (own / "run" / "checkpoints" / "step-000004").is_dir()


def test_ctrl_c_stops_with_a_checkpoint_from_which_the_run_goes_on(root, own):
    path = written(own, root, steps=2000)
    metrics, late = own / "run" / "metrics.jsonl", time.monotonic() + 200
    with (own / "out").open("w+") as stdout, (own / "said").open("w+") as stderr:
        process = run_fixtures.ForkedTraining([sys.executable, "-m", "mmrl", "train", str(path)], {}, stdout, stderr)
        while (
            process.poll() is None
            and time.monotonic() < late
            and not (metrics.exists() and metrics.read_text().count("\n") > 2)
        ):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        process.wait(90)
    out, said = (own / "out").read_text(), (own / "said").read_text()
    assert process.poll() == 130, out + said
    steps = len(run_fixtures.lines(metrics))
    assert f"Stopped after step {steps}. To go on: mmrl train {path} --resume" in said
    assert "Stopping after this step" in out
    assert (own / "run" / "checkpoints" / f"step-{steps:06d}").is_dir()
    assert "Traceback" not in said


def test_a_run_that_was_stopped_goes_on_by_the_printed_command(mmrl, root, own, monkeypatch):
    from mmrl.training import loop as running

    path = written(own, root, steps=4)
    whole = running.Run.step

    def interrupted(run):
        numbers = whole(run)
        if run.trainer.step_done == 2:
            signal.raise_signal(signal.SIGINT)
        return numbers

    with monkeypatch.context() as patched:
        patched.setattr(running.Run, "step", interrupted)
        status, said = mmrl("train", path)
    assert status == 130
    command = said.partition("To go on: mmrl ")[2].split("\n")[0]
    assert mmrl(*command.split())[0] == 0
    build(run_fixtures.config(own, own / "whole", model=root / "model", steps=4), quiet=True).fit(quiet=True)
    assert run_fixtures.numbers(own / "run") == run_fixtures.numbers(own / "whole")
    weights = Path("checkpoints/step-000004/model.safetensors")
    assert (own / "run" / weights).read_bytes() == (own / "whole" / weights).read_bytes()


def test_the_second_ctrl_c_stops_at_once_and_keeps_the_last_whole_step(mmrl, root, own, monkeypatch):
    from mmrl.training import loop as running

    path = written(own, root, steps=4)
    whole = running.Run.step

    def interrupted(run):
        if run.trainer.step_done == 2:
            run.trainer.backward = lambda *_: [signal.raise_signal(signal.SIGINT) for _ in range(2)]
        return whole(run)

    monkeypatch.setattr(running.Run, "step", interrupted)
    status, said = mmrl("train", path)
    assert status == 130
    assert "Stopped after step 2. To go on: " in said


def test_trackers_write_their_files(mmrl, root, own):
    path = written(own, root, steps=1)
    assert mmrl("train", path, "trackers=[tensorboard]")[0] == 0
    events = [
        path for path in (own / "run").rglob("events.out.tfevents*") if b"completions/mean_length" in path.read_bytes()
    ]
    assert len(events) == 1


def test_a_grader_of_ones_own_receives_every_field_of_the_row(mmrl, root, own):
    path = written(own, root, method="grpo", steps=2, rewards={"seen": {"grader": f"{own}/graders.py:seen"}})
    status, said = mmrl("train", path)
    assert status == 0, said
    assert all(0 <= line["rewards/seen/mean"] <= 2 for line in run_fixtures.lines(own / "run" / "metrics.jsonl"))


def test_several_updates_with_a_clip_train(mmrl, root, own):
    algorithm = {"name": "grpo", "beta": 0.0, "epsilon": 0.2}
    path = written(own, root, method="grpo", algorithm=algorithm, mini_batches_per_step=2, steps=2)
    assert mmrl("train", path)[0] == 0
    state = json.loads((own / "run" / "checkpoints" / "step-000002" / "trainer" / "state.json").read_text())
    assert (state["step"], state["update"]) == (2, 4)


def test_the_traceback_is_there_for_who_asks(monkeypatch, own):
    monkeypatch.setenv("MMRL_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["mmrl", "train", str(own / "nowhere.yaml")])
    with pytest.raises(ValueError, match="expected a YAML file"):
        app.main()
