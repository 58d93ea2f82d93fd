"""The schema of a config: the keys of the YAML are the fields of these sections and of the dataclasses that they use."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_serializer, model_validator

from mmrl.algorithms import ALGORITHMS, CLASSES, Algorithm
from mmrl.config.own_algorithm import keys_of
from mmrl.config.rules import incoherences
from mmrl.data.conditions import known_condition
from mmrl.data.formats.registry import FORMATS, known_format
from mmrl.data.media.frame_choice import FrameChoice
from mmrl.data.prompts import Template
from mmrl.runtime.choices import Choice
from mmrl.runtime.user_code import PATTERN
from mmrl.types import Decoding

AlgorithmChoice = Annotated[Algorithm, Choice("algorithm", tuple(ALGORITHMS.values()))]
Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def in_order(pixels: tuple[int, int]) -> tuple[int, int]:
    """Return the pair (least, most). Raises ValueError if it is in the wrong order."""
    if pixels[0] > pixels[1]:
        raise ValueError(f"pixels: expected the least and then the most, found {list(pixels)}")
    return pixels


Pixels = Annotated[tuple[Positive, Positive], AfterValidator(in_order)]
ConditionName = Annotated[str, AfterValidator(known_condition)]
FORMAT_NAMES = {"anyOf": [{"type": "string", "enum": [*FORMATS]}, {"type": "string", "pattern": f"^{PATTERN}$"}]}
Format = Annotated[str, AfterValidator(known_format), WithJsonSchema(FORMAT_NAMES)]


class ConfigError(ValueError):
    """A config cannot be run. The message says where, expected, found, what to do."""


class Section(BaseModel):
    """A part of a config. It refuses unknown keys and wrong types, and converts no values."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        validate_default=False,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class ModelSection(Section):
    """The model and its arithmetic."""

    path: str
    """A Hugging Face directory or name."""
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """The attention kernels of transformers; flash_attention_2 needs the package flash-attn and a GPU."""
    compute_dtype: Literal["float32", "bfloat16", "auto"] = "auto"
    """The type of matrix products; auto is bfloat16 on CUDA and float32 elsewhere. Weights are float32."""
    share_prefix: Literal["auto", "off"] = "auto"
    """auto computes a prompt's keys and values once for a group; off copies the prompt to each completion, as models with recurrent states always do."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    video_pixels: Pixels | None = None
    """The least and the most pixels of a video frame after resizing; null takes the processor's own."""
    image_pixels: Pixels | None = None
    """The least and the most pixels of an image after resizing; null takes the processor's own."""
    max_logit_bytes: Positive = 2**28
    """The most bytes of logits that exist at a time."""
    feature_cache_bytes: Annotated[int, Field(ge=0)] = 2**30
    """Bytes of memory that keep the outputs of frozen blocks of the vision tower."""
    shard: bool = False
    """Shard weights, gradients, optimizer states and reference over the ranks (FSDP2); training only."""


class SetSection(Section):
    """A file of examples."""

    format: Format
    """The format of the file, or your own as path.py:Class."""
    file: str
    """A file of rows, relative to data.root."""
    media: str = ""
    """The folder inside data.root from which the file's media paths start."""
    options: Literal["file", "drawn"] = "drawn"
    """For seed_bench_r1: file keeps the options as they are; drawn draws and shuffles them in each epoch."""
    weight: Positive = 1
    """The weight of this file in the mixture of all sets."""
    prefix: str = ""
    """Text put before each id, to tell apart files whose ids overlap."""
    limit: Positive | None = None
    """How many rows are used, from the first on; null for all."""
    exclude: tuple[str, ...] = ()
    """Ids to leave out, with their prefix."""
    bad_rows: Literal["error", "leave_out"] = "error"
    """error refuses a file with a row that cannot be read; leave_out drops such rows and logs them."""


