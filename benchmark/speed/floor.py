"""The floor of a step, written down before anything was optimised: what cannot be left out, each part timed alone.

    sample      prefill of P tokens + T decode steps of a batch of G, with their logits
    reference   one forward of P + G T tokens, with the logits of G T
    train       one forward + backward of P + G T tokens, with the logits of G T
    tower       where it is trained: a forward for the rollout, one for the reference (whose tower is another), and a
                forward + backward; with mmrl's attention in windows and patch embedding, which are faster than transformers'

All on the untouched text model with SDPA, one row of tokens, activations kept. Optimizer, decoding of video,
tokenising and grading are not in it.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from benchmark.speed.case import Case
from benchmark.speed.clock import Watch
from benchmark.speed.plain import autocast
from benchmark.speed.prompts import Asked, asked, untouched
from mmrl.models.transformers_versions import cached
from mmrl.models.vision.faster import use_blocks, use_product


def measure(case: Case, root: Path, _out: Path, repetitions: int) -> dict[str, Any]:
    """Every part, once to warm up and then as often as asked."""
    model, watch = untouched(root).eval(), Watch()
    (prompt,) = asked(model, root, case, [0])
    use_blocks(model.model.visual)
    use_product(model.model.visual)
    length, new = len(prompt.tokens), case.group * case.new_tokens
    row = torch.randn(1, length + new, case.shape.hidden, device=model.device)
    for _ in range(1 + repetitions):
        with autocast(model, case):
            sample(model, row[:, :length], case, watch)
            with watch("reference"), torch.no_grad():
                logits(model, row, new)
            with watch("train"):
                logits(model, row.requires_grad_(), new).logsumexp(-1).sum().backward()
            if case.tower == "trained":
                tower(model, prompt, case, watch)
    spreads = watch.spreads(repetitions)
    return {"prompt_tokens": length, "laps": spreads, "floor": {which: total(spreads, which) for which in WHICH}}


WHICH = ("min", "median", "cpu_min")


def total(spreads: dict[str, Any], which: str) -> float:
    """The sum of the parts."""
    return sum(one[which] for one in spreads.values())


@torch.no_grad()
def sample(model: nn.Module, embedded: Tensor, case: Case, watch: Watch) -> None:
    """Prefill of one row, then a token at a time for G rows."""
    text, length = model.model.language_model, embedded.shape[1]
    cache = DynamicCache(config=model.config.get_text_config())
    with watch("prefill"):
        text(inputs_embeds=embedded, **cached(text, cache))
    token = embedded[:, -1:].repeat(case.group, 1, 1)
    with watch("decode"):
        cache.batch_repeat_interleave(case.group)
        for step in range(case.new_tokens):
            at = torch.full((3, case.group, 1), length + step, device=embedded.device)
            out = text(inputs_embeds=token, position_ids=at, **cached(text, cache))
            model.lm_head(out.last_hidden_state)


def logits(model: nn.Module, embedded: Tensor, wanted: int) -> Tensor:
    """Computes logits of the last tokens of a row."""
    out = model.model.language_model(inputs_embeds=embedded, use_cache=False)
    return model.lm_head(out.last_hidden_state[:, -wanted:]).float()


def tower(model: nn.Module, prompt: Asked, case: Case, watch: Watch) -> None:
    """Three passes of the clip, one of them with its backward pass; two where there is no reference."""
    see = lambda: model.get_video_features(prompt.pixels, prompt.grid, return_dict=True).pooler_output  # noqa: E731
    with watch("tower rollout"), torch.no_grad():
        see()
    if case.beta:
        with watch("tower reference"), torch.no_grad():
            see()
    with watch("tower train"):
        torch.cat(list(see())).sum().backward()
