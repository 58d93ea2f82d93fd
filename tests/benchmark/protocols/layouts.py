"""The fixtures of public benchmarks with media: tiny clips made here, where the rows say that they lie."""

import shutil
from pathlib import Path

import av
import numpy as np

from mmrl.config.load import load
from mmrl.config.open_data import open_set
from mmrl.config.schema import EvalConfig

FIXTURES = Path(__file__).parents[2] / "fixtures"
CONFIGS = Path(__file__).parents[3] / "configs" / "eval"
FRAMES, RATE = 16, 4  # of a clip: four seconds


def lay_out(name: str, root: Path) -> Path:
    """A data root for a benchmark: its fixture and a clip for each of its videos."""
    shutil.copytree(fixture(name), root)
    for path in sorted(paths(name, root)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_clip(root / path, seed=len(str(path)))
    return root


def fixture(name: str) -> Path:
    """The files of a benchmark; with subtitles they are those without."""
    return FIXTURES / name.removesuffix("_subtitles")


def paths(name: str, root: Path) -> set[Path]:
    """The media that the benchmark's config asks for."""
    found = set()
    for one in load(EvalConfig, CONFIGS / f"{name}.yaml").evaluation.sets:
        data = open_set(one, root, "file", 0)
        found |= {media.path for index in range(len(data)) for media in data.example(index, 0).every_media}
    return found


def write_clip(path: Path, seed: int) -> None:
    """Noise, a few kilobytes. AVI files are MPEG-4."""
    codec = "mpeg4" if path.suffix == ".avi" else "libx264"
    pixels = np.random.default_rng(seed).integers(0, 256, (FRAMES, 56, 56, 3), dtype=np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 56, 56, "yuv420p"
        for number, frame in enumerate(pixels):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = number
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
