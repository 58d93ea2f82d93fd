"""From a config to a run, in stages: the one place that introduces the rooms to one another.

Each stage takes the record that the stage before it makes, because their order matters: parts are frozen before a reference is
copied, which keeps of media what the frozen parts allow; copies are made before weights are cut into shards, which cannot be
copied; and the optimizer is made after that, as it holds the shards.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.optim import Optimizer

from mmrl.config.load import dump, flat
from mmrl.config.open_data import every, grader, media_reader, training_data
from mmrl.config.open_model import feature_cache, policy_of
from mmrl.config.schema import Config
from mmrl.data.stream import Mixture, Stream
from mmrl.models.policy import Policy
from mmrl.models.proposal import Proposal
from mmrl.models.reader import Reader
from mmrl.models.reference import Reference
from mmrl.models.self_check import compare
from mmrl.models.vision.processor_sizes import size_rules
from mmrl.rewards.run_graders import grade
from mmrl.runtime.files import write_whole
from mmrl.runtime.ranks import Ranks, join
from mmrl.training import base_rewards_file, checkpoint
from mmrl.training.checks import check_inputs, check_opening, check_ranks, checkpoint_to_resume
from mmrl.training.loop import Run
from mmrl.training.optimizer import freeze, optimizer_of, rate_at
from mmrl.training.prompts import Feeder
from mmrl.training.rollouts import rollouts_of
from mmrl.training.run_log import Journal
from mmrl.training.step.batching import Planner
from mmrl.training.step.collect import Collector
from mmrl.training.step.forward import Readings
from mmrl.training.step.trainer import Trainer
from mmrl.types import Frozen


@dataclass(frozen=True)
class Inputs:
    """Stage 1: a config and its data, checked, on ranks that have joined."""

    config: Config
    data: Mixture
    ranks: Ranks
    newest: Path | None  # the checkpoint that the run goes on from

    @property
    def folder(self) -> Path:
        return Path(self.config.out)


@dataclass(frozen=True)
class FrozenParts:
    """Stage 2: a policy of which the parts that do not learn are frozen."""

    policy: Policy


@dataclass(frozen=True)
class Models:
    """Stage 3: the policy and its copies, on one cache of features, and cut into shards where the config says so."""

    policy: Policy
    reference: Reference | None
    proposal: Proposal | None


@dataclass(frozen=True)
class Learner:
    """Stage 4: the models and the optimizer of the policy's parameters."""

    models: Models
    optimizer: Optimizer


def build(config: Config, resume: bool = False, accelerator: Accelerator | None = None, quiet: bool = False) -> Run:
    """A run that is ready to fit: data read, every media file opened, model loaded."""
    inputs = read_inputs(config, resume, accelerator, quiet)
    frozen = load_policy(inputs)
    models = copy_policy(inputs, frozen)
    learner = make_learner(inputs, models)
    run = connect(inputs, learner)
    if inputs.newest is not None:
        run.restore(inputs.newest)
    if inputs.ranks.main:
        write_whole(inputs.folder / "config.yaml", dump(config))
    inputs.ranks.accelerator.init_trackers("mmrl", config=flat(config.model_dump(mode="json")))
    return run


def read_inputs(config: Config, resume: bool, accelerator: Accelerator | None, quiet: bool) -> Inputs:
    """Join the ranks, read the data, and refuse what would stop the run."""
    ranks = Ranks(accelerator or join(config.trackers, Path(config.out)))
    check_ranks(config, ranks)
    newest = checkpoint_to_resume(config, resume)
    data = training_data(config.data, config.seed)
    check_inputs(config, list(every(data)), ranks, quiet)
    return Inputs(config, data, ranks, newest)


def load_policy(inputs: Inputs) -> FrozenParts:
    """Load the policy, from the newest checkpoint where there is one, and freeze parts of it."""
    config, newest = inputs.config, inputs.newest
    set_seed(config.seed)  # mmrl draws from no global state; a user's reward function may
    model = config.model if newest is None else config.model.model_copy(update={"path": str(newest)})
    device, temperature = inputs.ranks.accelerator.device, config.rollout.decoding.logit_temperature
    policy = policy_of(model, config.data.template, device, temperature)
    check_opening(policy, config, every(inputs.data))
    freeze(policy, config.optimizer)
    return FrozenParts(policy)