class MediaSection(Section):
    """The place of examples and media, the template, the choice of frames and the decoder; for training and evaluation."""

    root: str
    """The folder of the data; media paths are relative to it and may not leave it."""
    template: Template
    """The wording of questions."""
    frames: FrameChoice = FrameChoice()
    """Which frames of a video are shown."""
    reader: Literal["auto", "decord", "pyav"] = "auto"
    """The library that decodes videos; auto tries decord, then PyAV."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Decoding processes; 0 decodes in the main process."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """The most seconds that one file may take."""
    cache_dir: str | None = None
    """A folder that keeps decoded frames and features; ranks, runs and evaluations may share it. null keeps none."""
    cache_dir_bytes: Positive = 3 * 2**35
    """The most bytes in cache_dir, a third of them for features; the least recently used entries go first."""


class DataSection(MediaSection):
    """The training examples."""

    sets: Annotated[tuple[SetSection, ...], Field(min_length=1)]
    """The files of examples."""
    frame_cache_bytes: Annotated[int, Field(ge=0)] = 2**30
    """Bytes of memory that keep decoded frames."""
    max_prompt_tokens: Positive | None = None
    """The most tokens of a prompt; a longer one is an error. null: the model's context is the only limit."""
    on_bad_media: Literal["stop", "skip"] = "stop"
    """What happens if a file cannot be decoded: stop ends the run with a checkpoint; skip leaves the example out and counts it."""


class RewardSection(Section):
    """One grader, by name or as path.py:function, with its weight."""

    grader: str
    """A grader by its name, or your own as path.py:function."""
    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """The weight of this reward in the sum that the algorithm learns from."""
    concurrency: Positive | None = None
    """How many calls of an async grader run at once, 16 if null; refused for other graders."""


class RolloutSection(Section):
    """The sampling of completions."""

    group_size: Positive = 8
    """Completions of each prompt, the group."""
    decoding: Decoding = Decoding()
    """How completions are sampled."""
    max_num_seqs: Positive = 256
    """The most completions that are decoded at a time."""


class LearningRatesSection(Section):
    """Learning rate by part of the model; 0 freezes it."""

    language_model: NonNegative = 1e-6
    """Learning rate of the language model; 0 freezes it."""
    projector: NonNegative = 1e-6
    """Learning rate of the projector from vision to language; 0 freezes it."""
    vision_tower: NonNegative = 1e-6
    """Learning rate of the vision tower; 0 freezes it."""


class OptimizerSection(Section):
    """AdamW and its schedule."""

    learning_rates: LearningRatesSection = LearningRatesSection()
    """The learning rate of each part of the model."""
    betas: tuple[NonNegative, NonNegative] = (0.9, 0.999)
    """AdamW's two decay rates."""
    eps: NonNegative = 1e-8
    """AdamW's epsilon."""
    weight_decay: NonNegative = 0.01
    """AdamW's weight decay, of matrices only."""
    max_grad_norm: Annotated[float, Field(gt=0, allow_inf_nan=True)] = 5.0
    """The norm to which gradients are clipped; .inf for no clipping."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the learning rate falls after warm-up and plateau."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps in which the learning rate rises linearly to its full value."""
    decay_start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of the run after which the learning rate falls."""
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of the learning rate that is left at the end."""


class SubtitlesSection(Section):
    """The subtitles of a set."""

    folder: str
    """The folder of the subtitle files, inside root."""
    expect: Positive | None = None
    """How many files the folder must hold; null does not count them."""


def set_name(name: str) -> str:
    """Return the name of an evaluated set, or raise ValueError if it cannot be a folder's name in the run's folder."""
    if not re.fullmatch(r"[\w.-]+", name) or not name.strip(".") or name == "conditions":
        raise ValueError(
            f"sets: name: expected letters, digits, '.', '_' and '-', as records lie in a folder of this name beside 'conditions'; found {name!r}"
        )
    return name


class EvalSetSection(Section):
    """One level or split."""

    name: Annotated[str, AfterValidator(set_name)]
    """The name of the set, which is that of its folder and its metrics."""
    format: Format
    """The format of the file, or your own as path.py:Class."""
    file: str
    """A file of rows, relative to root."""
    media: str = ""
    """The folder inside root from which the file's media paths start."""
    expect: Positive | None = None
    """How many items the file must hold; null does not count them."""
    limit: Positive | None = None
    """How many items are asked, from the first on; null for all."""
    subtitles: SubtitlesSection | None = None
    """Subtitles that are shown with the frames: listed (.srt), or interleaved (longvideobench)."""


def named_once(sets: tuple[EvalSetSection, ...]) -> tuple[EvalSetSection, ...]:
    """Return the sets, or raise ValueError if two have the same name and so the same folder."""
    names = [each.name for each in sets]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"sets: expected a name of its own for each set, found {', '.join(twice)} more than once")
    return sets


