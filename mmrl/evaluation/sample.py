"""Loads a model from a directory, and samples its completions for a video and a question."""

import math
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmrl.config.load import parse
from mmrl.config.schema import ModelSection
from mmrl.data.media.errors import MediaError
from mmrl.data.media.frame_choice import FrameChoice
from mmrl.data.media.video import Clip, decode, read_image
from mmrl.evaluation.commands.run import opened
from mmrl.evaluation.evaluator import evaluating
from mmrl.evaluation.records import Completion
from mmrl.evaluation.samplers import sampler_of
from mmrl.models.generic import GenericModel, check_chat_template
from mmrl.models.policy import Policy
from mmrl.rewards.answer_extraction import extract
from mmrl.types import Decoding, Example, Media

Medium = str | os.PathLike[str] | np.ndarray | Clip
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")  # other files are videos
MAX_ROWS = 256  # completions that the engine samples at a time


@dataclass(frozen=True, slots=True)
class Generation:
    """A completion of a model, and the answer that was extracted from it."""

    text: str
    # extracted by the lenient rules: the letter of an option, else the text of the answer; None if none was found
    answer: str | None
    finished: bool  # ended by itself, not by the token limit
    tokens: int  # of the completion, its end-of-turn token included
    prompt_tokens: int  # of the whole prompt, media included
    # natural log-probability of the tokens in <answer>..</answer>; None if there are none
    answer_logprob: float | None


def load_model(
    path: str | os.PathLike[str], *, template: str = "plain", device: str | torch.device | None = None, **options: Any
) -> Policy | GenericModel:
    """Load a model to sample from or to evaluate, from a Hugging Face directory or name, or a checkpoint of a run.

    Return a Policy for the families that mmrl trains, a GenericModel for any other video model of
    transformers. ``template``: the wording of questions (`mmrl.data.prompts`). ``device``: by default CUDA where there is
    one. ``options``: keys of `model` in a config, such as ``compute_dtype="bfloat16"`` or ``video_pixels=(3136, 100352)``. Weights
    carry no gradient. Raises ValueError for a directory that lacks files, ConfigError (a ValueError) for options.
    """
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    section = parse(ModelSection, {"path": os.fspath(path)} | given, "load_model")
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return opened(section, template, torch.device(chosen))


def sample(
    model: Policy | GenericModel,
    video: Medium | Sequence[Medium] | None,
    question: str,
    *,
    choices: Sequence[str] = (),
    n: int = 1,
    decoding: Decoding = Decoding(),
    frames: FrameChoice = FrameChoice(),
    fps: float = 2.0,
    seed: int = 0,
) -> list[Generation]:
    """Ask a model a question about videos or images, and return ``n`` completions.

    ``video``: a file, frames ``[f h w 3]`` or an image ``[h w 3]`` as uint8 in red, green, blue, several of these in the order in
    which they are shown, or None. Files may lie anywhere; one that ends in .png, .jpg and the like is an image. ``choices``: the
    options' texts without letters; the answer is then a letter. ``frames``: which frames of a file are used; of an
    array all are, and ``fps`` says how many of them make a second. ``seed`` fixes the noise of sampling: the same call gives
    the same texts. The model's mode and all random states stay as they are. Raises MediaError for a file that cannot be read,
    ValueError for arrays of other shapes and for a prompt that is too long for the model, TypeError for what is no medium.
    """
    if not isinstance(model, Policy | GenericModel):
        raise TypeError(f"model: expected what mmrl.load_model returns, found {type(model).__name__}")
    if isinstance(choices, str):
        raise TypeError(f"choices: expected a list with the text of each option, found the text {choices!r}")
    if n < 1:
        raise ValueError(f"n: expected 1 completion or more, found {n}")
    check_chat_template(model.processor, "the model")
    shown = [shown_medium(one, frames, fps) for one in listed(video)]
    media = tuple(named_medium(one, place) for place, one in enumerate(shown))
    kind = "choice" if choices else "free"
    example = Example("sample", question, kind=kind, choices=tuple(choices), media=media)
    sampler = sampler_of(model, model.template, decoding, MAX_ROWS)
    features = model.tower.reuse_features(again=True) if isinstance(model, Policy) else nullcontext()
    with evaluating(model.model), features:
        written = sampler.answer([example] * n, [tuple(shown)] * n, list(range(n)), seed)
    return [generation_of(each, example) for each in written]


def listed(video: Medium | Sequence[Medium] | None) -> list[Any]:
    """Return the media of a question as a list; `shown_medium` refuses what is none."""
    if video is None:
        return []
    return list(video) if isinstance(video, list | tuple) else [video]


def shown_medium(medium: Medium, frames: FrameChoice, fps: float) -> Clip | np.ndarray:
    """Return a medium as models take it: a Clip or an image."""
    if isinstance(medium, Clip):
        return medium
    if isinstance(medium, np.ndarray):
        return array_medium(medium, fps)
    if not isinstance(medium, str | os.PathLike):
        advice = "; write numpy.asarray(...) around it" if hasattr(medium, "__array_interface__") else ""
        raise TypeError(f"video: expected a file, an array or a list of these, found {type(medium).__name__}{advice}")
    path = Path(medium)
    if not path.is_file():
        raise MediaError(path, "no such file", "a video or an image", f"paths are relative to {Path.cwd()}")
    return read_image(path) if path.suffix.lower() in IMAGES else decode(path, frames)


def array_medium(array: np.ndarray, fps: float) -> Clip | np.ndarray:
    """Return frames ``[f h w 3]`` as a Clip, and an image ``[h w 3]`` as it is."""
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != 3 or 0 in array.shape:
        raise ValueError(
            f"video: expected uint8 frames [f h w 3] or an image [h w 3], found {array.dtype} {list(array.shape)}"
        )
    if not 0 < fps < math.inf:
        raise ValueError(f"fps: expected frames a second above 0, found {fps}")
    array = np.ascontiguousarray(array)  # a view with its colours reversed has negative strides, which torch refuses
    if array.ndim == 3:
        return array
    count = len(array)
    return Clip(array, np.arange(count), np.arange(count) / fps, fps, count, "array")


def named_medium(shown: Clip | np.ndarray, place: int) -> Media:
    """Return the record of a medium. Its content is decoded already, so that the path is only a label."""
    return Media("video" if isinstance(shown, Clip) else "image", Path(f"medium-{place}"))


def generation_of(written: Completion, example: Example) -> Generation:
    """Return a completion with the answer that the lenient rules extract from it."""
    answer = extract(written.text, example.kind, example.choices).answer
    prompt_tokens = 0 if written.request is None else written.request.tokens
    return Generation(written.text, answer, written.finished, written.tokens, prompt_tokens, written.answer_logprob)
