"""The rendered directory: layout, idempotence, what is refused, how an interrupted rendering goes on."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest
from PIL import Image
from typer.testing import CliRunner

from mmrl.cli.app import app
from mmrl.world.axes import AXES
from mmrl.world.build import render
from mmrl.world.codec import planes_digest, read_clip
from mmrl.world.cues import Cue, Cues
from mmrl.world.demos import Demonstrations
from mmrl.world.files import find_row, rows_in
from mmrl.world.render import SMALL, Dial
from mmrl.world.splits import SMOKE, Recipe, Sizes

SIZES = Sizes(train=2, L1=1, L2=1, L3=1, paired=1)
HOW = {"seed": 0, "dial": SMALL, "axes": ("palette", "texture"), "cues": Cues(L1=Cue())}
RECIPE = Recipe(SIZES, **HOW)
ROWS = {
    "training": 16, "validation_L1": 8, "validation_L1_neutral": 8,
    "validation_L2": 8, "validation_L3": 8, "validation_L2_none": 8, "validation_L2_palette": 8,
    "validation_L2_texture": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return render(tmp_path_factory.mktemp("world") / "bench", RECIPE)


def read(root: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (root / "annotations" / f"{name}.jsonl").read_text().splitlines()]


def test_every_file_of_the_layout_and_every_medium_of_a_row_is_there(root):
    assert {path.name for path in root.iterdir()} == {"annotations", "videos", "images", "manifest.json"}
    assert {path.stem for path in (root / "annotations").iterdir()} == set(ROWS)
    named = set()
    for name, count in ROWS.items():
        several = read(root, name)
        assert len(several) == count
        for row in several:
            named.add(root / "videos" / row["video_source"] / row["video_basename"])
            named.add(root / "images" / row["video_source"] / row["current_observation_basename"])
    assert named == {path for path in root.rglob("Synth/*") if path.is_file()}


def test_the_manifest_counts_rows_and_hashes_decoded_clips(root):
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["rows"] == ROWS
    clips = {path.name: planes_digest(path) for path in (root / "videos" / "Synth").iterdir()}
    assert manifest["clips"] == clips


def test_a_second_rendering_returns_at_once_and_another_key_is_refused(root):
    before = (root / "manifest.json").stat().st_mtime_ns
    assert render(root, RECIPE) == root
    assert (root / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="elsewhere"):
        render(root, Recipe(SIZES, **HOW | {"seed": 1}))


@pytest.mark.parametrize("name", ["bench/thesis.tex", ".bench.rendering/thesis.tex"])
def test_files_of_others_are_never_touched(tmp_path, name):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("years of work")
    with pytest.raises(FileExistsError, match="other files"):
        render(tmp_path / "bench", RECIPE)
    assert (tmp_path / name).read_text() == "years of work"


def test_an_interrupted_rendering_goes_on_and_ends_the_same(root, tmp_path):
    class Stopped(Exception):
        pass

    def stop(done: int) -> None:
        if done == 3:
            raise Stopped

    out = tmp_path / "bench"
    with pytest.raises(Stopped):
        render(out, RECIPE, progress=stop)
    assert not out.exists()
    made = {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / ".bench.rendering" / "videos" / "Synth").iterdir()
    }
    (tmp_path / ".bench.rendering" / "videos" / "Synth" / "half.mp4.1.partial").write_bytes(b"half a file")
    told = []
    render(out, RECIPE, progress=told.append, workers=2)
    assert told == list(range(1, RECIPE.groups + 1))
    assert not list(tmp_path.glob(".bench*"))
    assert len(made) == 8  # the neutral copy of L1 has no clips of its own
    assert all((out / "videos" / "Synth" / name).stat().st_mtime_ns == when for name, when in made.items())
    files = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    assert files == {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    assert all((out / name).read_bytes() == (root / name).read_bytes() for name in files)


def test_what_was_left_by_a_rendering_of_something_else_is_not_used(tmp_path):
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    for seed in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            render(tmp_path / "bench", Recipe(Sizes(L1=2), seed, SMALL), progress=stop)
    out = render(tmp_path / "bench", Recipe(Sizes(L1=1), 0, SMALL))
    assert len(list((out / "videos" / "Synth").iterdir())) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": ("palette", "smell")}, "axes: expected some of palette, .*, found smell"),
        ({"families": ("FILL", "JUGGLE")}, "families: expected some of FILL, .*, found JUGGLE"),
        ({"families": ("FILL",)}, "families: expected a held-out family for L3, found FILL"),
    ],
)
def test_what_cannot_be_rendered_is_refused_before_anything_is(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        render(tmp_path / "bench", Recipe(SIZES, **HOW | change))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sizes(L2=-1), "sizes.L2: expected 0 or more, found -1"),
        (lambda: Sizes(L2=2, paired=3), "sizes.paired: expected at most the 2 octets of L2, found 3"),
        (lambda: Cue("smell"), "cues.kind: expected one of border, .*, found 'smell'"),
        (lambda: Cue("border", 1.01), r"cues.strength: expected a probability in \[0, 1\], found 1.01"),
        (lambda: Cue("border", float("nan")), "cues.strength: .* found nan"),
    ],
)
def test_impossible_numbers_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_killed_rendering_leaves_no_process_and_no_half_file_and_goes_on(root, tmp_path):
    arguments = ["--preset", "small", "--train", "2", "--level", "1", "--axes", "palette,texture", "--workers", "2"]
    command = [sys.executable, "-m", "mmrl", "world", "render", "bench", *arguments]
    started = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    videos = tmp_path / ".bench.rendering" / "videos" / "Synth"
    until(lambda: started.poll() is not None or any(videos.glob("*.mp4")))
    workers = children(started.pid)
    started.kill()
    started.wait()
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert not (tmp_path / "bench").exists()
    for path in videos.glob("[!.]*.mp4"):
        assert len(planes_digest(path)) == 64
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert json.loads((tmp_path / "bench" / "manifest.json").read_text())["rows"]["training_with_cot"] == 16
    assert not list(tmp_path.glob(".*"))


def children(parent: int) -> list[int]:
    """The processes that a process started."""
    return [
        int(pid) for task in Path(f"/proc/{parent}/task").iterdir() for pid in (task / "children").read_text().split()
    ]


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits for something to become true."""
    end = monotonic() + seconds
    while not true():
        assert monotonic() < end, "waited in vain"
        sleep(0.02)


