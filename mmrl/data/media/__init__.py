"""Files to frames: decoding, choice of frames, sizes, caches, and a look at every file before a run.

Kept empty on purpose: the processes that decode media import this package and must not import torch.
"""
