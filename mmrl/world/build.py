"""Renders a whole benchmark directory in SEED-Bench-R1's layout: annotations, videos, images, manifest.

    annotations/*.jsonl   videos/Synth/*.mp4   images/Synth/*.png   manifest.json

Everything is made in a hidden neighbour of ``out`` and moved there when whole, so ``out`` is complete or absent; an
interrupted rendering goes on where it stopped.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

from mmrl.runtime.files import PARTIAL, whole_file, write_json, write_whole
from mmrl.runtime.json_lines import line_of
from mmrl.world.annotate import SOURCE, Medium
from mmrl.world.codec import codec_of, encoder, planes_digest, write_clip, write_picture
from mmrl.world.demos import demonstrate
from mmrl.world.files import CHATS, MANIFEST, is_complete, manifest
from mmrl.world.render import Dial, clip, observation
from mmrl.world.splits import Group, Recipe, annotated

PLAN = "plan.json"  # in a draft: what it is to become
Progress = Callable[[int], None]  # told how many groups are rendered
Work = tuple[Medium, ...]  # of a group


def render(out: Path, recipe: Recipe, *, workers: int = 1, progress: Progress = lambda done: None) -> Path:
    """Renders a recipe's benchmark to ``out`` and returns it; at once if it is there already.

    ``workers`` are processes; ``progress`` is told how many of ``recipe.groups`` are done. Raises ValueError for an
    encoder that this build of PyAV lacks, before anything is rendered, and FileExistsError if something else is at ``out``.
    """
    out = Path(out)
    if is_complete(out, recipe.key):
        return out
    files = annotated(recipe)
    work = media(files)
    for codec in sorted({each.environment.codec for group in work for each in group if each.script}):
        codec_of(codec)  # raises where its encoder is not there
    draft = _draft(out, recipe.key)
    hashes: dict[str, str] = {}
    for done, made in enumerate(_rendered(work, draft, recipe.dial, workers), 1):
        hashes |= made
        progress(done)
    rows = rows_of(files, recipe)
    for name, several in rows.items():
        write_whole(draft / "annotations" / f"{name}.jsonl", "".join(map(line_of, several)))
    write_json(draft / MANIFEST, manifest(recipe.key, rows, hashes))
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
        rows[CHATS] = list(demonstrate(taught, recipe.demonstrations, seed=recipe.seed))
    return rows


def media(files: Mapping[str, Sequence[Group]]) -> list[Work]:
    """Return what there is to render, group by group, every file once."""
    seen: set[str] = set()
    work = []
    for group in (group for groups in files.values() for group in groups):
        several = {each.path: each for item in group for each in (item.clip, item.picture) if each is not None}
        work.append(tuple(each for path, each in several.items() if path not in seen))
        seen |= several.keys()
    return work


def render_group(work: Work, root: Path, dial: Dial) -> dict[str, str]:
    """Writes a group's media, what is there already excepted; returns the clips' hashes by file name."""
    hashes = {}
    for each in work:
        path, table = root / each.path, (each.family, each.mats, each.environment, dial)
        if not path.exists():
            with whole_file(path) as unfinished:
                if each.script:
                    frames = clip(each.script, *table, each.tint)
                    write_clip(unfinished, frames, dial.fps, each.environment, dial.tail_start)
                else:
                    write_picture(unfinished, observation(each.lamp, *table, each.border))
        if each.script:
            hashes[each.name] = planes_digest(path)
    return hashes


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
    for folder in ("annotations", f"videos/{SOURCE}", f"images/{SOURCE}"):
        (draft / folder).mkdir(parents=True, exist_ok=True)
    for half in draft.rglob(f"*{PARTIAL}"):  # of a write that was cut short
        half.unlink()
    return draft
