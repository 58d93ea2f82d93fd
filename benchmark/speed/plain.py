"""transformers alone, done well: ``generate`` with G return sequences, and batched forward passes of whole rows.

SDPA, logits of completions only, no padding (all rows are equally long), gradients accumulated over micro-batches of 1, 2, 4
or 8 rows, whichever is fastest. Positions are handed in, as they are to mmrl.
"""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.speed.case import Case
from benchmark.speed.clock import Counts, Peak, Watch, gradient_bytes
from benchmark.speed.prompts import Asked, asked, banned, untouched
from mmrl.models.transformers_versions import checkpoint_activations

MICRO = (1, 2, 4, 8)
SLOWER = 1.05
RATE = 1e-6


def measure(case: Case, root: Path, _out: Path, repetitions: int) -> dict[str, Any]:
    """Micro-batches once after a first row, then whole steps with the fastest."""
    model = prepared(case, root)
    reference = untouched(root).requires_grad_(False).eval() if case.beta else None
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE)
    prompts = asked(model, root, case, range(1 + repetitions))
    ban, counts, peak, watch = banned(model, root), Counts(), Peak(), Watch()
    for one in filter(None, (model, reference)):
        counts.watch(one)
    rows = sample(model, prompts[0], case, ban)
    train(model, prompts[0], rows[:1], None, case, 1)
    tried = micro_batches(lambda micro: train(model, prompts[0], rows, None, case, micro), case.group, watch)
    optimizer.step()
    optimizer.zero_grad()
    best = min(tried, key=tried.get)
    counts.clear()
    peak.start()
    for prompt in prompts[1:]:
        with watch("step"):
            step(model, reference, optimizer, prompt, case, ban, best, watch)
    return {
        "prompt_tokens": len(prompts[0].tokens),
        "laps": watch.spreads(repetitions),
        "peak_bytes_above": peak.above(gradient_bytes(model)),
        "work": counts.per_step(repetitions, case.view.patches),
        "micro_batch": best,
        "micro_batches": {str(micro): round(seconds, 4) for micro, seconds in tried.items()},
        "optimizer": "AdamW, float32 masters and moments, nothing offloaded",
    }


def micro_batches(run: Callable[[int], None], rows: int, watch: Watch) -> dict[int, float]:
    """Seconds of every size, upwards, until one is clearly slower than a smaller one."""
    tried: dict[int, float] = {}
    for micro in [m for m in MICRO if m <= rows]:
        with watch(f"train {micro}"):
            run(micro)
        tried[micro] = watch.laps[f"train {micro}"][0].undisturbed
        if tried[micro] > SLOWER * min(tried.values()):
            break
    return tried


def prepared(case: Case, root: Path) -> nn.Module:
    """The untouched model, its tower frozen and its activations recomputed as the case says."""
    model = untouched(root)
    if case.tower == "frozen":
        model.model.visual.requires_grad_(False)
    if case.checkpointing:
        checkpoint_activations(model)
    return model.train()


def step(model, reference, optimizer, prompt: Asked, case: Case, ban: list[int], micro: int, watch: Watch) -> None:
    """Sample, read the reference, learn, update."""
    with watch("sample"):
        rows = sample(model, prompt, case, ban)
    with watch("reference"):
        other = None if reference is None else read(reference, prompt, rows, micro, case)
    with watch("train"):
        train(model, prompt, rows, other, case, micro)
    with watch("update"):
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()


def autocast(model: nn.Module, case: Case):
    """As mmrl: products in the case's arithmetic."""
    return nullcontext() if case.compute == "float32" else torch.autocast(model.device.type, dtype=torch.bfloat16)


@torch.no_grad()
def sample(model: nn.Module, prompt: Asked, case: Case, ban: list[int]) -> Tensor:
    """G completions ``g t``, none of which ends."""
    model.eval()  # activations that are recomputed keep no cache
    ids = prompt.tokens[None]
    with autocast(model, case):
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=2 * (ids == model.config.video_token_id).long(),
            pixel_values_videos=prompt.pixels,
            video_grid_thw=prompt.grid,
            second_per_grid_ts=torch.tensor([prompt.seconds]),
            num_return_sequences=case.group,
            max_new_tokens=case.new_tokens,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            suppress_tokens=ban,
        )
    model.train()
    rows = out[:, ids.shape[1] :]
    assert rows.shape == (case.group, case.new_tokens), "a completion ended early"
    return rows


def logp(model: nn.Module, prompt: Asked, rows: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Log-probabilities ``n t`` of completions, each in a row of its own behind the prompt."""
    count, new = rows.shape
    start = int(prompt.positions.max()) + 1
    new_positions = torch.arange(start, start + new, device=rows.device).expand(3, new)
    positions = torch.cat([prompt.positions, new_positions], dim=1)
    logits = model(
        input_ids=torch.cat([prompt.tokens.expand(count, -1), rows], dim=1),
        position_ids=positions[:, None].expand(3, count, -1),
        pixel_values_videos=prompt.pixels.repeat(count, 1),
        video_grid_thw=prompt.grid.repeat(count, 1),
        logits_to_keep=new + 1,
        use_cache=False,
    ).logits[:, :-1]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -torch.inf)
    return logits.gather(-1, rows[..., None]).squeeze(-1) - logits.logsumexp(dim=-1)


@torch.no_grad()
def read(model: nn.Module, prompt: Asked, rows: Tensor, micro: int, case: Case) -> Tensor:
    """Reads log-probabilities by the reference."""
    with autocast(model, case):
        return torch.cat([logp(model, prompt, part) for part in rows.split(micro)])


def train(model: nn.Module, prompt: Asked, rows: Tensor, other: Tensor | None, case: Case, micro: int) -> None:
    """Gradients of GRPO's loss, advantages made up; micro-batch by micro-batch."""
    worth = torch.linspace(-1, 1, len(rows), device=rows.device)[:, None]
    other = torch.zeros(rows.shape, device=rows.device) if other is None else other
    parts = zip(rows.split(micro), worth.split(micro), other.split(micro), strict=True)
    for part, gain, reference in parts:
        with autocast(model, case):
            now = logp(model, prompt, part)
        gap = reference - now
        loss = case.beta * (gap.exp() - gap - 1) - (now - now.detach()).exp() * gain
        (loss.sum() / rows.numel()).backward()
