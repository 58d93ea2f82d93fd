"""Renders a whole benchmark directory in SEED-Bench-R1's layout: annotations, videos, images, manifest.

    annotations/*.jsonl   videos/Synth/*.mp4   images/Synth/*.png   manifest.json

Everything is made in a hidden neighbour of ``out`` and moved there when whole, so ``out`` is complete or absent; an
interrupted rendering goes on where it stopped.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import av

from mmrl.runtime.files import PARTIAL, whole_file, write_json, write_whole
from mmrl.world.annotate import SOURCE, ClipSpec, PictureSpec
from mmrl.world.axes import AXES
from mmrl.world.codec import CODECS, encoder, planes_digest, write_clip, write_picture
from mmrl.world.cues import Cues
from mmrl.world.demos import Demonstrations, demonstrate
from mmrl.world.manifest import NAME, is_complete, manifest
from mmrl.world.render import Dial, clip, observation
from mmrl.world.script import FAMILIES
from mmrl.world.splits import Group, Recipe, Sizes, annotated

PLAN = "plan.json"  # in a draft: what it is to become
VIDEOS, IMAGES = f"videos/{SOURCE}", f"images/{SOURCE}"
Progress = Callable[[int, int], None]  # groups rendered, groups in all
Work = tuple[tuple[ClipSpec, ...], tuple[PictureSpec, ...]]  # the media of a group


def render(
    out: Path,
    sizes: Sizes,
    *,
    seed: int,
    dial: Dial | None = None,
    cues: Cues | None = None,
    axes: Sequence[str] = AXES,
    families: Sequence[str] = tuple(FAMILIES),
    workers: int = 1,
    progress: Progress | None = None,
    demonstrations: Demonstrations | None = None,
) -> Path:
    """Renders the benchmark to ``out`` and returns it; at once if it is there already with these arguments.

    ``axes`` are those that L2 and L3 take from the test pool; ``families`` those of the octets; ``workers`` are
    processes. ``demonstrations`` says how training_with_cot.jsonl is made of the octets of ``sizes.sft``, or of the
    training's where there are none; None leaves it out. ``progress`` is told of ``sizes.groups(axes, cues)`` groups in
    all. Raises ValueError for what cannot be rendered, before anything is, and FileExistsError if something else is at
    ``out``.
    """
    out = Path(out)
    recipe = Recipe(sizes, seed, dial or Dial(), cues or Cues(), tuple(axes), tuple(families), demonstrations)
    if is_complete(out, recipe.key):
        return out
    files = annotated(recipe)
    work = media(files)
    _check_encoders(work)
    draft = _draft(out, recipe.key)
    hashes: dict[str, str] = {}
    for done, made in enumerate(_rendered(work, draft, recipe.dial, workers), 1):
        hashes |= made
        if progress is not None:
            progress(done, len(work))
    rows = rows_of(files, recipe)
    for name, several in rows.items():
        write_jsonl(draft / "annotations" / f"{name}.jsonl", several)
    write_json(draft / NAME, manifest(recipe.key, encoder(), rows, hashes))
    if out.exists():
        out.rmdir()  # empty, or is_complete would have refused
    os.replace(draft, out)
    (out / PLAN).unlink()
    return out


def rows_of(files: Mapping[str, Sequence[Group]], recipe: Recipe) -> dict[str, list[dict]]:
    """Return the rows of every annotation file, demonstrations among them."""
    rows = {name: [item.row for group in groups for item in group] for name, groups in files.items()}
    taught = rows.get("training_sft") or rows.get("training")
    if recipe.demonstrations is not None and taught:
        rows["training_with_cot"] = list(demonstrate(taught, recipe.demonstrations, seed=recipe.seed))
    return rows


def media(files: Mapping[str, Sequence[Group]]) -> list[Work]:
    """Return what there is to render, group by group, every file once."""
    seen: set[str] = set()
    work = []
    for group in (group for groups in files.values() for group in groups):
        clips = {item.clip.name: item.clip for item in group if item.clip is not None}
        pictures = {item.picture.name: item.picture for item in group}
        work.append(
            tuple(tuple(each for name, each in several.items() if name not in seen) for several in (clips, pictures))
        )
        seen |= clips.keys() | pictures.keys()
    return work


def render_group(work: Work, root: Path, dial: Dial) -> dict[str, str]:
    """Writes a group's media, what is there already excepted; returns the clips' hashes by file name."""
    clips, pictures = work
    hashes = {}
    for each in clips:
        path = root / VIDEOS / each.name
        if not path.exists():
            frames = clip(each.script, each.family, each.mats, each.environment, dial, each.tint)
            settings = {"fps": dial.fps, "environment": each.environment, "tail_start": dial.tail_start}
            with whole_file(path) as unfinished:
                write_clip(unfinished, frames=frames, **settings)
        hashes[each.name] = planes_digest(path)
    for each in pictures:
        path = root / IMAGES / each.name
        if not path.exists():
            picture = observation(each.lamp, each.family, each.mats, each.environment, dial, each.border)
            with whole_file(path) as unfinished:
                write_picture(unfinished, picture)
    return hashes


def write_jsonl(path: Path, rows: Iterable[Mapping]) -> None:
    """Write rows, one a line, whole or not at all."""
    write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))


def _rendered(work: Sequence[Work], root: Path, dial: Dial, workers: int) -> Iterator[dict[str, str]]:
    """Hashes group by group; in this process for one worker."""
    one = partial(render_group, root=root, dial=dial)
    if workers <= 1 or len(work) < 2:
        yield from map(one, work)
        return
    executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_serve)
    try:
        yield from executor.map(one, work, chunksize=4)
    finally:
        executor.shutdown(cancel_futures=True)


def _serve() -> None:
    """A worker leaves interruptions to its parent, and ends when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def outlive() -> None:
        parent_process().join()
        os._exit(1)

    Thread(target=outlive, daemon=True).start()


def _check_encoders(work: Iterable[Work]) -> None:
    """Raises ValueError if a clip asks for an encoder that this build of PyAV lacks."""
    for name in sorted({each.environment.codec for clips, _ in work for each in clips}):
        if CODECS[name].encoder not in av.codecs_available:
            raise ValueError(
                f"axes: expected PyAV to have {CODECS[name].encoder} for the axis codec, found none; leave codec out"
            )


def _draft(out: Path, key: Mapping) -> Path:
    """Return the hidden directory that becomes ``out``; what an interrupted rendering of the same key left is kept.

    Raises FileExistsError if something stands there that no rendering made.
    """
    draft = out.with_name(f".{out.name}.rendering")
    plan, wanted = draft / PLAN, {"key": key, "encoder": encoder()}
    if draft.exists():
        if not plan.is_file() and any(path.suffix != PARTIAL for path in draft.iterdir()):
            raise FileExistsError(
                f"{draft}: expected nothing or an interrupted rendering, found other files; move them"
            )
        if plan.is_file() and json.loads(plan.read_text()) != wanted:
            shutil.rmtree(draft)
    draft.mkdir(parents=True, exist_ok=True)
    write_json(plan, wanted)
    for folder in ("annotations", VIDEOS, IMAGES):
        (draft / folder).mkdir(parents=True, exist_ok=True)
    for half in draft.rglob(f"*{PARTIAL}"):  # of a write that was cut short
        half.unlink()
    return draft
