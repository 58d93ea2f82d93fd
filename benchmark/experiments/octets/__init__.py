"""Octets as arrays, the questions that are asked of them, and their scores: shared by learners and the base model's card."""
