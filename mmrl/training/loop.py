"""A training run: the loop around the trainer, its validations and its checkpoints."""

from collections.abc import Callable, Mapping, Sequence
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
from mmrl.training.callbacks import Callback, tell
from mmrl.training.profile import profile
from mmrl.training.prompts import PromptFeeder
from mmrl.training.run_log import RunLog
from mmrl.training.step.non_finite import NonFiniteError
from mmrl.training.step.trainer import Trainer

TOGETHER = (Stopped, NonFiniteError, MediaError, PromptError, TargetError)  # raised by all ranks at the same place


@dataclass
class Run:
    """Runs a trainer step by step, and writes its metrics, rollouts, validations and checkpoints.

    ``fit()`` takes all steps that are left. To take single steps call ``step()`` until ``done``, ``save()`` to write a
    checkpoint, and ``close()`` at the end. The files are in ``folder``: config.yaml, metrics.jsonl, rollouts.jsonl, and
    ``checkpoints`` with a Hugging Face directory each (docs/metrics.md).
    """

    config: Config
    folder: Path
    trainer: Trainer
    feeder: PromptFeeder
    log: RunLog
    ranks: Ranks
    saved: int = -1  # the step of the newest checkpoint
    random: dict[str, Any] = field(default_factory=checkpoint.randomness)  # after the newest whole step
    callbacks: Sequence[Callback] = ()  # called on rank 0
    stopped: bool = False  # True after ``stop`` was called on this rank

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def done(self) -> bool:
        """Returns True if all steps were taken, or ``stop`` was called on this rank."""
        return self.stopped or self.trainer.step_done >= self.config.steps

    def stop(self) -> None:
        """Make the present step the last: ``fit`` then ends as after the last step of the config, with a checkpoint.

        One rank is enough. A run that was stopped can be resumed.
        """
        self.stopped = True

    def close(self) -> None:
        """End the decoding processes and close the log. ``fit`` does so itself."""
        self.log.close()
        self.feeder.reader.close()

    @property
    def copies(self) -> dict[str, Any]:
        """Returns the copies of the policy that the run has, by name."""
        both = {"reference": self.trainer.reference, "proposal": self.trainer.proposal}
        return {name: copy for name, copy in both.items() if copy is not None}

    def fit(self, quiet: bool = False) -> None:
        """Takes all steps. However the run ends, a checkpoint holds its last whole step.

        One exception: after an error of one rank among several the other ranks wait elsewhere, and no checkpoint is written.
        """
        title = f"{self.config.algorithm.name or type(self.config.algorithm).__name__} {self.folder.name}"
        try:
            with progress(title, self.config.steps, self.trainer.step_done, quiet or not self.ranks.main) as show:
                self.loop(show)
        except BaseException as error:
            if self.ranks.world == 1 or isinstance(error, TOGETHER):
                self.save_if_new()
            raise
        else:
            self.save_if_new()
            self.tell("on_end")
        finally:
            self.close()

    def loop(self, show: Callable[[int, str], None]) -> None:
        """Takes steps and writes checkpoints. Raises Stopped if any rank received a signal to stop."""
        trainer, config = self.trainer, self.config
        with stop_after_step() as stop:
            stopped = any(self.ranks.gather(self.stopped))
            while trainer.step_done < config.steps and not stopped:
                numbers = self.step()
                show(trainer.step_done, note_of(numbers))
                if config.save_every and trainer.step_done % config.save_every == 0:
                    self.save_if_new()
                interrupted, asked = zip(*self.ranks.gather((stop.asked, self.stopped)), strict=True)
                if any(interrupted):
                    raise Stopped
                stopped = any(asked)

    def tell(self, method: str, *facts: object) -> None:
        """Tell the callbacks on rank 0 what happened. What they draw from the global random states is drawn back."""
        if self.callbacks and self.ranks.main:
            tell(self.callbacks, self, method, *facts)
            checkpoint.restore_randomness(self.random)

    def save_if_new(self) -> None:
        """Writes a checkpoint, unless this step has one or the weights are between two steps."""
        if self.saved != self.trainer.step_done and not self.trainer.mid_step:
            self.save()

    def step(self) -> dict[str, float]:
        """Takes one step, validates if it is due, and writes the metrics even if the validation fails."""
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
        self.tell("on_step", step, numbers)
        return numbers

    def validate(self, step: int) -> dict[str, float]:
        """Evaluates the policy on rank 0, while the others wait. Weights and random states do not change."""
        start, metrics, policy = perf_counter(), {}, self.feeder.policy
        with policy.full_parameters():
            if self.ranks.main:
                out = self.folder / "validation" / checkpoint.name_of(step)
                levels = evaluate_model(
                    policy, self.config.validation, out, self.config.rollout.max_num_seqs, quiet=True
                )
                metrics = {f"validation/{n}/{m}": v.mean for n, s in levels.items() for m, v in s.metrics.items()}
                metrics["work/validation_tokens"] = sum(cost(out / name)["tokens"] for name in levels)
            self.ranks.wait()
        checkpoint.restore_randomness(self.random)  # a user's grader may have drawn from it
        self.keep_best(step, metrics)
        metrics |= {"timing_s/validation": perf_counter() - start}
        self.tell("on_validation", step, metrics)
        return metrics

    def keep_best(self, step: int, metrics: Mapping[str, float]) -> None:
        """Saves the model of this step if rank 0 measured it as the best so far; all ranks save together."""
        metric = self.config.best_metric
        if metric is None:
            return
        value = metrics.get(f"validation/{metric}")
        if any(self.ranks.gather(value is not None and checkpoint.improves(self.folder, metric, value))):
            directory = self.save()
            if self.ranks.main:
                checkpoint.keep_best(self.folder, directory, checkpoint.Best(step, metric, value))
            self.ranks.wait()

    def save(self) -> Path:
        """Writes a checkpoint of this step.

        Rank 0 writes whole tensors, so that any number of ranks can continue from it.
        """
        directory, trainer = self.checkpoints / checkpoint.name_of(self.trainer.step_done), self.trainer
        policy = self.feeder.policy
        tensors = {"optimizer": checkpoint.optimizer_tensors(policy.model, trainer.optimizer)}
        tensors |= {name: copy.state() for name, copy in self.copies.items()}
        if trainer.state is not None:
            tensors["algorithm_state"] = trainer.state.to_tensors()
        weights = gather_state_dict(policy.model) if self.config.model.shard else None
        if self.ranks.main:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            checkpoint.write(directory, partial(policy.save, weights=weights), tensors, self.state())
            checkpoint.prune(self.checkpoints, self.config.save_total_limit)
        self.saved = trainer.step_done
        self.ranks.wait()
        self.tell("on_checkpoint", directory)
        return directory

    def state(self) -> dict[str, Any]:
        """Returns the contents of a checkpoint beside its tensors."""
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
        """Restores the state of a checkpoint; the policy was loaded with its weights."""
        state, tensors = checkpoint.read(directory)
        checkpoint.same_model(self.feeder.policy.model, state["shapes"], directory)
        trainer = self.trainer
        trainer.step_done, trainer.update_done, self.saved = state["step"], state["update"], state["step"]
        self.feeder.stream.load_state_dict(state["stream"])
        trainer.collector.done = self.feeder.stream.position
        if trainer.algorithm.needs.state is not None:
            trainer.state = trainer.algorithm.needs.state.from_tensors(tensors["algorithm_state"])
        self.feeder.skipped = state["skipped"]
        checkpoint.restore_optimizer(self.feeder.policy.model, trainer.optimizer, tensors["optimizer"])
        for name, copy in self.copies.items():
            copy.restore(tensors[name])
        self.random = state["random"]
        checkpoint.restore_randomness(self.random)
        if self.ranks.main:
            checkpoint.drop_later(self.folder, state["step"])


def note_of(numbers: Mapping[str, float]) -> str:
    """Returns the text of the progress line: reward, accuracy, loss and entropy."""
    wanted = {"reward": "reward", "rewards/accuracy/mean": "accuracy", "loss": "loss", "entropy": "entropy"}
    return "  ".join(f"{short} {numbers[name]:.3f}" for name, short in wanted.items() if name in numbers)
