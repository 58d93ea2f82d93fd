"""Shapes and types are checked in tests; one thread, as bit-exactness is promised for equal numbers of threads."""

import hypothesis
import pytest
from jaxtyping import install_import_hook

from tests import type_checks

CHECKED = (  # where signatures state shapes of one tensor at a time
    "types", "functional", "algorithms", "models.logprobs", "models.families", "models.spans", "rollout.noise", "rewards.grade",
)  # fmt: skip

hypothesis.settings.register_profile("mmrl", deadline=None)  # a shared machine may stop for a while
hypothesis.settings.load_profile("mmrl")
install_import_hook([f"mmrl.{room}" for room in CHECKED], f"{type_checks.__name__}.check")


def pytest_itemcollected(item):
    """A slow test says why it is slow, and which test covers its law by default."""
    for mark in item.iter_markers("slow"):
        if not mark.args:
            raise pytest.UsageError(f'{item.nodeid}: expected pytest.mark.slow("reason"), found no reason')


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The tests' models are too small to gain from more."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """Rows, media, graders and a tiny model that has learnt to answer in the format. To be read only."""
    from mmrl.training.build import build
    from tests import run_fixtures

    root = run_fixtures.make_root(tmp_path_factory.mktemp("runs") / "root")
    rates = {"language_model": 1e-2, "projector": 1e-2, "vision_tower": 1e-2}
    config = run_fixtures.config(
        root, root / "learnt", steps=40, optimizer={"learning_rates": rates, "schedule": "constant"}
    )
    build(config, quiet=True).fit(quiet=True)
    (root / "learnt" / "checkpoints" / "step-000040").rename(root / "answers")
    return root
