"""Decoding: the right frames, the same from both readers, or an error."""

import os
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmrl.data.media.decoders import has_decord, read_index
from mmrl.data.media.video import FrameChoice, MediaError, decode, probe, read_image
from tests.data.conftest import number_of

EIGHT = FrameChoice(count=8)
needs_decord = pytest.mark.skipif(not has_decord(), reason="decord is not installed")
READERS = [pytest.param("decord", marks=needs_decord), "pyav"]

TURNED = {  # display matrices of an MP4's track header, 16.16 fixed point (2.30 in the last column)
    90: (0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30),
    180: (-1 << 16, 0, 0, 0, -1 << 16, 0, 64 << 16, 48 << 16, 1 << 30),
}


def turn(path, degrees):
    """Note a clockwise turn in the header, as a telephone does."""
    content = bytearray(path.read_bytes())
    start = content.find(b"tkhd") + 44  # after type, version, times, id, duration, layer, group, volume
    content[start : start + 36] = struct.pack(">9i", *TURNED[degrees])
    turned = path.with_name(f"turned{degrees}.mp4")
    turned.write_bytes(content)
    return turned


@pytest.mark.parametrize("reader", READERS)
def test_the_frames_are_those_of_the_indices(clip_path, reader):
    clip = decode(clip_path, EIGHT, reader)
    assert clip.frames.shape == (8, 48, 64, 3)
    assert clip.frames.dtype == np.uint8
    assert [number_of(frame) for frame in clip.frames] == clip.indices.tolist()
    assert clip.indices.tolist() == [0, 8, 17, 25, 34, 42, 51, 59]
    assert clip.timestamps == pytest.approx(clip.indices / 30, abs=1e-6)
    assert (clip.fps, clip.total, clip.reader, clip.chosen_by) == (30.0, 60, reader, "index")


@needs_decord
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("clip.mp4", {}),
        ("clip.mkv", {}),
        ("long_groups.mp4", {"frames": 200, "options": {"g": "250", "crf": "30"}}),
        ("late.mp4", {"offset": 30}),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}}),
        ("mpeg4.mp4", {"codec": "mpeg4"}),
    ],
)
def test_readers_agree_to_the_bit(tmp_path, write_video, name, how):
    path = write_video(tmp_path / name, **how)
    one, other = decode(path, FrameChoice(), "decord"), decode(path, FrameChoice(), "pyav")
    assert (one.indices == other.indices).all()
    assert (one.timestamps == other.timestamps).all()
    assert (one.fps, one.total) == (other.fps, other.total)
    assert (one.frames == other.frames).all()


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_open_groups_of_pictures_get_the_right_frames(tmp_path, write_video, codec):
    """decord returns other frames than asked for, here frame 96 for frame 99, so PyAV serves."""
    settings = {"x264-params": "open-gop=1:keyint=24:bframes=3", "x265-params": "open-gop=1:keyint=24:log-level=none"}
    path = write_video(tmp_path / "open.mp4", 100, codec, options={**settings, "crf": "10"})
    clip = decode(path, FrameChoice(count=16))
    assert [number_of(frame) for frame in clip.frames] == [index % 60 for index in clip.indices]
    assert clip.reader == "pyav"
    assert ("open groups" in clip.fallback) == has_decord()


def test_sampled_fps_is_that_of_transformers(clip_path):
    from transformers.video_utils import VideoMetadata

    clip = decode(clip_path, FrameChoice(), "pyav")
    metadata = VideoMetadata(total_num_frames=clip.total, fps=clip.fps, frames_indices=clip.indices.tolist())
    assert clip.sampled_fps == pytest.approx(metadata.sampled_fps)
    assert clip.sampled_fps == 2.0


@pytest.mark.parametrize("reader", READERS)
def test_a_variable_rate_is_sampled_in_time(tmp_path, write_video, reader):
    times = [*range(0, 1000, 25), *range(1000, 6000, 250)]  # 1 s of 40 frames, then 5 s of 20
    clip = decode(write_video(tmp_path / "variable.mp4", 60, times=times), EIGHT, reader)
    assert clip.chosen_by == "time"
    assert clip.timestamps == pytest.approx(np.linspace(0, 5.75, 8), abs=0.126)  # half of the longest gap
    assert [number_of(frame) for frame in clip.frames] == clip.indices.tolist()


@pytest.mark.parametrize("reader", READERS)
def test_a_clip_shorter_than_the_count_repeats_frames(tmp_path, write_video, reader):
    clip = decode(write_video(tmp_path / "short.mp4", 3), EIGHT, reader)
    assert [number_of(frame) for frame in clip.frames] == clip.indices.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("reader", READERS)
def test_a_clip_of_one_frame_is_a_clip(tmp_path, write_video, reader):
    clip = decode(write_video(tmp_path / "one.mp4", 1), FrameChoice(), reader)
    assert (len(clip.frames), clip.fps, clip.total) == (1, 30.0, 1)


