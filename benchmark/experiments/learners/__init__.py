"""Learners that are shown less than the whole of an item."""
