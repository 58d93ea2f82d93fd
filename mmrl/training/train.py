"""Training from Python, to the end."""

from collections.abc import Sequence

from mmrl.config.schema import Config
from mmrl.training.build import build
from mmrl.training.callbacks import Callback
from mmrl.training.loop import Run


def train(config: Config, *, resume: bool = False, callbacks: Sequence[Callback] = (), quiet: bool = False) -> Run:
    """Train as a config says, to the end, and return the run. The newest checkpoint is the last of ``run.checkpoints``.

    ``resume``: go on from the newest checkpoint in ``config.out``. ``callbacks``: objects of `mmrl.Callback`, which the run calls.
    ``quiet``: show no progress. For several processes start the script with torchrun. After Ctrl-C the run finishes its step,
    writes a checkpoint and raises ``mmrl.Stopped``. Errors of `build` are raised before anything is trained.
    """
    run = build(config, resume=resume, quiet=quiet, callbacks=callbacks)
    run.fit(quiet=quiet)
    return run
