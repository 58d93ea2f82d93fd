"""Facts that can be known of ProcBench without a neural network: ceilings, text audits, simple baselines."""
