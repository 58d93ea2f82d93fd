"""Frames made small where they are decoded: the model's processor makes the same of them, to the bit."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from transformers.image_utils import PILImageResampling, SizeDict

from mmrl.config.load import parse
from mmrl.config.schema import Config
from mmrl.data.media import downscale
from mmrl.data.media.downscale import downscaled
from mmrl.data.media.frame_size import SizeRule, SizeRules
from mmrl.data.media.reader import MediaReader
from mmrl.data.media.video import FrameChoice
from mmrl.models.vision import processor_sizes as rules
from mmrl.models.vision.patches import patch_media
from mmrl.training.build import build
from mmrl.types import Example, Media
from tests import run_fixtures, tiny_models

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]
BOUNDS = [(784, 3136), (3136, 12544), (9000, 9450), (50176, 100352)]  # the third as near as SEED-Bench-R1's recipe
VIDEOS = {"wide": (72, 128), "tall": (200, 96), "tiny": (20, 34), "odd": (98, 142)}  # height, width
IMAGES = {"wide": (90, 160), "tall": (150, 70), "tiny": (18, 12), "strip": (8, 700)}
ASIDE = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)  # a quarter turn, in the header of an MP4's track


def policy_of(family, bounds):
    policy = tiny_models.policy(family)
    for part in (policy.processor.video_processor, policy.processor.image_processor):
        part.size = {"shortest_edge": bounds[0], "longest_edge": bounds[1]}
    return policy


def write_video(path, size, turned=False):
    noise = np.random.default_rng(sum(size)).integers(0, 256, (9, *size, 3), dtype=np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=2, options={"crf": "20", "preset": "ultrafast"})
        (stream.height, stream.width), stream.pix_fmt = size, "yuv420p"
        for frame in noise:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    if turned:
        whole = bytearray(path.read_bytes())
        at = whole.index(b"tkhd") + 44
        whole[at : at + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in ASIDE)
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A folder, and an example that shows all that is in it."""
    root = tmp_path_factory.mktemp("sizes")
    for name, size in VIDEOS.items():
        write_video(root / f"{name}.mp4", size)
    write_video(root / "turned.mp4", (72, 128), turned=True)
    for name, size in IMAGES.items():
        Image.fromarray(tiny_models.image(sum(size), size)).save(root / f"{name}.png")
    turn = Image.Exif()
    turn[0x0112] = 6  # "rotate by 90 degrees clockwise to view"
    Image.fromarray(tiny_models.image(1, (80, 170))).save(root / "turned.png", exif=turn)
    return root, shown(*sorted(path.name for path in root.iterdir()))


def shown(*names):
    kinds = {".mp4": "video", ".png": "image"}
    return Example("all", "?", media=tuple(Media(kinds[name[-4:]], Path(name)) for name in names))


def encoded(policy, reader, example):
    return patch_media(policy.processor, [reader.load(example)])[0]


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize(("family", "frames"), [("qwen2_vl", 8), ("qwen2_5_vl", 5), ("qwen3_vl", 5), ("qwen3_vl", 8)])
def test_the_processor_makes_the_same_of_them(family, bounds, frames, media):
    root, example = media
    policy, choice = policy_of(family, bounds), FrameChoice(count=frames)
    sizes = rules.size_rules(policy.processor)
    assert None not in (sizes.video, sizes.image)
    with MediaReader(root, choice, workers=0) as full, MediaReader(root, choice, workers=0, sizes=sizes) as small:
        one, other = encoded(policy, full, example), encoded(policy, small, example)
        assert one.grids == other.grids
        assert all(map(torch.equal, one.pixels, other.pixels))
        turned = {name: full.load(shown(name))[0] for name in ("turned.mp4", "turned.png")}
        assert turned["turned.mp4"].frames.shape[1:3] == (128, 72)
        assert turned["turned.png"].shape == (170, 80, 3)
        if bounds[1] < 9000:
            assert small.kept_bytes < full.kept_bytes / 2
        assert small.kept_bytes == sum(medium.nbytes for medium in small.load(example)) <= full.kept_bytes


