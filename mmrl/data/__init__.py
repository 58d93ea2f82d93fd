"""Examples from files: annotations, media, prompt wording, and the order in which they come.

This file imports nothing on purpose: the processes that decode media import this package and must not import torch.
"""
