"""mmrl: post-train video language models with reinforcement learning, and measure what that did to their reasoning.

The names in ``mmrl.__all__`` are the public API: stable by intent, typed, each with an example in docs/python_api.md. Every other
name, that of any module below included, is internal and may change with any version. A public name is imported when it is
first used, so that `import mmrl` waits for nothing.
"""

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mmrl.algorithms.base import Algorithm, Needs, State
    from mmrl.config.from_python import load_config, load_eval_config
    from mmrl.config.schema import Config, ConfigError, EvalConfig
    from mmrl.data.media.errors import MediaError
    from mmrl.data.media.frame_choice import FrameChoice
    from mmrl.evaluation.evaluate_config import Evaluation
    from mmrl.evaluation.evaluate_config import evaluate_config as evaluate
    from mmrl.evaluation.records import Record
    from mmrl.evaluation.sample import Generation, load_model, sample
    from mmrl.evaluation.summary import Summary
    from mmrl.functional.care import care_bonus
    from mmrl.functional.divergences import (
        Alpha,
        ChiSquarePolicyTarget,
        ChiSquareTargetPolicy,
        Divergence,
        Jeffreys,
        JensenShannon,
        KLPolicyTarget,
        KLTargetPolicy,
        SkewJensenShannon,
        SquaredHellinger,
        TotalVariation,
    )
    from mmrl.functional.divergences import value as divergence
    from mmrl.functional.policy_gradient import group_advantages, k1, k2, k3, loss_weights
    from mmrl.models.generic import GenericModel
    from mmrl.models.policy import Policy
    from mmrl.runtime.interrupt import Stopped
    from mmrl.training.build import build
    from mmrl.training.callbacks import Callback
    from mmrl.training.loop import Run
    from mmrl.training.train import train
    from mmrl.types import EMA, Decoding, Example, Frozen, Group, LossNormalisers, Scored, Tokens, TokenWeights

__all__ = [
    "EMA",
    "Algorithm",
    "Alpha",
    "Callback",
    "ChiSquarePolicyTarget",
    "ChiSquareTargetPolicy",
    "Config",
    "ConfigError",
    "Decoding",
    "Divergence",
    "EvalConfig",
    "Evaluation",
    "Example",
    "FrameChoice",
    "Frozen",
    "Generation",
    "GenericModel",
    "Group",
    "Jeffreys",
    "JensenShannon",
    "KLPolicyTarget",
    "KLTargetPolicy",
    "LossNormalisers",
    "MediaError",
    "Needs",
    "Policy",
    "Record",
    "Run",
    "Scored",
    "SkewJensenShannon",
    "SquaredHellinger",
    "State",
    "Stopped",
    "Summary",
    "TokenWeights",
    "Tokens",
    "TotalVariation",
    "__version__",
    "build",
    "care_bonus",
    "divergence",
    "evaluate",
    "group_advantages",
    "k1",
    "k2",
    "k3",
    "load_config",
    "load_eval_config",
    "load_model",
    "loss_weights",
    "sample",
    "train",
]

_DIVERGENCES = (
    "Alpha", "ChiSquarePolicyTarget", "ChiSquareTargetPolicy", "Divergence", "Jeffreys", "JensenShannon", "KLPolicyTarget",
    "KLTargetPolicy", "SkewJensenShannon", "SquaredHellinger", "TotalVariation",
)  # fmt: skip
_PLACES = {  # public name -> its module, and its name there where that is another
    "Algorithm": "algorithms.base",
    "Callback": "training.callbacks",
    "Config": "config.schema",
    "ConfigError": "config.schema",
    "Decoding": "types",
    "EMA": "types",
    "EvalConfig": "config.schema",
    "Evaluation": "evaluation.evaluate_config",
    "Example": "types",
    "FrameChoice": "data.media.frame_choice",
    "Frozen": "types",
    "Generation": "evaluation.sample",
    "GenericModel": "models.generic",
    "Group": "types",
    "LossNormalisers": "types",
    "MediaError": "data.media.errors",
    "Needs": "algorithms.base",
    "Policy": "models.policy",
    "Record": "evaluation.records",
    "Run": "training.loop",
    "Scored": "types",
    "State": "algorithms.base",
    "Stopped": "runtime.interrupt",
    "Summary": "evaluation.summary",
    "TokenWeights": "types",
    "Tokens": "types",
    "build": "training.build",
    "care_bonus": "functional.care",
    "divergence": "functional.divergences:value",
    "evaluate": "evaluation.evaluate_config:evaluate_config",
    "group_advantages": "functional.policy_gradient",
    "k1": "functional.policy_gradient",
    "k2": "functional.policy_gradient",
    "k3": "functional.policy_gradient",
    "load_config": "config.from_python",
    "load_eval_config": "config.from_python",
    "load_model": "evaluation.sample",
    "loss_weights": "functional.policy_gradient",
    "sample": "evaluation.sample",
    "train": "training.train",
} | dict.fromkeys(_DIVERGENCES, "functional.divergences")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _PLACES:
        near = get_close_matches(name, __all__, n=1)
        hint = f"did you mean {near[0]!r}? It has " if near else "it has "
        raise AttributeError(f"module 'mmrl' has no public name {name!r}; {hint}{', '.join(__all__)}")
    module, _, inner = _PLACES[name].partition(":")
    found = getattr(import_module(f"{__name__}.{module}"), inner or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
