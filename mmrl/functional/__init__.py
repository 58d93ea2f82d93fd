"""Pure tensor functions: advantages, ratios, divergence estimates, f-divergences, targets and their Z."""