@pytest.mark.parametrize("family", FAMILIES)
def test_the_size_is_the_processors(family):
    """Every kind of rule over sizes, numbers of frames and bounds, and the budgets of long videos."""
    processor, draw = tiny_models.processor(family), np.random.default_rng(3)
    film, picture = processor.video_processor, processor.image_processor
    for _ in range(300):
        size = tuple(int(side) for side in np.exp(draw.uniform(2, 7.5, 2)))
        least = int(np.exp(draw.uniform(6.7, 12)))
        bounds = {"shortest_edge": least, "longest_edge": int(least * np.exp(draw.uniform(0, 4)))}
        frames = int(draw.integers(1, 40))
        film.max_video_tokens = int(draw.integers(2, 2000))
        film.size = picture.size = bounds
        more = {"size": SizeDict(**bounds), "resample": PILImageResampling.BICUBIC, "factor": 28}
        film_more = more | {"temporal_factor": 2, "cap_pixels_per_frame": True}
        cases = [
            (film.resize, torch.empty(1, frames, 3, *size, device="meta"), film_more, rules.rule_of(film), frames),
            (picture.resize, torch.empty(1, 3, *size, device="meta"), more, rules.rule_of(picture), 1),
        ]
        for resize, pixels, settings, rule, count in cases:
            found = rule(size, count)
            if found is None:
                with pytest.raises(ValueError, match=r"aspect ratio|larger than temporal_factor"):
                    resize(pixels, **settings)
            else:
                assert found == resize(pixels, **settings).shape[-2:]


def test_media_that_would_grow_stay_and_the_caches_count_what_is_there(media, tmp_path):
    rule = SizeRule("frame", 28, 3136, 12544, 2, 128000)
    large, tiny_one = tiny_models.clip(1, size=(720, 1280)), tiny_models.clip(2, size=(20, 30))
    made = downscaled(large, rule)
    assert (made.frames.shape, made.rule) == ((4, 84, 140, 3), rule)
    assert made.frames.base is None or made.frames.base.nbytes == made.frames.nbytes
    assert made.nbytes < large.nbytes / 75
    assert downscaled(tiny_one, rule) is tiny_one


def test_an_image_that_would_be_resized_again_stays():
    rule = SizeRule("image", 28, 9000, 9100)
    size = rule((72, 128))
    assert size[0] * size[1] < 9000  # below the least, so that the processor would resize it once more
    picture = tiny_models.image(1, (72, 128))
    assert downscaled(picture, rule) is picture


def test_a_policy_refuses_frames_that_were_made_for_another():
    policy = policy_of("qwen2_5_vl", BOUNDS[0])
    clip = downscaled(tiny_models.clip(1, size=(96, 96)), SizeRule("frame", 28, 784, 2000, 2, 128000))
    with pytest.raises(ValueError, match=r"expected the size that .*most=3136.* gives them, found .*most=2000"):
        patch_media(policy.processor, [[clip]])


def other_resampling(part):
    part.resample = PILImageResampling.BILINEAR


def no_resizing(part):
    part.do_resize = False


def no_bounds(part):
    part.size = {"height": 56, "width": 56}


@pytest.mark.parametrize("change", [other_resampling, no_resizing, no_bounds])
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_other_settings_have_no_rule(family, change):
    processor = tiny_models.processor(family)
    for part in (processor.video_processor, processor.image_processor):
        change(part)
    assert rules.size_rules(processor) == SizeRules()


def test_a_processor_that_computes_otherwise_has_no_rule(monkeypatch, caplog):
    processor = tiny_models.processor("qwen2_5_vl")
    monkeypatch.setattr(rules, "downscaled", lambda medium, rule: medium)  # as if nothing had become smaller
    assert rules.size_rules(processor) == SizeRules()
    monkeypatch.setattr(rules, "downscaled", downscale.downscaled)
    monkeypatch.setattr(downscale, "resized", lambda frames, size: np.zeros((len(frames), *size, 3), np.uint8))
    assert rules.size_rules(processor) == SizeRules()
    assert [record.message.split(" resizes")[0] for record in caplog.records] == [
        "Qwen2VLVideoProcessor",
        "Qwen2VLImageProcessor",
    ] * 2


def test_the_processes_that_decode_import_neither_torch_nor_transformers():
    code = "import sys, mmrl.data.media.frame_cache; print({'torch', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_a_run_learns_the_same(root, tmp_path, monkeypatch):
    found = {}
    for name in ("small", "large"):
        if name == "large":
            monkeypatch.setattr("mmrl.training.build.size_rules", lambda processor: SizeRules())
        plain = run_fixtures.settings(root, tmp_path / name, "grpo", steps=3)
        plain["model"] |= {"video_pixels": [784, 1568], "image_pixels": [784, 1568]}
        run = build(parse(Config, plain, "made"), quiet=True)
        run.fit(quiet=True)
        found[name] = run_fixtures.numbers(tmp_path / name), run.feeder.reader.kept_bytes
    assert found["small"][0] == found["large"][0]
    assert found["small"][1] < found["large"][1] / 2
