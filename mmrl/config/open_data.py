"""Open the data of a config's sections: graders, sets of examples, media readers, and their checks."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from mmrl.config.schema import ConfigError, DataSection, EvalSetSection, MediaSection, RewardSection, SetSection
from mmrl.data.formats.dataset import Dataset
from mmrl.data.formats.registry import format_of
from mmrl.data.formats.seed_bench_r1 import SeedBenchR1
from mmrl.data.media.frame_size import SizeRules
from mmrl.data.media.preflight import preflight
from mmrl.data.media.reader import MediaReader
from mmrl.data.stream import Mixture
from mmrl.rewards.benchmark_graders import PUBLISHED_READINGS
from mmrl.rewards.grader_forms import GroupGrader, group_grader
from mmrl.rewards.graders import GRADERS, Grader, check_gold
from mmrl.rewards.load_grader import load_grader
from mmrl.rewards.run_graders import grade_one
from mmrl.runtime.console import progress
from mmrl.runtime.disk_cache import Disk, open_disk
from mmrl.types import Example
from mmrl.world.graders import WORLD_GRADERS

READ_THE_GOLD = {"accuracy", "lenient", "official", "mra", *PUBLISHED_READINGS}  # graders that compare with an answer
THIRDS = {"frames": 2, "features": 1}  # how many thirds of cache_dir_bytes each content gets
READ_THE_OPTIONS = {"consistency", "concludes"}
MEMORY = ".mmrl_media_seen.jsonl"  # in cache_dir or the data root: the files that a preflight found good


def grader(spec: str) -> Grader:
    """Return a grader by its name, including the toy world's exact judges, or as path.py:function. Raises ConfigError."""
    if spec in WORLD_GRADERS:
        return WORLD_GRADERS[spec]
    if spec not in GRADERS and ":" not in spec:
        known = ", ".join([*GRADERS, *WORLD_GRADERS])
        raise ConfigError(f"grader {spec!r}: expected one of {known}, or your own as path.py:function")
    return load_grader(spec)


def graders_of(rewards: Mapping[str, RewardSection]) -> dict[str, GroupGrader]:
    """Return the graders of a config's rewards by name. Raises ConfigError if one that is not async has a concurrency."""
    graders = {}
    for name, reward in rewards.items():
        loaded = grader(reward.grader)
        try:
            graders[name] = group_grader(loaded, reward.concurrency)
        except ValueError as error:
            raise ConfigError(f"rewards.{name}: grader {reward.grader!r}: {error}") from None
    return graders


def root_of(section: MediaSection) -> Path:
    """Return the data root. Raises ConfigError if it does not exist."""
    root = Path(section.root)
    if not root.is_dir():
        toy = f"; mmrl world render {root} --preset small --cue border makes it" if "quickstart" in root.parts else ""
        raise ConfigError(f"root: expected a directory of data, found nothing at {root.absolute()}{toy}")
    return root


def open_set(section: SetSection | EvalSetSection, root: Path, options: str, seed: int) -> Dataset:
    """Open a set, one file of examples. Raises ConfigError if the file does not exist."""
    if not (root / section.file).is_file():
        raise ConfigError(f"sets: expected annotations, found nothing at {root / section.file}")
    kind = format_of(section.format)
    more = {"options": options, "seed": seed} if issubclass(kind, SeedBenchR1) else {}
    if isinstance(section, SetSection):
        more |= {"prefix": section.prefix, "exclude": section.exclude, "bad_rows": section.bad_rows}
    return kind(section.file, media=section.media, limit=section.limit, **more).open(root)


def training_data(section: DataSection, seed: int) -> Mixture:
    """Open all training sets as a mixture with their weights."""
    root = root_of(section)
    sets = [open_set(s, root, s.options, seed) for s in section.sets]
    return Mixture(sets, [s.weight for s in section.sets])


def every(data: Mixture) -> Iterator[Example]:
    """Yield each example once, as it is in epoch 0."""
    for dataset in data.datasets:
        for index in range(len(dataset)):
            yield dataset.example(index, 0)


def media_reader(section: MediaSection, cache_bytes: int, sizes: SizeRules = SizeRules()) -> MediaReader:
    """Return a section's media reader; pass a model's ``sizes`` if only this model uses the frames."""
    how = (section.frames, section.workers, section.timeout, section.reader)
    return MediaReader(root_of(section), *how, cache_bytes=cache_bytes, disk=disk_of(section, "frames"), sizes=sizes)


def disk_of(section: MediaSection, content: Literal["frames", "features"]) -> Disk | None:
    """Return the part of a section's disk cache for frames or for features; None if the section names no folder.

    Raises ValueError if the folder cannot be written.
    """
    if section.cache_dir is None:
        return None
    return open_disk(Path(section.cache_dir) / content, section.cache_dir_bytes * THIRDS[content] // 3)


def check_gradable(examples: Iterable[Example], specs: Iterable[str], where: str) -> None:
    """Raise one ConfigError for all examples that a grader cannot judge: impossible golds, missing options or cues.

    The world's graders accept rows of the world only; each grades an empty completion as a test.
    """
    specs, bad = set(specs), []
    of_world = {name: WORLD_GRADERS[name] for name in sorted(specs & set(WORLD_GRADERS))}
    for example in examples:
        try:
            if specs & READ_THE_GOLD:
                check_gold(example)
            if specs & READ_THE_OPTIONS and not example.choices:
                raise ValueError(
                    f"example {example.id}: expected options, as consistency is between options, found none"
                )
            grade_one("", example, of_world)
        except ValueError as error:
            bad.append(str(error))
    if bad:
        more = f" (and {len(bad) - 10} more)" if len(bad) > 10 else ""
        raise ConfigError(f"{where}: " + f"\n{where}: ".join(bad[:10]) + more)


def check_media(section: MediaSection, examples: list[Example], quiet: bool = False) -> None:
    """Open every media file before the first step. Raises one MediaError that lists the bad files."""
    files = len({medium for example in examples for medium in example.every_media})
    root = root_of(section)
    place = root if section.cache_dir is None else Path(section.cache_dir)
    memory = place / MEMORY if os.access(place, os.W_OK) else None  # a data root may be read-only
    with progress("media", files, quiet=quiet or not files) as show:
        how = (section.frames, section.workers, section.timeout)
        report = preflight(examples, root, *how, memory, lambda done, _: show(done), section.reader)
    report.raise_if_bad()
