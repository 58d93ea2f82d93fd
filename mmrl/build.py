"""From a config to a run: the one place that introduces the rooms to one another."""

import math
import platform
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from mmrl import checkpoint
from mmrl.config import Config, ConfigError, ModelSection, OptimizerSection, dump
from mmrl.data.media import MediaError, MediaReader
from mmrl.data.stream import Mixture, Stream
from mmrl.examine import examine
from mmrl.journal import Journal
from mmrl.models.families import Family
from mmrl.models.policy import Policy, load_policy
from mmrl.models.reader import Work
from mmrl.models.reference import Reference
from mmrl.progress import console, progress
from mmrl.ranks import Ranks, join
from mmrl.rewards.grade import grade
from mmrl.rewards.graders import check as check_gold
from mmrl.rewards.parse import parse
from mmrl.rollout import Engine, demonstrate
from mmrl.shard import collected
from mmrl.sources import check_media, every, grader, media_reader, training_data
from mmrl.trainer import NonFiniteError, Trainer
from mmrl.types import Example, Group, Prompt

FREE_TO_CHANGE = (  # when a run is resumed: what decides its length, what it writes, and what it takes of the machine
    "out", "steps", "save_every", "keep", "rollouts_every", "trackers", "validate_every", "validation",
    "data.on_bad_media", "data.workers", "data.timeout", "data.cache_bytes",
    "part_tokens", "rollout.max_rows", "model.logit_bytes", "model.gradient_checkpointing", "model.shard",
)  # fmt: skip


class Stopped(Exception):
    """Ctrl-C: the step was finished and a checkpoint written."""


READ_THE_GOLD = ("accuracy", "lenient", "official", "mra")  # graders that need an answer to compare with
TOGETHER = (Stopped, NonFiniteError, MediaError)  # raised by all ranks at the same place


def policy_of(section: ModelSection, template: str, device: torch.device, temperature: float = 1.0) -> Policy:
    """The model of a section, in float32 masters."""
    narrow = section.compute == "bfloat16" or (section.compute == "auto" and device.type == "cuda")
    return load_policy(
        section.path,
        template,
        temperature=temperature,
        logit_bytes=section.logit_bytes,
        attention=section.attention,
        compute=torch.bfloat16 if narrow else None,
        device="cpu" if section.shard else device,  # whole masters may not fit into the device
        checkpointing=section.gradient_checkpointing,
        video_pixels=section.video_pixels,
        image_pixels=section.image_pixels,
    )


def parts_of(model: nn.Module, family: Family) -> dict[str, dict[str, nn.Parameter]]:
    """The parameters of tower, projector and language model, by name."""
    parts: dict[str, dict[str, nn.Parameter]] = {"tower": {}, "projector": {}, "language": {}}
    for name, parameter in model.named_parameters():
        of_tower = "projector" if name.startswith(family.projector) else "tower"
        parts[of_tower if name.startswith(family.tower) else "language"][name] = parameter
    return parts


def optimizer_of(policy: Policy, section: OptimizerSection) -> torch.optim.AdamW:
    """AdamW with a rate for each part; a part of rate 0 is frozen. Vectors (norms, biases) are not decayed."""
    groups = []
    for part, parameters in parts_of(policy.model, policy.family).items():
        rate = getattr(section.rates, part)
        for parameter in parameters.values():
            parameter.requires_grad_(rate > 0)
        if rate > 0:
            for decay, chosen in ((section.weight_decay, lambda p: p.ndim > 1), (0.0, lambda p: p.ndim <= 1)):
                some = [p for p in parameters.values() if chosen(p)]
                groups.append({"params": some, "base_lr": rate, "weight_decay": decay})
    return torch.optim.AdamW([g for g in groups if g["params"]], betas=section.betas, eps=section.epsilon)


def rate_at(step: int, total: int, section: OptimizerSection) -> float:
    """The share of the learning rate at an optimizer step: a linear warm-up, a plateau, then the schedule's fall."""
    if step < section.warmup:
        return (step + 1) / section.warmup
    start = max(section.warmup, section.decay_from * total)
    if section.schedule == "constant" or step <= start:
        return 1.0
    done = min(1.0, (step - start) / max(1.0, total - start))
    left = 1 - done if section.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return section.final + (1 - section.final) * left


