"""Builds a run from a config, in stages: the one place that connects the rooms.

The order of the stages matters: parts are frozen before a reference is copied, because frozen parts decide which features it
caches; copies are made before weights are sharded, because shards cannot be copied; the optimizer is made
after that, because it holds the shards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.optim import Optimizer

from mmrl.config.load import dump, flat
from mmrl.config.open_data import every, graders_of, media_reader, training_data
from mmrl.config.open_model import feature_cache, policy_of
from mmrl.config.schema import Config
from mmrl.data.stream import Mixture, Stream
from mmrl.models.policy import Policy
from mmrl.models.proposal import Proposal
from mmrl.models.reader import Reader
from mmrl.models.reference import Reference
from mmrl.models.self_check import compare
from mmrl.models.vision.processor_sizes import size_rules
from mmrl.rewards.run_graders import grade_groups
from mmrl.runtime.files import write_whole
from mmrl.runtime.main_guard import check_main_guard
from mmrl.runtime.ranks import Ranks, join
from mmrl.training import checkpoint
from mmrl.training.base_rewards import facts, read_table
from mmrl.training.callbacks import Callback, check_callbacks
from mmrl.training.checks import check_inputs, check_opening, check_ranks, checkpoint_to_resume
from mmrl.training.loop import Run
from mmrl.training.optimizer import freeze, lr_multiplier, optimizer_of
from mmrl.training.prompts import PromptFeeder
from mmrl.training.rollouts import rollouts_of
from mmrl.training.run_log import RunLog
from mmrl.training.step.batching import BatchPlanner
from mmrl.training.step.collect import Collector
from mmrl.training.step.forward import ForwardPasses
from mmrl.training.step.trainer import Trainer
from mmrl.types import Frozen


@dataclass(frozen=True)
class Inputs:
    """A config and its data, checked, on ranks that have joined."""

    config: Config
    data: Mixture
    ranks: Ranks
    newest: Path | None  # the checkpoint that the run continues from


@dataclass(frozen=True)
class Models:
    """The policy and its copies. They share one cache of features, and are sharded if the config says so."""

    policy: Policy
    reference: Reference | None
    proposal: Proposal | None


def build(
    config: Config,
    resume: bool = False,
    accelerator: Accelerator | None = None,
    quiet: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Returns a run that is ready to fit: data read, every media file opened, model loaded.

    ``resume`` goes on from the newest checkpoint in ``config.out``; without it a folder that holds a run is refused.
    ``callbacks`` are told of the run as it goes on. Raises ConfigError for what the config asks for and cannot have, MediaError
    for files that do not open, and RuntimeError, before all that, for a script whose decoding processes would train again.
    """
    told = check_callbacks(callbacks)
    check_main_guard(max(config.data.workers, 0 if config.validation is None else config.validation.workers))
    inputs = read_inputs(config, resume, accelerator, quiet)
    models = copy_policy(inputs, load_policy(inputs))
    run = connect(inputs, models, optimizer_of(models.policy, config.optimizer))
    run.callbacks = told
    if inputs.newest is not None:
        run.restore(inputs.newest)
    if inputs.ranks.main:
        write_whole(run.folder / "config.yaml", dump(config))
    inputs.ranks.accelerator.init_trackers("mmrl", config=flat(config.model_dump(mode="json")))
    return run


def read_inputs(config: Config, resume: bool, accelerator: Accelerator | None, quiet: bool) -> Inputs:
    """Joins the ranks, reads the data, and runs the checks before a run."""
    ranks = Ranks(accelerator or join(config.trackers, Path(config.out)))
    check_ranks(config, ranks)
    newest = checkpoint_to_resume(config, resume)
    data = training_data(config.data, config.seed)
    check_inputs(config, list(every(data)), ranks, quiet)
    return Inputs(config, data, ranks, newest)


def load_policy(inputs: Inputs) -> Policy:
    """Loads the policy, from the newest checkpoint if there is one, and freezes the parts of rate 0."""
    config, newest = inputs.config, inputs.newest
    set_seed(config.seed)  # mmrl draws from no global state; a user's reward function may
    model = config.model if newest is None else config.model.model_copy(update={"path": str(newest)})
    device, temperature = inputs.ranks.accelerator.device, config.rollout.decoding.logit_temperature
    policy = policy_of(model, config.data.template, device, temperature)
    check_opening(policy, config, every(inputs.data))
    freeze(policy, config.optimizer)
    return policy


