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

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=False, allow_inf_nan=False)


class ModelSection(Section):
    """The model and its arithmetic."""

    path: str  # a Hugging Face directory or name
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    compute_dtype: Literal["float32", "bfloat16", "auto"] = "auto"  # auto: bfloat16 on CUDA; weights are float32
    share_prefix: Literal["auto", "off"] = "auto"  # auto: a prompt is read once a group, save with recurrent states
    gradient_checkpointing: bool = False
    video_pixels: Pixels | None = None  # least and most pixels of a frame after resizing; the processor's own if null
    image_pixels: Pixels | None = None
    max_logit_bytes: Positive = 2**28  # the most bytes of logits that exist at a time
    feature_cache_bytes: Annotated[int, Field(ge=0)] = (
        2**30
    )  # what frozen blocks of the tower made of media, kept in memory
    shard: bool = False  # training: each rank keeps a part of weights, gradients, moments and reference (FSDP2)


class SetSection(Section):
    """A file of examples."""

    format: Format
    file: str  # relative to data.root
    media: str = ""  # the folder inside data.root from which the file's media paths start
    options: Literal["file", "drawn"] = "drawn"  # seed_bench_r1: as in the file, or drawn and shuffled each epoch
    weight: Positive = 1  # of this file in the mixture: of each sum of weights so many
    prefix: str = ""  # put before each id, to tell files apart whose ids overlap
    limit: Positive | None = None  # the first so many rows
    exclude: tuple[str, ...] = ()  # ids, with the prefix, to leave out
    bad_rows: Literal["error", "leave_out"] = "error"  # leave_out logs them


class MediaSection(Section):
    """The place of examples and media, the template, the choice of frames and the decoder; for training and evaluation."""

    root: str  # media paths are relative to it and may not leave it
    template: Template  # the wording of questions
    frames: FrameChoice = FrameChoice()
    reader: Literal["auto", "decord", "pyav"] = "auto"
    workers: Annotated[int, Field(ge=0)] = 2  # decoding processes; 0 decodes in the main process
    timeout: Annotated[float, Field(gt=0)] = 60.0  # seconds for one file
    cache_dir: str | None = None  # a folder that keeps frames and features; ranks, runs and evaluations may share it
    cache_dir_bytes: Positive = 3 * 2**35  # a third of it for features; what was least recently used goes first


class DataSection(MediaSection):
    """The training examples."""

    sets: Annotated[tuple[SetSection, ...], Field(min_length=1)]
    frame_cache_bytes: Annotated[int, Field(ge=0)] = 2**30  # decoded frames kept in memory
    max_prompt_tokens: Positive | None = None  # a longer prompt is an error; the model's context always is a bound
    on_bad_media: Literal["stop", "skip"] = "stop"  # stop writes a checkpoint; skip counts what it leaves out


class RewardSection(Section):
    """One grader, by name or as path.py:function, with its weight."""

    grader: str
    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    concurrency: Positive | None = None  # calls of an async grader at once, 16 if null; refused for other graders


class RolloutSection(Section):
    """The sampling of completions."""

    group_size: Positive = 8
    decoding: Decoding = Decoding()
    max_num_seqs: Positive = 256  # completions decoded at a time


class LearningRatesSection(Section):
    """Learning rate by part of the model; 0 freezes it."""

    language_model: NonNegative = 1e-6
    projector: NonNegative = 1e-6
    vision_tower: NonNegative = 1e-6


class OptimizerSection(Section):
    """AdamW and its schedule."""

    learning_rates: LearningRatesSection = LearningRatesSection()
    betas: tuple[NonNegative, NonNegative] = (0.9, 0.999)
    eps: NonNegative = 1e-8
    weight_decay: NonNegative = 0.01
    max_grad_norm: Annotated[float, Field(gt=0, allow_inf_nan=True)] = 5.0
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0  # optimizer steps from 0 to the full rate
    decay_start: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of the run after which the rate falls
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of the rate that is left at the end


class SubtitlesSection(Section):
    """The subtitles of a set."""

    folder: str  # inside root
    expect: Positive | None = None  # how many files there must be


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
    format: Format
    file: str  # relative to root
    media: str = ""  # the folder inside root from which the file's media paths start
    expect: Positive | None = None  # how many items there must be
    limit: Positive | None = None
    subtitles: SubtitlesSection | None = None  # shown with the frames: listed (.srt), or interleaved (longvideobench)


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
    graders: Annotated[dict[str, str], Field(min_length=1)]
    condition: ConditionName = "full"  # what is seen and told of a question; the others are controls
    decoding: Decoding = Decoding(temperature=0.0, max_new_tokens=1024)
    samples: Positive = 1  # completions an item
    batch_size: Positive = 32  # items generated together
    seed: int = 0
    response_cache: str | None = None  # a folder that keeps what models wrote; runs may share it


class ValidationSection(EvaluationSection):
    """An evaluation of the policy during training."""

    every: Positive  # steps between two


class Config(Section):
    """A training run."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    out: str  # the run's directory
    model: ModelSection
    data: DataSection
    algorithm: AlgorithmChoice
    rewards: dict[str, RewardSection] = Field(default={})
    rollout: RolloutSection = RolloutSection()
    optimizer: OptimizerSection = OptimizerSection()
    steps: Positive
    prompts_per_step: Positive = 4  # over all ranks
    base_rewards: str | None = None  # what the base model earned on each example, as mmrl prepare writes it
    mini_batches_per_step: Positive = 1  # optimizer steps on the completions of one step
    max_tokens_per_micro_batch: Positive = (
        16384  # the most tokens, padding included, in one forward pass with a gradient
    )
    save_every: Positive | None = None  # steps; a checkpoint is always written at the end
    save_total_limit: Positive = 2  # checkpoints kept
    rollouts_every: Positive = 10  # steps between written rollouts
    validation: ValidationSection | None = None
    best_metric: str | None = (
        None  # SET/METRIC of the validation, as in L1/accuracy: where it was highest stays in OUT/best
    )
    trackers: tuple[Literal["tensorboard", "wandb", "trackio", "swanlab"], ...] = ("tensorboard",)

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
    model: ModelSection
    evaluation: EvaluationSection
    max_num_seqs: Positive = 256

    @model_validator(mode="after")
    def one_process(self) -> "EvalConfig":
        """Raise ValueError for settings without an effect."""
        if self.model.shard:
            raise ValueError(
                "model.shard: expected false, as an evaluation is one process with full weights; found true"
            )
        return self
