"""The costs of a step: work, waiting and memory, from counters kept where the work is done. docs/metrics.md explains them."""

import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter

import torch

from mmrl.models.reader import Reader
from mmrl.runtime.disk_cache import Tally
from mmrl.runtime.ranks import Ranks
from mmrl.training.prompts import PromptFeeder
from mmrl.training.step.metrics import Meter

Numbers = dict[str, float]


@contextmanager
def profile(readers: Sequence[Reader], feeder: PromptFeeder, ranks: Ranks) -> Iterator[Numbers]:
    """Yield a dictionary for the numbers of a step; when the step has ended, its costs over all ranks are added to it.

    ``readers`` are all models that may be asked. Only work inside the block counts: a validation between steps does not.
    """
    for reader in readers:
        reader.work.taken()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    before, start = counters(feeder), perf_counter()
    numbers: Numbers = {}
    yield numbers
    seconds, meter = perf_counter() - start, Meter()
    count_work(meter, readers)
    for name, value in counters(feeder).items():
        meter.total(name, value - before[name])
    count_state(meter, feeder)
    named = sum(value for name, value in numbers.items() if name.startswith("timing_s/"))
    meter.total("timing_s/step", seconds)
    meter.total("timing_s/forward_backward", max(0.0, seconds - named))
    numbers |= meter.summary(ranks)
    numbers |= shares(numbers) | throughput(numbers)


def count_work(meter: Meter, readers: Sequence[Reader]) -> None:
    """Add up the work of the models since they were last asked, and begin anew."""
    for work in [reader.work.taken() for reader in readers]:
        meter.total("work/vision_passes", work.vision_passes)
        meter.total("work/forward_tokens", work.forward_tokens)
        meter.add("work/padding_share", work.padding / max(1, work.forward_tokens), work.forward_tokens)
        meter.most("work/logit_bytes", work.max_logit_bytes)
        if work.halvings:
            meter.total("work/rollout_oom_retries", work.halvings)


def counters(feeder: PromptFeeder) -> Numbers:
    """All counters that only grow, as they are now; those of the tower's cache include validations."""
    counts, cache = feeder.reader.counts, feeder.policy.tower.cache
    found = {"work/prompts": feeder.prompts_made, "work/media": feeder.media_made}
    found |= {f"media/{name}": getattr(counts, name) for name in ("decodes", "hits", "fallbacks", "failures")}
    found |= {"timing_s/data_wait": counts.seconds_waited} | tallied("media", counts.disk)
    if cache is not None:
        found |= {"media/features/hits": cache.hits} | tallied("media/features", cache.tally)
    return found


def tallied(room: str, tally: Tally) -> dict[str, int]:
    """The counts of a cache on disk."""
    found = {f"{room}/disk_{name}": getattr(tally, name) for name in ("hits", "read_bytes", "written_bytes")}
    return found | {f"{room}/{name}": getattr(tally, name) for name in ("evicted", "corrupt", "bypassed")}


def count_state(meter: Meter, feeder: PromptFeeder) -> None:
    """Measure memory and caches as they are after the step."""
    counts, cache = feeder.reader.counts, feeder.policy.tower.cache
    meter.add("media/decodes_per_file", counts.decodes / max(1, counts.files), counts.files)
    meter.total("media/memory_bytes", feeder.reader.kept_bytes)
    meter.most("media/skipped_examples", feeder.skipped)
    if cache is not None:
        meter.total("media/features/memory_bytes", cache.memory.bytes)
    meter.most("memory/peak_bytes", peak_bytes())


def peak_bytes() -> int:
    """The most bytes that tensors took on the GPU during the step, or without a GPU the process since it began."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def shares(numbers: Mapping[str, float]) -> Numbers:
    """Divide the seconds of each phase by the step's, and the media that went through a tower by all of the step's media."""
    step, media = numbers["timing_s/step"], numbers["work/media"]
    found = {
        name.replace("timing_s/", "work/share/"): value / step
        for name, value in numbers.items()
        if name.startswith("timing_s/") and name != "timing_s/step"
    }
    return found | {"work/vision_passes_per_prompt": numbers["work/vision_passes"] / max(1.0, media)}


def throughput(numbers: Mapping[str, float]) -> Numbers:
    """Divide the tokens of all ranks by the seconds of the slowest one, for sampling and for training."""
    phases = {
        "rollout": ("work/sampled_tokens", ("timing_s/gen",)),
        "train": ("work/trained_tokens", ("timing_s/forward_backward", "timing_s/optimizer")),
    }
    return {
        f"throughput/{name}_tokens_per_second": numbers[tokens] / seconds
        for name, (tokens, parts) in phases.items()
        if tokens in numbers and (seconds := sum(numbers.get(part, 0.0) for part in parts)) > 0
    }
