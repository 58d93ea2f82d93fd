"""Models that were trained on ProcBench: the base model, restricted learners, arms over seeds."""