@dataclass
class Feeder:
    """Examples to prompts: decoded ahead of need, and with what the config says of media that cannot be read."""

    policy: Policy
    reader: MediaReader
    stream: Stream
    ranks: Ranks
    on_bad_media: str
    skipped: int = 0

    def examples(self, step: int) -> Sequence[Example]:
        """This rank's examples; those of the next step begin to be decoded."""
        now = self.stream.batch(step)
        self.reader.ahead([*now, *self.stream.batch(step + 1)])
        return now

    def prepare(self, examples: Sequence[Example]) -> list[Prompt]:
        """Prompts of the examples whose media can be read. Raises MediaError on all ranks, unless they are skipped."""
        kept, media, bad = [], [], []
        for example in examples:
            try:
                loaded = self.reader.load(example)
            except MediaError as error:
                bad.append(error)
            else:
                kept.append(example)
                media.append(loaded)
        everybody = [error for errors in self.ranks.gather(bad) for error in errors]
        if everybody and self.on_bad_media == "stop":
            everybody[0].add_note("data.on_bad_media=skip goes on without such examples, and counts them")
            raise everybody[0]
        self.skipped += len(everybody)
        return self.policy.prompts(kept, media)


@dataclass
class Run:
    """A training run: the trainer, and what is kept of it."""

    config: Config
    folder: Path
    trainer: Trainer
    feeder: Feeder
    journal: Journal
    ranks: Ranks
    saved: int = -1  # the step of the newest checkpoint
    random: dict[str, Any] = field(default_factory=checkpoint.randomness)  # as it was after the newest whole step

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def fit(self, quiet: bool = False) -> None:
        """Step until done. Whatever ends it, what was learned is in a checkpoint.

        Save for an error of one rank among several: the others wait elsewhere then, and the newest checkpoint stays.
        """
        title = f"{self.config.algorithm.name} {self.folder.name}"
        try:
            with progress(title, self.config.steps, self.trainer.step_done, quiet or not self.ranks.main) as show:
                self.loop(show)
        except BaseException as error:
            if self.ranks.world == 1 or isinstance(error, TOGETHER):
                self.keep()
            raise
        else:
            self.keep()
        finally:
            self.journal.close()
            self.feeder.reader.close()

    def loop(self, show: Callable[[int, str], None]) -> None:
        """Steps, checkpoints in between, and a look at whether somebody wants an end."""
        trainer, config = self.trainer, self.config
        with stopping() as stop:
            while trainer.step_done < config.steps:
                numbers = self.step()
                show(trainer.step_done, note_of(numbers))
                if config.save_every and trainer.step_done % config.save_every == 0:
                    self.save()
                if any(self.ranks.gather(stop.asked)):
                    raise Stopped

    def keep(self) -> None:
        """A checkpoint, unless there is one of this step or the weights are between two steps."""
        if self.saved != self.trainer.step_done and not self.trainer.moved:
            self.save()

    def step(self) -> dict[str, float]:
        """One step, written down, also where its validation fails."""
        start = perf_counter()
        numbers = self.trainer.step()
        self.random = checkpoint.randomness()
        numbers |= self.measures(perf_counter() - start, numbers)
        step = self.trainer.step_done
        try:
            if self.config.validate_every and step % self.config.validate_every == 0:
                numbers |= self.validate(step)
        finally:
            self.journal.log(step, numbers)
            if self.trainer.last and (step % self.config.rollouts_every == 0 or step in (1, self.config.steps)):
                self.journal.write_rollouts(step, self.trainer.last)
        return numbers

    def measures(self, seconds: float, numbers: Mapping[str, float]) -> dict[str, float]:
        """What the step cost."""
        named = sum(v for k, v in numbers.items() if k.startswith("seconds/"))
        work, counts = self.work(), self.feeder.reader.counts
        measured = {
            "seconds/step": seconds,
            "seconds/learn": max(0.0, seconds - named),
            "work/vision_passes": float(work.vision_passes),
            "work/forward_tokens": float(work.forward_tokens),
            "work/padding_share": work.padding / max(1, work.forward_tokens),
            "work/logit_bytes": float(work.logit_bytes),
            "media/decodes": float(counts.decodes),
            "media/hits": float(counts.hits),
            "media/fallbacks": float(counts.fallbacks),
            "media/seconds_waited": counts.seconds_waited,
            "media/skipped_examples": float(self.feeder.skipped),
        }
        if torch.cuda.is_available():
            measured["memory/peak_bytes"] = float(torch.cuda.max_memory_allocated())
        return measured

    def work(self) -> Work:
        """What policy and reference did on this rank since it was last asked."""
        readers = [r for r in (self.feeder.policy, self.trainer.reference) if r is not None]
        done = [r.work for r in readers]
        for reader in readers:
            reader.work = Work()
        return Work(
            sum(w.vision_passes for w in done),
            sum(w.forward_tokens for w in done),
            sum(w.padding for w in done),
            max(w.logit_bytes for w in done),
        )

    def validate(self, step: int) -> dict[str, float]:
        """Examine the policy as it is; rank 0 does, the others wait."""
        start, found, policy = perf_counter(), {}, self.feeder.policy
        with policy.whole():
            if self.ranks.main:
                out = self.folder / "validation" / checkpoint.name_of(step)
                levels = examine(policy, self.config.validation, out, self.config.rollout.max_rows, quiet=True)
                found = {f"validation/{n}/{m}": v.mean for n, s in levels.items() for m, v in s.metrics.items()}
            self.ranks.wait()
        return found | {"seconds/validation": perf_counter() - start}

    def save(self) -> Path:
        """A checkpoint of this step. Rank 0 writes it, whole, so that any number of ranks can go on from it."""
        directory, trainer = self.checkpoints / checkpoint.name_of(self.trainer.step_done), self.trainer
        tensors = {"optimizer": checkpoint.optimizer_tensors(trainer.optimizer, self.names)}
        if trainer.reference is not None:
            tensors["reference"] = trainer.reference.state()
        keep, policy = self.ranks.main, self.feeder.policy
        tensors = {name: collected(some, keep) for name, some in tensors.items()}
        weights = collected(policy.model.state_dict(keep_vars=True), keep) if self.config.model.shard else None
        if keep:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            checkpoint.write(directory, partial(policy.save, weights=weights), tensors, self.state())
            checkpoint.prune(self.checkpoints, self.config.keep)
        self.saved = trainer.step_done
        self.ranks.wait()
        return directory

    @property
    def names(self) -> dict[Tensor, str]:
        """Trained parameters by themselves."""
        return {p: name for name, p in self.feeder.policy.model.named_parameters() if p.requires_grad}

    def state(self) -> dict[str, Any]:
        """What a checkpoint says beside its tensors."""
        self.feeder.stream.position = self.trainer.step_done
        return {
            "step": self.trainer.step_done,
            "update": self.trainer.update_done,
            "stream": self.feeder.stream.state_dict(),
            "skipped": self.feeder.skipped,
            "shapes": checkpoint.shapes(self.feeder.policy.model),
            "config": self.config.model_dump(mode="json"),
            "random": self.random,
        }

    def restore(self, directory: Path) -> None:
        """Go on from a checkpoint; the weights were loaded with the policy."""
        state, tensors = checkpoint.read(directory)
        checkpoint.same_model(self.feeder.policy.model, state["shapes"], directory)
        trainer = self.trainer
        trainer.step_done, trainer.update_done, self.saved = state["step"], state["update"], state["step"]
        self.feeder.stream.load_state_dict(state["stream"])
        self.feeder.skipped = state["skipped"]
        checkpoint.restore_optimizer(trainer.optimizer, self.names, tensors["optimizer"])
        if trainer.reference is not None:
            trainer.reference.restore(tensors["reference"])
        self.random = state["random"]
        checkpoint.restore_randomness(self.random)


