"""A training run: the loop around the trainer, and what is kept of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from mmrl.algorithms.target_matching import TargetError
from mmrl.config.schema import Config
from mmrl.data.media.reader import MediaError
from mmrl.evaluation import cost
from mmrl.evaluation.evaluator import evaluate_model
from mmrl.models.context import PromptError
from mmrl.runtime.console import progress
from mmrl.runtime.interrupt import Stopped, stop_after_step
from mmrl.runtime.ranks import Ranks
from mmrl.runtime.sharding import gather_state_dict
from mmrl.runtime.user_code import code_hashes
from mmrl.training import checkpoint
from mmrl.training.profile import profile
from mmrl.training.prompts import PromptFeeder
from mmrl.training.run_log import RunLog
from mmrl.training.step.non_finite import NonFiniteError
from mmrl.training.step.trainer import Trainer

TOGETHER = (Stopped, NonFiniteError, MediaError, PromptError, TargetError)  # raised by all ranks at the same place


@dataclass
class Run:
    """Runs a trainer step by step, and keeps what comes of it."""

    config: Config
    folder: Path
    trainer: Trainer
    feeder: PromptFeeder
    log: RunLog
    ranks: Ranks
    saved: int = -1  # the step of the newest checkpoint
    random: dict[str, Any] = field(default_factory=checkpoint.randomness)  # as it was after the newest whole step

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def copies(self) -> dict[str, Any]:
        """The copies of the policy that the run has, by name."""
        both = {"reference": self.trainer.reference, "proposal": self.trainer.proposal}
        return {name: copy for name, copy in both.items() if copy is not None}

    def fit(self, quiet: bool = False) -> None:
        """Steps until done. Whatever ends it, what was learned is in a checkpoint.

        Save for an error of one rank among several: the others wait elsewhere then, and the newest checkpoint stays.
        """
        title = f"{self.config.algorithm.name} {self.folder.name}"
        try:
            with progress(title, self.config.steps, self.trainer.step_done, quiet or not self.ranks.main) as show:
                self.loop(show)
        except BaseException as error:
            if self.ranks.world == 1 or isinstance(error, TOGETHER):
                self.save_if_new()
            raise
        else:
            self.save_if_new()
        finally:
            self.log.close()
            self.feeder.reader.close()

    def loop(self, show: Callable[[int, str], None]) -> None:
        """Takes steps, writes checkpoints in between, and ends if somebody asks for that."""
        trainer, config = self.trainer, self.config
        with stop_after_step() as stop:
            while trainer.step_done < config.steps:
                numbers = self.step()
                show(trainer.step_done, note_of(numbers))
                if config.save_every and trainer.step_done % config.save_every == 0:
                    self.save_if_new()
                if any(self.ranks.gather(stop.asked)):
                    raise Stopped

    def save_if_new(self) -> None:
        """Writes a checkpoint, unless there is one of this step or the weights are between two steps."""
        if self.saved != self.trainer.step_done and not self.trainer.mid_step:
            self.save()

    def step(self) -> dict[str, float]:
        """Takes one step and writes it down, also where its validation fails."""
        with profile([self.feeder.policy, *self.copies.values()], self.feeder, self.ranks) as numbers:
            numbers |= self.trainer.step()
            self.random = checkpoint.randomness()
        step = self.trainer.step_done
        try:
            if self.config.validation is not None and step % self.config.validation.every == 0:
                numbers |= self.validate(step)
        finally:
            self.log.log(step, numbers)
            if self.trainer.last and (step % self.config.rollouts_every == 0 or step in (1, self.config.steps)):
                self.log.write_rollouts(step, self.trainer.last)
        return numbers

    def validate(self, step: int) -> dict[str, float]:
        """Examines the policy as it is; rank 0 does, the others wait. Weights and random states are as before."""
        start, found, policy = perf_counter(), {}, self.feeder.policy
        with policy.full_parameters():
            if self.ranks.main:
                out = self.folder / "validation" / checkpoint.name_of(step)
                levels = evaluate_model(
                    policy, self.config.validation, out, self.config.rollout.max_num_seqs, quiet=True
                )
                found = {f"validation/{n}/{m}": v.mean for n, s in levels.items() for m, v in s.metrics.items()}
                found["work/validation_tokens"] = sum(cost(out / name)["tokens"] for name in levels)
            self.ranks.wait()
        checkpoint.restore_randomness(self.random)  # a user's grader may have drawn from it
        self.keep_best(step, found)
        return found | {"timing_s/validation": perf_counter() - start}

    def keep_best(self, step: int, found: Mapping[str, float]) -> None:
        """Keeps the model of this step if it is the best so far, by rank 0's measurement; all ranks write it together."""
        metric = self.config.best_metric
        if metric is None:
            return
        value = found.get(f"validation/{metric}")
        if any(self.ranks.gather(value is not None and checkpoint.improves(self.folder, metric, value))):
            directory = self.save()
            if self.ranks.main:
                checkpoint.keep_best(self.folder, directory, checkpoint.Best(step, metric, value))
            self.ranks.wait()

    def save(self) -> Path:
        """Makes a checkpoint of this step. Rank 0 writes it, whole, so that any number of ranks can go on from it."""
        directory, trainer = self.checkpoints / checkpoint.name_of(self.trainer.step_done), self.trainer
        policy = self.feeder.policy
        tensors = {"optimizer": checkpoint.optimizer_tensors(policy.model, trainer.optimizer)}
        tensors |= {name: copy.state() for name, copy in self.copies.items()}
        if trainer.state is not None:
            tensors["memory"] = trainer.state.to_tensors()
        weights = gather_state_dict(policy.model) if self.config.model.shard else None
        if self.ranks.main:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            checkpoint.write(directory, partial(policy.save, weights=weights), tensors, self.state())
            checkpoint.prune(self.checkpoints, self.config.save_total_limit)
        self.saved = trainer.step_done
        self.ranks.wait()
        return directory

    def state(self) -> dict[str, Any]:
        """Gives what a checkpoint holds beside its tensors."""
        self.feeder.stream.position = self.trainer.collector.done
        return {
            "step": self.trainer.step_done,
            "update": self.trainer.update_done,
            "stream": self.feeder.stream.state_dict(),
            "skipped": self.feeder.skipped,
            "shapes": checkpoint.shapes(self.feeder.policy.model),
            "config": self.config.model_dump(mode="json"),
            "code": code_hashes(self.config.model_dump(mode="json")),
            "random": self.random,
        }

    def restore(self, directory: Path) -> None:
        """Goes on from a checkpoint; the weights were loaded with the policy."""
        state, tensors = checkpoint.read(directory)
        checkpoint.same_model(self.feeder.policy.model, state["shapes"], directory)
        trainer = self.trainer
        trainer.step_done, trainer.update_done, self.saved = state["step"], state["update"], state["step"]
        self.feeder.stream.load_state_dict(state["stream"])
        trainer.collector.done = self.feeder.stream.position
        if trainer.algorithm.needs.state is not None:
            trainer.state = trainer.algorithm.needs.state.from_tensors(tensors["memory"])
        self.feeder.skipped = state["skipped"]
        checkpoint.restore_optimizer(self.feeder.policy.model, trainer.optimizer, tensors["optimizer"])
        for name, copy in self.copies.items():
            copy.restore(tensors[name])
        self.random = state["random"]
        checkpoint.restore_randomness(self.random)
        if self.ranks.main:
            checkpoint.drop_later(self.folder, state["step"])


def note_of(numbers: Mapping[str, float]) -> str:
    """Picks the few numbers worth a place on the progress line."""
    wanted = {"reward": "reward", "rewards/accuracy/mean": "accuracy", "loss": "loss", "entropy": "entropy"}
    return "  ".join(f"{short} {numbers[name]:.3f}" for name, short in wanted.items() if name in numbers)