def copy_policy(inputs: Inputs, frozen: FrozenParts) -> Models:
    """Copy the policy as often as the algorithm asks for; then cut all copies into shards."""
    policy, needs, reference = frozen.policy, inputs.config.algorithm.needs, None
    if needs.reference is not None:
        reference = Reference(first_policy(inputs, frozen), needs.reference)
    proposal = None if needs.proposal is None else Proposal(policy)
    cache = feature_cache(inputs.config)
    readers: list[Reader] = [reader for reader in (policy, reference, proposal) if reader is not None]
    for reader in readers:
        reader.tower.cache = cache  # a reference with equal weights finds what the policy saw
    if inputs.config.model.shard:
        mesh = inputs.ranks.mesh()
        for reader in readers:
            reader.shard(mesh, inputs.ranks.accelerator.device)
    return Models(policy, reference, proposal)


def first_policy(inputs: Inputs, frozen: FrozenParts) -> Policy:
    """The policy that the reference copies: the present one, or for a frozen reference of a resumed run the one that it began with.

    Its parts are frozen as the policy's are, so that both towers keep the same of media, and one finds what the other saw.
    """
    config, policy = inputs.config, frozen.policy
    if inputs.newest is None or not isinstance(config.algorithm.needs.reference, Frozen):
        return policy
    model = config.model.model_copy(update={"share_prefix": "auto" if policy.shares else "off"})  # decided, and said
    first = policy_of(model, config.data.template, inputs.ranks.accelerator.device, policy.rules.temperature)
    freeze(first, config.optimizer)
    return first


def make_learner(inputs: Inputs, models: Models) -> Learner:
    """Make the optimizer of what the policy's parameters now are."""
    return Learner(models, optimizer_of(models.policy, inputs.config.optimizer))


def connect(inputs: Inputs, learner: Learner) -> Run:
    """Connect trainer, data and log."""
    config, ranks, models = inputs.config, inputs.ranks, learner.models
    feeder = feeder_of(inputs, models.policy)
    trainer = trainer_of(inputs, learner, collector_of(inputs, models, feeder))
    models.policy.model.train()
    step = 0 if inputs.newest is None else checkpoint.read_state(inputs.newest)["step"]
    return Run(
        config, inputs.folder, trainer, feeder, Journal(inputs.folder, ranks.accelerator, ranks.main, step), ranks
    )


def feeder_of(inputs: Inputs, policy: Policy) -> Feeder:
    """From the data to prompts of this rank."""
    config, ranks = inputs.config, inputs.ranks
    stream = Stream(inputs.data, config.prompts_per_step, config.seed, ranks.rank, ranks.world)
    reader = media_reader(config.data, config.data.cache_bytes, size_rules(policy.processor))
    new_tokens = config.rollout.decoding.max_new_tokens if config.algorithm.needs.source == "policy" else 0
    return Feeder(policy, reader, stream, ranks, config.data.on_bad_media, new_tokens, config.data.max_prompt_tokens)


def collector_of(inputs: Inputs, models: Models, feeder: Feeder) -> Collector:
    """From prompts to completions, and to what the config's rewards say of these."""
    config = inputs.config
    graders = {name: grader(r.grader) for name, r in config.rewards.items()}
    base = None
    if config.prepared is not None:
        base = base_rewards_file.read_table(Path(config.prepared), base_rewards_file.facts(config))
    return Collector(
        inputs.ranks,
        examples=feeder.examples,
        prepare=feeder.prepare,
        sample=rollouts_of(
            models.proposal or models.policy, config.algorithm.needs.source, config.rollout, config.seed
        ),
        grade=lambda group: grade(group.texts, group.prompt.example, graders),
        weights=MappingProxyType({name: r.weight for name, r in config.rewards.items()}),
        base=base,
    )


def trainer_of(inputs: Inputs, learner: Learner, collector: Collector) -> Trainer:
    """The algorithm between what collects and what reads."""
    config, ranks, models = inputs.config, inputs.ranks, learner.models
    policy, total = models.policy, config.steps * config.updates_per_step
    planner = Planner(ranks, config.part_tokens, policy.filler if config.model.shard else None, policy.shares)
    return Trainer(
        config.algorithm,
        collector,
        Readings(config.algorithm, policy, models.reference, planner),
        learner.optimizer,
        partial(rate_at, total=total, section=config.optimizer),
        ranks,
        updates=config.updates_per_step,
        clip_norm=config.optimizer.clip_norm,
        proposal=models.proposal,
        compare=partial(compare, policy) if policy.shares else None,
    )
