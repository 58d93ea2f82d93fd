"""``mmrl train CONFIG --check``: validate data, media, memory and the first batch of a run without training."""

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

REHEARSED = 8  # the most tokens of each completion in the rehearsal


def memory(run: Run) -> Iterator[tuple[str, int]]:
    """Yield (purpose, bytes) of the memory that a rank always uses; activations and the rollout's KV cache come on top."""
    parameters = list(run.feeder.policy.model.parameters())
    learned = bytes_of(p for p in parameters if p.requires_grad)
    yield "weights", bytes_of(parameters)
    yield "gradients", learned
    yield "optimizer", 2 * learned
    for name, copied in (("reference", run.trainer.reference), ("proposal", run.trainer.proposal)):
        if copied is not None:
            yield name, bytes_of(copied.model.parameters())
    yield "logits, at most", run.config.model.max_logit_bytes
    if run.ranks.accelerator.device.type == "cpu":  # on a GPU they are in the host's memory
        yield "decoded frames, at most", run.config.data.frame_cache_bytes
        if (level := run.feeder.policy.tower.cache_level) != "nothing":
            yield f"{level} of media, at most", run.config.model.feature_cache_bytes


def bytes_of(parameters: Iterable[Tensor]) -> int:
    """Return the bytes of parameters, or of this rank's shards of them."""
    return sum(local(parameter).nbytes for parameter in parameters)


def available(device: torch.device) -> int:
    """Return the device's memory in bytes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def rehearse_first_batch(run: Run) -> dict[str, float]:
    """Run the first batch up to its gradient, with short completions, without an optimizer step; return its metrics."""
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
    """Check a config in a temporary run directory; return False if the run does not fit into memory."""
    with tempfile.TemporaryDirectory(prefix="mmrl-check-") as folder:
        run = build(config.model_copy(update={"out": folder, "trackers": ()}))
        with run.feeder.reader:
            return fits_and_runs(run)


def fits_and_runs(run: Run) -> bool:
    """Print the memory that a run needs and try its first batch; return False if the run does not fit."""
    device = run.ranks.accelerator.device
    needs, total = dict(memory(run)), available(device)
    table = Table("memory", "GiB", box=None, pad_edge=False)
    for name, size in needs.items():
        table.add_row(name, f"{size / 2**30:.2f}")
    table.add_row(f"there is, on {device}", f"{total / 2**30:.2f}")
    console.print(table)
    if sum(needs.values()) > total:
        console.print(
            f"[red]expected at most {total / 2**30:.1f} GiB, found {sum(needs.values()) / 2**30:.1f}. Freeze parts, "
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
