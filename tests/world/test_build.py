"""The rendered directory: layout, idempotence, what is refused, how an interrupted rendering goes on."""

import json
from pathlib import Path

import pytest

from mmrl.world.build import render
from mmrl.world.codec import digest
from mmrl.world.cues import Cue, Cues
from mmrl.world.render import SMALL
from mmrl.world.splits import Sizes

SIZES = Sizes(train=2, L1=1, L2=1, L3=1, paired=1)
HOW = {"seed": 0, "dial": SMALL, "axes": ("palette", "texture"), "cues": Cues(L1=Cue())}
ROWS = {
    "training": 16, "training_sft": 0, "validation": 0, "validation_L1": 8, "validation_L1_neutral": 8,
    "validation_L2": 8, "validation_L3": 8, "validation_L2_none": 8, "validation_L2_palette": 8,
    "validation_L2_texture": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return render(tmp_path_factory.mktemp("world") / "bench", SIZES, **HOW)


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
    clips = {path.name: digest(path) for path in (root / "videos" / "Synth").iterdir()}
    assert manifest["clips"] == clips


def test_a_second_rendering_returns_at_once_and_another_key_is_refused(root):
    before = (root / "manifest.json").stat().st_mtime_ns
    assert render(root, SIZES, **HOW) == root
    assert (root / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="elsewhere"):
        render(root, SIZES, **HOW | {"seed": 1})


@pytest.mark.parametrize("name", ["bench/thesis.tex", ".bench.rendering/thesis.tex"])
def test_files_of_others_are_never_touched(tmp_path, name):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("years of work")
    with pytest.raises(FileExistsError, match="other files"):
        render(tmp_path / "bench", SIZES, **HOW)
    assert (tmp_path / name).read_text() == "years of work"


def test_an_interrupted_rendering_goes_on_and_ends_the_same(root, tmp_path):
    class Stopped(Exception):
        pass

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise Stopped

    out = tmp_path / "bench"
    with pytest.raises(Stopped):
        render(out, SIZES, **HOW, progress=stop)
    assert not out.exists()
    half = next((tmp_path / ".bench.rendering" / "videos" / "Synth").iterdir())
    (half.parent / f".1.{half.name}").write_bytes(b"half a file")
    told = []
    render(out, SIZES, **HOW, progress=lambda *done: told.append(done), workers=2)
    total = SIZES.groups(HOW["axes"], HOW["cues"])
    assert told == [(i, total) for i in range(1, total + 1)]
    assert not list(tmp_path.glob(".bench*"))
    files = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    assert files == {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    assert all((out / name).read_bytes() == (root / name).read_bytes() for name in files)


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
        render(tmp_path / "bench", SIZES, **HOW | change)
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
