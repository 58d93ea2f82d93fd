"""Media files to frames: decoding, choice of frames, sizes, caches, and a check of every file before a run.

This file imports nothing on purpose: the processes that decode media import this package and must not import torch.
"""