@dataclass
class Stop:
    """Whether somebody asked to stop."""

    asked: bool = False


@contextmanager
def stopping() -> Iterator[Stop]:
    """The first Ctrl-C (or SIGTERM) asks the loop to end after its step; the second ends it at once."""
    stop = Stop()

    def ask(_number: int, _frame: Any) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        console.print("Stopping after this step, with a checkpoint. Once more to stop at once.")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def note_of(numbers: Mapping[str, float]) -> str:
    """The few numbers worth a place on the progress line."""
    wanted = {"reward/total": "reward", "reward/accuracy": "accuracy", "loss": "loss", "policy/entropy": "entropy"}
    return "  ".join(f"{short} {numbers[name]:.3f}" for name, short in wanted.items() if name in numbers)


def same_config(config: Config, recorded: Mapping[str, Any], directory: Path) -> None:
    """Refuse to go on with another experiment."""
    now, before = flat(config.model_dump(mode="json")), flat(recorded)
    changed = [k for k in sorted(now.keys() | before.keys()) if now.get(k) != before.get(k) and not free_to_change(k)]
    if changed:
        first = changed[0]
        raise ConfigError(
            f"{directory}: cannot resume, because {', '.join(changed)} changed; the first: expected "
            f"{before.get(first)}, found {now.get(first)}. Only {', '.join(FREE_TO_CHANGE)} may change; "
            "else start a new run with another out"
        )


