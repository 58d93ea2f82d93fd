"""Makes the questions for all contenders: mmrl's prompts as plain tensors, and the untouched model that reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor

from benchmark.speed.case import Case
from benchmark.speed.model import frames, question
from mmrl.data.media.video import Clip
from mmrl.models.policy import Policy
from mmrl.types import Example, Media, Message


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as transformers takes it."""

    tokens: Tensor  # p
    positions: Tensor  # 3 p
    pixels: Tensor  # patches of its clip
    grid: Tensor  # 1 3
    seconds: float  # between temporal patches


def untouched(root: Path) -> nn.Module:
    """The model as transformers loads it, in float32, on the device."""
    model = AutoModelForImageTextToText.from_pretrained(root / "model", dtype=torch.float32, attn_implementation="sdpa")
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def asked(model: nn.Module, root: Path, case: Case, indices: Sequence[int]) -> list[Asked]:
    """Prompts with positions as mmrl has them; frames are those that were encoded."""
    import numpy as np

    policy = Policy(model, AutoProcessor.from_pretrained(root / "model"), "plain")
    view, out = case.view, []
    for index in indices:
        path = Path(f"{index}.mp4")
        content = (Media("video", path), question(index))
        example = Example(f"clip-{index}", question(index), messages=(Message("user", content),), kind="free")
        numbers = np.arange(view.frames)
        clip = Clip(frames(view, index), numbers, numbers / 2, 2.0, view.frames, "made")
        (prompt,) = policy.prompts([example], [[clip]])
        out.append(of_prompt(prompt, model.device))
    return out


def of_prompt(prompt, device) -> Asked:
    """mmrl's prompt about one clip."""
    (pixels,), (grid,) = prompt.vision.pixels, prompt.vision.grids
    shape = torch.tensor([[grid.frames, grid.height, grid.width]], device=device)
    return Asked(prompt.tokens.to(device), prompt.positions.to(device), pixels.to(device), shape, grid.seconds)


def banned(model: nn.Module, root: Path) -> list[int]:
    """Lists the tokens that mmrl never samples, and the end of a turn."""
    policy = Policy(model, AutoProcessor.from_pretrained(root / "model"), "plain")
    return sorted({*(~policy.rules.allowed).nonzero().flatten().tolist(), policy.end})
