"""Check the parts of a training config against each other."""

from collections.abc import Iterator
from typing import Any

from mmrl.algorithms.base import problems_of


def incoherences(config: Any) -> Iterator[str]:
    """Yield a message for each problem between parts; it begins with the key."""
    unfit = list(problems_of(config.algorithm))
    if unfit:
        yield from unfit
        return
    yield from of_rewards(config)
    yield from of_sampling(config)
    yield from of_the_run(config)


def of_rewards(config: Any) -> Iterator[str]:
    """Yield problems of group size and rewards: what the algorithm needs and lacks, and rewards that it does not use."""
    needs, name, rewards = config.algorithm.needs, config.algorithm.name, list(config.rewards)
    samples = needs.source == "policy"
    if needs.group_baseline and config.rollout.group_size < 2:
        yield f"rollout.group_size: expected 2 or more, as {name} compares the completions of a group; found {config.rollout.group_size}"
    if "total" in rewards:
        yield "rewards.total: the name is that of the rewards' weighted sum; choose another"
    for needed in needs.rewards:
        if needed not in rewards:
            yield f"rewards: expected one by the name {needed!r}, which {name} needs; found {rewards}"
    if samples and not rewards and not needs.rewards:
        yield f"rewards: expected one or more, as {name} learns from them; found none"
    if not samples and rewards:
        yield f"rewards: expected none, as {name} learns from demonstrations; found {rewards}"


def of_sampling(config: Any) -> Iterator[str]:
    """Yield settings of sampling with which the algorithm cannot learn from the completions."""
    needs, name, decoding = config.algorithm.needs, config.algorithm.name, config.rollout.decoding
    samples = needs.source == "policy"
    if samples and decoding.temperature == 0:
        yield "rollout.decoding.temperature: expected more than 0, as a group of equal completions teaches nothing; found 0"
    if samples and config.mini_batches_per_step > 1 and not needs.off_policy:
        key = needs.off_policy_setting.split(",")[0]
        without, remedy = (f" without {key}", f". Set {needs.off_policy_setting}") if key else ("", "")
        yield (
            f"mini_batches_per_step: expected 1{without}, because the ratio is to the policy as it is; "
            f"found {config.mini_batches_per_step}{remedy}"
        )
    if samples and decoding.top_p < 1 and needs.sampling_logprobs:
        yield (
            f"rollout.decoding.top_p: expected 1, as {name} divides by the probability with which a completion was drawn; "
            f"found {decoding.top_p}"
        )
    if decoding.max_new_tokens < needs.min_new_tokens:
        yield (
            f"rollout.decoding.max_new_tokens: expected {needs.min_new_tokens} or more, as {name} penalises that many tokens before "
            f"the limit; found {decoding.max_new_tokens}"
        )
    if needs.base_rewards and config.base_rewards is None:
        yield (
            f"base_rewards: expected a file, as {name} so configured goes by what the base model earns; found none. Set "
            "base_rewards: runs/base.jsonl and run mmrl prepare with this config"
        )


def of_the_run(config: Any) -> Iterator[str]:
    """Yield conflicts between learning rates, schedule and validation."""
    rates, validation = config.optimizer.learning_rates, config.validation
    if not (rates.language_model or rates.projector or rates.vision_tower):
        yield "optimizer.learning_rates: expected one above 0; all parts are frozen"
    updates = config.steps * config.mini_batches_per_step
    if config.optimizer.warmup_steps > updates:
        yield f"optimizer.warmup_steps: expected at most the {updates} optimizer steps of the run"
    known = [f"{each.name}/{metric}" for each in validation.sets for metric in validation.graders] if validation else []
    if config.best_metric is not None and config.best_metric not in known:
        yield f"best_metric: expected a metric of the validation ({', '.join(known) or 'there is none'}), found {config.best_metric!r}"