def free_to_change(key: str) -> bool:
    """Whether a key, or what it is part of, may change when a run is resumed."""
    return any(key == free or key.startswith(f"{free}.") for free in FREE_TO_CHANGE)


def build(config: Config, resume: bool = False, accelerator: Accelerator | None = None, quiet: bool = False) -> Run:
    """A run that is ready to fit: data read, every media file opened, model loaded."""
    folder = Path(config.out)
    accelerator = accelerator or join(config.trackers, folder)
    ranks = Ranks(accelerator)
    parts = ranks.world * config.updates_per_step
    if config.prompts_per_step % parts:
        raise ConfigError(
            f"prompts_per_step: expected a multiple of {parts} (ranks x updates_per_step), "
            f"found {config.prompts_per_step}"
        )
    if config.model.shard and ranks.world == 1:
        raise ConfigError(
            "model.shard: expected several ranks to share the weights, found one; "
            "start with torchrun --nproc_per_node N, or set model.shard=false"
        )
    newest = resume_from(config, folder, resume)
    data = training_data(config.data, config.seed)
    look_over(config, list(every(data)), ranks, quiet)
    run = assemble(config, data, folder, newest, ranks)
    if newest is not None:
        run.restore(newest)
    if ranks.main:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(dump(config))
    accelerator.init_trackers("tracker", config=flat(config.model_dump(mode="json")))
    return run


def look_over(config: Config, examples: Sequence[Example], ranks: Ranks, quiet: bool) -> None:
    """Find what would stop the run: golds that no answer can match, missing demonstrations, files that do not open."""
    if any(r.grader in READ_THE_GOLD for r in config.rewards.values()):
        for example in examples:
            check_gold(example)
    if config.algorithm.build().source == "demonstrations":
        bare = [example.id for example in examples if example.demonstration is None]
        if bare:
            raise ConfigError(
                f"data: expected a demonstration in every row, found {len(bare)} without, such as {bare[:5]}"
            )
    if ranks.main and config.data.on_bad_media == "stop":
        check_media(config.data, list(examples), quiet)
    ranks.wait()


def resume_from(config: Config, folder: Path, resume: bool) -> Path | None:
    """The checkpoint to go on from. A run is neither overwritten nor resumed by accident, nor as another experiment."""
    newest = checkpoint.latest(folder / "checkpoints")
    if resume and newest is None and any(folder.glob("*")):
        raise ConfigError(f"out: expected a checkpoint to resume in {folder}, found none; start anew without --resume")
    if newest is not None and not resume:
        raise ConfigError(
            f"out: {folder} holds a run at {newest.name}; add --resume to go on with it, or choose another out"
        )
    if newest is not None:
        same_config(config, checkpoint.read_state(newest)["config"], newest)
    return newest


