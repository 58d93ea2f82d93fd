"""Checks before a run starts: each finds a mistake that would stop or spoil the run hours later."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mmrl.config.load import flat
from mmrl.config.open_data import check_gradable, check_media, disk_of, grader, graders_of, open_set, root_of
from mmrl.config.schema import Config, ConfigError, EvaluationSection
from mmrl.data.conditions import check_condition
from mmrl.models.policy import Policy
from mmrl.rewards.parse import THINK, leaves_think_open
from mmrl.runtime.console import console
from mmrl.runtime.ranks import Ranks
from mmrl.runtime.user_code import code_hashes, leaves
from mmrl.training import checkpoint
from mmrl.types import Example

FREE_TO_CHANGE = (  # keys that a resumed run may change: its length, its outputs, and its use of the machine
    "out", "steps", "save_every", "save_total_limit", "rollouts_every", "trackers", "validation", "best_metric",
    "data.on_bad_media", "data.workers", "data.timeout", "data.frame_cache_bytes", "data.cache_dir",
    "data.cache_dir_bytes", "data.max_prompt_tokens",
    "max_tokens_per_micro_batch", "rollout.max_num_seqs", "model.max_logit_bytes", "model.feature_cache_bytes",
    "model.gradient_checkpointing", "model.shard", "model.share_prefix", "rewards.*.concurrency",
)  # fmt: skip


def check_ranks(config: Config, ranks: Ranks) -> None:
    """Raise ConfigError for steps that cannot be divided among the ranks, and for shards on one rank."""
    parts = ranks.world * config.mini_batches_per_step
    if config.prompts_per_step % parts:
        raise ConfigError(
            f"prompts_per_step: expected a multiple of {parts} (ranks x mini_batches_per_step), "
            f"found {config.prompts_per_step}"
        )
    if config.model.shard and ranks.world == 1:
        raise ConfigError(
            "model.shard: expected several ranks to share the weights, found one; "
            "start with torchrun --nproc_per_node N, or set model.shard=false"
        )


def checkpoint_to_resume(config: Config, resume: bool) -> Path | None:
    """Return the checkpoint to continue from; None for a new run.

    Raises ConfigError if a run would be overwritten or resumed by accident, or continued as another experiment.
    """
    folder = Path(config.out)
    newest = checkpoint.latest(folder / "checkpoints")
    if resume and newest is None and any(folder.glob("*")):
        raise ConfigError(f"out: expected a checkpoint to resume in {folder}, found none; start anew without --resume")
    if newest is not None and not resume:
        raise ConfigError(
            f"out: {folder} holds a run at {newest.name}; add --resume to go on with it, or choose another out"
        )
    if newest is not None:
        state = checkpoint.read_state(newest)
        same_code(config, state, newest)  # first: changed code may have other keys
        same_config(config, state["config"], newest)
    return newest


def same_config(config: Config, recorded: Mapping[str, Any], directory: Path) -> None:
    """Raise ConfigError if keys changed that a resumed run may not change."""
    now, before = flat(config.model_dump(mode="json")), flat(recorded)
    if changed := fixed([k for k in sorted(now.keys() | before.keys()) if now.get(k) != before.get(k)]):
        first = changed[0]
        raise ConfigError(
            f"{directory}: cannot resume, because {', '.join(changed)} changed; the first: expected "
            f"{before.get(first)}, found {now.get(first)}. Only {', '.join(FREE_TO_CHANGE)} may change; "
            "else start a new run with another out"
        )


def same_code(config: Config, state: Mapping[str, Any], directory: Path) -> None:
    """Raise ConfigError if the user's code has changed since the run began.

    Keys that name other code than before are left to ``same_config``.
    """
    plain, recorded = config.model_dump(mode="json"), state["code"]
    now, specs, before = code_hashes(plain), dict(leaves(plain)), dict(leaves(state["config"]))
    same = [key for key in sorted(recorded) if specs.get(key) == before.get(key)]
    if changed := fixed([key for key in same if now.get(key) != recorded[key]]):
        first = changed[0]
        raise ConfigError(
            f"{directory}: cannot resume, because the code of {', '.join(changed)} changed; the first: {specs[first]}: expected "
            f"a file with the hash {recorded[first]}, found {now.get(first)}. Put the file back as it was, or start a new run "
            "with another out"
        )


def fixed(keys: Iterable[str]) -> list[str]:
    """Return the keys that a resumed run may not change: neither they nor their parents are in FREE_TO_CHANGE."""
    free = tuple(f"{key}.*" for key in FREE_TO_CHANGE)
    return [key for key in keys if not any(fnmatchcase(f"{key}.", pattern) for pattern in free)]


def check_inputs(config: Config, examples: Sequence[Example], ranks: Ranks, quiet: bool) -> None:
    """Refuse graders that do not load, golds that no answer can match, missing demonstrations, unreadable media and caches."""
    disk_of(config.data, "frames")
    disk_of(config.data, "features")
    graders_of(config.rewards)
    check_gradable(examples, [reward.grader for reward in config.rewards.values()], "data")
    if config.validation is not None:
        check_validation(config.validation)
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


def check_validation(section: EvaluationSection) -> None:
    """Refuse validation sets that are incomplete or do not fit the graders or the condition."""
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


def check_opening(policy: Policy, config: Config, examples: Iterable[Example]) -> None:
    """Refuse, if the chat template opens <think>, demonstrations that open it again and a format reward, which nothing can earn."""
    if not leaves_think_open(policy.generation_prompt):
        return
    found = f"a chat template whose prompts end with {policy.generation_prompt!r}"
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
