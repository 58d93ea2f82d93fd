"""What test_shard starts twice with torchrun: steps on fixed completions, then a run, and that run resumed."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor

from mmrl.algorithms import CARE, KLInLoss
from mmrl.config.load import parse
from mmrl.config.schema import Config
from mmrl.models.transformers_versions import checkpoint_activations
from mmrl.runtime.ranks import Ranks, join
from mmrl.runtime.sharding import full
from mmrl.training.build import build
from mmrl.training.step.non_finite import NonFiniteError
from mmrl.types import EMA
from tests import run_fixtures, tiny_models
from tests.runtime import two_ranks

STEPS = 3
UPDATE = EMA(decay=0.9, every=1)
BLOCKS = ("model.visual.blocks.", "model.visual.patch_embed.")


@dataclass(frozen=True)
class Variant:
    """What may differ between models."""

    dtype: torch.dtype = torch.float64  # of the masters
    compute: torch.dtype | None = None
    average: str = "float32"
    checkpointing: bool = False
    tied: bool = True  # head and embedding
    frozen: str | tuple[str, ...] = "nothing"  # the beginning of parameters' names
    exact: bool = False  # the divergence over the whole vocabulary, and what the policy says before it learns


VARIANTS = {
    "double": Variant(checkpointing=True),
    "narrow": Variant(torch.float32, torch.bfloat16, "bfloat16"),
    "untied": Variant(tied=False),
    "tower": Variant(frozen="model.language_model."),
    "language": Variant(frozen="model.visual."),
    "projector": Variant(frozen=BLOCKS),
    "narrow projector": Variant(torch.float32, torch.bfloat16, frozen=BLOCKS),
    "exact": Variant(exact=True),
}


def prepared(variant, names, ranks):
    """A trainer of CARE whose groups are cut into parts, more on one rank than on the other; one rank has no video."""
    one = VARIANTS[variant]
    policy = tiny_models.policy(dtype=one.dtype, compute=one.compute)
    model = policy.model
    if one.checkpointing:
        checkpoint_activations(model)
        model.train()
    if not one.tied:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().flip(0))
    for name, p in model.named_parameters():
        p.requires_grad_(not name.startswith(one.frozen))
    update = EMA(UPDATE.decay, UPDATE.every, one.average)
    reference, filler = run_fixtures.disturbed(policy, update), None
    groups = run_fixtures.fixed_groups(policy, names)
    if ranks.world > 1:
        filler, mesh = policy.dummy_group, ranks.mesh()
        policy.shard(mesh, torch.device("cpu"))
        reference.shard(mesh, torch.device("cpu"))
    options = dict(grade=two_ranks.grade, max_grad_norm=0.1, max_tokens_per_micro_batch=60, dummy=filler)
    algorithm = CARE(epsilon=0.2, reference=update)
    if one.exact:
        algorithm = KLInLoss(estimator="kl_policy_reference", level="to_go", loss_scale_factor=10.0, reference=update)
    return run_fixtures.trainer_of(algorithm, policy, groups, ranks, reference=reference, **options)


def learn(variant, names, ranks):
    """The trainer after some steps; its first gradients, its weights and its average, whole; its numbers."""
    trainer = prepared(variant, names, ranks)
    numbers = [trainer.step()]
    trained = [name for name, p in trainer.policy.model.named_parameters() if p.requires_grad]
    gradients = {name: full(g) for name, g in zip(trained, trainer.optimizer.given, strict=True)}
    numbers += [trainer.step() for _ in range(STEPS - 1)]
    return trainer, {
        "gradients": gradients,
        "weights": {name: full(p.detach()) for name, p in trainer.policy.model.named_parameters()},
        "average": dict(trainer.reference.state()),
        "numbers": numbers,
    }


def refused(trainer, ranks):
    """What each rank says of an example of the second rank that is not finite."""
    trainer.collector.grade = run_fixtures.of_groups(two_ranks.broken)
    try:
        trainer.step()
    except NonFiniteError as error:
        return ranks.gather(str(error))


def settings(root, out, shard=False):
    """A run of CARE that samples, checkpoints and validates."""
    examined = {"name": "own", "format": "messages", "file": "d.jsonl", "limit": 3}
    validation = {"root": str(root), "sets": [examined], "template": "plain", "graders": {"accuracy": "accuracy"}}
    validation |= {"every": 4, "workers": 0, "decoding": {"max_new_tokens": 8}}
    model = {"path": str(root / "model"), "shard": shard}
    plain = run_fixtures.settings(root, out, "care", steps=4, save_every=2, save_total_limit=9, validation=validation)
    return parse(Config, plain | {"model": model}, "made")


def share_of(trainer):
    """Which part of its weights, moments and average this rank keeps in memory, and of how many tensors it has a part."""
    model, average = trainer.policy.model, trainer.reference.model
    moments = [t for state in trainer.optimizer.state.values() for t in state.values() if t.ndim]
    tensors = [*model.parameters(), *average.parameters(), *moments]
    cut = [t for t in tensors if isinstance(t, DTensor)]
    kept = sum(t.to_local().untyped_storage().nbytes() for t in cut)  # a part that is a view would keep the whole
    return kept / sum(t.numel() * t.element_size() for t in tensors), len(cut) / len(tensors)


def main(root: str, out: str) -> None:
    root, out = Path(root), Path(out)
    ranks = Ranks(join())
    found = {"world": ranks.world}
    for variant in VARIANTS:
        trainer, learnt = learn(variant, two_ranks.SHARES[ranks.rank], ranks)
        found |= {variant: learnt, "said": refused(trainer, ranks)}
    run = build(settings(root, out / "two", shard=True), accelerator=ranks.accelerator, quiet=True)
    run.fit(quiet=True)
    if ranks.main:
        shutil.copytree(out / "two" / "checkpoints" / "step-000002", out / "again" / "checkpoints" / "step-000002")
    ranks.wait()
    again = settings(root, out / "again", shard=True)
    resumed = build(again, resume=True, accelerator=ranks.accelerator, quiet=True)
    found["shares"] = [share for r in (run, resumed) for share in ranks.gather(share_of(r.trainer))]
    resumed.fit(quiet=True)
    if ranks.main:
        torch.save(found, out / "found.pt")
    ranks.wait()
    ranks.accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