def copy_policy(inputs: Inputs, policy: Policy) -> Models:
    """Copies the policy for reference and proposal if the algorithm needs them; then shards all of them if the config says so."""
    needs = inputs.config.algorithm.needs
    update = needs.reference
    reference = None if update is None else Reference(first_policy(inputs, policy), update)
    proposal = None if needs.proposal is None else Proposal(policy)
    cache = feature_cache(inputs.config)
    readers: list[Reader] = [reader for reader in (policy, reference, proposal) if reader is not None]
    for reader in readers:
        reader.tower.cache = cache  # a reference with equal weights reuses the policy's features
    if inputs.config.model.shard:
        mesh = inputs.ranks.mesh()
        for reader in readers:
            reader.shard(mesh, inputs.ranks.accelerator.device)
    return Models(policy, reference, proposal)


def first_policy(inputs: Inputs, policy: Policy) -> Policy:
    """Returns the policy that the reference copies: the present one, or the first one for a frozen reference of a resumed run.

    It has the same frozen parts as the policy, so that both towers cache the same features and share them.
    """
    config = inputs.config
    if inputs.newest is None or not isinstance(config.algorithm.needs.reference, Frozen):
        return policy
    model = config.model.model_copy(
        update={"share_prefix": "auto" if policy.shares_prefix else "off"}
    )  # the policy has decided it, and logged it
    first = policy_of(model, config.data.template, inputs.ranks.accelerator.device, policy.rules.temperature)
    freeze(first, config.optimizer)
    return first


def connect(inputs: Inputs, models: Models, optimizer: Optimizer) -> Run:
    """Connects trainer, data and log, and returns the run."""
    config, ranks, folder = inputs.config, inputs.ranks, Path(inputs.config.out)
    feeder = feeder_of(inputs, models.policy)
    trainer = trainer_of(inputs, models, optimizer, collector_of(inputs, models, feeder))
    models.policy.model.train()
    step = 0 if inputs.newest is None else checkpoint.read_state(inputs.newest)["step"]
    return Run(config, folder, trainer, feeder, RunLog(folder, ranks, step), ranks)


def feeder_of(inputs: Inputs, policy: Policy) -> PromptFeeder:
    """Returns the feeder, which turns the data into prompts of this rank."""
    config, ranks = inputs.config, inputs.ranks
    stream = Stream(inputs.data, config.prompts_per_step, config.seed, ranks.rank, ranks.world)
    reader = media_reader(config.data, config.data.frame_cache_bytes, size_rules(policy.processor))
    new_tokens = config.rollout.decoding.max_new_tokens if config.algorithm.needs.source == "policy" else 0
    return PromptFeeder(
        policy, reader, stream, ranks, config.data.on_bad_media, new_tokens, config.data.max_prompt_tokens
    )


def collector_of(inputs: Inputs, models: Models, feeder: PromptFeeder) -> Collector:
    """Returns the collector, which turns prompts into completions and grades them by the config's rewards."""
    config = inputs.config
    base = None
    if config.base_rewards is not None:
        base = read_table(Path(config.base_rewards), facts(config))
    return Collector(
        inputs.ranks,
        examples=feeder.examples,
        prepare=feeder.prepare,
        sample=rollouts_of(
            models.proposal or models.policy, config.algorithm.needs.source, config.rollout, config.seed
        ),
        grade=partial(grade_groups, graders=graders_of(config.rewards)),
        weights=MappingProxyType({name: r.weight for name, r in config.rewards.items()}),
        base_rewards=base,
    )


def trainer_of(inputs: Inputs, models: Models, optimizer: Optimizer, collector: Collector) -> Trainer:
    """Returns the trainer, which connects algorithm, collector, forward passes and optimizer."""
    config, ranks, policy = inputs.config, inputs.ranks, models.policy
    total = config.steps * config.mini_batches_per_step
    planner = BatchPlanner(
        ranks,
        config.max_tokens_per_micro_batch,
        policy.dummy_group if config.model.shard else None,
        policy.shares_prefix,
    )
    return Trainer(
        config.algorithm,
        collector,
        ForwardPasses(config.algorithm, policy, models.reference, planner),
        optimizer,
        partial(lr_multiplier, total=total, section=config.optimizer),
        ranks,
        mini_batches_per_step=config.mini_batches_per_step,
        max_grad_norm=config.optimizer.max_grad_norm,
        proposal=models.proposal,
        compare=partial(compare, policy) if policy.shares_prefix else None,
    )
