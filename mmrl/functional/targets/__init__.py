"""Target distributions p = pi0 x factors / Z: their factors, their Z, their coefficients, and a policy's distance from them."""

from mmrl.functional.targets.estimates import (
    FLOOR,
    ZEstimate,
    clamp_log_z,
    effective_samples,
    kl_policy,
    kl_prior,
    kl_target,
    leave_one_out,
    log_mean_exp,
    offline,
    plug_in,
    plug_in_log_z,
    total_variation,
)
from mmrl.functional.targets.factors import (
    AnyFactor,
    Cautious,
    Constraint,
    Ensemble,
    Exponential,
    Factor,
    Tilt,
    bounds,
    log_weight,
)
from mmrl.functional.targets.moments import Fit, MomentsError, fit
