"""Data of a known kind, and a slow way to the same p-value."""

import itertools

import numpy as np


def clustered_world(generator, clusters=40, size=5, rate=0.6, spread=0.25):
    """0/1 scores whose rate differs by cluster."""
    rates = np.clip(generator.normal(rate, spread, clusters), 0, 1)
    right = generator.random((clusters, size)) < rates[:, None]
    return right.astype(float).ravel(), np.repeat(np.arange(clusters), size)


def brute_force(sums):
    signs = itertools.product([1, -1], repeat=len(sums))
    flips = [abs(np.dot(sign, sums)) for sign in signs]
    return sum(f >= abs(sum(sums)) - 1e-9 for f in flips) / len(flips)
