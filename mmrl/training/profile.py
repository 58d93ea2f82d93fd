"""What a step cost: work, waiting and memory, from counters kept where the work is done. docs/metrics.md explains them."""

import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from mmrl.data.media.reader import MediaReader
from mmrl.models.reader import Reader
from mmrl.models.vision.feature_cache import FeatureCache
from mmrl.runtime.disk_cache import Tally
from mmrl.runtime.ranks import Ranks
from mmrl.training.prompts import Feeder
from mmrl.training.step.metrics import Meter

Numbers = dict[str, float]


@dataclass
class Costs:
    """Turns counters that only grow into those of one step."""

    readers: Sequence[Reader]  # all models that may be asked
    feeder: Feeder
    ranks: Ranks
    before: Numbers = field(default_factory=dict)  # the counters after the step before

    def start(self) -> None:
        """What was done since the last step, such as a validation, is no step's."""
        for reader in self.readers:
            reader.work.taken()
        self.before |= of_features(self.readers[0].tower.cache)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def of_step(self, seconds: float, phases: Mapping[str, float]) -> Numbers:
        """The step that took ``seconds``, ``phases`` of which are known by name; over all ranks."""
        meter = Meter()
        count_work(meter, self.readers, self.feeder)
        now = of_frames(self.feeder.reader) | of_features(self.readers[0].tower.cache)
        for name, value in now.items():
            meter.total(name, value - self.before.get(name, 0.0))
        self.before = now
        count_state(meter, self.feeder)
        self.feeder.prompts_made = self.feeder.media_made = 0
        named = sum(value for name, value in phases.items() if name.startswith("seconds/"))
        meter.total("seconds/step", seconds)
        meter.total("seconds/learn", max(0.0, seconds - named))
        found = meter.summary(self.ranks)
        return found | shares({**phases, **found})


def count_work(meter: Meter, readers: Sequence[Reader], feeder: Feeder) -> None:
    """What the models did since they were last asked, and for how much."""
    for work in [reader.work.taken() for reader in readers]:
        meter.total("work/vision_passes", work.vision_passes)
        meter.total("work/forward_tokens", work.forward_tokens)
        meter.add("work/padding_share", work.padding / max(1, work.forward_tokens), work.forward_tokens)
        meter.most("work/logit_bytes", work.logit_bytes)
        if work.halvings:
            meter.total("work/rollout_halvings", work.halvings)
    meter.total("work/prompts", feeder.prompts_made)
    meter.total("work/media", feeder.media_made)


def of_frames(reader: MediaReader) -> Numbers:
    """What decoding counted since the run began."""
    counts = reader.counts
    return {
        "media/decodes": counts.decodes,
        "media/hits": counts.hits,
        "media/fallbacks": counts.fallbacks,
        "media/failures": counts.failures,
        "seconds/data_wait": counts.seconds_waited,
    } | tallied("media", counts.disk)


def of_features(cache: FeatureCache | None) -> Numbers:
    """What the cache of a tower counted since the run began, its validations included."""
    return {} if cache is None else {"media/features/hits": cache.hits} | tallied("media/features", cache.tally)


def tallied(room: str, tally: Tally) -> dict[str, int]:
    """What a cache on disk counted."""
    return {
        f"{room}/disk_hits": tally.hits,
        f"{room}/disk_read_bytes": tally.read_bytes,
        f"{room}/disk_written_bytes": tally.written_bytes,
        f"{room}/evicted": tally.evicted,
        f"{room}/corrupt": tally.corrupt,
        f"{room}/bypassed": tally.bypassed,
    }


def count_state(meter: Meter, feeder: Feeder) -> None:
    """How things stand after the step."""
    counts, cache = feeder.reader.counts, feeder.policy.tower.cache
    meter.add("media/decodes_per_file", counts.decodes / max(1, counts.files), counts.files)
    meter.total("media/memory_bytes", feeder.reader.kept_bytes)
    meter.most("media/skipped_examples", feeder.skipped)
    if cache is not None:
        meter.total("media/features/memory_bytes", cache.memory.bytes)
    meter.most("memory/peak_bytes", peak_bytes())


def peak_bytes() -> int:
    """The most memory that tensors took on the GPU during the step; without one, the process since it began."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def shares(numbers: Mapping[str, float]) -> Numbers:
    """Of the step's seconds, those of each phase; and how often a prompt went through a tower: each of its media."""
    step, media = numbers["seconds/step"], numbers["work/media"]
    found = {
        name.replace("seconds/", "work/share/"): value / step
        for name, value in numbers.items()
        if name.startswith("seconds/") and name != "seconds/step"
    }
    return found | {"work/vision_passes_per_prompt": numbers["work/vision_passes"] / max(1.0, media)}
