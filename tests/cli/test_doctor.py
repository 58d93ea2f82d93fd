"""``mmrl doctor``: a line for everything that it tries, and what each line says where something is amiss."""

import importlib.metadata
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mmrl.cli import app, doctor
from mmrl.data.media.video import MediaError


@pytest.fixture
def without(monkeypatch):
    """Packages and modules that are as if they were not installed."""

    def hide(*names):
        version, find = importlib.metadata.version, importlib.util.find_spec

        def hidden_version(name):
            if name in names:
                raise importlib.metadata.PackageNotFoundError(name)
            return version(name)

        monkeypatch.setattr(importlib.metadata, "version", hidden_version)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else find(name))

    return hide


@pytest.fixture
def on_the_cpu(monkeypatch):
    """A machine without a GPU, whatever runs this."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def run(monkeypatch, capsys):
    """The status of the command, and what it prints."""
    monkeypatch.setattr(sys, "argv", ["mmrl", "doctor"])
    with pytest.raises(SystemExit) as end:
        app.main()
    return end.value.code or 0, capsys.readouterr().out


def test_this_machine_can_train_and_every_line_is_there(monkeypatch, capsys):
    status, said = run(monkeypatch, capsys)
    assert status == 0
    assert said.rstrip().endswith("mmrl can train and evaluate here.")
    lines = [line.split() for line in said.splitlines()]
    wanted = ["python", *doctor.PACKAGES, "cpu", "bfloat16", "attention", "video", "tracker", "extra"]
    assert not [name for name in wanted if name not in {line[0] for line in lines if line}]
    assert ["torch", "ok", importlib.metadata.version("torch")] in lines


def test_whatever_is_tried_is_one_line(on_the_cpu):
    found = list(doctor.diagnoses())
    assert not [one for one in found if "\n" in one.what + one.detail or not one.detail]
    assert len({one.what for one in found}) == len(found)
    verdicts = {one.what: one.verdict for one in found}
    sound = (
        "python",
        "torch",
        "cpu",
        "float32 on cpu",
        "bfloat16 on cpu",
        "float64 on cpu",
        "attention sdpa",
        "video pyav",
    )
    assert {name: verdicts[name] for name in sound} == dict.fromkeys(sound, "ok")
    assert verdicts["cuda"] == "missing"


@pytest.mark.parametrize(("name", "needed"), [("accelerate", True), ("torch", True), ("decord", False), ("flash-attn", False)])  # fmt: skip
def test_a_package_that_is_not_there_is_missing(without, name, needed):
    without(name)
    assert doctor.package(name) == doctor.Diagnosis(name, "missing", "not installed", needed)


def test_what_is_needed_and_missing_ends_with_status_2_and_is_named_last(monkeypatch, capsys, without):
    without("einops", "decord", "wandb", "flash_attn")
    status, said = run(monkeypatch, capsys)
    assert status == 2
    assert said.rstrip().splitlines()[-1] == "amiss: einops"


def test_what_is_broken_ends_with_status_2_also_where_mmrl_can_do_without(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "diagnoses", lambda: [doctor.Diagnosis("float64 on cpu", "broken", "no [kernel]")])
    status, said = run(monkeypatch, capsys)
    assert status == 2
    assert "no [kernel]" in said
    assert said.rstrip().splitlines()[-1] == "amiss: float64 on cpu"


def test_a_gpu_is_told_by_name_and_memory(monkeypatch):
    card = type("Card", (), {"name": "A card", "total_memory": 80 * 2**30})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    assert [(one.what, one.detail) for one in doctor.devices()][1:] == [("cuda:0", "A card, 80 GiB")]


def failing(error):
    """A function that does nothing else."""

    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize(
    ("ones", "detail"),
    [
        (failing(RuntimeError("no kernel image\nCompile with TORCH_USE_CUDA_DSA")), "no kernel image"),
        (failing(RuntimeError()), "RuntimeError"),
        (lambda *shape, **options: torch.zeros(*shape, **options), "matrix product"),
    ],
    ids=["refused", "refused without a word", "wrong"],
)
def test_a_dtype_that_cannot_be_multiplied_is_broken(monkeypatch, on_the_cpu, ones, detail):
    monkeypatch.setattr(doctor.torch, "ones", ones)
    assert {(one.verdict, one.detail) for one in doctor.precisions()} == {("broken", detail)}


def test_attention_that_differs_from_the_formula_is_broken_and_needed(monkeypatch, on_the_cpu):
    whole = torch.nn.functional.scaled_dot_product_attention
    assert next(doctor.attentions()).verdict == "ok"
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", lambda q, k, v, is_causal: whole(q, k, v))
    found = next(doctor.attentions())
    assert (found.verdict, found.needed) == ("broken", True)
    assert found.detail.startswith("differs from eager by ")


def flash_on(monkeypatch, function):
    """The finding about a flash-attn that is installed, on what looks like a GPU."""
    module = ModuleType("flash_attn")
    if function is not None:
        module.flash_attn_func = function
    monkeypatch.setitem(sys.modules, "flash_attn", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: module)
    plain = torch.zeros(1, 2, 4, 8)

    class OnGPU(torch.Tensor):
        device = torch.device("cuda")

    return doctor.flash(plain.as_subclass(OnGPU), plain, plain, plain)


def test_flash_attention_is_missing_not_usable_broken_or_right(monkeypatch, without):
    q = torch.zeros(1, 2, 4, 8)
    with monkeypatch.context() as patched:
        patched.setattr(importlib.util, "find_spec", lambda _: None)
        assert doctor.flash(q, q, q, q).detail == "pip install mmrl[flash]; sdpa serves"
    with monkeypatch.context() as patched:
        patched.setattr(importlib.util, "find_spec", lambda _: object())
        assert doctor.flash(q, q, q, q).detail == "installed, but there is no CUDA device"
    found = flash_on(monkeypatch, None)
    assert found.verdict == "broken"
    assert found.detail.startswith("does not load: ")
    assert flash_on(monkeypatch, lambda q, k, v, causal: q).verdict == "ok"
    assert flash_on(monkeypatch, lambda q, k, v, causal: q + 1).verdict == "broken"


@pytest.mark.parametrize(("reader", "verdict"), [("decord", "missing"), ("pyav", "broken")])
@pytest.mark.parametrize("error", [ImportError("no reader\nat all"), ValueError("no reader")])
def test_a_reader_that_fails_says_why_and_only_pyav_is_needed(monkeypatch, reader, verdict, error):
    monkeypatch.setattr(doctor, "decode", failing(error))
    assert doctor.video_reader(reader) == doctor.Diagnosis(f"video {reader}", verdict, "no reader", reader == "pyav")


def test_a_video_that_is_not_decoded_is_told_as_the_reader_tells_it(monkeypatch):
    monkeypatch.setattr(doctor, "decode", failing(MediaError(Path("probe.mp4"), "nothing in it", "a video")))
    assert doctor.video_reader("pyav").detail.startswith("probe.mp4: expected a video, found nothing in it; ")


def test_an_encoder_that_pyav_lacks_is_a_line_too(monkeypatch):
    monkeypatch.setattr(doctor, "write_film", failing(ValueError("no codec libx264")))
    assert doctor.video_reader("pyav").detail == "no codec libx264"


@pytest.mark.parametrize("change", ["order", "count"])
def test_a_reader_that_shows_other_frames_is_broken(monkeypatch, change):
    whole = doctor.decode

    def other(*arguments):
        clip = whole(*arguments)
        return replace(clip, frames=clip.frames[::-1]) if change == "order" else replace(clip, total=7)

    assert doctor.video_reader("pyav").verdict == "ok"
    monkeypatch.setattr(doctor, "decode", other)
    found = doctor.video_reader("pyav")
    assert (found.verdict, found.detail) == ("broken", f"decoded 4 of {8 - (change == 'count')} frames")


def test_trackers_and_extras_that_are_missing_say_how_to_have_them(without):
    without("wandb", "jiwer")
    found = {one.what: one for one in doctor.diagnoses()}
    assert found["tracker wandb"] == doctor.Diagnosis("tracker wandb", "missing", "pip install wandb")
    assert found["tracker tensorboard"] == doctor.Diagnosis("tracker tensorboard", "ok", "installed")
    assert found["extra eval"] == doctor.Diagnosis("extra eval", "missing", "pip install mmrl[eval]")
    assert found["extra dev"].verdict == "ok"
