"""Attention over a prompt that the completions of a group share."""
