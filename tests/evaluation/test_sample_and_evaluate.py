"""Sampling about media of one's own, and evaluating, from Python."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import mmrl
from mmrl.config.schema import EvaluationSection
from mmrl.evaluation.run_folder import read_run
from mmrl.evaluation.sample import shown_medium
from mmrl.training import checkpoint
from tests import run_fixtures, tiny_models, type_checks
from tests.models import tiny_generic

SHORT = mmrl.Decoding(max_new_tokens=24)
CHOICES = ("red", "blue", "green", "grey")


@pytest.fixture(scope="module")
def model(root):
    return mmrl.load_model(root / "answers", device="cpu")


def test_a_model_is_loaded_with_the_options_of_a_config(root):
    model = mmrl.load_model(
        str(root / "model"), template="toy", device="cpu", video_pixels=(784, 784), share_prefix="off"
    )
    assert isinstance(model, mmrl.Policy)
    assert (model.template, model.shares_prefix) == ("toy", False)
    assert not any(p.requires_grad for p in model.model.parameters())
    with pytest.raises(mmrl.ConfigError, match="load_model: no key 'video_pixel'; did you mean 'video_pixels'"):
        mmrl.load_model(root / "model", video_pixel=(1, 2))


def test_completions_are_read_and_the_same_again(model, root):
    state, training = checkpoint.randomness(), model.model.training
    ask = dict(choices=CHOICES, n=6, decoding=SHORT)
    first = mmrl.sample(model, root / "v0.mp4", "what next", **ask)
    assert len(first) == 6
    assert len({each.text for each in first}) > 1
    good = [each for each in first if each.answer is not None and each.answer_logprob is not None]
    assert good
    assert all(each.answer in "ABCD" and each.answer_logprob <= 0 for each in good)
    assert all(0 < each.tokens <= 24 and each.prompt_tokens > 10 for each in first)
    assert first == mmrl.sample(model, str(root / "v0.mp4"), "what next", **ask)
    assert first != mmrl.sample(model, root / "v0.mp4", "what next", **ask, seed=1)
    assert first != mmrl.sample(model, root / "v1.mp4", "what next", **ask)
    assert checkpoint.randomness() == state
    assert model.model.training == training


def test_arrays_are_shown_as_files_are(model, root):
    """Frames that were decoded by hand give what their file gives, at the rate of the file."""
    clip = shown_medium(root / "v0.mp4", mmrl.FrameChoice(), fps=9.0)
    ask = dict(question="what next", n=2, decoding=SHORT)
    from_file = mmrl.sample(model, root / "v0.mp4", **ask)
    assert mmrl.sample(model, clip.frames, fps=2.0, **ask) == from_file
    assert mmrl.sample(model, clip, **ask) == from_file
    image = shown_medium(root / "i0.png", mmrl.FrameChoice(), fps=9.0)
    assert mmrl.sample(model, image, **ask) == mmrl.sample(model, [root / "i0.png"], **ask)


def test_several_media_or_none(model, root):
    texts = {
        tuple(mmrl.sample(model, media, "what next", decoding=SHORT))
        for media in (None, root / "i0.png", [root / "v0.mp4", root / "i0.png"], [root / "i0.png", root / "v0.mp4"])
    }
    assert len({each.prompt_tokens for (each,) in texts}) >= 3


def test_what_cannot_be_shown_is_an_error(model, root, tmp_path):
    with pytest.raises(
        mmrl.MediaError, match="expected a video or an image, found no such file; paths are relative to"
    ):
        mmrl.sample(model, tmp_path / "none.mp4", "what next")
    with pytest.raises(mmrl.MediaError):
        mmrl.sample(model, root / "d.jsonl", "what next")
    with pytest.raises(ValueError, match=r"video: expected uint8 frames .* found float64 \[2, 56, 56, 3\]"):
        mmrl.sample(model, np.zeros((2, 56, 56, 3)), "what next")
    with pytest.raises(ValueError, match="fps: expected frames a second above 0"):
        mmrl.sample(model, np.zeros((2, 56, 56, 3), np.uint8), "what next", fps=0)
    with pytest.raises(ValueError, match="n: expected 1 completion or more"):
        mmrl.sample(model, None, "what next", n=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"video": torch.zeros(2, 56, 56, 3, dtype=torch.uint8)}, "video: expected a file, an array .* found Tensor"),
        ({"video": Image.new("RGB", (56, 56))}, r"found Image; write numpy.asarray\(...\) around it"),
        ({"video": [None]}, "found NoneType"),
        ({"video": b"film.mp4"}, "found bytes"),
        ({"choices": "AB"}, "choices: expected a list with the text of each option, found the text 'AB'"),
        ({"model": "a/model"}, "model: expected what mmrl.load_model returns, found str"),
    ],
)
def test_what_is_no_medium_is_refused_with_its_type(model, given, said):
    with type_checks.off(), pytest.raises(TypeError, match=said):
        mmrl.sample(**{"model": model, "video": None, "question": "what next"} | given)


def test_colours_may_be_turned_round(model):
    """A view of blue, green, red has negative strides."""
    frames = tiny_models.clip(1).frames
    turned = np.ascontiguousarray(frames[..., ::-1])[..., ::-1]
    few = mmrl.Decoding(max_new_tokens=4)
    assert mmrl.sample(model, turned, "what", decoding=few) == mmrl.sample(model, frames, "what", decoding=few)


def test_an_evaluation_of_plain_data_says_how_to_make_a_config(model):
    with type_checks.off(), pytest.raises(TypeError, match=r"config: expected what mmrl.load_eval_config returns"):
        mmrl.evaluate(model, {"sets": []})


def test_a_model_of_another_family_is_sampled_by_the_same_call(tmp_path, root):
    for part in tiny_generic.model("llava_onevision"):
        part.save_pretrained(tmp_path / "other")
    model = mmrl.load_model(tmp_path / "other", device="cpu")
    assert isinstance(model, mmrl.GenericModel)
    (found,) = mmrl.sample(model, root / "v0.mp4", "what next", decoding=mmrl.Decoding(max_new_tokens=3))
    assert 1 <= found.tokens <= 3


def section(root, **changes):
    plain = {
        "root": str(root), "sets": [{"name": "all", "format": "messages", "file": "d.jsonl", "expect": 8}], "template": "plain",
        "graders": {"accuracy": "accuracy"}, "decoding": {"temperature": 1.0, "max_new_tokens": 8}, "workers": 0,
    }  # fmt: skip
    return EvaluationSection.model_validate_json(json.dumps(plain | changes))


def test_an_evaluation_has_records_means_and_a_table(model, root, tmp_path):
    found = mmrl.evaluate(model, section(root), out=tmp_path / "out", quiet=True)
    assert len(found.records["all"]) == 8
    accuracy = found.summary["all"].metrics["accuracy"]
    assert accuracy.low <= accuracy.mean <= accuracy.high
    assert accuracy.mean == pytest.approx(sum(each.scores["accuracy"] for each in found.records["all"]) / 8)
    assert "accuracy" in found.table()
    assert "8 of 8" in found.table()
    assert "\x1b" not in found.table()
    assert found.failed == {"all": []}
    assert found.folder == tmp_path / "out"
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["levels"]["all"]["scored"] == 8


def test_path_model_section_and_config_give_the_same_records(model, root, tmp_path):
    config = mmrl.load_eval_config(
        {
            "out": tmp_path / "run",
            "model": {"path": str(root / "model"), "compute_dtype": "float32"},
            "evaluation": section(root),
        }
    )
    found = [
        mmrl.evaluate(model, section(root), quiet=True),
        mmrl.evaluate(root / "answers", config, quiet=True),
        mmrl.evaluate(str(root / "answers"), config.evaluation, quiet=True),
    ]
    if not torch.cuda.is_available():
        assert found[0].records == found[1].records == found[2].records
    assert [each.folder for each in found] == [None, tmp_path / "run", None]
    run = read_run(tmp_path / "run")
    assert (run.model, run.command, run.scored) == (str(root / "answers"), "mmrl.evaluate", {"all": 8})
    assert run.finished
    assert mmrl.load_eval_config(tmp_path / "run" / "config.yaml").model.path == run.model


def test_a_policy_in_training_is_evaluated_and_stays_as_it_was(root, tmp_path):
    run = mmrl.build(run_fixtures.config(root, tmp_path / "run"), quiet=True)
    policy = run.feeder.policy
    assert policy.model.training
    mmrl.evaluate(policy, section(root), quiet=True)
    assert policy.model.training
    assert any(p.requires_grad for p in policy.model.parameters())
    run.close()


def test_questions_that_could_not_be_asked_are_listed(model, root, tmp_path):
    rows = [json.loads(line) | {"id": f"x{i}"} for i, line in enumerate((root / "d.jsonl").read_text().splitlines())]
    rows[0]["messages"][0]["content"][0]["video"] = "none.mp4"
    data = tmp_path / "data"
    data.mkdir()
    for path in [*root.glob("*.mp4"), *root.glob("*.png")]:
        (data / path.name).write_bytes(path.read_bytes())
    (data / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = mmrl.evaluate(model, section(data), quiet=True)
    (failed,) = found.failed["all"]
    assert (failed.item, failed.status) == ("x0", "media_error")
    assert "1 media_error" in found.table()
