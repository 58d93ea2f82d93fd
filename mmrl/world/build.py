"""Renders a whole benchmark directory in SEED-Bench-R1's layout: annotations, videos, images, manifest.

    annotations/{training,training_with_cot,validation_L1,validation_L2,validation_L3}.jsonl
    videos/Synth/*.mp4   images/Synth/*.png   manifest.json

Everything is made in a hidden neighbour of ``out`` and moved there when whole, so ``out`` is complete or absent; an
interrupted rendering goes on where it stopped.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from mmrl.world.annotate import LEVELS, SOURCE, picture_name, pool, rows, video_name
from mmrl.world.demos import Demonstrations, demonstrate
from mmrl.world.render import canvas, clip, digest, encoder, observation, write_clip, write_picture
from mmrl.world.script import BITS, LETTERS, SPLITS, Octet, draw_octets

GENERATOR = "toy-1"  # a change of any script, pixel or sentence asks for a new one
HASHES = (
    "clips: SHA-256 of the decoded YUV 4:2:0 planes (files differ between encoder builds); "
    "scripts: SHA-256 of all rows' sha256, in order"
)
Progress = Callable[[int, int], None]  # octets rendered, octets in all


@dataclass(frozen=True, slots=True)
class Sizes:
    """Octets of each split; an octet is 8 items, 4 clips, 2 observations."""

    train: int = 1000
    L1: int = 24
    L2: int = 24
    L3: int = 24

    def __post_init__(self) -> None:
        for split in SPLITS:
            if getattr(self, split) < 0:
                raise ValueError(f"sizes.{split}: expected 0 octets or more, found {getattr(self, split)}")


@dataclass(frozen=True, slots=True)
class Cues:
    """Strength of the planted shortcut, by split: how often the border's colour codes the right letter. None: grey."""

    train: float | None = None
    L1: float | None = None
    L2: float | None = None
    L3: float | None = None


def render(
    out: Path,
    sizes: Sizes,
    *,
    seed: int,
    size: int = 56,
    workers: int = 1,
    progress: Progress | None = None,
    cue_strength: Cues | None = None,
    demonstrations: Demonstrations | None = None,
) -> Path:
    """Renders the benchmark to ``out`` and returns it; at once if it is there already with these arguments.

    Raises FileExistsError if something else is there.
    """
    out, cues, how = Path(out), cue_strength or Cues(), demonstrations or Demonstrations()
    key = manifest_key(sizes, seed, size, cues, how)
    if is_complete(out, key):
        return out
    draft = _draft(out, key)
    octets = list(all_octets(sizes, seed))
    annotated = {octet.group: list(annotate(octet, cues, seed)) for octet in octets}
    hashes: dict[str, str] = {}
    for done, made in enumerate(_rendered(octets, annotated, draft, size, workers), 1):
        hashes |= made
        if progress is not None:
            progress(done, len(octets))
    written = _write_annotations(draft, octets, annotated, how, seed)
    manifest = {
        "key": key,
        "encoder": encoder(),
        "rows": written,
        "hashes": HASHES,
        "scripts": scripts_digest(annotated),
    }
    _write_json(draft / "manifest.json", manifest | {"clips": hashes})
    if out.exists():
        out.rmdir()  # empty, or _draft would have refused
    os.replace(draft, out)
    return out


def manifest_key(sizes: Sizes, seed: int, size: int, cues: Cues, how: Demonstrations) -> dict:
    """What a benchmark depends on."""
    return {
        "generator": GENERATOR,
        "seed": seed,
        "size": size,
        "octets": asdict(sizes),
        "cue_strength": asdict(cues),
        "demonstrations": asdict(how),
    }


def is_complete(out: Path, key: Mapping) -> bool:
    """Whether ``out`` holds the whole benchmark of this key. Raises FileExistsError if it holds something else."""
    manifest = out / "manifest.json"
    if manifest.is_file():
        found = json.loads(manifest.read_text()).get("key")
        if found == key:
            return True
        raise FileExistsError(f"{out}: expected the benchmark {key}, found {found}; delete it or render elsewhere")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out}: expected nothing or a rendered benchmark, found other files; render elsewhere")
    return False


def all_octets(sizes: Sizes, seed: int) -> Iterator[Octet]:
    """The octets of all splits, no two with the same videos and goal.

    Validation comes first, so that it does not depend on how much is trained on.
    """
    taken: set[str] = set()
    for split in ("L1", "L2", "L3", "train"):
        yield from draw_octets(split, getattr(sizes, split), seed=seed, taken=taken)


