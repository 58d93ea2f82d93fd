"""What ``mmrl eval`` does: examine a model, and look at what was found in every way that needs none."""
