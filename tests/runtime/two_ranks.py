"""What test_ranks starts twice with torchrun: the command line, then steps on fixed completions, half a rank."""

import json
import sys
from contextlib import suppress
from pathlib import Path

import torch
from accelerate import Accelerator

from mmrl.algorithms import GRPO
from mmrl.cli import app
from mmrl.runtime.ranks import Ranks
from mmrl.training.step.non_finite import NonFiniteError
from tests import run_fixtures, tiny_models

SHARES = (["text", "photo"], ["film", "films"])  # the first rank has no video
STEPS = 2


def grade(group):
    """Nothing to be learned from one of the first rank's groups."""
    rewards = run_fixtures.fixed_rewards(group)
    return {n: torch.zeros(len(group)) for n in rewards} if group.prompt.example.id == "text" else rewards


def learn(ranks, names, policy):
    """Weights and numbers after some steps."""
    algorithm = GRPO(beta=0, epsilon=0.2, reference=None)
    groups = run_fixtures.fixed_groups(policy, names)
    trainer = run_fixtures.trainer_of(
        algorithm, policy, groups, ranks, grade=grade, max_grad_norm=0.1, max_tokens_per_micro_batch=500
    )
    numbers = [trainer.step() for _ in range(STEPS)]
    return trainer, {n: p.detach().clone() for n, p in policy.model.named_parameters()}, numbers


def broken(group):
    """No numbers on the second rank."""
    return {n: r * float("nan") for n, r in grade(group).items()} if group.prompt.example.id == "film" else grade(group)


def main(config: str, out: str) -> None:
    sys.argv = ["mmrl", "train", config]
    with suppress(SystemExit):
        app.main()
    ranks = Ranks(Accelerator())
    policy = tiny_models.policy(dtype=torch.float64)
    trainer, weights, numbers = learn(ranks, SHARES[ranks.rank], policy)
    trainer.collector.grade = run_fixtures.of_groups(broken)
    try:
        trainer.step()
    except NonFiniteError as error:
        said = str(error)
    found = {"world": ranks.world, "numbers": numbers, "said": ranks.gather(said)}
    if ranks.main:
        torch.save(weights, Path(out) / "weights.pt")
        (Path(out) / "found.json").write_text(json.dumps(found))
    ranks.wait()
    ranks.accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