def annotate(octet: Octet, cues: Cues, seed: int) -> list[dict]:
    """The octet's rows, with the letters that their borders code."""
    strength = getattr(cues, octet.split)
    plain = list(rows(octet, [None] * 8, None))
    if strength is None:
        return plain
    token = int.from_bytes(hashlib.sha256(octet.group.encode()).digest()[:4], "big")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, token])))
    letters: list[str | None] = []
    for row in plain:
        gold = LETTERS[octet.options.index(row["answer"])]
        wrong = [letter for letter in LETTERS if letter != gold]
        letters.append(gold if rng.random() < strength else wrong[rng.integers(3)])
    return list(rows(octet, letters, strength))


def render_octet(work: tuple[Octet, tuple[tuple[str, str | None], ...]], root: Path, size: int) -> dict[str, str]:
    """Writes what the octet's rows refer to, what is there already excepted; returns the clips' hashes."""
    octet, observations = work
    table, hashes = canvas(pool(octet), octet.background, octet.texture, size), {}
    for bits in BITS:
        path = root / "videos" / SOURCE / video_name(octet, bits)
        if not path.exists():
            _whole(path, partial(write_clip, frames=clip(octet.script(bits), table)))
        hashes[path.name] = digest(path)
    for lamp, cue in observations:
        path = root / "images" / SOURCE / picture_name(octet, lamp, cue)
        if not path.exists():
            _whole(path, partial(write_picture, picture=observation(lamp, table, cue)))
    return hashes


def scripts_digest(annotated: Mapping[str, list[dict]]) -> str:
    """SHA-256 over all rows' scripts, in order."""
    return hashlib.sha256(
        "".join(row["sha256"] for several in annotated.values() for row in several).encode()
    ).hexdigest()


def _rendered(octets, annotated, root: Path, size: int, workers: int) -> Iterator[dict[str, str]]:
    """Hashes octet by octet; in this process for one worker."""
    seen = {
        group: {(row["state"]["lamp"], row["cue"]["points_to"]) for row in several}
        for group, several in annotated.items()
    }
    work = [(octet, tuple(sorted(seen[octet.group], key=str))) for octet in octets]
    one = partial(render_octet, root=root, size=size)
    if workers <= 1 or len(work) < 2:
        yield from map(one, work)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        yield from executor.map(one, work, chunksize=8)


def _write_annotations(draft: Path, octets, annotated, how: Demonstrations, seed: int) -> dict[str, int]:
    """Writes the annotation files; returns how many rows each has."""
    by_split: dict[str, list[dict]] = {split: [] for split in SPLITS}
    for octet in octets:
        by_split[octet.split] += annotated[octet.group]
    written = {}
    for split, name in LEVELS.items():
        written[name] = write_jsonl(draft / "annotations" / f"{name}.jsonl", by_split[split])
    demonstrations = demonstrate(by_split["train"], how, seed=seed)
    return written | {
        "training_with_cot": write_jsonl(draft / "annotations" / "training_with_cot.jsonl", demonstrations)
    }


def write_jsonl(path: Path, rows: Iterable[Mapping]) -> int:
    """Writes rows, one a line, whole or not at all; returns how many."""
    lines = [json.dumps(row) + "\n" for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    _whole(path, lambda part: part.write_text("".join(lines)))
    return len(lines)


def _draft(out: Path, key: Mapping) -> Path:
    """The hidden directory that becomes ``out``; what an interrupted rendering of the same key left is kept."""
    draft = out.with_name(f".{out.name}.rendering")
    plan = draft / "plan.json"
    wanted = {"key": key, "encoder": encoder()}
    if draft.exists() and not (plan.is_file() and json.loads(plan.read_text()) == wanted):
        shutil.rmtree(draft)
    for folder in ("annotations", f"videos/{SOURCE}", f"images/{SOURCE}"):
        (draft / folder).mkdir(parents=True, exist_ok=True)
        for half in (draft / folder).glob(".*"):  # of a write that was cut short
            half.unlink()
    _write_json(plan, wanted)
    return draft


def _write_json(path: Path, what: Mapping) -> None:
    _whole(path, lambda part: part.write_text(json.dumps(what, indent=1) + "\n"))


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes beside the path, then moves: the path holds everything or does not exist."""
    part = path.with_name(f".{os.getpid()}.{path.name}")
    write(part)
    os.replace(part, path)
