"""The costs of a step: work, waiting and memory, from counters beside the code that does the work. docs/metrics.md explains them."""

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
    """Yield a dictionary for the numbers of a step; at exit, add the step's costs over all ranks to it.

    ``readers`` are all models of the run. Only work inside the block counts: a validation between steps does not.
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
    """Add up the work of the models since the last call, and reset their counters."""
    for work in [reader.work.taken() for reader in readers]:
        meter.total("work/vision_passes", work.vision_passes)
        meter.total("work/forward_tokens", work.forward_tokens)
        meter.add("work/padding_share", work.padding / max(1, work.forward_tokens), work.forward_tokens)
        meter.most("work/logit_bytes", work.max_logit_bytes)
        if work.halvings:
            meter.total("work/rollout_oom_retries", work.halvings)


def counters(feeder: PromptFeeder) -> Numbers:
    """Return all counters that only grow, as they are now; those of the tower's cache include validations."""
    counts, cache = feeder.reader.counts, feeder.policy.tower.cache
    counted = {"work/prompts": feeder.prompts_made, "work/media": feeder.media_made}
    counted |= {f"media/{name}": getattr(counts, name) for name in ("decodes", "hits", "fallbacks", "failures")}
    counted |= {"timing_s/data_wait": counts.seconds_waited} | tallied("media", counts.disk)
    if cache is not None:
        counted |= {"media/features/hits": cache.hits} | tallied("media/features", cache.tally)
    return counted


def tallied(room: str, tally: Tally) -> dict[str, int]:
    """Return the counts of a cache on disk, by metric name."""
    counted = {f"{room}/disk_{name}": getattr(tally, name) for name in ("hits", "read_bytes", "written_bytes")}
    return counted | {f"{room}/{name}": getattr(tally, name) for name in ("evicted", "corrupt", "bypassed")}


def count_state(meter: Meter, feeder: PromptFeeder) -> None:
    """Add the memory and cache sizes after the step."""
    counts, cache = feeder.reader.counts, feeder.policy.tower.cache
    meter.add("media/decodes_per_file", counts.decodes / max(1, counts.files), counts.files)
    meter.total("media/memory_bytes", feeder.reader.kept_bytes)
    meter.most("media/skipped_examples", feeder.skipped)
    if cache is not None:
        meter.total("media/features/memory_bytes", cache.memory.bytes)
    meter.most("memory/peak_bytes", peak_bytes())


def peak_bytes() -> int:
    """Return the peak bytes of tensors on the GPU during the step; without a GPU, of the process since it began."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def shares(numbers: Mapping[str, float]) -> Numbers:
    """Return the seconds of each phase over the step's, and the vision passes over the step's media."""
    step, media = numbers["timing_s/step"], numbers["work/media"]
    fractions = {
        name.replace("timing_s/", "work/share/"): value / step
        for name, value in numbers.items()
        if name.startswith("timing_s/") and name != "timing_s/step"
    }
    return fractions | {"work/vision_passes_per_prompt": numbers["work/vision_passes"] / max(1.0, media)}


def throughput(numbers: Mapping[str, float]) -> Numbers:
    """Return tokens per second for sampling and for training: the tokens of all ranks over the seconds of the slowest one."""
    phases = {
        "rollout": ("work/sampled_tokens", ("timing_s/gen",)),
        "train": ("work/trained_tokens", ("timing_s/forward_backward", "timing_s/optimizer")),
    }
    return {
        f"throughput/{name}_tokens_per_second": numbers[tokens] / seconds
        for name, (tokens, parts) in phases.items()
        if tokens in numbers and (seconds := sum(numbers.get(part, 0.0) for part in parts)) > 0
    }
