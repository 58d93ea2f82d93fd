"""The toy world: scripts, clips, annotations in SEED-Bench-R1's layout, the exact judge, a small base model.

Nothing is imported here: only ``base`` and ``look_up`` need torch.
"""
