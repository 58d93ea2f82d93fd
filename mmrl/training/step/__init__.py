"""The training step: collect completions, weigh their tokens, learn. It knows no algorithm by name, no model and no file."""