class EvaluationSection(MediaSection):
    """The evaluation of a model, for validation during training and for ``mmrl eval run``."""

    sets: Annotated[tuple[EvalSetSection, ...], Field(min_length=1), AfterValidator(named_once)]
    """The sets that are asked, such as levels of generalisation."""
    graders: Annotated[dict[str, str], Field(min_length=1)]
    """Metrics by name, each a grader's name or your own as path.py:function."""
    condition: ConditionName = "full"
    """What the model is shown of a question: full, or a control such as blind or shuffled; your own as path.py:function."""
    decoding: Decoding = Decoding(temperature=0.0, max_new_tokens=1024)
    """How responses are sampled; at temperature 0 the most likely token is taken."""
    samples: Positive = 1
    """Responses to each item."""
    batch_size: Positive = 32
    """Items that are asked together."""
    seed: int = 0
    """The seed of sampling and of conditions."""
    response_cache: str | None = None
    """A folder that keeps responses; runs may share it. null keeps none."""


class ValidationSection(EvaluationSection):
    """An evaluation of the policy during training."""

    every: Positive
    """Steps between two validations."""


class Config(Section):
    """A training run."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """The seed of sampling, of the order of examples and of drawn options."""
    out: str
    """The folder of the run."""
    model: ModelSection
    """The model that learns."""
    data: DataSection
    """The examples that the run learns from."""
    algorithm: AlgorithmChoice
    """The method, chosen by its name, and its hyper-parameters; your own as path.py:Class."""
    rewards: dict[str, RewardSection] = Field(default={})
    """Rewards by name; the algorithm learns from their weighted sum."""
    rollout: RolloutSection = RolloutSection()
    """How completions are sampled."""
    optimizer: OptimizerSection = OptimizerSection()
    """AdamW and its learning-rate schedule."""
    steps: Positive
    """Steps of the run: a step samples, grades and learns from one batch of prompts."""
    prompts_per_step: Positive = 4
    """Prompts of a step, over all ranks."""
    base_rewards: str | None = None
    """The file of the base model's rewards that `mmrl prepare` writes; null if the algorithm needs none."""
    mini_batches_per_step: Positive = 1
    """Optimizer updates on the completions of one step; each uses an equal part of its groups."""
    max_tokens_per_micro_batch: Positive = 16384
    """The most tokens, padding included, in one forward pass with a gradient; it changes memory and speed, not the gradient."""
    save_every: Positive | None = None
    """Steps between two checkpoints; null writes one at the end only."""
    save_total_limit: Positive = 2
    """How many of the newest checkpoints are kept."""
    rollouts_every: Positive = 10
    """Steps between two entries of rollouts.jsonl."""
    validation: ValidationSection | None = None
    """An evaluation of the policy during training; null for none."""
    best_metric: str | None = None
    """SET/METRIC of the validation, as in L1/accuracy; the model where it was highest stays in OUT/best. null keeps none."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio", "swanlab"], ...] = ("tensorboard",)
    """Where metrics are sent beside metrics.jsonl."""

    @field_serializer("algorithm", mode="wrap")
    def algorithm_as_keys(self, algorithm: Any, usual: Any) -> Any:
        """Write an algorithm that was given as an object as its file, its class and its fields; others as they were given."""
        named = type(algorithm) in CLASSES or ".py:" in algorithm.name
        return usual(algorithm) if named else keys_of(algorithm)

    @model_validator(mode="after")
    def coherent(self) -> "Config":
        """Raise ValueError for combinations that cannot work."""
        problems = list(incoherences(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self


class EvalConfig(Section):
    """An evaluation of one model."""

    out: str
    """The folder of the evaluation's records."""
    model: ModelSection
    """The model that is evaluated."""
    evaluation: EvaluationSection
    """What is asked, and how it is graded."""
    max_num_seqs: Positive = 256
    """The most responses that are decoded at a time."""

    @model_validator(mode="after")
    def one_process(self) -> "EvalConfig":
        """Raise ValueError for settings without an effect."""
        if self.model.shard:
            raise ValueError(
                "model.shard: expected false, as an evaluation is one process with full weights; found true"
            )
        return self
