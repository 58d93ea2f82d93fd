"""From a config to a run: the one place that introduces the rooms to one another."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from accelerate import Accelerator
from accelerate.utils import set_seed

from mmrl.algorithms import Algorithm
from mmrl.config.load import dump, flat
from mmrl.config.open_data import (
    check_gradable,
    check_media,
    disk_of,
    every,
    grader,
    media_reader,
    open_set,
    root_of,
    training_data,
)
from mmrl.config.open_model import feature_cache, feature_disk, policy_of
from mmrl.config.schema import Config, ConfigError, EvaluationSection
from mmrl.data.conditions import check_condition
from mmrl.data.stream import Mixture, Stream
from mmrl.models.policy import Policy
from mmrl.models.proposal import Proposal
from mmrl.models.reference import Reference
from mmrl.models.self_check import compare
from mmrl.models.vision.size_rules import size_rules
from mmrl.rewards.parse import THINK, leaves_think_open, parse
from mmrl.rewards.run_graders import grade
from mmrl.rollout import Engine, demonstrate
from mmrl.runtime.console import console
from mmrl.runtime.out_of_memory import run_with_smaller_batches
from mmrl.runtime.ranks import Ranks, join
from mmrl.training import base_rates_table, checkpoint
from mmrl.training.loop import Run, same_config
from mmrl.training.optimizer import freeze, optimizer_of, rate_at
from mmrl.training.prompts import Feeder
from mmrl.training.run_log import Journal
from mmrl.training.step.batching import Planner
from mmrl.training.step.collect import Collector
from mmrl.training.step.forward import Readings
from mmrl.training.step.trainer import Trainer
from mmrl.types import Example, Frozen, Group, Prompt


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
    accelerator.init_trackers("mmrl", config=flat(config.model_dump(mode="json")))
    return run


def look_over(config: Config, examples: Sequence[Example], ranks: Ranks, quiet: bool) -> None:
    """Find what would stop the run: golds that no answer can match, missing demonstrations, files that do not open, a
    cache that cannot be written."""
    disk_of(config.data, "frames")
    feature_disk(config)
    check_gradable(examples, [reward.grader for reward in config.rewards.values()], "data")
    if config.validation is not None:
        look_over_validation(config.validation)
    if config.rollout.decoding.top_p < 1 and ranks.main:
        console.print("[yellow]rollout.decoding.top_p is below 1: log-probabilities are not those of the sampler.[/]")
    if config.algorithm.needs.source == "demonstrations":
        bare = [example.id for example in examples if example.demonstration is None]
        if bare:
            raise ConfigError(
                f"data: expected a demonstration in every row, found {len(bare)} without, such as {bare[:5]}"
            )
    if ranks.main and config.data.on_bad_media == "stop":
        check_media(config.data, list(examples), quiet)
    ranks.wait()


def look_over_validation(section: EvaluationSection) -> None:
    """The same for what is examined during training, and whether all of it is there."""
    disk_of(section, "frames")
    for one in section.sets:
        data = open_set(one, root_of(section), "file", section.seed)
        if one.expect is not None and len(data) != one.expect:
            raise ConfigError(f"validation.sets {one.name}: expected {one.expect} examples, found {len(data)}")
        examples = [data.example(i, 0) for i in range(len(data))]
        check_gradable(examples, section.graders.values(), f"validation {one.name}")
        check_condition(section.condition, examples, f"validation {one.name}")
    for spec in section.graders.values():
        grader(spec)


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
    check_opening(policy, config, every(data))
    freeze(policy, config.optimizer)
    algorithm = config.algorithm
    reference, proposal = companions(config, policy, algorithm, newest, ranks)
    optimizer = optimizer_of(policy, config.optimizer)
    total = config.steps * config.updates_per_step
    stream = Stream(data, config.prompts_per_step, config.seed, ranks.rank, ranks.world)
    reader = media_reader(config.data, config.data.cache_bytes, size_rules(policy.processor))
    new_tokens = config.rollout.decoding.max_new_tokens if algorithm.needs.source == "policy" else 0
    long = (new_tokens, config.data.max_prompt_tokens)
    feeder = Feeder(policy, reader, stream, ranks, config.data.on_bad_media, *long)
    collector = collector_of(config, feeder, sampler(config, proposal or policy, algorithm.needs.source), ranks)
    planner = Planner(ranks, config.part_tokens, policy.filler if config.model.shard else None, policy.shares)
    trainer = Trainer(
        algorithm,
        collector,
        Readings(algorithm, policy, reference, planner),
        optimizer,
        partial(rate_at, total=total, section=config.optimizer),
        ranks,
        updates=config.updates_per_step,
        clip_norm=config.optimizer.clip_norm,
        proposal=proposal,
        compare=partial(compare, policy) if policy.shares else None,
    )
    policy.model.train()
    step = 0 if newest is None else checkpoint.read_state(newest)["step"]
    return Run(config, folder, trainer, feeder, Journal(folder, ranks.accelerator, ranks.main, step), ranks)


def collector_of(
    config: Config, feeder: Feeder, sample: Callable[[Sequence[Prompt], int], Sequence[Group]], ranks: Ranks
) -> Collector:
    """What feeds the trainer: the feeder's prompts, completions of them, and what the config's rewards say of these."""
    graders = {name: grader(r.grader) for name, r in config.rewards.items()}
    weights = {name: r.weight for name, r in config.rewards.items()}
    return Collector(
        ranks,
        examples=feeder.examples,
        prepare=feeder.prepare,
        sample=sample,
        grade=lambda group: grade(group.texts, group.prompt.example, graders),
        weights=MappingProxyType(weights),
        base=None
        if config.prepared is None
        else base_rates_table.read(Path(config.prepared), base_rates_table.facts(config)),
    )


def check_opening(policy: Policy, config: Config, examples: Iterable[Example]) -> None:
    """Where the chat template opens <think>, refuse a format reward that no completion can earn, and demonstrations that open it again."""
    if not leaves_think_open(policy.opening):
        return
    found = f"a chat template whose prompts end with {policy.opening!r}"
    advice = f"take the tag out of the chat template in {config.model.path}"
    named = [name for name, reward in config.rewards.items() if reward.grader == "format"]
    if named:
        raise ConfigError(
            f"rewards.{named[0]}: expected the whole think block to be the completion's, as the grader format wants it, found "
            f"{found}; leave this reward out, or {advice}"
        )
    if config.algorithm.needs.source == "demonstrations":
        again = [e.id for e in examples if (e.demonstration or "").lstrip().startswith(THINK)]
        if again:
            raise ConfigError(
                f"data: expected demonstrations that go on where their prompts end, found {found}, and {len(again)} that begin with "
                f"{THINK} again, such as {again[:5]}; {advice}"
            )


def companions(
    config: Config, policy: Policy, algorithm: Algorithm, newest: Path | None, ranks: Ranks
) -> tuple[Reference | None, Proposal | None]:
    """The copies of the policy that an algorithm asks for; all share one cache, and are cut as the policy is."""
    reference = None
    if algorithm.needs.reference is not None:
        reference = Reference(start_of(config, policy, newest, ranks), algorithm.needs.reference)
    proposal = None if algorithm.needs.proposal is None else Proposal(policy)
    cache = feature_cache(config)
    several = [reader for reader in (policy, reference, proposal) if reader is not None]
    for reader in several:
        reader.tower.cache = cache  # a reference with equal weights finds what the policy saw
    if config.model.shard:  # after all copies were made: shards cannot be copied
        mesh = ranks.mesh()
        for reader in several:
            reader.shard(mesh, ranks.accelerator.device)
    return reference, proposal


def start_of(config: Config, policy: Policy, newest: Path | None, ranks: Ranks) -> Policy:
    """The weights that a frozen reference has: those that the run started from, also when it is resumed. They are frozen as the
    policy's are, so that of the tower both keep the same and one finds what the other saw."""
    if newest is None or not isinstance(config.algorithm.needs.reference, Frozen):
        return policy
    model = config.model.model_copy(update={"share_prefix": "auto" if policy.shares else "off"})  # decided, and said
    start = policy_of(model, config.data.template, ranks.accelerator.device, policy.rules.temperature)
    freeze(start, config.optimizer)
    return start


def sampler(config: Config, policy: Policy, source: str):
    """Prompts and step to groups."""
    if source == "demonstrations":
        return lambda prompts, _step: [demonstrate(policy, prompt) for prompt in prompts]
    engine = Engine(policy, config.rollout.decoding, lambda text: parse(text).span, config.rollout.max_rows)
    members = range(config.rollout.group_size)

    def sample(prompts: Sequence[Prompt], step: int) -> list[Group]:
        nonlocal engine

        def attempt(max_rows: int) -> list[Group]:
            return replace(engine, max_rows=max_rows).sample(prompts, [members] * len(prompts), config.seed, step)

        policy.model.eval()  # gradient checkpointing keeps no cache
        with policy.whole():
            rows = min(engine.max_rows, len(members) * len(prompts))  # what more would be is no less when halved
            fitted = run_with_smaller_batches(attempt, rows, len(members), "rollout.max_rows")
        engine = replace(engine, max_rows=fitted.limit) if fitted.halvings else engine
        policy.work.halvings += fitted.halvings
        policy.model.train()
        return fitted.result

    return sample