def test_demonstrations_are_of_the_octets_kept_for_them(tmp_path):
    sizes = Sizes(train=1, sft=2)
    out = render(tmp_path / "bench", Recipe(sizes, 0, SMALL, demonstrations=Demonstrations(copies=2)))
    taught = {row["sample_id"] for row in read(out, "training_sft")}
    assert [row["source_id"] in taught for row in read(out, "training_with_cot")] == [True] * 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strength", "0.5"], "expected --cue with them"),
        (["--neutral-beyond"], "expected --cue with them"),
        (["--cue", "border", "--beyond", "0.1", "--neutral-beyond"], "expected one of them, found both"),
        (["--cue", "smell"], "cues.kind: expected one of border"),
        (["--cue", "border", "--strength", "2"], r"cues.strength: expected a probability in \[0, 1\], found 2"),
        (["--axes", "palette,smell"], "axes: expected some of palette.*found smell"),
        (["--families", "JUGGLE"], "families: expected some of FILL.*found JUGGLE"),
        (["--frames-per-slot", "0"], "frames_per_slot: expected 1"),
        (["--size", "57"], "size: expected an even number"),
        (["--train", "-1"], "sizes.train: expected 0 or more, found -1"),
    ],
)
def test_the_command_refuses_what_cannot_be_rendered(tmp_path, options, message):
    found = CliRunner().invoke(app, ["world", "render", str(tmp_path / "bench"), *options])
    assert isinstance(found.exception, ValueError)
    assert re.search(message, str(found.exception))
    assert not list(tmp_path.iterdir())


def test_the_command_plants_cues_and_switches_axes(tmp_path):
    options = [
        "--preset",
        "small",
        "--train",
        "1",
        "--level",
        "1",
        "--nat",
        "4",
        "--cue",
        "marker",
        "--strength",
        "1",
        "--axes",
        "codec",
        "--workers",
        "1",
    ]
    found = CliRunner().invoke(app, ["world", "render", str(tmp_path / "bench"), *options])
    assert found.exit_code == 0, found.output
    key = json.loads((tmp_path / "bench" / "manifest.json").read_text())["key"]
    assert key["cues"]["train"] == key["cues"]["L1"] == {"kind": "marker", "strength": 1.0}
    assert key["cues"]["L2"] == {"kind": "marker", "strength": 0.25}
    assert key["axes"] == ["codec"]
    assert (key["sizes"]["nat_train"], key["sizes"]["nat_L1"]) == (20, 4)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    return render(tmp_path_factory.mktemp("smoke") / "bench", Recipe(SMOKE, 0), workers=2)


@pytest.mark.slow("renders every level; the manifest of a small one is counted above")
def test_no_decoded_clip_is_in_two_places(smoke):
    clips = json.loads((smoke / "manifest.json").read_text())["clips"]
    assert len(set(clips.values())) == len(clips)


@pytest.mark.slow("renders every level; test_render compares the tails of three octets")
def test_decoded_tails_of_an_octet_are_the_same_bit_by_bit(smoke):
    for name in ("validation_L1", "validation_L2", "validation_L3", "training", "training_sft", "validation"):
        rows = read(smoke, name)
        names = sorted({row["video_basename"] for row in rows})
        tails = [read_clip(smoke / "videos" / "Synth" / each)[Dial().tail_start :] for each in names]
        assert len(tails) == 4
        assert all((tail == tails[0]).all() for tail in tails)


@pytest.mark.slow("renders every axis; test_annotate has the rows of paired copies")
def test_every_axis_changes_what_is_seen_and_nothing_else_is_rendered(tmp_path):
    out = render(tmp_path / "bench", Recipe(Sizes(L2=1, paired=1), 0, SMALL))
    clips = json.loads((out / "manifest.json").read_text())["clips"]
    assert len(clips) == 4 * (1 + 1 + len(AXES)) == len(set(clips.values()))


def test_items_are_found_and_drawn(root, tmp_path):
    row = find_row(root, "L2-00000-3")
    assert row["env_axes"]["test"] == ["palette", "texture"]
    assert find_row(root, "L2-00000-3", "validation_L2_none")["env_axes"]["test"] == []
    for name, arguments in (("a.png", ["show", "L1-00000-0"]), ("b.png", ["sheet", "validation_L1_neutral"])):
        found = CliRunner().invoke(app, ["world", *arguments, "--root", str(root), "--out", str(tmp_path / name)])
        assert found.exit_code == 0, found.output
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"


@pytest.mark.parametrize(
    ("look", "message"),
    [
        (lambda root: find_row(root, "L1-99999-0"), "expected an item like L1-00000-0 .* found no 'L1-99999-0'"),
        (lambda root: find_row(root, "L1-00000-0", "L1"), "expected one of the files training, .*found 'L1'"),
        (lambda root: list(rows_in(root / "videos", "L1")), "expected annotations/.*found none"),
    ],
)
def test_what_is_not_there_is_not_found_by_name(root, look, message):
    with pytest.raises(ValueError, match=message):
        look(root)
