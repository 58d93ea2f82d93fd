"""Find what is wrong with a training config whose parts are each in order."""

from collections.abc import Iterator
from typing import Any

from mmrl.algorithms import Needs


def incoherences(config: Any) -> Iterator[str]:
    """A line for each problem, with the key that it is of."""
    needs = config.algorithm.needs
    yield from of_rewards(config, needs)
    yield from of_sampling(config, needs)
    yield from of_the_run(config)


def of_rewards(config: Any, needs: Needs) -> Iterator[str]:
    """Rewards that an algorithm lacks, or has no use for."""
    samples = needs.source == "policy"
    if needs.group_baseline and config.rollout.group_size < 2:
        yield (
            f"rollout.group_size: expected 2 or more, as {config.algorithm.name} compares siblings; "
            f"found {config.rollout.group_size}"
        )
    if "total" in config.rewards:
        yield "rewards.total: the name is that of the rewards' weighted sum; choose another"
    for name in needs.rewards:
        if name not in config.rewards:
            yield (
                f"rewards: expected one by the name {name!r}, which {config.algorithm.name} needs; "
                f"found {list(config.rewards)}"
            )
    if samples and not config.rewards and not needs.rewards:
        yield f"rewards: expected one or more, as {config.algorithm.name} learns from them; found none"
    if not samples and config.rewards:
        name = config.algorithm.name
        yield f"rewards: expected none, as {name} learns from demonstrations; found {list(config.rewards)}"


def of_sampling(config: Any, needs: Needs) -> Iterator[str]:
    """Completions that an algorithm could not learn from."""
    samples = needs.source == "policy"
    if samples and config.rollout.decoding.temperature == 0:
        yield (
            "rollout.decoding.temperature: expected more than 0, as a group of equal completions teaches nothing; "
            "found 0"
        )
    if samples and config.updates_per_step > 1 and not needs.off_policy:
        key = needs.off_policy_setting.split(",")[0]
        without, remedy = (f" without {key}", f". Set {needs.off_policy_setting}") if key else ("", "")
        yield (
            f"updates_per_step: expected 1{without}, because the ratio is to the policy as it is; "
            f"found {config.updates_per_step}{remedy}"
        )
    if samples and config.rollout.decoding.top_p < 1 and needs.sampler_log_probs:
        yield (
            f"rollout.decoding.top_p: expected 1, as {config.algorithm.name} divides by the probability with which a completion "
            f"was drawn; found {config.rollout.decoding.top_p}"
        )
    most = config.rollout.decoding.max_new_tokens
    if needs.max_new_tokens not in (None, most):
        yield (
            f"algorithm.limit: expected rollout.decoding.max_new_tokens, the most that a completion may have, which is {most}; "
            f"found {needs.max_new_tokens}"
        )
    if needs.base_rewards and config.prepared is None:
        yield (
            f"prepared: expected a file, as {config.algorithm.name} so configured goes by what the base model earns; found none. Set "
            "prepared: runs/base.jsonl and run mmrl prepare with this config"
        )


def of_the_run(config: Any) -> Iterator[str]:
    """Rates, schedule and validation that do not fit together."""
    rates = config.optimizer.rates
    if not (rates.language or rates.projector or rates.tower):
        yield "optimizer.rates: expected one above 0; all parts are frozen"
    updates = config.steps * config.updates_per_step
    if config.optimizer.warmup > updates:
        yield f"optimizer.warmup: expected at most the {updates} optimizer steps of the run"
    known = (
        []
        if config.validation is None
        else [f"{s.name}/{m}" for s in config.validation.sets for m in config.validation.graders]
    )
    if config.best is not None and config.best not in known:
        yield f"best: expected a metric of the validation ({', '.join(known) or 'there is none'}), found {config.best!r}"