def test_pyav_serves_what_decord_cannot_and_says_so(tmp_path, write_video):
    path = write_video(tmp_path / "new.mp4", 8, codec="libsvtav1", options={"preset": "12", "crf": "20"}, size=(64, 64))
    clip = decode(path, FrameChoice())
    assert clip.reader == "pyav"
    assert ("decord says" in clip.fallback) == has_decord()


@pytest.mark.parametrize("reader", READERS)
def test_a_title_in_another_encoding_does_no_harm(clip_path, tmp_path, reader):
    content = clip_path.read_bytes()
    assert b"Lavf" in content  # the name of the writing program, which is metadata as a title is
    (tmp_path / "latin.mp4").write_bytes(content.replace(b"Lavf", b"L\xe9vf"))
    assert decode(tmp_path / "latin.mp4", EIGHT, reader).total == 60


def test_a_clip_filmed_upright_is_upright(clip_path):
    lying = decode(clip_path, EIGHT, "pyav").frames
    upright = decode(turn(clip_path, 90), EIGHT).frames
    assert upright.shape == (8, 64, 48, 3)
    assert (upright == np.rot90(lying, -1, axes=(1, 2))).all()


@needs_decord
def test_readers_agree_on_a_clip_filmed_upside_down(clip_path):
    path = turn(clip_path, 180)
    assert (decode(path, EIGHT, "decord").frames == decode(path, EIGHT, "pyav").frames).all()


@pytest.mark.parametrize("reader", ["auto", *READERS])
@pytest.mark.parametrize("damage", ["cut in the data", "cut in the header", "overwritten", "no video"])
def test_a_damaged_file_is_an_error_not_fewer_frames(tmp_path, long_path, reader, damage):
    content = bytearray(long_path.read_bytes())
    if damage == "cut in the data":
        content = content[: int(len(content) * 0.6)]
    elif damage == "cut in the header":
        content = content[:600]
    elif damage == "overwritten":
        middle = len(content) // 2  # over several frames: damage inside one is concealed by the codec, unseen
        content[middle : middle + 20000] = np.random.default_rng(0).integers(0, 255, 20000, dtype=np.uint8).tobytes()
    else:
        content = b"not a video at all " * 50
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"damaged\.mp4: expected .* found .*; replace the file, or list"):
        decode(path, FrameChoice(), reader)


def test_a_cut_file_is_known_by_its_packets(tmp_path, long_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(long_path.read_bytes()[: int(long_path.stat().st_size * 0.6)])
    with pytest.raises(MediaError, match=r"the 120 frames that its header promises, found \d+ of them"):
        read_index(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a file, found no such file; check data.root"),
        (b"", "found an empty file"),
        (b"#EXTM3U\n/etc/passwd\n", "found a playlist, which refers to other files"),
        ("folder", "found something else"),
        ("fifo", "found something else"),
    ],
)
def test_what_is_no_media_file_is_named(tmp_path, content, message):
    path = tmp_path / "thing.mp4"
    if content == "folder":
        path.mkdir()
    elif content == "fifo":
        os.mkfifo(path)  # opening it would wait for a writer forever
    elif content is not None:
        path.write_bytes(content)
    for read in (lambda: decode(path, EIGHT), lambda: probe(path, EIGHT), lambda: read_image(path)):
        with pytest.raises(MediaError, match=message):
            read()


def test_a_choice_that_does_not_fit_names_the_file(tmp_path, write_video):
    path = write_video(tmp_path / "short.mp4", 5)
    with pytest.raises(MediaError, match=r"short\.mp4.*stride expects 8 frames"):
        decode(path, FrameChoice(count=8, convention="stride"))


def test_a_sound_file_passes_the_probe(clip_path):
    probe(clip_path, EIGHT)


def test_an_image_is_red_green_blue_and_the_right_way_up(tmp_path, write_image):
    pixels = write_image(tmp_path / "plain.png")
    assert (read_image(tmp_path / "plain.png") == pixels).all()
    turned = Image.Exif()
    turned[0x0112] = 6  # "rotate by 90 degrees clockwise to view"
    write_image(tmp_path / "turned.png", exif=turned)
    assert (read_image(tmp_path / "turned.png") == np.rot90(pixels, -1)).all()
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").shape == (6, 10, 3)


@pytest.mark.parametrize("part", [0.5, 0.98])
def test_a_cut_image_is_an_error(tmp_path, write_image, part):
    write_image(tmp_path / "cut.jpg", 200, 200)
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: int(len(content) * part)])
    with pytest.raises(MediaError, match=r"cut\.jpg: expected an image that decodes, found Pillow says"):
        read_image(tmp_path / "cut.jpg")


def test_a_media_error_travels_between_processes():
    error = MediaError("a.mp4", "7", "8 frames").of("example-3")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert str(copy).startswith("a.mp4 (example example-3): expected 8 frames, found 7; replace the file")


def test_workers_need_not_import_torch():
    check = "import sys, mmrl.data.media.video; print('torch' in sys.modules, 'mmrl.types' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
