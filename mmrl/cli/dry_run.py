"""``mmrl train CONFIG --check``: everything of a run but its steps."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from rich.table import Table
from torch import Tensor

from mmrl.config.schema import Config
from mmrl.runtime.console import console
from mmrl.runtime.sharding import local
from mmrl.training.build import build
from mmrl.training.loop import Run
from mmrl.training.rollouts import rollouts_of

REHEARSED = 8  # tokens of each completion in the rehearsal


def memory(run: Run) -> Iterator[tuple[str, int]]:
    """Bytes that a rank holds all the time, by what for; activations and the rollout's keys and values come on top."""
    parameters = list(run.feeder.policy.model.parameters())
    learned = bytes_of(p for p in parameters if p.requires_grad)
    yield "weights", bytes_of(parameters)
    yield "gradients", learned
    yield "optimizer", 2 * learned
    for name, copied in (("reference", run.trainer.reference), ("proposal", run.trainer.proposal)):
        if copied is not None:
            yield name, bytes_of(copied.model.parameters())
    yield "logits, at most", run.config.model.max_logit_bytes
    if run.ranks.accelerator.device.type == "cpu":  # else they wait in the memory of the host
        yield "decoded frames, at most", run.config.data.frame_cache_bytes
        if (level := run.feeder.policy.tower.cache_level) != "nothing":
            yield f"{level} of media, at most", run.config.model.feature_cache_bytes


def bytes_of(parameters: Iterable[Tensor]) -> int:
    """Return what parameters, or this rank's parts of them, take."""
    return sum(local(parameter).nbytes for parameter in parameters)


def available(device: torch.device) -> int:
    """Bytes of memory of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def rehearse_first_batch(run: Run) -> dict[str, float]:
    """Run the first batch up to its gradient, with short completions; the weights stay as they are."""
    trainer, usual = run.trainer, run.config.rollout
    short = replace(usual.decoding, max_new_tokens=min(REHEARSED, usual.decoding.max_new_tokens))
    model, rollout = trainer.proposal or run.feeder.policy, usual.model_copy(update={"decoding": short})
    trainer.collector.sample = rollouts_of(model, trainer.algorithm.needs.source, rollout, run.config.seed)
    trainer.last = scored = trainer.collect()
    normalisers = trainer.normalisers(scored)
    weights = [trainer.token_weights(s, normalisers) for s in scored]
    trainer.accumulate_gradients(trainer.with_signal(scored, weights))
    trainer.raise_non_finite(trainer.meter.bad, "loss")
    trainer.optimizer.zero_grad(set_to_none=True)
    return trainer.meter.summary(run.ranks)


def check_config(config: Config) -> bool:
    """Do everything but the steps, in a directory of its own that does not stay. False where the run cannot fit."""
    with tempfile.TemporaryDirectory(prefix="mmrl-check-") as folder:
        run = build(config.model_copy(update={"out": folder, "trackers": ()}))
        with run.feeder.reader:
            return fits_and_runs(run)


def fits_and_runs(run: Run) -> bool:
    """Print what a run needs and try its first batch. False where it cannot fit."""
    device = run.ranks.accelerator.device
    needs, there = dict(memory(run)), available(device)
    table = Table("memory", "GiB", box=None, pad_edge=False)
    for name, size in needs.items():
        table.add_row(name, f"{size / 2**30:.2f}")
    table.add_row(f"there is, on {device}", f"{there / 2**30:.2f}")
    console.print(table)
    if sum(needs.values()) > there:
        console.print(
            f"[red]expected at most {there / 2**30:.1f} GiB, found {sum(needs.values()) / 2**30:.1f}. Freeze parts, "
            "lower model.max_logit_bytes or data.frame_cache_bytes, or take a larger device.[/]"
        )
        return False
    numbers = rehearse_first_batch(run)
    prompts = [len(s.group.prompt.tokens) for s in run.trainer.last] or [0]
    tokens, loss = numbers.get("completions/mean_length", 0.0), numbers.get("loss", 0.0)
    console.print(
        f"first batch: {tokens:.0f} tokens a completion, loss {loss:.4f}, longest prompt {max(prompts)} tokens"
    )
    media = "every media file" if run.config.data.on_bad_media == "stop" else "no media file but the first batch's"
    console.print(f"[green]In order: the config, its annotations, {media}, the first batch up to its gradient.[/]")
    return True
