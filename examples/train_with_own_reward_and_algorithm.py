"""Train with a reward and an algorithm of your own, from Python. Run from the repository's folder:

    mmrl quickstart       # once: it makes the videos that the default config reads; about 3 minutes
    python examples/train_with_own_reward_and_algorithm.py
    python examples/train_with_own_reward_and_algorithm.py CONFIG.yaml steps=10 out=runs/mine

The first argument is a config of `mmrl train`; the others replace its keys.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

import mmrl

DEFAULT = Path("configs/toy_grpo.yaml")


def brevity(completion: str, **fields) -> float:
    """A reward: 1 for an answer without many words. ``fields`` holds all that the example's row says."""
    return 1.0 if len(completion) < 400 else 0.0


@dataclass(frozen=True, kw_only=True)
class Softmax(mmrl.Algorithm):
    """Advantages are softmax(reward / temperature) - 1 / g: the best completions of a group share what the others lose."""

    temperature: float = 0.5

    def advantages(self, scored: mmrl.Scored, state=None) -> torch.Tensor:
        return (scored.total / self.temperature).softmax(dim=0) - 1 / len(scored.total)

    def loss(self, policy: mmrl.Tokens, weights: mmrl.TokenWeights, rows: mmrl.Scored) -> torch.Tensor:
        return -weights.advantage * policy.logprobs


class PrintReward(mmrl.Callback):
    """Says how a run goes, and ends it when there is nothing left to gain."""

    def on_step(self, run: mmrl.Run, step: int, metrics) -> None:
        print(f"step {step}: reward {metrics['reward']:.3f}")
        if metrics["reward"] > 2.09:
            run.stop()

    def on_checkpoint(self, run: mmrl.Run, directory: Path) -> None:
        print(f"checkpoint: {directory}")


def main(config: str = str(DEFAULT), *overrides: str) -> None:
    """Train as a config says, with one more reward and another algorithm."""
    own = [
        f"rewards.brevity.grader={Path(__file__).resolve()}:brevity",
        "rewards.brevity.weight=0.1",
        "out=runs/own_algorithm",
    ]
    made = mmrl.load_config(config, [*own, *overrides], algorithm=Softmax(temperature=0.3))
    if not Path(made.data.root).is_dir():
        sys.exit(
            f"expected the data of {config} in {made.data.root}, found nothing; `mmrl quickstart` makes that of {DEFAULT}"
        )
    run = mmrl.train(made, callbacks=[PrintReward()], quiet=True)
    print(f"The model is in {run.checkpoints}, the resolved config in {run.folder / 'config.yaml'}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