def assemble(config: Config, data: Mixture, folder: Path, newest: Path | None, ranks: Ranks) -> Run:
    """All parts of a run, introduced to one another."""
    set_seed(config.seed)  # mmrl draws from no global state; a user's reward function may
    model = config.model if newest is None else config.model.model_copy(update={"path": str(newest)})
    device, temperature = ranks.accelerator.device, config.rollout.decoding.temperature or 1.0
    policy = policy_of(model, config.data.template, device, temperature)
    algorithm = config.algorithm.build()
    reference = None
    if algorithm.reference is not None and needs_reference(algorithm):
        reference = Reference(start_of(config, policy, newest, ranks), algorithm.reference)
    if config.model.shard:  # after the reference was copied: shards cannot be
        mesh = ranks.mesh()
        policy.shard(mesh, device)
        if reference is not None:
            reference.shard(mesh, device)
    optimizer = optimizer_of(policy, config.optimizer)
    total = config.steps * config.updates_per_step
    stream = Stream(data, config.prompts_per_step, config.seed, ranks.rank, ranks.world)
    reader = media_reader(config.data, config.data.cache_bytes)
    feeder = Feeder(policy, reader, stream, ranks, config.data.on_bad_media)
    graders = {name: grader(r.grader) for name, r in config.rewards.items()}
    weights = {name: r.weight for name, r in config.rewards.items()}
    trainer = Trainer(
        algorithm,
        policy,
        reference,
        optimizer,
        partial(rate_at, total=total, section=config.optimizer),
        ranks,
        examples=feeder.examples,
        prepare=feeder.prepare,
        sample=sampler(config, policy, algorithm.source),
        grade=lambda group: grade(group.texts, group.prompt.example, graders),
        weights=MappingProxyType(weights),
        updates=config.updates_per_step,
        part_tokens=config.part_tokens,
        clip_norm=config.optimizer.clip_norm,
        filler=policy.filler if config.model.shard else None,
    )
    policy.model.train()
    step = 0 if newest is None else checkpoint.read_state(newest)["step"]
    return Run(config, folder, trainer, feeder, Journal(folder, ranks.accelerator, ranks.main, step), ranks)


def start_of(config: Config, policy: Policy, newest: Path | None, ranks: Ranks) -> Policy:
    """The weights that a frozen reference has: those that the run started from, also when it is resumed."""
    if newest is None or config.algorithm.reference.name != "frozen":
        return policy
    return policy_of(config.model, config.data.template, ranks.accelerator.device, policy.rules.temperature)


def needs_reference(algorithm: Any) -> bool:
    """Whether the algorithm ever reads its reference; a weight of 0 loads none."""
    return getattr(algorithm, "beta", 1.0) > 0


def sampler(config: Config, policy: Policy, source: str):
    """Prompts and step to groups."""
    if source == "demonstrations":
        return lambda prompts, _step: [demonstrate(policy, prompt) for prompt in prompts]
    engine = Engine(policy, config.rollout.decoding, lambda text: parse(text).span, config.rollout.max_rows)
    members = range(config.rollout.group_size)

    def sample(prompts: Sequence[Prompt], step: int) -> list[Group]:
        policy.model.eval()  # gradient checkpointing keeps no cache
        with policy.whole():
            groups = engine.sample(prompts, [members] * len(prompts), config.seed, step)
        policy.model.train()
        return groups

    return sample


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A config for trackers: dotted names, values as text."""
    out = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = str(value)
    return out


def commit() -> str:
    """The commit of this checkout, with a plus sign where files differ from it; 'unknown' outside of git."""
    here = Path(__file__).parent
    run = partial(subprocess.run, cwd=here, capture_output=True, text=True, check=False)
    found = run(["git", "rev-parse", "--short=12", "HEAD"])
    if found.returncode:
        return "unknown"
    return found.stdout.strip() + ("+" if run(["git", "status", "--porcelain"]).stdout.strip() else "")


def machine() -> str:
    """What this runs on, in a few words."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
